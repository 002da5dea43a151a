//! VPP's state, merged from two dumps and the CLI's text, as plugins from 26.10 on report it.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    cli::{CliAs, CliVip},
    messages::{
        Message as _,
        lb::{AS_USED, LbAsV2Details, LbVipDetails},
    },
};
use maglev_model::{
    ServerMap,
    actual::{Actual, ActualAs, ActualEncap, ActualVip, VppVip},
};

/// VPP's state, and what VPP prints about each application server beside its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LbReading {
    pub actual: Actual,
    pub servers: ServerTexts,
}

/// The live application servers in the CLI text, by VIP and address.
pub type ServerTexts = BTreeMap<VppVip, ServerMap<ServerText>>;

/// Values that VPP prints for an application server; `None` if not parsable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerText {
    /// Entries of the sticky tables that refer to the server, expired ones included.
    pub flows: Option<u32>,
    /// Stats index of the route to the server.
    pub dpo: Option<u32>,
}

/// The live application servers of live VIPs. Absent for a VIP whose servers are not parsable.
pub fn server_texts(cli_vips: &[CliVip]) -> ServerTexts {
    let live = cli_vips.iter().filter(|vip| !vip.removed).filter_map(|vip| Some((vip.vip, vip.ases.as_ref()?)));
    let servers = |ases: &Vec<CliAs>| {
        let live = ases.iter().filter(|server| !server.removed);
        live.map(|server| (server.address, ServerText { flows: server.flows, dpo: server.dpo })).collect()
    };
    live.map(|(vip, ases)| (vip, servers(ases))).collect()
}

/// The first live object in the CLI text that the dumps lack, with the name of the missing message. `actual` is the merged
/// state. VPP drops messages for a client that reads too slowly, and a missing VIP would be taken for a removed one.
pub fn missing_in_dumps(actual: &Actual, cli_vips: &[CliVip]) -> Option<(&'static str, String)> {
    for CliVip { vip, ases, .. } in cli_vips.iter().filter(|vip| !vip.removed) {
        let Some(dumped) = actual.vips.get(vip) else { return Some((LbVipDetails::NAME, format!("VIP {vip}"))) };
        let live = ases.iter().flatten().filter(|server| !server.removed);
        if let Some(server) = live.map(|server| server.address).find(|address| !dumped.ases.contains_key(address)) {
            return Some((LbAsV2Details::NAME, format!("application server {server} of VIP {vip}")));
        }
    }
    None
}

/// Merges the replies; `cli_vips` is the parsed CLI text. Removed application servers, and servers of VIPs that are not
/// listed, wait for garbage collection and are left out. So are removed VIPs in `cli_vips`.
pub fn merge(vips: &[LbVipDetails], ases: &[LbAsV2Details], cli_vips: &[CliVip]) -> Actual {
    let mut actual: BTreeMap<VppVip, ActualVip> =
        vips.iter().map(|details| (details.vip.into(), vip(details))).collect();
    for cli_vip in cli_vips.iter().filter(|cli_vip| !cli_vip.removed) {
        if let Some(vip) = actual.get_mut(&cli_vip.vip) {
            vip.sticky = cli_vip.sticky;
            vip.pool_index = Some(cli_vip.pool_index);
        }
    }
    // VPP sends the servers of a VIP one after the other.
    for of_one_vip in ases.chunk_by(|this, next| this.vip == next.vip) {
        if let Some(vip) = of_one_vip.first().and_then(|server| actual.get_mut(&server.vip.into())) {
            vip.ases =
                vip.ases.iter().map(|(address, server)| (*address, *server)).chain(servers(of_one_vip)).collect();
        }
    }
    Actual { vips: actual, weightless: false }
}

/// The live application servers in a dump.
pub fn servers(ases: &[LbAsV2Details]) -> impl Iterator<Item = (IpAddr, ActualAs)> {
    let live = ases.iter().filter(|server| server.flags & AS_USED != 0);
    live.map(|server| (server.app_srv, ActualAs { weight: server.weight, buckets: server.num_buckets }))
}

