//! The seam between scheduling and the network: who probes, what, and how it ended.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use futures::future::LocalBoxFuture;

use maglev_model::{config::HealthCheck, health::ProbeCode};

/// What one probe is sent to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The backend's address.
    pub address: IpAddr,
    /// The address to send from; `None` = the kernel's choice.
    pub source: Option<IpAddr>,
    /// What to do, and for how long at most.
    pub check: Arc<HealthCheck>,
}

/// How one probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It tells something about the backend.
    Answer {
        code: ProbeCode,
        /// A sentence for people. Never holds the value of a header.
        detail: Cow<'static, str>,
    },
    /// This node could not probe (no descriptor or port left, source address missing): it says
    /// nothing about the backend and never brings it down.
    NotProbed {
        /// A sentence for people.
        detail: Cow<'static, str>,
    },
}

impl Outcome {
    /// A result with its explanation.
    pub fn answer(code: ProbeCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Answer { code, detail: detail.into() }
    }

    /// The node could not probe.
    pub fn not_probed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::NotProbed { detail: detail.into() }
    }
}

/// Sends probes. The real one is [`Network`](super::Network); tests of the scheduling bring their own.
pub trait Prober {
    /// Sends one probe, which ends within the check's timeout. Dropping the future ends it at once.
    fn probe(&self, target: Target) -> LocalBoxFuture<'static, Outcome>;
}
