//! The lb plugin up to 26.06: same messages, different layout; its dumps are incomplete, so the CLI's text is read.
//!
//! Pure: [`Lb`](super::Lb) sends the values encoded here and passes the texts that VPP printed. The rules were measured
//! on a real 26.06: an IPv4 prefix `/32` sent as it is becomes a VIP `::/32`.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::LbReading;
use crate::{
    cli::{CliSources, CliVip},
    messages::lb::WireVip,
};
use maglev_model::{
    actual::{Actual, ActualAs, ActualConf, ActualVip, VppVip},
    vip::Weight,
};
use parking_lot::Mutex;

/// The VIP in the plugin's layout: prefix lengths include the 96 bits before an IPv4 address.
pub fn vip(vip: VppVip) -> WireVip {
    let mut wire = WireVip::from(vip);
    if wire.prefix.address.is_ipv4() {
        wire.prefix.length = wire.prefix.length.saturating_add(96);
    }
    wire
}

/// The encap in the plugin's byte order: little-endian, contrary to the API's description.
pub fn encap(encap: u32) -> u32 {
    encap.swap_bytes()
}

/// VPP's state, and what VPP shows beside it, from the text of `show lb vips verbose`.
pub fn reading(shown: Vec<CliVip>) -> LbReading {
    let mut reading = LbReading::default();
    let before = BTreeMap::new();
    shown.iter().filter(|vip| !vip.removed).for_each(|vip| reading.add_text(vip, &before));
    LbReading { actual: actual(shown), ..reading }
}

/// VPP's state, from the text of `show lb vips verbose`. Deleted VIPs and removed application servers wait for garbage
/// collection and are left out. So is a VIP with unparsable application servers: adding the VIP again is refused
/// without harm, while a guess could remove its servers.
fn actual(shown: Vec<CliVip>) -> Actual {
    let live = shown.into_iter().filter(|vip| !vip.removed);
    let vips = live.filter_map(|shown| {
        let live = shown.ases?.into_iter().filter(|server| !server.removed);
        let ases =
            live.map(|server| (server.address, ActualAs { weight: Weight::PRESENT.get(), buckets: server.buckets }));
        let vip = ActualVip {
            encap: shown.encap,
            sticky: shown.sticky,
            table_length: shown.table_length.and_then(|length| u16::try_from(length).ok()),
            pool_index: Some(shown.pool_index),
            ases: ases.collect(),
        };
        Some((shown.vip, vip))
    });
    Actual { vips: vips.collect(), weightless: true }
}

/// The global settings last written to a VPP that cannot report them. Kept across sessions, so that equal settings are
/// not written again; a new agent process starts empty and writes them once.
#[derive(Clone, Debug, Default)]
pub struct ConfCache(Arc<Mutex<Option<(u32, ActualConf)>>>);

impl ConfCache {
    /// Records settings written to the VPP with process id `pid`.
    pub(crate) fn record(&self, pid: u32, conf: ActualConf) {
        *self.0.lock() = Some((pid, conf));
    }

    /// The settings of the VPP with process id `pid`, whose text shows `sources`. Recorded settings are valid while VPP
    /// has the source addresses written with them: process ids repeat in containers.
    pub(crate) fn conf(&self, pid: u32, sources: CliSources) -> ActualConf {
        let recorded = *self.0.lock();
        let CliSources { ipv4, ipv6 } = sources;
        let conf = recorded.filter(|(recorded_pid, _)| *recorded_pid == pid).map(|(_, conf)| conf).filter(|conf| {
            ipv4.is_none_or(|shown| shown == conf.ipv4_source) && ipv6.is_none_or(|shown| shown == conf.ipv6_source)
        });
        ActualConf {
            ipv4_source: ipv4.or(conf.map(|conf| conf.ipv4_source)).unwrap_or(Ipv4Addr::BROADCAST),
            ipv6_source: ipv6.or(conf.map(|conf| conf.ipv6_source)).unwrap_or(Ipv6Addr::from_bits(u128::MAX)),
            sticky_buckets_per_core: conf.map_or(ActualConf::UNKNOWN, |conf| conf.sticky_buckets_per_core),
            flow_timeout: conf.map_or(ActualConf::UNKNOWN, |conf| conf.flow_timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::vip_reader::parse_vips;

    #[test]
    fn ipv4_lengths_include_96_bits_and_encap_is_byte_swapped() {
        let sent = |address: &str, length| {
            vip(VppVip { address: address.parse().unwrap(), length, protocol: 6, port: 80 }).prefix.length
        };
        assert_eq!((sent("198.51.100.1", 32), sent("198.51.100.0", 24), sent("2001:db8::1", 128)), (128, 120, 128));
        assert_eq!(encap(1).to_be_bytes(), [1, 0, 0, 0]);
    }

    #[test]
    fn vip_with_unparsable_servers_is_left_out() {
        let text = " ip4-gre4 [1] 198.51.100.1/32
  new_size:1024
  #as:2
    192.0.2.10 1024 buckets   0 flows  dpo:11 used
    192.0.2.11 0 buckets   0 flows  dpo:12  removed

 ip4-gre4 [2] 198.51.100.2/32
  new_size:1024
  #as:1
    192.0.2.10 something new

 ip4-gre4 [3] 198.51.100.3/32 removed
  new_size:1024
  #as:0
";
        let actual = actual(parse_vips(text));
        assert!(actual.weightless);
        let ases: Vec<_> = actual.vips.iter().map(|(vip, state)| (vip.to_string(), state.ases.len())).collect();
        assert_eq!(ases, [("198.51.100.1/32 any 0".to_owned(), 1)]);
    }

    #[test]
    fn cached_conf_is_valid_for_the_same_process_and_sources() {
        let sources = |last| CliSources { ipv4: Some(Ipv4Addr::new(192, 0, 2, last)), ipv6: None };
        let set = ActualConf {
            ipv4_source: Ipv4Addr::new(192, 0, 2, 1),
            ipv6_source: Ipv6Addr::LOCALHOST,
            sticky_buckets_per_core: 2048,
            flow_timeout: 60,
        };
        let conf_cache = ConfCache::default();
        let unknown = (ActualConf::UNKNOWN, ActualConf::UNKNOWN);
        let numbers = |conf: ActualConf| (conf.sticky_buckets_per_core, conf.flow_timeout);
        assert_eq!(numbers(conf_cache.conf(7, sources(1))), unknown);
        conf_cache.record(7, set);
        assert_eq!(conf_cache.clone().conf(7, sources(1)), set, "clones share the cache");
        assert_eq!(numbers(conf_cache.conf(8, sources(1))), unknown, "another process");
        let restarted = conf_cache.conf(7, sources(255));
        assert_eq!((numbers(restarted), restarted.ipv6()), (unknown, None), "the process id was reused");
        assert_eq!(conf_cache.conf(7, CliSources::default()), set, "text without sources changes nothing");
    }
}
