//! What VPP has, put together from two dumps and the CLI's text, as plugins from 26.10 on report it.

use std::collections::BTreeMap;

use crate::{
    cli::CliVip,
    messages::lb::{AS_USED, LbAsV2Details, LbVipDetails},
};
use maglev_model::actual::{Actual, ActualAs, ActualEncap, ActualVip, VppVip};

/// Puts the answers together. Removed application servers and those of VIPs that are not listed
/// are ghosts that wait for garbage collection: they are left out. So are removed VIPs in `shown`,
/// which is the CLI's text.
pub fn merge(vips: &[LbVipDetails], ases: &[LbAsV2Details], shown: &[CliVip]) -> Actual {
    let mut actual: BTreeMap<VppVip, ActualVip> = vips.iter().map(|of| (of.vip.into(), vip(of))).collect();
    for of in shown.iter().filter(|of| !of.removed) {
        if let Some(vip) = actual.get_mut(&of.vip) {
            vip.sticky = of.sticky;
            vip.pool_index = Some(of.pool_index);
        }
    }
    for of in ases.iter().filter(|of| of.flags & AS_USED != 0) {
        if let Some(vip) = actual.get_mut(&of.vip.into()) {
            vip.ases.insert(of.app_srv, ActualAs { weight: of.weight, buckets: of.num_buckets });
        }
    }
    Actual { vips: actual, weightless: false }
}

fn vip(of: &LbVipDetails) -> ActualVip {
    let encap = ActualEncap { kind: of.encap, dscp: of.dscp, target_port: of.target_port.swap_bytes() };
    ActualVip {
        encap: Some(encap),
        sticky: None,
        // 65536 reads 0, which is not what anybody wants either.
        table_length: Some(of.flow_table_length),
        pool_index: None,
        ases: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Prefix, messages::lb::WireVip};

    fn wire(address: &str, port: u16) -> WireVip {
        WireVip { prefix: Prefix::host(address.parse().unwrap()), protocol: 6, port }
    }

    fn details(vip: WireVip) -> LbVipDetails {
        LbVipDetails { vip, encap: 3, dscp: 0, srv_type: 7 << 24, target_port: 36895, flow_table_length: 1024 }
    }

    fn server(vip: WireVip, address: &str, flags: u8, weight: u8) -> LbAsV2Details {
        let app_srv = address.parse().unwrap();
        LbAsV2Details { vip, app_srv, flags, in_use_since: 0, weight, num_buckets: 7 }
    }

    fn shown(vip: WireVip, pool_index: u32, removed: bool, sticky: Option<bool>) -> CliVip {
        CliVip { vip: vip.into(), pool_index, removed, encap: None, sticky, table_length: None, ases: None }
    }

    #[test]
    fn ghosts_are_left_out_and_the_port_is_swapped_back() {
        let (web, gone) = (wire("198.51.100.1", 80), wire("198.51.100.2", 80));
        let ases = [
            server(web, "192.0.2.10", AS_USED, 10),
            server(web, "192.0.2.11", 0, 20),
            server(web, "192.0.2.12", 0, 5),
            server(web, "192.0.2.12", AS_USED, 0),
            server(gone, "192.0.2.13", AS_USED, 30),
        ];
        let actual = merge(&[details(web)], &ases, &[]);
        assert_eq!(actual.vips.len(), 1);
        let vip = &actual.vips[&web.into()];
        assert_eq!(vip.encap, Some(ActualEncap { kind: 3, dscp: 0, target_port: 8080 }));
        assert_eq!((vip.table_length, vip.sticky, vip.pool_index), (Some(1024), None, None));
        let ases: Vec<_> = vip.ases.iter().map(|(address, of)| (address.to_string(), of.weight, of.buckets)).collect();
        assert_eq!(ases, [("192.0.2.10".to_owned(), 10, 7), ("192.0.2.12".to_owned(), 0, 7)]);
    }

    #[test]
    fn affinity_and_index_come_from_the_text_of_the_live_vip() {
        let web = wire("198.51.100.1", 80);
        let text = [
            shown(web, 1, true, Some(false)),
            shown(web, 5, false, Some(true)),
            shown(wire("198.51.100.9", 80), 6, false, Some(true)),
        ];
        for text in [text.to_vec(), text.iter().rev().cloned().collect()] {
            let actual = merge(&[details(web)], &[], &text);
            assert_eq!(actual.vips.len(), 1, "the text alone makes no VIP");
            let vip = &actual.vips[&web.into()];
            assert_eq!((vip.sticky, vip.pool_index), (Some(true), Some(5)));
        }
    }
}
