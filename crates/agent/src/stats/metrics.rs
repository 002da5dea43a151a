//! Metrics of VPP, built from the current snapshot with each scrape, so that series of removed objects disappear.

use std::collections::BTreeMap;

use prometheus::{
    IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::sync::watch;

use super::Publication;
use maglev_model::{
    Name,
    actual::VppVip,
    config::{Config, Standing},
    counters::{Counters, VipCounters, VipPackets},
};

const VIP: [&str; 4] = ["frontend", "prefix", "protocol", "port"];

/// Collects `maglev_vpp_connected`, `_info`, `_uptime_seconds`, and the counters of each VIP.
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

    /// The Frontend of each VIP; if several claim a VIP, the one that serves it.
    fn frontends(&self) -> BTreeMap<VppVip, Name> {
        let config = self.config_rx.borrow().clone();
        let mut names = BTreeMap::new();
        for frontend in config.iter().flat_map(|config| config.frontends.values()) {
            if !matches!(frontend.standing, Standing::Withdrawn(_)) {
                names.insert(frontend.vip.into(), frontend.name.clone());
            }
        }
        names
    }
}

impl Collector for VppMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.shape.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = Families::new();
        let publication = self.publication_rx.borrow().clone();
        families.connected.set(publication.is_some().into());
        if let Some(snapshot) = publication {
            families.info.with_label_values(&[&snapshot.version, &snapshot.build_date]).set(1);
            if let Some(counters) = &snapshot.counters {
                families.fill(counters, &self.frontends(), (self.now)());
            }
        }
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}

struct Families {
    connected: IntGauge,
    info: IntGaugeVec,
    /// A vector without labels, so that the series is absent while VPP's start time is unknown.
    uptime: IntGaugeVec,
    packets: IntCounterVec,
    route_packets: IntCounterVec,
    route_bytes: IntCounterVec,
}

impl Families {
    fn new() -> Self {
        const VALID: &str = "names and labels are valid";
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels).expect(VALID);
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels).expect(VALID);
        let [frontend, prefix, protocol, port] = VIP;
        Self {
            connected: IntGauge::new("maglev_vpp_connected", "1 while there is a session with VPP, else 0.")
                .expect(VALID),
            info: gauges("maglev_vpp_info", "Version of the connected VPP; always 1.", &["version", "build_date"]),
            uptime: gauges("maglev_vpp_uptime_seconds", "Time since VPP started.", &[]),
            packets: counters(
                "maglev_vpp_vip_packets_total",
                "Packets to a VIP, by how VPP's lb plugin handled them.",
                &[frontend, prefix, protocol, port, "kind"],
            ),
            route_packets: counters(
                "maglev_vpp_vip_route_packets_total",
                "Packets that took the route to a VIP's prefix, which the VIPs of one address share.",
                &VIP,
            ),
            route_bytes: counters(
                "maglev_vpp_vip_route_bytes_total",
                "Bytes that took the route to a VIP's prefix, which the VIPs of one address share.",
                &VIP,
            ),
        }
    }

    fn all(&self) -> [&dyn Collector; 6] {
        [&self.connected, &self.info, &self.uptime, &self.packets, &self.route_packets, &self.route_bytes]
    }

    fn fill(&self, counters: &Counters, frontends: &BTreeMap<VppVip, Name>, now: u64) {
        if counters.boot_time > 0 {
            let uptime = now.saturating_sub(counters.boot_time);
            self.uptime.with_label_values::<&str>(&[]).set(i64::try_from(uptime).unwrap_or(i64::MAX));
        }
        for (vip, vip_counters) in &counters.vips {
            // A foreign VIP has no Frontend.
            self.fill_vip(*vip, vip_counters, frontends.get(vip).map(ToString::to_string).unwrap_or_default());
        }
    }

    fn fill_vip(&self, vip: VppVip, counters: &VipCounters, frontend: String) {
        let prefix = format!("{}/{}", vip.address, vip.length);
        let [protocol, port] = [vip.protocol_text().to_string(), vip.port.to_string()];
        for (kind, packets) in counters.packets.iter().flat_map(VipPackets::by_kind) {
            self.packets.with_label_values(&[&frontend, &prefix, &protocol, &port, kind]).inc_by(packets);
        }
        if let Some(route) = counters.route {
            let labels = [frontend, prefix, protocol, port];
            self.route_packets.with_label_values(&labels).inc_by(route.packets);
            self.route_bytes.with_label_values(&labels).inc_by(route.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::{Registry, TextEncoder};

    use super::*;
    use maglev_model::counters::{RouteCounters, StatsSnapshot};

    #[test]
    fn series_match_the_snapshot_and_disappear_with_it() {
        let publication = watch::Sender::new(None);
        let registry = Registry::new();
        let config_rx = watch::Sender::new(None).subscribe();
        registry.register(Box::new(VppMetrics::new(publication.subscribe(), config_rx, || 1_000))).unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let samples = || text().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(samples(), ["maglev_vpp_connected 0"]);

        let vip = VppVip { address: [192, 0, 2, 1].into(), length: 32, protocol: 6, port: 80 };
        let vip_counters = VipCounters {
            packets: Some(VipPackets { existing: 5, first: 2, untracked: 0, no_server: 1 }),
            route: Some(RouteCounters { packets: 8, bytes: 512 }),
        };
        let counters = Counters { boot_time: 900, heartbeat: 3, vips: [(vip, vip_counters)].into() };
        let snapshot = StatsSnapshot { version: "26.10".into(), counters: Some(counters), ..StatsSnapshot::default() };
        publication.send_replace(Some(Arc::new(snapshot)));
        let series = r#"frontend="",port="80",prefix="192.0.2.1/32",protocol="tcp""#;
        let kind =
            |kind: &str| format!(r#"{{frontend="",kind="{kind}",port="80",prefix="192.0.2.1/32",protocol="tcp"}}"#);
        assert_eq!(
            samples(),
            [
                "maglev_vpp_connected 1".to_owned(),
                r#"maglev_vpp_info{build_date="",version="26.10"} 1"#.to_owned(),
                "maglev_vpp_uptime_seconds 100".to_owned(),
                format!("maglev_vpp_vip_packets_total{} 5", kind("existing")),
                format!("maglev_vpp_vip_packets_total{} 2", kind("first")),
                format!("maglev_vpp_vip_packets_total{} 1", kind("no-server")),
                format!("maglev_vpp_vip_packets_total{} 0", kind("untracked")),
                format!("maglev_vpp_vip_route_bytes_total{{{series}}} 512"),
                format!("maglev_vpp_vip_route_packets_total{{{series}}} 8"),
            ]
        );
        publication.send_replace(None);
        assert_eq!(samples(), ["maglev_vpp_connected 0"]);
    }
}
