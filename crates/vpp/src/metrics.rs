//! Metrics of sessions with VPP: messages by name, direction and outcome.
//!
//! All counters are created in advance and indexed by the message's position in [`KNOWN_MESSAGES`], so that counting a
//! message costs one atomic increment.

use std::{fmt, sync::Arc};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::messages::{KNOWN_MESSAGES, KnownMessage};

/// Outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageOutcome {
    /// Sent; or received, with `retval` 0 if the message has one.
    Ok,
    /// A request that was not sent: its session ended, or the queue was full.
    Unsent,
    /// A reply with an error.
    Refused,
    /// A reply that did not arrive: VPP dropped the request, or the session ended first.
    Unanswered,
}

impl MessageOutcome {
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

type Counters = [Option<IntCounter>; MessageOutcome::COUNT];

/// The metrics of sessions. Clones share the counters.
#[derive(Clone)]
pub struct Metrics {
    messages: IntCounterVec,
    /// Indexed by position in [`KNOWN_MESSAGES`]. A message has counters only for its possible outcomes.
    counters: Arc<[Counters]>,
    ignored: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let help = "Messages exchanged with VPP, by outcome.";
        let opts = Opts::new("maglev_vpp_api_total", help);
        let messages = IntCounterVec::new(opts, &["msg", "direction", "result"]).expect("names and labels are valid");
        let counters = KNOWN_MESSAGES.iter().map(|message| counters(&messages, message.name)).collect();
        let ignored = IntCounter::new("maglev_vpp_api_ignored_total", "Messages from VPP that matched no request.")
            .expect("the name is valid");
        Self { messages, counters, ignored }
    }
}

/// By VPP's naming convention, the suffix of a message determines its direction.
fn counters(messages: &IntCounterVec, name: &str) -> Counters {
    let (direction, outcomes): (_, &[MessageOutcome]) = if name.ends_with("_reply") {
        ("recv", &[MessageOutcome::Ok, MessageOutcome::Refused, MessageOutcome::Unanswered])
    } else if name.ends_with("_details") {
        ("recv", &[MessageOutcome::Ok])
    } else {
        ("send", &[MessageOutcome::Ok, MessageOutcome::Unsent])
    };
    let mut counters = Counters::default();
    for outcome in outcomes {
        counters[*outcome as usize] = Some(messages.with_label_values(&[name, direction, outcome.as_str()]));
    }
    counters
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// A metric name is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.messages.clone()))?;
        registry.register(Box::new(self.ignored.clone()))
    }

    pub(crate) fn count(&self, message: KnownMessage, outcome: MessageOutcome) {
        let counter = self.counters.get(message.index).and_then(|counters| counters[outcome as usize].as_ref());
        debug_assert!(counter.is_some(), "{} has no counter for {outcome:?}", message.name);
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
