//! The metrics as families of series.

use std::net::IpAddr;

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector};

use super::Labels;
use maglev_model::{
    actual::VppVip,
    counters::{BackendCounters, Counters, StatsSnapshot, VipCounters, VipPackets},
};

const VIP: [&str; 4] = ["frontend", "prefix", "protocol", "port"];
const VALID: &str = "names and labels are valid";

pub struct Families {
    connected: IntGauge,
    info: IntGaugeVec,
    /// A vector without labels, so that the series is absent while VPP's start time is unknown.
    uptime: IntGaugeVec,
    packets: IntCounterVec,
    route_packets: IntCounterVec,
    route_bytes: IntCounterVec,
    backend_packets: IntCounterVec,
    backend_bytes: IntCounterVec,
    backend_flows: IntGaugeVec,
    sticky_entries: IntGaugeVec,
    sticky_capacity: IntGaugeVec,
}

impl Families {
    pub fn new() -> Self {
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
            backend_packets: counters(
                "maglev_vpp_backend_packets_total",
                "Packets that VPP sent to the address of a Backend, for all VIPs with the Backend.",
                &["address"],
            ),
            backend_bytes: counters(
                "maglev_vpp_backend_bytes_total",
                "Bytes that VPP sent to the address of a Backend, including the encapsulation.",
                &["address"],
            ),
            backend_flows: gauges(
                "maglev_vpp_backend_flows",
                "Upper bound of the tracked flows from a Frontend's VIP to the address of a Backend.",
                &[frontend, "address"],
            ),
            sticky_entries: gauges(
                "maglev_vpp_sticky_table_entries",
                "Tracked flows in the sticky table of a thread of VPP.",
                &["thread"],
            ),
            sticky_capacity: gauges(
                "maglev_vpp_sticky_table_capacity",
                "Flows that fit into the sticky table of a thread of VPP.",
                &["thread"],
            ),
        }
    }

    pub fn all(&self) -> [&dyn Collector; 11] {
        [
            &self.connected,
            &self.info,
            &self.uptime,
            &self.packets,
            &self.route_packets,
            &self.route_bytes,
            &self.backend_packets,
            &self.backend_bytes,
            &self.backend_flows,
            &self.sticky_entries,
            &self.sticky_capacity,
        ]
    }

    /// Fills the metrics of the session; `None` without one.
    pub fn set_session(&self, snapshot: Option<&StatsSnapshot>) {
        self.connected.set(snapshot.is_some().into());
        if let Some(snapshot) = snapshot {
            self.info.with_label_values(&[&snapshot.version, &snapshot.build_date]).set(1);
        }
    }

    /// Fills the metrics of VPP's counters; `now` is the time in Unix seconds.
    pub fn fill(&self, counters: &Counters, labels: &Labels, now: u64) {
        if counters.boot_time > 0 {
            self.uptime.with_label_values::<&str>(&[]).set(gauge_value(now.saturating_sub(counters.boot_time)));
        }
        for (vip, vip_counters) in &counters.vips {
            // A foreign VIP has no Frontend.
            let frontend = labels.frontends.get(vip).map(ToString::to_string);
            if let Some(frontend) = &frontend {
                self.fill_flows(vip_counters, frontend);
            }
            self.fill_vip(*vip, vip_counters, frontend.unwrap_or_default());
        }
        // Servers of foreign VIPs have no Backend.
        for (address, backend) in counters.backends.iter().filter(|(address, _)| labels.backends.contains(address)) {
            self.fill_backend(*address, *backend);
        }
        for table in &counters.sticky_tables {
            let thread = table.thread.to_string();
            self.sticky_entries.with_label_values(&[&thread]).set(gauge_value(table.entries));
            self.sticky_capacity.with_label_values(&[&thread]).set(gauge_value(table.capacity));
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

    fn fill_flows(&self, counters: &VipCounters, frontend: &str) {
        for (address, flows) in &counters.flows {
            self.backend_flows.with_label_values(&[frontend, &address.to_string()]).set(i64::from(*flows));
        }
    }

    fn fill_backend(&self, address: IpAddr, counters: BackendCounters) {
        let address = address.to_string();
        self.backend_packets.with_label_values(&[&address]).inc_by(counters.packets);
        self.backend_bytes.with_label_values(&[&address]).inc_by(counters.bytes);
    }
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect(VALID)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(VALID)
}

fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
