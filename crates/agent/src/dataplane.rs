//! What the agent needs of a data plane: implemented by the VPP client, and by fakes that fail on
//! demand in tests.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use maglev_model::{
    actual::{Actual, ActualConf},
    plan::Step,
};

/// What a data plane says of itself when it is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataplaneInfo {
    pub version: String,
    /// When that was built.
    pub build_date: String,
    /// The process; another one has lost the state that this one had.
    pub pid: u32,
    /// The API socket.
    pub api: String,
    /// The stats socket; empty where it is not used.
    pub stats: String,
    /// What it can do, in words for the log.
    pub capabilities: String,
}

/// Why a request to the data plane failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataplaneError {
    /// It answered with an error: the picture we have of it may be wrong.
    #[error("{0}")]
    Refused(String),
    /// It did not answer this one, but a later one: what became of it is not known.
    #[error("{0}")]
    Swallowed(String),
    /// The session is over.
    #[error("{0}")]
    Closed(String),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub reason: String,
    /// An answer did not come within the deadline: VPP's main thread may be busy, so the next
    /// session is given more time.
    pub expired: bool,
}

/// The answer to a request.
pub type Answer<T> = BoxFuture<'static, Result<T, DataplaneError>>;

/// A connected data plane. Every method sends its request before it returns; requests are carried
/// out in the order in which they were sent.
pub trait Dataplane: Send + Sync {
    /// What it says of itself.
    fn info(&self) -> &DataplaneInfo;
    /// Reads the global settings.
    fn conf(&self) -> Answer<ActualConf>;
    /// Writes the global settings.
    fn set_conf(&self, conf: ActualConf) -> Answer<()>;
    /// Reads all VIPs and application servers, as of one moment between two steps.
    fn read(&self) -> Answer<Actual>;
    /// Carries out a step.
    fn step(&self, step: &Step) -> Answer<()>;
    /// Asks for a sign of life.
    fn ping(&self) -> Answer<()>;
    /// Resolves, with the reason, when the session is over.
    fn closed(&self) -> BoxFuture<'static, Ended>;
}

/// Makes connections to a data plane.
pub trait Connect: Send + Sync {
    /// Connects; every request then has `deadline` from the last answer seen.
    fn connect(&self, deadline: Duration) -> Answer<Arc<dyn Dataplane>>;
}
