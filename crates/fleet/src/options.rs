//! What a fleet is told at its start.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Client;

use super::target::{Connect, Direct};
use maglev_kube::Delays;

/// Where the agents are found.
#[derive(Clone)]
pub enum Source {
    /// Their pods, through the API server.
    Pods {
        /// The client to ask with.
        client: Client,
        /// The namespace to look in; `None` = all.
        namespace: Option<String>,
        /// How long the watch waits for what.
        delays: Delays,
    },
    /// These addresses, and no others.
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

/// How links behave.
#[derive(Clone)]
pub struct FleetOptions {
    /// How an agent is reached.
    pub connector: Arc<dyn Connect>,
    /// When a link does what.
    pub timings: Timings,
    /// The clock for when somebody was last heard of.
    pub clock: fn() -> Timestamp,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self { connector: Arc::new(Direct), timings: Timings::default(), clock: Timestamp::now }
    }
}

/// When a link does what.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Between two questions whether the agent is well.
    pub health: Duration,
    /// Between two comparisons of the whole state. The first one of each link comes at a random moment of this time,
    /// so that they spread.
    pub refresh: Duration,
    /// Between two readings of the counters.
    pub counters: Duration,
    /// Between two readings of what VPP has, at the least.
    pub dumps: Duration,
    /// Before the first try to connect again; doubles with each failure.
    pub retry_min: Duration,
    /// The longest time before a try.
    pub retry_max: Duration,
    /// How long an answer may take, the whole state's apart.
    pub answer: Duration,
    /// How long connecting may take, and the whole state.
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
