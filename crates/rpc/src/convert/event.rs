//! Events of the bus to messages, and messages to lines.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;

use super::{Malformed, read_time, time};
use crate::proto;
use maglev_model::{
    change::Change,
    event::{Level, Value},
};
use maglev_telemetry::{AsOf, Stamped};

/// Encodes the message of one batch of events.
pub fn encode<'a>(events: impl Iterator<Item = &'a Arc<Stamped>>, as_of: AsOf) -> Bytes {
    let message = proto::WatchEventsResponse {
        events: events.map(|stamped| (&**stamped).into()).collect(),
        dropped: 0,
        as_of: Some(as_of.into()),
        resync_required: false,
    };
    message.encode_to_vec().into()
}

impl From<&Stamped> for proto::Event {
    fn from(Stamped { seq, time: at, event, change }: &Stamped) -> Self {
        let mut attributes = Vec::new();
        let (mut level, mut name) = (Level::Debug, String::new());
        if let Some(event) = event {
            (level, name) = (event.level(), event.name().to_owned());
            event.fields(&mut |key, value| {
                let value = match value {
                    Value::Text(text) => text.into_owned(),
                    other => other.to_string(),
                };
                attributes.push(proto::Attribute { key: key.to_owned(), value });
            });
        }
        Self {
            seq: *seq,
            time: Some(time(*at)),
            level: proto::Level::from(level).into(),
            name,
            attributes,
            change: change.as_ref().map(Into::into),
        }
    }
}

impl From<AsOf> for proto::AsOf {
    fn from(AsOf { epoch, seq }: AsOf) -> Self {
        Self { epoch, seq }
    }
}

impl From<proto::AsOf> for AsOf {
    fn from(proto::AsOf { epoch, seq }: proto::AsOf) -> Self {
        Self { epoch, seq }
    }
}

/// An event of a node in the form of its log, and its change of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Sequence number; `None` for an event that is not retained.
    pub seq: Option<u64>,
    /// Time by the node's clock.
    pub time: Timestamp,
    /// Severity.
    pub level: Level,
    /// Name of the event; empty for a change without an event of its own.
    pub name: Arc<str>,
    /// Attributes, in the order of the log.
    pub attributes: Vec<(Arc<str>, String)>,
    /// Change of the state.
    pub change: Option<Change>,
}

/// Shares repeated texts: names of events and of attributes.
#[derive(Debug, Default)]
pub struct Interner(HashSet<Arc<str>>);

impl Interner {
    /// Above the number of names; further names, from a faulty server, are not kept.
    const LIMIT: usize = 1024;

    fn intern(&mut self, text: String) -> Arc<str> {
        if let Some(interned) = self.0.get(&*text) {
            return Arc::clone(interned);
        }
        let text = Arc::<str>::from(text);
        if self.0.len() < Self::LIMIT {
            self.0.insert(Arc::clone(&text));
        }
        text
    }

    /// Reads an event. A change of an unknown kind is ignored.
    pub fn line(&mut self, event: proto::Event) -> Result<Line, Malformed> {
        let level = Level::try_from(event.level()).unwrap_or(Level::Info);
        Ok(Line {
            seq: event.seq,
            time: read_time(event.time, "time")?,
            level,
            name: self.intern(event.name),
            attributes: event
                .attributes
                .into_iter()
                .map(|attribute| (self.intern(attribute.key), attribute.value))
                .collect(),
            change: event.change.and_then(|change| change.kind).map(Change::try_from).transpose()?,
        })
    }
}
