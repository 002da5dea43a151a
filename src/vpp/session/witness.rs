//! Tells of each message and counts it, wherever in a session it passes.

use crate::{
    model::event::{Event, Events},
    vpp::{
        messages::Known,
        metrics::{Fate, Metrics},
    },
};

/// Who sees the messages of a session.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) events: Events,
    pub(super) metrics: Metrics,
}

impl Witness {
    /// A message leaves for VPP.
    pub(super) fn sent(&self, message: Known) {
        self.metrics.count(message, Fate::Ok);
        self.events.emit_probe(|| Event::VppApiSend { msg: message.name });
    }

    /// A request does not leave.
    pub(super) fn unsent(&self, message: Known) {
        self.metrics.count(message, Fate::Unsent);
    }

    /// A message came from VPP that has no `retval`, or this one.
    pub(super) fn received(&self, message: Known, retval: Option<i32>) {
        let refused = retval.is_some_and(|retval| retval != 0);
        self.metrics.count(message, if refused { Fate::Refused } else { Fate::Ok });
        self.events.emit_probe(|| Event::VppApiRecv { msg: message.name });
    }

    /// A reply will not come.
    pub(super) fn unanswered(&self, message: Known) {
        self.metrics.count(message, Fate::Unanswered);
    }
}
