//! Following an agent's events.

use tonic::Streaming;

use super::ClientError;
use crate::{
    Malformed,
    convert::{Line, Words},
    proto,
};
use maglev_model::{Name, event::Level};
use maglev_telemetry::AsOf;

/// What to follow. The default is everything from info on, from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    /// The least level; changes of the state come at every level.
    pub level: Level,
    /// Everything. Without it only what `backend` and `frontend` say, which makes no mirror.
    pub log: bool,
    /// What is about Backends.
    pub backend: bool,
    /// What is about Frontends.
    pub frontend: bool,
    /// Only what is about these, at most 200; empty = all. Makes no mirror.
    pub names: Vec<Name>,
    /// Everything after this; `None` = from now on.
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
pub struct Watch {
    stream: Streaming<proto::WatchEventsResponse>,
    words: Words,
}

/// What happened since the last one of these.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// In order. Empty in the first, unless something was replayed: it says where the stream begins.
    pub lines: Vec<Line>,
    /// Where the stream is after these.
    pub as_of: AsOf,
    /// So many events were lost just before these, because the stream was read too slowly.
    pub dropped: u64,
    /// Changes of the state are missing before these: fetch the state anew.
    pub resync: bool,
}

impl Watch {
    pub(crate) fn new(stream: Streaming<proto::WatchEventsResponse>) -> Self {
        Self { stream, words: Words::default() }
    }

    /// The next events; `None` when the agent has ended the stream, because it ends itself. Safe to drop at any time.
    ///
    /// # Errors
    /// [`ClientError`]; the stream is over then.
    pub async fn next(&mut self) -> Result<Option<Followed>, ClientError> {
        let rpc = "WatchEvents";
        match self.stream.message().await {
            Ok(Some(message)) => self.read(message).map(Some).map_err(|source| ClientError::Malformed { rpc, source }),
            Ok(None) => Ok(None),
            Err(status) => Err(ClientError::status(rpc, status)),
        }
    }

    fn read(&mut self, message: proto::WatchEventsResponse) -> Result<Followed, Malformed> {
        Ok(Followed {
            lines: message.events.into_iter().map(|event| self.words.line(event)).collect::<Result<_, _>>()?,
            as_of: message.as_of.ok_or(Malformed::missing("as_of"))?.into(),
            dropped: message.dropped,
            resync: message.resync_required,
        })
    }
}
