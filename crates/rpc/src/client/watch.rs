//! The stream of an agent's events.

use tonic::Streaming;

use super::ClientError;
use crate::{
    Malformed,
    convert::{Interner, Line},
    proto,
};
use maglev_model::{Name, event::Level};
use maglev_telemetry::AsOf;

/// Selection of events. The default is all events from level info, from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    /// Minimum level; changes of the state are sent at every level.
    pub level: Level,
    /// All events. Without it only the events selected by `backend` and `frontend`, which are not sufficient for a
    /// mirror.
    pub log: bool,
    /// Events about Backends.
    pub backend: bool,
    /// Events about Frontends.
    pub frontend: bool,
    /// Only events about these objects, at most 200; empty = all. Not sufficient for a mirror.
    pub names: Vec<Name>,
    /// Start position; `None` = from now on.
    pub since: Option<AsOf>,
}

impl Default for WatchRequest {
    fn default() -> Self {
        Self { level: Level::Info, log: true, backend: false, frontend: false, names: Vec::new(), since: None }
    }
}

impl From<WatchRequest> for proto::WatchEventsRequest {
    fn from(watch: WatchRequest) -> Self {
        let WatchRequest { level, log, backend, frontend, names, since } = watch;
        Self {
            log,
            log_level: proto::Level::from(level).into(),
            names: names.iter().map(Name::to_string).collect(),
            backend,
            frontend,
            since: since.map(Into::into),
        }
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct EventStream {
    stream: Streaming<proto::WatchEventsResponse>,
    interner: Interner,
}

/// The next events of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct LineBatch {
    /// In order. The first batch has the start position, and lines only if events were replayed.
    pub lines: Vec<Line>,
    /// Position of the stream after these lines.
    pub as_of: AsOf,
    /// Number of events lost just before these, because the stream was read too slowly.
    pub dropped: u64,
    /// Changes before these lines are missing: fetch the state again.
    pub resync: bool,
}

impl EventStream {
    pub(crate) fn new(stream: Streaming<proto::WatchEventsResponse>) -> Self {
        Self { stream, interner: Interner::default() }
    }

    /// The next events; `None` once the agent shuts down. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`]; the stream has ended.
    pub async fn next(&mut self) -> Result<Option<LineBatch>, ClientError> {
        let rpc = "WatchEvents";
        match self.stream.message().await {
            Ok(Some(message)) => self.read(message).map(Some).map_err(|source| ClientError::Malformed { rpc, source }),
            Ok(None) => Ok(None),
            Err(status) => Err(ClientError::status(rpc, status)),
        }
    }

    fn read(&mut self, message: proto::WatchEventsResponse) -> Result<LineBatch, Malformed> {
        Ok(LineBatch {
            lines: message.events.into_iter().map(|event| self.interner.line(event)).collect::<Result<_, _>>()?,
            as_of: message.as_of.ok_or(Malformed::missing("as_of"))?.into(),
            dropped: message.dropped,
            resync: message.resync_required,
        })
    }
}
