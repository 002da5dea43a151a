//! The VIPs in the namespaces of the backends: their addresses on `lo`, and the servers that listen on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::PacketsError;
use super::frame::ProgrammedVip;
use super::namespace::Namespace;
use super::routes::Routes;
use crate::demo_backend::{DemoBackend, VipServers};

/// Pause before another attempt after an address could not be set.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the VIPs of the VPPs.
pub struct Announcer {
    pub routes_rx: watch::Receiver<Arc<Routes>>,
    pub withdraw_after: Duration,
    pub backends: Vec<(Namespace, Arc<DemoBackend>)>,
}

/// A VIP that the backends have.
struct Announced {
    /// Time since which no VPP has the VIP.
    absent_since: Option<Instant>,
    /// Stops the servers when dropped.
    _servers: DropGuard,
}

impl Announcer {
    /// Runs until `shutdown`, and until the servers have ended then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (mut announced, tasks) = (BTreeMap::new(), TaskTracker::new());
        let mut retry = false;
        loop {
            let next = Self::next_removal(&announced).map(|since| since + self.withdraw_after);
            let next = if retry { Some(Instant::now() + RETRY) } else { next };
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.routes_rx.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            let routes = Arc::clone(&self.routes_rx.borrow_and_update());
            let applied = self.apply(&routes.vips, &mut announced, &tasks).await;
            retry = applied.is_err();
            if let Err(error) = applied {
                tracing::warn!(%error, "cannot set the VIPs of the demo backends");
            }
        }
        announced.clear();
        tasks.close();
        tasks.wait().await;
    }

    fn next_removal(announced: &BTreeMap<ProgrammedVip, Announced>) -> Option<Instant> {
        announced.values().filter_map(|vip| vip.absent_since).min()
    }

    async fn apply(
        &self,
        wanted: &BTreeSet<ProgrammedVip>,
        announced: &mut BTreeMap<ProgrammedVip, Announced>,
        tasks: &TaskTracker,
    ) -> Result<(), PacketsError> {
        let now = Instant::now();
        let before = addresses(announced.keys());
        for (vip, state) in announced.iter_mut() {
            state.absent_since = if wanted.contains(vip) { None } else { state.absent_since.or(Some(now)) };
        }
        announced.retain(|_, vip| vip.absent_since.is_none_or(|since| since + self.withdraw_after > now));
        let new: Vec<_> = wanted.iter().filter(|vip| !announced.contains_key(vip)).collect();
        let after: BTreeSet<_> = addresses(announced.keys()).union(&addresses(new.iter().copied())).copied().collect();
        self.set_addresses(&before, &after).await?;
        for vip in new {
            announced.insert(vip.clone(), self.serve(vip, tasks));
        }
        Ok(())
    }

    /// Adds and removes addresses on `lo` in all namespaces.
    async fn set_addresses(&self, before: &BTreeSet<IpAddr>, after: &BTreeSet<IpAddr>) -> Result<(), PacketsError> {
        let command = |verb, address: &IpAddr| format!("address {verb} {} dev lo\n", host(*address));
        let added: String = after.difference(before).map(|address| command("replace", address)).collect();
        let removed: Vec<_> = before.difference(after).map(|address| command("delete", address)).collect();
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let namespaces: Vec<_> = self.backends.iter().map(|(namespace, _)| namespace.clone()).collect();
        let set = move || {
            for namespace in namespaces {
                // An address that is gone already is no failure.
                removed.iter().for_each(|command| drop(namespace.configure(command)));
                namespace.configure(&added)?;
            }
            Ok(())
        };
        // The task is cancelled only if the runtime stops.
        tokio::task::spawn_blocking(set).await.unwrap_or(Ok(()))
    }

    fn serve(&self, vip: &ProgrammedVip, tasks: &TaskTracker) -> Announced {
        let stop = CancellationToken::new();
        for (namespace, backend) in &self.backends {
            let servers = VipServers { namespace, backend, tasks, stop: &stop };
            servers.start(vip.address, vip.protocol, vip.port);
        }
        Announced { absent_since: None, _servers: stop.drop_guard() }
    }
}

fn addresses<'a>(vips: impl IntoIterator<Item = &'a ProgrammedVip>) -> BTreeSet<IpAddr> {
    vips.into_iter().map(|vip| vip.address).collect()
}

/// The address as a prefix of that address only.
fn host(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}
