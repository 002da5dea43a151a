//! The lb plugin up to 26.06: the same messages read differently, and no dump that tells the truth.
//!
//! Pure: [`Lb`](super::Lb) sends what is encoded here and hands over the texts that VPP printed. The
//! rules were measured on a real 26.06: an IPv4 prefix `/32` sent as it is makes a VIP `::/32`.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    cli::{CliSources, CliVip},
    messages::lb::WireVip,
};
use maglev_model::{
    actual::{Actual, ActualAs, ActualConf, ActualVip, VppVip},
    vip::Weight,
};

/// The VIP as the plugin reads it: prefix lengths count from the 96 bits before an IPv4 address.
pub fn vip(vip: VppVip) -> WireVip {
    let mut wire = WireVip::from(vip);
    if wire.prefix.address.is_ipv4() {
        wire.prefix.length = wire.prefix.length.saturating_add(96);
    }
    wire
}

/// The encap as the plugin reads it: in little-endian, whatever the API's description says.
pub fn encap(encap: u32) -> u32 {
    encap.swap_bytes()
}

/// What VPP has, from the text of `show lb vips verbose`. Deleted VIPs and removed application servers
/// wait for garbage collection and are left out. So is a VIP whose application servers cannot all be
/// read: adding it again is refused and harms nothing, while a guess could take its servers away.
pub fn actual(shown: Vec<CliVip>) -> Actual {
    let live = shown.into_iter().filter(|vip| !vip.removed);
    let vips = live.filter_map(|shown| {
        let live = shown.ases?.into_iter().filter(|of| !of.removed);
        let ases = live.map(|of| (of.address, ActualAs { weight: Weight::PRESENT.get(), buckets: of.buckets }));
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

/// What was last set in a VPP that cannot be asked for it. Whoever connects keeps it from one session
/// to the next, so that a VPP is not told the same again; a new process knows nothing and tells it once.
#[derive(Clone, Debug, Default)]
pub struct ConfMemory(Arc<Mutex<Option<(u32, ActualConf)>>>);

impl ConfMemory {
    /// The VPP of process `pid` took `conf`.
    pub(crate) fn keep(&self, pid: u32, conf: ActualConf) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((pid, conf));
    }

    /// The settings of the VPP of process `pid`, whose text shows `sources`. What was set counts while
    /// VPP still has the sources that were set with it: process ids repeat in containers.
    pub(crate) fn conf(&self, pid: u32, sources: CliSources) -> ActualConf {
        let kept = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let CliSources { ipv4, ipv6 } = sources;
        let told = kept.filter(|(of, _)| *of == pid).map(|(_, conf)| conf).filter(|conf| {
            ipv4.is_none_or(|shown| shown == conf.ipv4_source) && ipv6.is_none_or(|shown| shown == conf.ipv6_source)
        });
        ActualConf {
            ipv4_source: ipv4.or(told.map(|told| told.ipv4_source)).unwrap_or(Ipv4Addr::BROADCAST),
            ipv6_source: ipv6.or(told.map(|told| told.ipv6_source)).unwrap_or(Ipv6Addr::from_bits(u128::MAX)),
            sticky_buckets_per_core: told.map_or(ActualConf::UNKNOWN, |told| told.sticky_buckets_per_core),
            flow_timeout: told.map_or(ActualConf::UNKNOWN, |told| told.flow_timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn ipv4_lengths_count_from_96_and_encap_is_swapped() {
        let sent = |address: &str, length| {
            vip(VppVip { address: address.parse().unwrap(), length, protocol: 6, port: 80 }).prefix.length
        };
        assert_eq!((sent("198.51.100.1", 32), sent("198.51.100.0", 24), sent("2001:db8::1", 128)), (128, 120, 128));
        assert_eq!(encap(1).to_be_bytes(), [1, 0, 0, 0]);
    }

    #[test]
    fn a_vip_whose_servers_cannot_be_read_is_left_out() {
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
        let actual = actual(cli::parse_vips(text));
        assert!(actual.weightless);
        let ases: Vec<_> = actual.vips.iter().map(|(vip, of)| (vip.to_string(), of.ases.len())).collect();
        assert_eq!(ases, [("198.51.100.1/32 any 0".to_owned(), 1)]);
    }

    #[test]
    fn what_was_set_counts_for_that_vpp_while_it_has_those_sources() {
        let sources = |last| CliSources { ipv4: Some(Ipv4Addr::new(192, 0, 2, last)), ipv6: None };
        let set = ActualConf {
            ipv4_source: Ipv4Addr::new(192, 0, 2, 1),
            ipv6_source: Ipv6Addr::LOCALHOST,
            sticky_buckets_per_core: 2048,
            flow_timeout: 60,
        };
        let memory = ConfMemory::default();
        let unknown = (ActualConf::UNKNOWN, ActualConf::UNKNOWN);
        let numbers = |conf: ActualConf| (conf.sticky_buckets_per_core, conf.flow_timeout);
        assert_eq!(numbers(memory.conf(7, sources(1))), unknown);
        memory.keep(7, set);
        assert_eq!(memory.clone().conf(7, sources(1)), set, "a clone is the same memory");
        assert_eq!(numbers(memory.conf(8, sources(1))), unknown, "another process");
        let restarted = memory.conf(7, sources(255));
        assert_eq!((numbers(restarted), restarted.ipv6()), (unknown, None), "the same id again");
        assert_eq!(memory.conf(7, CliSources::default()), set, "text that does not tell changes nothing");
    }
}
