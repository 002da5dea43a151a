//! The interface between the scheduling and the network: the target of a probe, its outcome and the [`Prober`] trait.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use futures::future::LocalBoxFuture;

use maglev_model::{config::HealthCheck, health::ProbeCode};

/// The destination and the settings of one probe.
#[derive(Clone, Debug)]
pub struct ProbeTarget {
    /// The backend's address.
    pub address: IpAddr,
    /// The source address; `None` lets the kernel choose.
    pub source: Option<IpAddr>,
    /// The protocol, its parameters and the timeout.
    pub check: Arc<HealthCheck>,
}

/// The result of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// A success or a failure of the backend, or of the path to it.
    Completed {
        code: ProbeCode,
        /// Human-readable explanation. Never contains the value of a header.
        detail: Cow<'static, str>,
    },
    /// This node could not probe: no free descriptor or port, source address missing. Never brings a backend down.
    NotProbed {
        /// Human-readable explanation.
        detail: Cow<'static, str>,
    },
}

impl ProbeOutcome {
    pub fn completed(code: ProbeCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Completed { code, detail: shortened(detail.into()) }
    }

    pub fn not_probed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::NotProbed { detail: shortened(detail.into()) }
    }
}

/// Length limit of an explanation in characters: a server chooses a part of its text.
const MAX_DETAIL: usize = 300;

fn shortened(detail: Cow<'static, str>) -> Cow<'static, str> {
    match detail.char_indices().nth(MAX_DETAIL) {
        Some(_) => detail.chars().take(MAX_DETAIL - 1).chain(['…']).collect::<String>().into(),
        None => detail,
    }
}

/// Sends probes. [`NetworkProber`](super::NetworkProber) is the production implementation; tests of the scheduling
/// use a scripted one.
pub trait Prober {
    /// Sends one probe, which ends within the timeout of the HealthCheck. Dropping the future ends the probe at once.
    fn probe(&self, target: ProbeTarget) -> LocalBoxFuture<'static, ProbeOutcome>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanation_has_at_most_300_characters() {
        for (length, expected) in [(300, 300), (301, 300), (100_000, 300)] {
            let long = "ä".repeat(length);
            for outcome in [ProbeOutcome::completed(ProbeCode::L7Status, long.clone()), ProbeOutcome::not_probed(long)]
            {
                let (ProbeOutcome::Completed { detail, .. } | ProbeOutcome::NotProbed { detail }) = outcome;
                assert_eq!((detail.chars().count(), detail.ends_with('…')), (expected, length > 300));
            }
        }
    }
}
