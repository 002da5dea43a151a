//! Limits of a server's connections.

use std::time::Duration;

/// Smallest maximum of connections, however few file descriptors the process may have.
const MIN_CONNECTIONS: usize = 4;

/// Limits of a server's connections, the same for every kind of server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Connections of `max_connections` that only clients on the same machine get.
    pub local_reserve: usize,
    /// Maximum number of connections of one peer: an IPv4 address, or an IPv6 /64 network.
    pub max_per_peer: usize,
    /// Maximum share of the process's file descriptors, in percent. The other descriptors are for probes, VPP and the API
    /// server.
    pub descriptor_percent: u64,
    /// Time limit for the header of a request. The first header, or the preface of HTTP/2 and the first request, must
    /// arrive within this time after the connection was accepted.
    pub header_timeout: Duration,
    /// Maximum size of a request's header in bytes.
    pub max_header_bytes: usize,
    /// Time limit for the body of a request.
    pub body_timeout: Duration,
    /// Time after which a connection without any byte in either direction is closed. Longer than the 60 s for which
    /// proxies keep a connection, so that no proxy sends a request on a closing connection.
    pub idle_timeout: Duration,
    /// Time after which a connection whose peer accepts no byte is closed.
    pub write_timeout: Duration,
    /// Age at which a connection is asked to end.
    pub max_age: Duration,
    /// Time after `max_age` for responses to end.
    pub age_grace: Duration,
}

impl ConnectionLimits {
    /// Limits for probes and scrapes.
    pub const METRICS: Self = Self {
        max_connections: 128,
        local_reserve: 16,
        max_per_peer: 16,
        descriptor_percent: 8,
        header_timeout: Duration::from_secs(5),
        max_header_bytes: 16 << 10,
        body_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        write_timeout: Duration::from_secs(30),
        max_age: Duration::from_hours(1),
        age_grace: Duration::from_secs(30),
    };
    /// Limits for gRPC: some connections of each controller, dashboard and operator.
    pub const GRPC: Self = Self { max_connections: 512, local_reserve: 32, max_per_peer: 32, ..Self::METRICS };
    /// Limits for browsers: several connections of each.
    pub const DASHBOARD: Self =
        Self { max_connections: 2560, local_reserve: 64, max_per_peer: 64, descriptor_percent: 50, ..Self::METRICS };

    /// The maximum of connections if there are only so many descriptors for them.
    pub(crate) fn bounded_by(&self, descriptors: u64) -> usize {
        self.max_connections.min(usize::try_from(descriptors).unwrap_or(usize::MAX).max(MIN_CONNECTIONS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_lower_the_maximum_of_connections() {
        for (descriptors, expected) in [(0, 4), (81, 81), (512, 512), (u64::MAX, 512)] {
            assert_eq!(ConnectionLimits::GRPC.bounded_by(descriptors), expected, "{descriptors} descriptors");
        }
    }
}
