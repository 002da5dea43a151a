//! VPP's state, merged from two dumps and the CLI's text, as plugins from 26.10 on report it.
//!
//! A node may have hundreds of thousands of application servers. So what VPP sends is merged message by message, and what has not
//! changed since an earlier reading shares its memory.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    cli::{CliAs, CliVip, VipReader},
    error::Error,
    messages::{
        Message as _,
        lb::{AS_USED, LbAsV2Details, LbVipDetails},
    },
};
use maglev_model::{
    ServerMap,
    actual::{Actual, ActualAs, ActualEncap, ActualVip, VppVip},
};

/// VPP's state, and what VPP prints about application servers beside their state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LbReading {
    pub actual: Actual,
    /// Entries of the sticky tables that refer to a live server, expired ones included; absent where the text is not parsable.
    pub flows: Flows,
    /// Stats index of the route to the address of a live server.
    pub routes: BTreeMap<IpAddr, u32>,
}

/// Tracked flows by VIP and application server.
type Flows = BTreeMap<VppVip, ServerMap<u32>>;

impl LbReading {
    /// Adds what the text of a live VIP shows. Equal flows share the memory of those `before`.
    pub(super) fn add_text(&mut self, shown: &CliVip, before: &Flows) {
        let Some(ases) = &shown.ases else { return };
        let mut flows = Vec::with_capacity(ases.len());
        for CliAs { address, flows: of_server, dpo, .. } in ases.iter().filter(|server| !server.removed) {
            if let Some(dpo) = dpo {
                self.routes.entry(*address).or_insert(*dpo);
            }
            flows.extend(of_server.map(|of_server| (*address, of_server)));
        }
        self.flows.insert(shown.vip, shared(flows.into_iter().collect(), before.get(&shown.vip)));
    }
}

/// A reading of which more is to arrive: first the VIPs, then the application servers, then the text.
#[derive(Debug, Default)]
pub struct PartialReading {
    /// An earlier reading.
    before: LbReading,
    reading: LbReading,
    /// The last VIP and its live application servers that have arrived. VPP sends those of a VIP one after the other.
    servers: Option<(VppVip, Vec<(IpAddr, ActualAs)>)>,
    text: VipReader,
    /// The first live object in the text that the dumps lack, with the name of the missing message.
    missing: Option<(&'static str, String)>,
}

impl PartialReading {
    /// A reading that shares memory with `before`.
    pub fn new(before: LbReading) -> Self {
        Self { before, ..Self::default() }
    }

    /// Adds a VIP.
    pub fn add_vip(&mut self, details: &LbVipDetails) {
        self.reading.actual.vips.insert(details.vip.into(), vip(details));
    }

    /// Adds an application server. Removed ones, and those of VIPs that are not listed, wait for garbage collection and are
    /// left out.
    pub fn add_server(&mut self, details: &LbAsV2Details) {
        let vip = VppVip::from(details.vip);
        if self.servers.as_ref().is_none_or(|(last, _)| *last != vip) {
            self.end_servers();
        }
        let (_, servers) = self.servers.get_or_insert_with(|| (vip, Vec::new()));
        servers.extend(server(details));
    }

    fn end_servers(&mut self) {
        let Some((key, servers)) = self.servers.take() else { return };
        let Some(vip) = self.reading.actual.vips.get_mut(&key) else { return };
        let earlier = vip.ases.iter().map(|(address, server)| (*address, *server));
        let servers = earlier.chain(servers).collect();
        vip.ases = shared(servers, self.before.actual.vips.get(&key).map(|before| &before.ases));
    }

    /// Adds the next piece of the text, cut anywhere.
    pub fn add_text(&mut self, piece: &[u8]) {
        self.end_servers();
        let mut reader = std::mem::take(&mut self.text);
        reader.read(piece, |shown| self.add_shown(&shown));
        self.text = reader;
    }

