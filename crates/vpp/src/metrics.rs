//! What sessions with VPP count: messages, by name, direction and what became of them.
//!
//! Every counter is made beforehand and found by the message's place in [`KNOWN`], so that a message
//! costs one atomic increment.

use std::{fmt, sync::Arc};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::messages::{KNOWN, Known};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sent; or received, with `retval` 0 if it has one.
    Ok,
    /// A request that never left: its session ended, or too many were waiting.
    Unsent,
    /// A reply that says why VPP did not do it.
    Refused,
    /// A reply that did not come: VPP dropped the request, or the session ended first.
    Unanswered,
}

impl Fate {
    const COUNT: usize = 4;

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unsent => "unsent",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

type Counters = [Option<IntCounter>; Fate::COUNT];

/// The metrics of all sessions that are given a clone of it.
#[derive(Clone)]
pub struct Metrics {
    messages: IntCounterVec,
    /// By place in [`KNOWN`]; a message has those that can happen to it.
    counters: Arc<[Counters]>,
    ignored: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let help = "Messages exchanged with VPP, by what became of them.";
        let opts = Opts::new("maglev_vpp_api_total", help);
        let messages = IntCounterVec::new(opts, &["msg", "direction", "result"]).expect("names and labels are valid");
        let counters = KNOWN.iter().map(|known| counters(&messages, known.name)).collect();
        let ignored = IntCounter::new("maglev_vpp_api_ignored_total", "Messages from VPP that answered nothing.")
            .expect("the name is valid");
        Self { messages, counters, ignored }
    }
}

/// VPP's convention says by a message's name which way it goes.
fn counters(messages: &IntCounterVec, name: &str) -> Counters {
    let (direction, fates): (_, &[Fate]) = if name.ends_with("_reply") {
        ("recv", &[Fate::Ok, Fate::Refused, Fate::Unanswered])
    } else if name.ends_with("_details") {
        ("recv", &[Fate::Ok])
    } else {
        ("send", &[Fate::Ok, Fate::Unsent])
    };
    let mut counters = Counters::default();
    for fate in fates {
        counters[*fate as usize] = Some(messages.with_label_values(&[name, direction, fate.as_str()]));
    }
    counters
}

impl Metrics {
    /// Makes the metrics part of `registry`.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.messages.clone()))?;
        registry.register(Box::new(self.ignored.clone()))
    }

    pub(crate) fn count(&self, message: Known, fate: Fate) {
        let counter = self.counters.get(message.place).and_then(|of| of[fate as usize].as_ref());
        debug_assert!(counter.is_some(), "{} has no counter for {fate:?}", message.name);
        if let Some(counter) = counter {
            counter.inc();
        }
    }

    pub(crate) fn ignore(&self) {
        self.ignored.inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
