//! The traffic to the addresses of application servers, and their tracked flows, as VPP counts them.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use super::output::{Cell, Page};
use maglev_model::counters::{BackendCounters, Counters};

/// Heads of the columns of [`ServerTraffic::cells`].
pub const HEAD: [&str; 5] = ["PACKETS", "BYTES", "PACKETS/S", "BYTES/S", "FLOWS"];

/// The traffic to one address, on one node or summed over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTraffic {
    #[serde(flatten)]
    sent: Option<Sent>,
    /// Upper bound of the tracked flows of all VIPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    flows_at_most: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    packets: u64,
    bytes: u64,
    /// Absent before the second reading of the counters.
    #[serde(skip_serializing_if = "Option::is_none")]
    packets_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<f64>,
    /// Number of VIPs that have the address.
    vips: u32,
}

impl ServerTraffic {
    /// The traffic to each address on one node.
    pub fn by_address(counters: &Counters) -> BTreeMap<IpAddr, Self> {
        let sent = |backend: &BackendCounters| Sent {
            packets: backend.packets,
            bytes: backend.bytes,
            packets_per_second: counters.per_second(backend.recent.packets).map(round),
            bytes_per_second: counters.per_second(backend.recent.bytes).map(round),
            vips: backend.vips,
        };
        let server =
            |(address, backend): (&IpAddr, _)| (*address, Self { sent: Some(sent(backend)), flows_at_most: None });
        let mut servers: BTreeMap<IpAddr, Self> = counters.backends.iter().map(server).collect();
        for (address, flows) in counters.vips.values().flat_map(|vip| &vip.flows) {
            let sum = &mut servers.entry(*address).or_default().flows_at_most;
            *sum = Some(sum.unwrap_or(0) + u64::from(*flows));
        }
        servers
    }

    /// The sum over both nodes.
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).reduce(u64::saturating_add);
        let sent = self.sent.into_iter().chain(other.sent).reduce(Sent::plus);
        Self { sent, flows_at_most: sum(self.flows_at_most, other.flows_at_most) }
    }

    /// Number of VIPs that have the address; 0 if VPP does not report the traffic.
    pub fn vips(&self) -> u32 {
        self.sent.map_or(0, |sent| sent.vips)
    }

    pub fn cells(&self) -> [Cell; 5] {
        let number = |number: Option<u64>| number.map_or_else(Cell::none, |number| number.to_string().into());
        let rate = |rate: Option<f64>| rate.map_or_else(Cell::none, |rate| format!("{rate:.1}").into());
        let sent = self.sent.as_ref();
        [
            number(sent.map(|sent| sent.packets)),
            number(sent.map(|sent| sent.bytes)),
            rate(sent.and_then(|sent| sent.packets_per_second)),
            rate(sent.and_then(|sent| sent.bytes_per_second)),
            number(self.flows_at_most),
        ]
    }
}

impl Sent {
    fn plus(self, other: Self) -> Self {
        let sum =
            |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(|one, other| round(one + other));
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
            packets_per_second: sum(self.packets_per_second, other.packets_per_second),
            bytes_per_second: sum(self.bytes_per_second, other.bytes_per_second),
            vips: self.vips.max(other.vips),
        }
    }
}

/// To one decimal.
fn round(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// Explains the numbers below a table of `servers`.
pub fn explain<'s>(page: &mut Page, servers: impl IntoIterator<Item = &'s ServerTraffic>) {
    let (mut shared, mut flows) = (false, false);
    for server in servers {
        shared |= server.vips() > 1;
        flows |= server.flows_at_most.is_some();
    }
    if shared {
        page.line("The traffic of an address that several VIPs share is counted once, for all of them together.");
    }
    if flows {
        page.line("FLOWS is an upper bound: VPP counts an expired flow until its entry in the sticky table is reused.");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use maglev_model::{
        actual::VppVip,
        counters::{RouteCounters, VipCounters},
    };

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// Two VIPs with the server, which has carried `packets` of 100 bytes, 50 of them in the last interval.
    fn counters(packets: u64, interval: Duration) -> Counters {
        let vip = |last| VppVip { address: [203, 0, 113, last].into(), length: 32, protocol: 6, port: 80 };
        let flows = |flows| VipCounters { flows: [(ADDRESS, flows)].into(), ..VipCounters::default() };
        let recent = RouteCounters { packets: 50, bytes: 5000 };
        let backend = BackendCounters { packets, bytes: packets * 100, vips: 2, recent };
        Counters {
            vips: [(vip(1), flows(7)), (vip(2), flows(3))].into(),
            backends: [(ADDRESS, backend)].into(),
            interval,
            ..Counters::default()
        }
    }

    #[test]
    fn shared_address_is_counted_once_and_its_flows_are_those_of_all_vips() {
        let traffic = ServerTraffic::by_address(&counters(700, Duration::from_secs(5)))[&ADDRESS];
        assert_eq!(
            serde_json::to_value(traffic).unwrap(),
            serde_json::json!({
                "packets": 700, "bytes": 70_000, "packetsPerSecond": 10.0, "bytesPerSecond": 1000.0, "vips": 2,
                "flowsAtMost": 10,
            })
        );
        let mut page = Page::default();
        explain(&mut page, [&traffic]);
        assert!(page.to_string().contains("several VIPs share") && page.to_string().contains("upper bound"));
    }

    #[test]
    fn sum_over_nodes_has_the_rates_of_the_nodes_that_have_one() {
        let [with_rate, first] = [Duration::from_secs(5), Duration::ZERO]
            .map(|interval| ServerTraffic::by_address(&counters(700, interval))[&ADDRESS]);
        let sum = with_rate.plus(first).plus(ServerTraffic::default());
        let sent = sum.sent.unwrap();
        assert_eq!((sent.packets, sent.packets_per_second, sent.vips), (1400, Some(10.0), 2));
        assert_eq!(sum.flows_at_most, Some(20));
        assert_eq!(first.cells()[2], Cell::none(), "the first reading has no rate");
    }
}
