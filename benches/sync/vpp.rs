//! The VPP used for the measurements: a simulator in a separate process, or a real VPP whose state is restored.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use maglev_agent::AgentLock;
use maglev_model::{actual::ActualConf, event::Events};
use maglev_vpp::{lb::Lb, session::SessionOptions};
use maglev_vpp_simulator::Recompute;

use crate::{
    simulated::Simulated,
    workload::{State, is_bench_vip},
};

pub struct Vpp {
    socket: PathBuf,
    kind: Kind,
}

enum Kind {
    Simulated(Box<Simulated>),
    Real {
        /// The original settings.
        conf: ActualConf,
        /// Prevents the start of a maglevd.
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
        if let Some(vip) = lb.read().await?.vips.keys().find(|vip| is_bench_vip(vip)) {
            anyhow::bail!("{} has VIP {vip} already; the addresses of the benchmark must be unused", socket.display());
        }
        Ok(Self { socket, kind: Kind::Real { conf, _lock } })
    }

    /// The API socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// True unless it is a simulator.
    pub fn is_real(&self) -> bool {
        matches!(self.kind, Kind::Real { .. })
    }

    /// Removes all VIPs of the benchmark; a simulator is restarted.
    pub async fn clear(&mut self) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::Simulated(simulated) => simulated.restart().await,
            Kind::Real { .. } => remove_all(&connect(&self.socket).await?).await,
        }
    }

    /// The current VIPs of the benchmark.
    pub async fn state(&self) -> anyhow::Result<State> {
        let mut vips = connect(&self.socket).await?.read().await?.vips;
        vips.retain(|vip, _| is_bench_vip(vip));
        // VPP assigns another index each time.
        vips.values_mut().for_each(|vip| vip.pool_index = None);
        Ok(vips)
    }

    /// Restores the original state of a real VPP.
    pub async fn restore(self) -> anyhow::Result<()> {
        if let Kind::Real { conf, .. } = &self.kind {
            let lb = connect(&self.socket).await?;
            remove_all(&lb).await?;
            if lb.conf().await? != *conf {
                // All ones keep the number of buckets and the timeout, which the benchmark does not change.
                lb.set_conf(ActualConf { sticky_buckets_per_core: u32::MAX, flow_timeout: u32::MAX, ..*conf }).await?;
                ensure!(lb.conf().await? == *conf, "cannot restore VPP's lb settings {conf:?}");
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
    for (vip, actual) in vips.iter().filter(|(vip, _)| is_bench_vip(vip)) {
        try_join_all(actual.ases.keys().map(|address| lb.remove_as(*vip, *address, true))).await?;
        lb.remove_vip(*vip).await?;
    }
    let left = lb.read().await?.vips.into_keys().filter(is_bench_vip).count();
    ensure!(left == 0, "{left} VIPs of the benchmark could not be removed");
    Ok(())
}
