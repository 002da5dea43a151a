//! Tells of each message and counts it, wherever in a session it passes.

use crate::{
    messages::Known,
    metrics::{Fate, Metrics},
};
use maglev_model::event::{Event, Events};

/// Who sees the messages of a session.
#[derive(Clone, Debug)]
pub struct Witness {
    pub events: Events,
    pub metrics: Metrics,
}

impl Witness {
    /// A message leaves for VPP.
    pub fn sent(&self, message: Known) {
        self.metrics.count(message, Fate::Ok);
        self.events.emit_probe(|| Event::VppApiSend { msg: message.name });
    }

    /// A request does not leave.
    pub fn unsent(&self, message: Known) {
        self.metrics.count(message, Fate::Unsent);
    }

    /// A message came from VPP that has no `retval`, or this one.
    pub fn received(&self, message: Known, retval: Option<i32>) {
        let refused = retval.is_some_and(|retval| retval != 0);
        self.metrics.count(message, if refused { Fate::Refused } else { Fate::Ok });
        self.events.emit_probe(|| Event::VppApiRecv { msg: message.name });
    }

    /// A reply will not come.
    pub fn unanswered(&self, message: Known) {
        self.metrics.count(message, Fate::Unanswered);
    }
}
