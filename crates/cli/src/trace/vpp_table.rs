//! The new-flow table of a VIP in VPP: its input, properties that the choice depends on, and the comparison with VPP's own
//! bucket counts.

use std::net::IpAddr;

use maglev_model::{
    actual::{ActualEncap, ActualVip, LbDump, VppVip},
    change::VipState,
    table,
};

/// The number of buckets that VPP reports as 0, because its field has 16 bits.
const REPORTED_AS_ZERO: u32 = 65536;

/// A VIP of one VPP.
#[derive(Clone, Copy, Debug)]
pub struct VppTable<'n> {
    pub vip: VppVip,
    /// The VIP as the agent reports it, with the steps that VPP has acknowledged.
    pub state: &'n VipState,
    /// The last reading of VPP, which can be older, or its error.
    pub dump: Result<&'n LbDump, &'n str>,
    /// True if VPP has no weights.
    pub weightless: bool,
}

impl VppTable<'_> {
    /// Number of buckets; `None` if it could not be read.
    pub fn length(&self) -> Option<u32> {
        match self.state.table_length? {
            0 => Some(REPORTED_AS_ZERO),
            length => Some(length.into()),
        }
    }

    /// Addresses and weights.
    pub fn servers(&self) -> Vec<(IpAddr, u8)> {
        self.state.servers.iter().map(|(address, weight)| (*address, *weight)).collect()
    }

    /// Reasons to doubt the computed table.
    pub fn warnings(&self) -> Vec<String> {
        let in_dump = self.dump.map(|dump| dump.actual.vips.get(&self.vip));
        let table = match in_dump {
            Err(error) => Some(format!("the table is not compared with VPP's bucket counts: {error}")),
            Ok(Some(vip)) if self.is_current(vip) => self.difference(vip),
            Ok(_) => Some(
                "the table is not compared with VPP's bucket counts, which are older than its weights; try again"
                    .to_owned(),
            ),
        };
        let affinity = self.state.sticky.is_none().then(|| {
            "the session affinity of the VIP could not be read; computed without it, with the ports".to_owned()
        });
        let is_nat = self.state.encap.is_some_and(ActualEncap::is_nat);
        let nat = is_nat.then(|| "the VIP has NAT: VPP drops TCP, and sends UDP with a wrong checksum".to_owned());
        [table, affinity, nat].into_iter().flatten().collect()
    }

    /// True if the VIP was read with the same servers and weights.
    fn is_current(&self, vip: &ActualVip) -> bool {
        let VipState { table_length, servers, .. } = VipState::from(vip);
        table_length == self.state.table_length && servers == self.state.servers
    }

    /// The difference between the computed table and VPP's bucket counts.
    fn difference(&self, vip: &ActualVip) -> Option<String> {
        let servers = self.servers();
        let expected = table::shares(self.length()?, &servers);
        let counts = servers.iter().zip(expected).filter_map(|(&(address, _), expected)| {
            let buckets = vip.ases.get(&address)?.buckets;
            (buckets != expected).then(|| format!("{address} has {buckets} buckets instead of {expected}"))
        });
        let counts: Vec<_> = counts.collect();
        let first = counts.first()?;
        let others = if counts.len() > 1 { format!(", and {} more differ", counts.len() - 1) } else { String::new() };
        Some(format!("the table of this VPP is not the expected one, so the server may be another: {first}{others}"))
    }

    /// Properties of the VIP and of VPP that the choice depends on.
    pub fn notes(&self) -> Vec<String> {
        let all_ports = (self.vip.port == 0).then_some("the VIP has all protocols and ports");
        let affinity = (self.state.sticky == Some(true))
            .then_some("session affinity ClientIP: only the addresses count, not the ports");
        let weightless = self.weightless.then_some("this VPP has no weights: all its servers have the same share");
        let l3dsr = self.state.encap.filter(|encap| encap.as_str() == "l3dsr").map(|encap| {
            format!("L3DSR: the packets arrive with the server's address as destination and DSCP {}", encap.dscp)
        });
        [all_ports, affinity, weightless].into_iter().flatten().map(str::to_owned).chain(l3dsr).collect()
    }
}
