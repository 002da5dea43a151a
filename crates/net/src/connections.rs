//! The connections of one server: their limits, and the choice of connections to close in favour of new ones.
//!
//! ```text
//! Listener ──admit──▶ Connections ──▶ Connection (deadlines) ──▶ hyper or tonic
//!    ▲                     ▲                  └── ConnectionHandle ──▶ requests
//!    └── several addresses └── one table
//! ```
//!
//! A full server still serves new clients: a new connection displaces the oldest one without a request, else the newest
//! one of the peer with the most connections. So neither silent connections nor one peer can exclude other peers. Clients
//! on the same machine, such as the kubelet, have a reserve, and remote clients never displace them.
//!
//! In a flood, the kernel's queue of connections fills, and a request of `/healthz` waits for all of them. So most of them
//! are refused at once: remote peers that have a connection displace only 200 others in a second.

mod connection;
mod handle;
mod limits;
mod listener;
mod metrics;
mod table;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use parking_lot::Mutex;

use self::table::{Admission, Client, Table};
pub use self::{
    connection::Connection,
    handle::ConnectionHandle,
    limits::ConnectionLimits,
    listener::Listener,
    metrics::{ConnectionMetrics, Cut, Refusal},
};
use crate::{LogThrottle, descriptors};

/// Connections of one server, over all its addresses. Clones share the limits.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    server: &'static str,
    limits: ConnectionLimits,
    metrics: ConnectionMetrics,
    /// Proxies, whose connections are those of many clients.
    proxies: Vec<IpNet>,
    throttle: LogThrottle,
    table: Mutex<Table>,
}

impl Connections {
    /// No connections. Raises the process's limit of file descriptors as far as `limits` need it, and lowers the maximum
    /// of connections to their share of that limit.
    pub fn new(server: &'static str, limits: ConnectionLimits, metrics: ConnectionMetrics) -> Self {
        Self::behind_proxies(server, limits, metrics, Vec::new())
    }

    /// Like [`Connections::new`]. Peers in the networks `proxies` have no limit of their own.
    pub fn behind_proxies(
        server: &'static str,
        mut limits: ConnectionLimits,
        metrics: ConnectionMetrics,
        proxies: Vec<IpNet>,
    ) -> Self {
        let percent = limits.descriptor_percent.clamp(1, 100);
        let wanted = u64::try_from(limits.max_connections).unwrap_or(u64::MAX);
        let available = descriptors::raise_limit(wanted.saturating_mul(100) / percent);
        limits.max_connections = limits.bounded_by(available.saturating_mul(percent) / 100);
        limits.local_reserve = limits.local_reserve.min(limits.max_connections / 4);
        let (throttle, table) = (LogThrottle::default(), Mutex::default());
        Self(Arc::new(Shared { server, limits, metrics, proxies, throttle, table }))
    }

    /// The limits in effect.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.0.limits
    }

    /// The name of the server in logs and metrics.
    pub fn server(&self) -> &'static str {
        self.0.server
    }

    fn admit(&self, peer: SocketAddr, local: Option<SocketAddr>) -> Result<ConnectionHandle, Refusal> {
        let address = peer.ip().to_canonical();
        let is_proxy = self.0.proxies.iter().any(|network| network.contains(&address));
        let peer_network = Some(peer_network(address)).filter(|_| !is_proxy);
        let client = Client { peer: peer_network, is_local: is_local(peer, local) };
        let admission = self.0.table.lock().admit(client, &self.0.limits);
        let Admission { id, state, displaced } = admission.inspect_err(|refusal| self.refused(*refusal, peer))?;
        if let Some(displaced) = displaced {
            displaced.close(Cut::Displaced);
        }
        self.0.metrics.opened();
        Ok(ConnectionHandle::new(self.clone(), id, peer, state))
    }

    fn refused(&self, refusal: Refusal, peer: SocketAddr) {
        self.0.metrics.refused(refusal);
        if let Some(suppressed) = self.0.throttle.admit(refusal.as_str()) {
            let (server, reason) = (self.0.server, refusal.as_str());
            tracing::warn!(server, reason, %peer, suppressed, "connection refused");
        }
    }

    fn cut(&self, cut: Cut, peer: SocketAddr) {
        self.0.metrics.cut(cut);
        if let Some(suppressed) = self.0.throttle.admit(cut.as_str()) {
            let (server, reason) = (self.0.server, cut.as_str());
            tracing::info!(server, reason, %peer, suppressed, "connection closed by a limit");
        }
    }

    fn closed(&self, id: u64) {
        self.0.table.lock().remove(id);
        self.0.metrics.closed();
    }
}

/// The network that counts as one peer: an IPv6 host has a /64 to itself.
pub fn peer_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// True for a client on the same machine: the kubelet reaches a pod in the host's network from the pod's own address.
fn is_local(peer: SocketAddr, local: Option<SocketAddr>) -> bool {
    let peer = peer.ip().to_canonical();
    peer.is_loopback() || local.is_some_and(|local| local.ip().to_canonical() == peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        let network = |text: &str| peer_network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn server_gets_its_share_of_the_descriptors() {
        let limits = ConnectionLimits {
            max_connections: 1 << 40,
            local_reserve: 1 << 40,
            descriptor_percent: 8,
            ..ConnectionLimits::METRICS
        };
        let connections = Connections::new("test", limits, ConnectionMetrics::new("test"));
        let share = usize::try_from(descriptors::raise_limit(0) * 8 / 100).expect("the limit is lower");
        let limits = connections.limits();
        assert_eq!((limits.max_connections, limits.local_reserve), (share, share / 4));
    }

    #[test]
    fn client_on_the_same_machine_is_local() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let local = Some(address("192.0.2.1:9090"));
        assert!(is_local(address("127.0.0.1:1"), None));
        assert!(is_local(address("[::ffff:192.0.2.1]:1"), local));
        assert!(!is_local(address("192.0.2.2:1"), local));
    }
}
