//! Metrics of VPP, built from the current snapshot with each scrape, so that series of removed objects disappear.

mod families;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use prometheus::{
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::sync::watch;

use self::families::Families;
use super::Publication;
use maglev_model::{
    Name,
    actual::VppVip,
    config::{Config, Standing},
};

/// Collects `maglev_vpp_connected`, `_info`, `_uptime_seconds`, the counters of VIPs and Backends, and the usage of the
/// sticky tables.
pub struct VppMetrics {
    publication_rx: watch::Receiver<Publication>,
    config_rx: watch::Receiver<Option<Config>>,
    now: fn() -> u64,
    /// Empty; provides the descriptions.
    shape: Families,
}

impl VppMetrics {
    /// `config_rx` provides the names of the Frontends; `now` returns Unix seconds.
    pub fn new(
        publication_rx: watch::Receiver<Publication>,
        config_rx: watch::Receiver<Option<Config>>,
        now: fn() -> u64,
    ) -> Self {
        Self { publication_rx, config_rx, now, shape: Families::new() }
    }
}

/// The objects that the labels name.
#[derive(Debug, Default)]
struct Labels {
    /// The Frontend of each VIP; if several claim a VIP, the one that serves it.
    frontends: BTreeMap<VppVip, Name>,
    /// The addresses of all Backends.
    backends: BTreeSet<IpAddr>,
}

impl Labels {
    fn new(config: &Config) -> Self {
        let mut labels = Self::default();
        for frontend in config.frontends.values() {
            if !matches!(frontend.standing, Standing::Withdrawn(_)) {
                labels.frontends.insert(frontend.vip.into(), frontend.name.clone());
            }
        }
        labels.backends.extend(config.backends.values().map(|backend| backend.address));
        labels
    }
}

impl Collector for VppMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.shape.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = Families::new();
        let publication = self.publication_rx.borrow().clone();
        families.set_session(publication.as_deref());
        if let Some(counters) = publication.as_ref().and_then(|snapshot| snapshot.counters.as_ref()) {
            let config = self.config_rx.borrow().clone();
            let labels = config.as_ref().map(Labels::new).unwrap_or_default();
            families.fill(counters, &labels, (self.now)());
        }
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests;
