//! The interface between the scheduling and the network: the target of a probe, its outcome and the [`Prober`] trait.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use futures::future::LocalBoxFuture;

use maglev_model::{config::HealthCheck, health::ProbeCode};

use super::kept_connection::KeptConnection;

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

    /// The outcome, with the explanation that the probe used a kept connection.
    pub fn on_kept_connection(self) -> Self {
        const NOTE: &str = ", on the kept connection";
        match self {
            Self::Completed { code, detail } => Self::completed(code, detail.into_owned() + NOTE),
            Self::NotProbed { detail } => Self::not_probed(detail.into_owned() + NOTE),
        }
    }

    pub fn not_probed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::NotProbed { detail: shortened(detail.into()) }
    }
}

/// A finished probe.
#[derive(Debug)]
pub struct Probed {
    pub outcome: ProbeOutcome,
    /// The connection that the next probe of this backend by this HealthCheck can use.
    pub connection: Option<KeptConnection>,
}

impl From<ProbeOutcome> for Probed {
    fn from(outcome: ProbeOutcome) -> Self {
        Self { outcome, connection: None }
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
    /// Sends one probe, which ends within the timeout of the HealthCheck. `kept` is the connection of the last probe of
    /// the same backend by the same HealthCheck, if it was kept. A probe that fails on it, other than by its timeout, is
    /// done again on a new connection, and may then take an eighth longer. Dropping the future ends the probe at once.
    fn probe(&self, target: ProbeTarget, kept: Option<KeptConnection>) -> LocalBoxFuture<'static, Probed>;
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
