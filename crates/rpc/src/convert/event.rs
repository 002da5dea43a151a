//! Events: out of the bus onto the wire, and from there into lines.

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

/// The message of these events: what a watcher gets for one batch.
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

/// Something that happened on a node, as its log prints it, and what it does to the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number; `None` for what is told only to who watches at that moment.
    pub seq: Option<u64>,
    /// When it happened, by the node's clock.
    pub time: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// The event's name; empty for a change that people are told of otherwise.
    pub name: Arc<str>,
    /// Its attributes, in the order of the log.
    pub attributes: Vec<(Arc<str>, String)>,
    /// What it does to the state.
    pub change: Option<Change>,
}

/// Texts that come again and again: names of events and of attributes.
#[derive(Debug, Default)]
pub struct Words(HashSet<Arc<str>>);

impl Words {
    /// More than there are; what a faulty server sends beyond that is not kept.
    const LIMIT: usize = 1024;

    fn take(&mut self, word: String) -> Arc<str> {
        if let Some(known) = self.0.get(&*word) {
            return Arc::clone(known);
        }
        let word = Arc::<str>::from(word);
        if self.0.len() < Self::LIMIT {
            self.0.insert(Arc::clone(&word));
        }
        word
    }

    /// Reads an event. A change of a kind that this build does not know counts as none.
    pub fn line(&mut self, event: proto::Event) -> Result<Line, Malformed> {
        let level = Level::try_from(event.level()).unwrap_or(Level::Info);
        Ok(Line {
            seq: event.seq,
            time: read_time(event.time, "time")?,
            level,
            name: self.take(event.name),
            attributes: event.attributes.into_iter().map(|of| (self.take(of.key), of.value)).collect(),
            change: event.change.and_then(|change| change.kind).map(Change::try_from).transpose()?,
        })
    }
}
