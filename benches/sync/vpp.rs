//! The VPP that is measured on: a simulator in a process of its own, or a real one that is left as
//! it was found.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use maglev_agent::AgentLock;
use maglev_model::{actual::ActualConf, event::Events};
use maglev_vpp::{lb::Lb, session::SessionOptions};
use maglev_vpp_simulator::Recompute;

use crate::{
    simulated::Simulated,
    workload::{State, is_benchs},
};

/// See the file's head.
pub struct Vpp {
    socket: PathBuf,
    kind: Kind,
}

enum Kind {
    Simulated(Box<Simulated>),
    Real {
        /// What its settings were.
        conf: ActualConf,
        /// No maglevd starts meanwhile.
        _lock: AgentLock,
    },
}

impl Vpp {
    /// Starts a simulator.
    pub async fn simulated(recompute: Recompute) -> anyhow::Result<Self> {
        let simulated = Simulated::start(recompute).await?;
        Ok(Self { socket: simulated.socket(), kind: Kind::Simulated(Box::new(simulated)) })
    }

    /// The VPP that listens on `socket`, unless it is in use.
    pub async fn at(socket: PathBuf) -> anyhow::Result<Self> {
        let _lock = AgentLock::try_take(&socket, "the benchmark of maglev")?;
        let lb = connect(&socket).await?;
        let conf = lb.conf().await?;
        if let Some(vip) = lb.read().await?.vips.keys().find(|vip| is_benchs(vip)) {
            anyhow::bail!("{} has VIP {vip} already: these addresses must be free", socket.display());
        }
        Ok(Self { socket, kind: Kind::Real { conf, _lock } })
    }

    /// Its API socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes care that none of the VIPs is there: a simulator starts anew, a real VPP's are removed.
    pub async fn clear(&mut self) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::Simulated(simulated) => simulated.restart().await,
            Kind::Real { .. } => remove_all(&connect(&self.socket).await?).await,
        }
    }

    /// The VIPs that are there.
    pub async fn state(&self) -> anyhow::Result<State> {
        let mut vips = connect(&self.socket).await?.read().await?.vips;
        vips.retain(|vip, _| is_benchs(vip));
        // VPP gives out another one each time.
        vips.values_mut().for_each(|vip| vip.pool_index = None);
        Ok(vips)
    }

    /// Leaves it as it was found.
    pub async fn leave(self) -> anyhow::Result<()> {
        if let Kind::Real { conf, .. } = &self.kind {
            let lb = connect(&self.socket).await?;
            remove_all(&lb).await?;
            if lb.conf().await? != *conf {
                // All ones keep the number of buckets and the timeout, which nobody has changed.
                lb.set_conf(ActualConf { sticky_buckets_per_core: u32::MAX, flow_timeout: u32::MAX, ..*conf }).await?;
                ensure!(lb.conf().await? == *conf, "VPP's lb settings are not what they were: {conf:?}");
            }
        }
        Ok(())
    }
}

async fn connect(socket: &Path) -> anyhow::Result<Lb> {
    let options = SessionOptions::new("maglev-bench", Events::discard());
    Lb::connect(socket, options).await.with_context(|| socket.display().to_string())
}

async fn remove_all(lb: &Lb) -> anyhow::Result<()> {
    let vips = lb.read().await?.vips;
    for (vip, have) in vips.iter().filter(|(vip, _)| is_benchs(vip)) {
        try_join_all(have.ases.keys().map(|address| lb.remove_as(*vip, *address, true))).await?;
        lb.remove_vip(*vip).await?;
    }
    let left = lb.read().await?.vips.into_keys().filter(is_benchs).count();
    ensure!(left == 0, "{left} VIPs are still there");
    Ok(())
}
