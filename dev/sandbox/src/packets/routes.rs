//! The routes to the VIPs: the nodes whose VPPs are up and have them, and the VIPs that the backends need.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use tokio::sync::watch;

use super::frame::ProgrammedVip;

/// The VIPs of all nodes at one moment.
#[derive(Debug, Default)]
pub struct Routes {
    /// The connected nodes with a VIP on this address, by their number.
    nodes: HashMap<IpAddr, Vec<usize>>,
    /// The addresses of VIPs with L3DSR.
    dscps: HashMap<u8, Ipv4Addr>,
    /// The VIPs of all nodes, with the last known ones of disconnected nodes.
    pub vips: BTreeSet<ProgrammedVip>,
}

impl Routes {
    fn new(nodes: &[NodeVips]) -> Self {
        let mut routes = Self::default();
        for (number, node) in nodes.iter().enumerate() {
            for vip in &node.vips {
                routes.add(number, node.connected, vip);
            }
        }
        routes
    }

    fn add(&mut self, node: usize, connected: bool, vip: &ProgrammedVip) {
        self.vips.insert(vip.clone());
        if let (Some(dscp), IpAddr::V4(address)) = (vip.dscp, vip.address) {
            self.dscps.insert(dscp, address);
        }
        let nodes = self.nodes.entry(vip.address).or_default();
        if connected && !nodes.contains(&node) {
            nodes.push(node);
        }
    }

    /// The nodes for packets to `address`.
    pub fn nodes(&self, address: IpAddr) -> &[usize] {
        self.nodes.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The node for a packet to `address`, chosen among equal ones by the hash of its flow.
    pub fn node(&self, address: IpAddr, flow_hash: u64) -> Result<usize, NoRoute> {
        let nodes = self.nodes.get(&address).ok_or(NoRoute::NoVip)?;
        let count = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        let chosen = flow_hash.checked_rem(count).and_then(|index| usize::try_from(index).ok());
        chosen.and_then(|index| nodes.get(index).copied()).ok_or(NoRoute::NoNode)
    }

    /// The address of the VIP whose packets have this DSCP.
    pub fn with_dscp(&self, dscp: u8) -> Option<Ipv4Addr> {
        self.dscps.get(&dscp).copied()
    }
}

/// The reasons to drop a client's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// The destination is no VIP.
    NoVip,
    /// No VPP with this VIP is up.
    NoNode,
}

#[derive(Clone, Debug, Default)]
struct NodeVips {
    connected: bool,
    vips: Vec<ProgrammedVip>,
}

/// Computes [`Routes`] from what the nodes report.
#[derive(Debug)]
pub struct RouteTable {
    nodes: parking_lot::Mutex<Vec<NodeVips>>,
    routes: watch::Sender<Arc<Routes>>,
}

impl RouteTable {
    pub fn new(nodes: usize) -> Self {
        Self { nodes: vec![NodeVips::default(); nodes].into(), routes: watch::Sender::default() }
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Routes>> {
        self.routes.subscribe()
    }

    /// The VPP of a node is up and has these VIPs.
    pub fn connected(&self, node: usize, vips: Vec<ProgrammedVip>) {
        self.set(node, |node| *node = NodeVips { connected: true, vips });
    }

    /// The VPP of a node is down.
    pub fn disconnected(&self, node: usize) {
        self.set(node, |node| node.connected = false);
    }

    fn set(&self, node: usize, change: impl FnOnce(&mut NodeVips)) {
        let mut nodes = self.nodes.lock();
        change(&mut nodes[node]);
        self.routes.send_replace(Arc::new(Routes::new(&nodes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));

    fn vip(port: u16, dscp: Option<u8>) -> ProgrammedVip {
        ProgrammedVip { address: ADDRESS, protocol: 6, port, dscp }
    }

    #[test]
    fn packets_go_to_connected_nodes_with_the_vip() {
        let table = RouteTable::new(3);
        let routes_rx = table.subscribe();
        let nodes = || (0..6).map(|hash| routes_rx.borrow().node(ADDRESS, hash)).collect::<Vec<_>>();
        assert_eq!(nodes()[0], Err(NoRoute::NoVip));
        table.connected(0, vec![vip(80, None), vip(443, None)]);
        table.connected(1, Vec::new());
        table.connected(2, vec![vip(80, None)]);
        assert_eq!(nodes(), [Ok(0), Ok(2), Ok(0), Ok(2), Ok(0), Ok(2)]);
        table.disconnected(0);
        assert_eq!(nodes(), [Ok(2); 6]);
        table.disconnected(2);
        assert_eq!(nodes(), [Err(NoRoute::NoNode); 6]);
    }

    #[test]
    fn disconnected_nodes_keep_their_vips() {
        let table = RouteTable::new(1);
        table.connected(0, vec![vip(80, Some(7))]);
        table.disconnected(0);
        let routes_rx = table.subscribe();
        assert_eq!(routes_rx.borrow().vips.len(), 1);
        assert_eq!(routes_rx.borrow().with_dscp(7), Some(Ipv4Addr::new(203, 0, 113, 10)));
        table.connected(0, Vec::new());
        assert_eq!((routes_rx.borrow().vips.len(), routes_rx.borrow().with_dscp(7)), (0, None));
    }
}
