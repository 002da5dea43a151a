//! Settings of a fleet.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Client;

use super::{
    security::{Direct, Security},
    target::Connect,
};
use maglev_kube::Delays;

/// Discovery of the agents.
#[derive(Clone)]
pub enum Source {
    /// Watches the agents' pods.
    Pods { client: Client, namespace: String, delays: Delays },
    /// A fixed list of addresses.
    Addresses(Vec<SocketAddr>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { namespace, .. } => {
                f.debug_struct("Pods").field("namespace", namespace).finish_non_exhaustive()
            }
            Self::Addresses(addresses) => f.debug_tuple("Addresses").field(addresses).finish(),
        }
    }
}

#[derive(Clone)]
pub struct FleetOptions {
    pub connector: Arc<dyn Connect>,
    pub timings: Timings,
    /// Clock for the times in [`NodeState`](super::NodeState).
    pub clock: fn() -> Timestamp,
}

impl FleetOptions {
    /// Connects directly to the agents' addresses, with this security.
    pub fn direct(security: Security) -> Self {
        Self { connector: Arc::new(Direct::new(security)), ..Self::default() }
    }
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self { connector: Arc::new(Direct::default()), timings: Timings::default(), clock: Timestamp::now }
    }
}

/// Intervals and timeouts of links.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Interval of health requests.
    pub health: Duration,
    /// Interval of comparisons of the complete state. The first one of each link is at a random time within the
    /// interval, to spread the load.
    pub refresh: Duration,
    /// Interval of reading the counters.
    pub counters: Duration,
    /// Minimum interval of reading VPP's state.
    pub dumps: Duration,
    /// Delay before the first reconnect; doubles with each failure.
    pub retry_min: Duration,
    /// Upper limit of the delay before a reconnect.
    pub retry_max: Duration,
    /// Timeout of a request, except for the complete state and VPP's state.
    pub answer: Duration,
    /// Timeout of reading the complete state or VPP's state.
    pub state: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            health: Duration::from_secs(5),
            refresh: Duration::from_secs(30),
            counters: Duration::from_secs(5),
            dumps: Duration::from_secs(1),
            retry_min: Duration::from_millis(250),
            retry_max: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            state: Duration::from_secs(20),
        }
    }
}
