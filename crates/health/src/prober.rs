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
        Self::Completed { code, detail: detail.into() }
    }

    pub fn not_probed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::NotProbed { detail: detail.into() }
    }
}

/// Sends probes. [`NetworkProber`](super::NetworkProber) is the production implementation; tests of the scheduling
/// use a scripted one.
pub trait Prober {
    /// Sends one probe, which ends within the timeout of the HealthCheck. Dropping the future ends the probe at once.
    fn probe(&self, target: ProbeTarget) -> LocalBoxFuture<'static, ProbeOutcome>;
}
