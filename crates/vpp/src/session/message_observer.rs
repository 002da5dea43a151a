//! Counts each message of a session and publishes it as an event.

use crate::{
    messages::KnownMessage,
    metrics::{MessageOutcome, Metrics},
};
use maglev_model::event::{Event, Events};

/// Observes the messages of a session.
#[derive(Clone, Debug)]
pub struct MessageObserver {
    pub events: Events,
    pub metrics: Metrics,
}

impl MessageObserver {
    /// Records a sent message.
    pub fn sent(&self, message: KnownMessage) {
        self.metrics.count(message, MessageOutcome::Ok);
        self.events.emit_probe(|| Event::VppApiSend { msg: message.name });
    }

    /// Records a request that was not sent.
    pub fn unsent(&self, message: KnownMessage) {
        self.metrics.count(message, MessageOutcome::Unsent);
    }

    /// Records a received message, with its `retval` if it has one.
    pub fn received(&self, message: KnownMessage, retval: Option<i32>) {
        let refused = retval.is_some_and(|retval| retval != 0);
        self.metrics.count(message, if refused { MessageOutcome::Refused } else { MessageOutcome::Ok });
        self.events.emit_probe(|| Event::VppApiRecv { msg: message.name });
    }

    /// Records a reply that will not arrive.
    pub fn unanswered(&self, message: KnownMessage) {
        self.metrics.count(message, MessageOutcome::Unanswered);
    }
}
