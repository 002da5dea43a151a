//! Answers about one thing.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    Malformed,
    convert::{FrontendParts, Resolver, frontend_parts, read_time},
    proto,
};
use maglev_model::{
    Name,
    change::{Problems, Report, VppInfo},
    config::{Backend, Frontend},
    health::{BackendHealth, Probing},
    view::StateSince,
};
use maglev_telemetry::AsOf;

/// Who an agent is, and whether it does its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentVersion {
    /// The Kubernetes Node.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// The commit that it was built from.
    pub commit: String,
    /// When it was built; `unknown` where the builder did not say.
    pub build_date: String,
    /// When this process started.
    pub started: Timestamp,
    /// This run of the agent.
    pub epoch: u64,
    /// Whether the node does its job.
    ///
    /// # Errors
    /// What it waits for.
    pub ready: Result<(), String>,
}

impl TryFrom<proto::GetVersionResponse> for AgentVersion {
    type Error = Malformed;

    fn try_from(of: proto::GetVersionResponse) -> Result<Self, Malformed> {
        Ok(Self {
            node: of.node,
            version: of.version,
            commit: of.commit,
            build_date: of.build_date,
            started: read_time(of.started, "started")?,
            epoch: of.epoch,
            ready: if of.ready { Ok(()) } else { Err(of.not_ready_reason) },
        })
    }
}

/// The VPP of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VppDetail {
    /// Which one it is.
    pub info: VppInfo,
    /// Since when the agent has a session with it.
    pub connected_since: Timestamp,
    /// When it started; `None` while its counters cannot be read.
    pub started: Option<Timestamp>,
}

impl TryFrom<proto::GetVppInfoResponse> for VppDetail {
    type Error = Malformed;

    fn try_from(of: proto::GetVppInfoResponse) -> Result<Self, Malformed> {
        Ok(Self {
            info: of.info.unwrap_or_default().into(),
            connected_since: read_time(of.connected_since, "connected_since")?,
            started: of.started.map(|started| read_time(Some(started), "started")).transpose()?,
        })
    }
}

/// A Backend on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendDetail {
    /// Its name.
    pub name: Name,
    /// What it says. `None` where it is gone or does not decode.
    pub backend: Option<Arc<Backend>>,
    /// Its health; `None` is the state unknown.
    pub health: Option<BackendHealth>,
    /// How its probing goes; `None` where it is not probed.
    pub probing: Option<Probing>,
    /// What is wrong with it.
    pub problems: Problems,
    /// The Frontends that use it.
    pub frontends: Vec<Name>,
    /// The moment that this is about.
    pub as_of: AsOf,
}

impl TryFrom<proto::GetBackendResponse> for BackendDetail {
    type Error = Malformed;

    fn try_from(of: proto::GetBackendResponse) -> Result<Self, Malformed> {
        let status = of.backend.ok_or(Malformed::missing("backend"))?;
        let mut resolver = Resolver::new(of.referenced)?;
        Ok(Self {
            name: Name::from(&*status.name),
            backend: status.backend.map(|backend| resolver.backend(backend)).transpose()?,
            health: status.health.map(BackendHealth::try_from).transpose()?,
            probing: of.probing.map(Probing::try_from).transpose()?,
            problems: status.problems.unwrap_or_default().into(),
            frontends: status.frontends.iter().map(|name| Name::from(&**name)).collect(),
            as_of: of.as_of.ok_or(Malformed::missing("as_of"))?.into(),
        })
    }
}

/// A Frontend on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendDetail {
    /// Its name.
    pub name: Name,
    /// What it resolved to; `None` where it is gone or its claim cannot be read.
    pub frontend: Option<Arc<Frontend>>,
    /// Its state; `None` is unknown.
    pub state: Option<StateSince>,
    /// How far the node is with it.
    pub report: Option<Report>,
    /// When VPP was last read, while it is programmed.
    pub verified_at: Option<Timestamp>,
    /// The index of the active pool.
    pub active_pool: Option<usize>,
    /// Every member of every pool, in order, and its weight now.
    pub weights: Vec<MemberWeight>,
    /// What is wrong with it.
    pub problems: Problems,
    /// The moment that this is about.
    pub as_of: AsOf,
}

/// A member of a pool and its weight now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberWeight {
    /// The pool's index.
    pub pool: usize,
    /// The Backend.
    pub backend: Name,
    /// The weight that is in effect once VPP follows; `None` where nothing is wanted of VPP.
    pub effective: Option<u32>,
    /// Why.
    pub why: proto::WeightReason,
}

impl TryFrom<proto::GetFrontendResponse> for FrontendDetail {
    type Error = Malformed;

    fn try_from(of: proto::GetFrontendResponse) -> Result<Self, Malformed> {
        let mut status = of.frontend.ok_or(Malformed::missing("frontend"))?;
        let resolver = Resolver::new(of.referenced)?;
        let verified_at = status.report.as_mut().and_then(|report| report.verified_at.take());
        let pools = status.frontend.iter().flat_map(|frontend| &frontend.pools).enumerate();
        let weights = pools.flat_map(|(pool, of)| {
            of.members.iter().map(move |member| MemberWeight {
                pool,
                backend: Name::from(&*member.backend),
                effective: member.effective_weight,
                why: member.why(),
            })
        });
        let weights = weights.collect();
        let (name, active_pool) = (Name::from(&*status.name), status.active_pool);
        let problems = status.problems.take().unwrap_or_default().into();
        let FrontendParts { frontend, state, active_pool: _, report } = frontend_parts(&resolver, status)?;
        Ok(Self {
            name,
            frontend,
            state,
            report,
            verified_at: verified_at.map(|at| read_time(Some(at), "verified_at")).transpose()?,
            active_pool: active_pool.and_then(|index| usize::try_from(index).ok()),
            weights,
            problems,
            as_of: of.as_of.ok_or(Malformed::missing("as_of"))?.into(),
        })
    }
}