fn vip(details: &LbVipDetails) -> ActualVip {
    let encap = ActualEncap { kind: details.encap, dscp: details.dscp, target_port: details.target_port.swap_bytes() };
    ActualVip {
        encap: Some(encap),
        sticky: None,
        // 65536 is reported as 0, which is never a desired length either.
        table_length: Some(details.flow_table_length),
        pool_index: None,
        ases: ServerMap::default(),
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
    fn removed_servers_are_left_out_and_the_port_is_byte_swapped() {
        let (web, removed) = (wire("198.51.100.1", 80), wire("198.51.100.2", 80));
        let ases = [
            server(web, "192.0.2.10", AS_USED, 10),
            server(web, "192.0.2.11", 0, 20),
            server(web, "192.0.2.12", 0, 5),
            server(web, "192.0.2.12", AS_USED, 0),
            server(removed, "192.0.2.13", AS_USED, 30),
        ];
        let actual = merge(&[details(web)], &ases, &[]);
        assert_eq!(actual.vips.len(), 1);
        let vip = &actual.vips[&web.into()];
        assert_eq!(vip.encap, Some(ActualEncap { kind: 3, dscp: 0, target_port: 8080 }));
        assert_eq!((vip.table_length, vip.sticky, vip.pool_index), (Some(1024), None, None));
        let ases: Vec<_> =
            vip.ases.iter().map(|(address, server)| (address.to_string(), server.weight, server.buckets)).collect();
        assert_eq!(ases, [("192.0.2.10".to_owned(), 10, 7), ("192.0.2.12".to_owned(), 0, 7)]);
    }

    #[test]
    fn live_objects_of_the_text_must_be_in_the_dumps() {
        let web = wire("198.51.100.1", 80);
        let cli_server = |address: &str, removed| CliAs {
            address: address.parse().unwrap(),
            weight: Some(1),
            buckets: 1,
            flows: None,
            dpo: None,
            removed,
        };
        let ases = vec![cli_server("192.0.2.10", false), cli_server("192.0.2.11", true)];
        let text =
            [CliVip { ases: Some(ases), ..shown(web, 1, false, None) }, shown(wire("198.51.100.2", 80), 2, true, None)];
        let (vips, servers) = ([details(web)], [server(web, "192.0.2.10", AS_USED, 10)]);
        assert_eq!(missing_in_dumps(&merge(&vips, &servers, &[]), &[]), None, "nothing is known from an empty text");
        let missing =
            |vips: &[_], servers: &[_]| missing_in_dumps(&merge(vips, servers, &text), &text).map(|(_, object)| object);
        assert_eq!(missing(&vips, &servers), None, "removed objects need not be dumped");
        assert_eq!(missing(&[], &servers).as_deref(), Some("VIP 198.51.100.1/32 tcp 80"));
        let removed = [server(web, "192.0.2.10", 0, 10)];
        let server = "application server 192.0.2.10 of VIP 198.51.100.1/32 tcp 80";
        assert_eq!(missing(&vips, &[]).as_deref(), Some(server));
        assert_eq!(missing(&vips, &removed).as_deref(), Some(server));
    }

    #[test]
    fn affinity_and_pool_index_come_from_the_text_of_the_live_vip() {
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

    #[test]
    fn flows_and_indexes_are_those_of_live_servers() {
        let web = wire("198.51.100.1", 80);
        let server = |address: &str, dpo, removed| CliAs {
            address: address.parse().unwrap(),
            weight: Some(1),
            buckets: 1,
            flows: Some(dpo + 1),
            dpo: Some(dpo),
            removed,
        };
        let with_servers = |removed, ases| CliVip { ases, ..shown(web, 1, removed, Some(false)) };
        let ases = vec![server("192.0.2.10", 18, false), server("192.0.2.11", 19, true)];
        let texts = server_texts(&[
            with_servers(true, Some(vec![server("192.0.2.10", 11, false)])),
            with_servers(false, Some(ases)),
        ]);
        let expected = [("192.0.2.10".parse().unwrap(), ServerText { flows: Some(19), dpo: Some(18) })];
        assert_eq!(texts, [(web.into(), expected.into())].into());
        assert!(server_texts(&[with_servers(false, None)]).is_empty());
    }
}
