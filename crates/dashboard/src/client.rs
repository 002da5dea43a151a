//! The client of a request, which may be behind proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;
use maglev_net::ConnectionHandle;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client of a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address that limits count by.
    pub(crate) address: IpAddr,
    /// The connection, which may be that of a proxy.
    pub(crate) connection: ConnectionHandle,
}

impl Client {
    /// The client of a request with `headers`.
    pub fn new(connection: ConnectionHandle, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        Self { address: address(connection.peer().ip(), headers, proxies), connection }
    }
}

/// The last address of X-Forwarded-For that is no trusted proxy. Earlier addresses are the client's own claims.
fn address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    while is_proxy(client) {
        let Some(hop) = hops.next().and_then(|hop| parse(hop.trim())) else { break };
        client = hop;
    }
    client
}

/// An address, possibly with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let values =
            forwarded.iter().map(|value| (FORWARDED_FOR.parse().expect("a name"), HeaderValue::from_static(value)));
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        address(peer.parse().expect("an address"), &HeaderMap::from_iter(values), &proxies).to_string()
    }

    #[test]
    fn client_is_the_last_hop_that_is_no_trusted_proxy() {
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1:1234"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["10.0.0.2,10.0.0.3"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }
}