    /// Adds what the text shows of a VIP. Removed VIPs are left out. VPP drops messages for a client that reads too slowly, and a
    /// missing VIP would be taken for a removed one.
    fn add_shown(&mut self, shown: &CliVip) {
        if shown.removed {
            return;
        }
        let Some(vip) = self.reading.actual.vips.get_mut(&shown.vip) else {
            self.missing.get_or_insert_with(|| (LbVipDetails::NAME, format!("VIP {}", shown.vip)));
            return;
        };
        vip.sticky = shown.sticky;
        vip.pool_index = Some(shown.pool_index);
        let live = shown.ases.iter().flatten().filter(|server| !server.removed).map(|server| server.address);
        if self.missing.is_none()
            && let Some(server) = live.into_iter().find(|address| !vip.ases.contains_key(address))
        {
            let object = format!("application server {server} of VIP {}", shown.vip);
            self.missing = Some((LbAsV2Details::NAME, object));
        }
        self.reading.add_text(shown, &self.before.flows);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Incomplete`]: a dump lacks an object that the text shows.
    pub fn finish(mut self) -> Result<LbReading, Error> {
        self.end_servers();
        std::mem::take(&mut self.text).finish(|shown| self.add_shown(&shown));
        match self.missing {
            Some((message, object)) => Err(Error::Incomplete { message, object }),
            None => Ok(self.reading),
        }
    }
}

/// `now`, in the memory of `before` if both are equal.
fn shared<V: Clone + PartialEq>(now: ServerMap<V>, before: Option<&ServerMap<V>>) -> ServerMap<V> {
    before.filter(|before| **before == now).cloned().unwrap_or(now)
}

/// The application server in a message; `None` if it was removed.
pub fn server(details: &LbAsV2Details) -> Option<(IpAddr, ActualAs)> {
    let server = ActualAs { weight: details.weight, buckets: details.num_buckets };
    (details.flags & AS_USED != 0).then_some((details.app_srv, server))
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

    /// The text of the VIPs is given parsed.
    fn read(
        before: LbReading,
        vips: &[LbVipDetails],
        ases: &[LbAsV2Details],
        text: &[CliVip],
    ) -> Result<LbReading, Error> {
        let mut partial = PartialReading::new(before);
        vips.iter().for_each(|vip| partial.add_vip(vip));
        ases.iter().for_each(|server| partial.add_server(server));
        partial.end_servers();
        text.iter().for_each(|shown| partial.add_shown(shown));
        partial.finish()
    }

    fn merge(vips: &[LbVipDetails], ases: &[LbAsV2Details], text: &[CliVip]) -> Actual {
        read(LbReading::default(), vips, ases, text).unwrap().actual
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
        assert!(read(LbReading::default(), &vips, &servers, &[]).is_ok(), "nothing is known from an empty text");
        let missing = |vips: &[_], servers: &[_]| match read(LbReading::default(), vips, servers, &text) {
            Ok(_) => None,
            Err(Error::Incomplete { object, .. }) => Some(object),
            Err(other) => panic!("{other}"),
        };
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
        let text = [shown(web, 1, true, Some(false)), shown(web, 5, false, Some(true))];
        for text in [text.to_vec(), text.iter().rev().cloned().collect()] {
            let actual = merge(&[details(web)], &[], &text);
            let vip = &actual.vips[&web.into()];
            assert_eq!((vip.sticky, vip.pool_index), (Some(true), Some(5)));
        }
    }

    #[test]
    fn flows_and_routes_are_those_of_live_servers() {
        let web = wire("198.51.100.1", 80);
        let shown_server = |address: &str, dpo, removed| CliAs {
            address: address.parse().unwrap(),
            weight: Some(1),
            buckets: 1,
            flows: Some(dpo + 1),
            dpo: Some(dpo),
            removed,
        };
        let with_servers = |removed, ases| CliVip { ases, ..shown(web, 1, removed, Some(false)) };
        let ases = vec![shown_server("192.0.2.10", 18, false), shown_server("192.0.2.11", 19, true)];
        let text =
            [with_servers(true, Some(vec![shown_server("192.0.2.10", 11, false)])), with_servers(false, Some(ases))];
        let (vips, servers) = ([details(web)], [server(web, "192.0.2.10", AS_USED, 1)]);
        let reading = read(LbReading::default(), &vips, &servers, &text).unwrap();
        let address = "192.0.2.10".parse().unwrap();
        assert_eq!(reading.flows, [(web.into(), [(address, 19)].into())].into());
        assert_eq!(reading.routes, [(address, 18)].into());
        let unparsable = read(LbReading::default(), &vips, &servers, &[with_servers(false, None)]).unwrap();
        assert_eq!((unparsable.flows.len(), unparsable.routes.len()), (0, 0));
    }

    #[test]
    fn unchanged_vips_share_the_memory_of_the_earlier_reading() {
        let (web, api) = (wire("198.51.100.1", 80), wire("198.51.100.2", 80));
        let vips = [details(web), details(api)];
        let servers = |weight| [server(web, "192.0.2.10", AS_USED, 1), server(api, "192.0.2.10", AS_USED, weight)];
        let before = read(LbReading::default(), &vips, &servers(1), &[]).unwrap();
        let now = read(before.clone(), &vips, &servers(2), &[]).unwrap();
        let first = |reading: &LbReading, vip: WireVip| -> *const IpAddr {
            reading.actual.vips[&vip.into()].ases.keys().next().unwrap()
        };
        let is_shared = |vip| first(&before, vip) == first(&now, vip);
        assert_eq!((is_shared(web), is_shared(api)), (true, false));
        assert_eq!(now, read(LbReading::default(), &vips, &servers(2), &[]).unwrap());
    }
}
