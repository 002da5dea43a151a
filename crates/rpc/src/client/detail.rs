//! Details of an agent, a VPP, a Backend or a Frontend.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    Malformed,
    convert::{FrontendParts, Resolver, frontend_parts, read_paths, read_time},
    proto,
};
use maglev_model::{
    Name,
    change::{Problems, Report, VppInfo},
    config::{Backend, Frontend},
    health::{BackendHealth, Probing},
    path::{PathHealth, PathKey},
    view::StateSince,
};
use maglev_telemetry::AsOf;

/// Identity and readiness of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentVersion {
    /// Name of the Kubernetes Node.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// Commit of the build.
    pub commit: String,
    /// Date of the build; `unknown` if the build did not set it.
    pub build_date: String,
    /// Start time of the process.
    pub started: Timestamp,
    /// Identifies this run of the agent.
    pub epoch: u64,
    /// Readiness of the node; the error is a human-readable reason.
    pub ready: Result<(), String>,
}

impl TryFrom<proto::GetVersionResponse> for AgentVersion {
    type Error = Malformed;

    fn try_from(response: proto::GetVersionResponse) -> Result<Self, Malformed> {
        Ok(Self {
            node: response.node,
            version: response.version,
            commit: response.commit,
            build_date: response.build_date,
            started: read_time(response.started, "started")?,
            epoch: response.epoch,
            ready: if response.ready { Ok(()) } else { Err(response.not_ready_reason) },
        })
    }
}

/// The VPP of a node, and the agent's session with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VppDetail {
    /// Version and process of VPP.
    pub info: VppInfo,
    /// Start of the agent's session.
    pub connected_since: Timestamp,
    /// Start time of VPP; `None` while its counters cannot be read.
    pub started: Option<Timestamp>,
}

impl TryFrom<proto::GetVppInfoResponse> for VppDetail {
    type Error = Malformed;

    fn try_from(response: proto::GetVppInfoResponse) -> Result<Self, Malformed> {
        Ok(Self {
            info: response.info.unwrap_or_default().into(),
            connected_since: read_time(response.connected_since, "connected_since")?,
            started: response.started.map(|started| read_time(Some(started), "started")).transpose()?,
        })
    }
}

/// A Backend on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendDetail {
    /// `namespace/name`.
    pub name: Name,
    /// The resolved Backend; `None` if it was deleted or does not decode.
    pub backend: Option<Arc<Backend>>,
    /// Health; `None` means unknown.
    pub health: Option<BackendHealth>,
    /// Progress of the probes; `None` if the backend is not probed.
    pub probing: Option<Probing>,
    /// Problems of the object.
    pub problems: Problems,
    /// Frontends that use the Backend.
    pub frontends: Vec<Name>,
    /// The probed paths to the Backend, sorted by Frontend.
    pub paths: Vec<(PathKey, PathHealth)>,
    /// Position of this state in the event stream.
    pub as_of: AsOf,
}

impl TryFrom<proto::GetBackendResponse> for BackendDetail {
    type Error = Malformed;

    fn try_from(response: proto::GetBackendResponse) -> Result<Self, Malformed> {
        let status = response.backend.ok_or(Malformed::missing("backend"))?;
        let mut resolver = Resolver::new(response.referenced)?;
        Ok(Self {
            name: Name::from(&*status.name),
            backend: status.backend.map(|backend| resolver.backend(backend)).transpose()?,
            health: status.health.map(BackendHealth::try_from).transpose()?,
            probing: response.probing.map(Probing::try_from).transpose()?,
            problems: status.problems.unwrap_or_default().into(),
            frontends: status.frontends.iter().map(|name| Name::from(&**name)).collect(),
            paths: read_paths(response.paths)?,
            as_of: response.as_of.ok_or(Malformed::missing("as_of"))?.into(),
        })
    }
}

/// A Frontend on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendDetail {
    /// `namespace/name`.
    pub name: Name,
    /// The resolved Frontend; `None` if it was deleted or its claim is unreadable.
    pub frontend: Option<Arc<Frontend>>,
    /// State; `None` means unknown.
    pub state: Option<StateSince>,
    /// Result of programming VPP.
    pub report: Option<Report>,
    /// Time at which VPP was last read, while the Frontend is programmed.
    pub verified_at: Option<Timestamp>,
    /// Index of the active pool.
    pub active_pool: Option<usize>,
    /// All members of all pools, in order, with their effective weights.
    pub weights: Vec<MemberWeight>,
    /// The probed paths, sorted by Backend.
    pub paths: Vec<(PathKey, PathHealth)>,
    /// Problems of the object.
    pub problems: Problems,
    /// Position of this state in the event stream.
    pub as_of: AsOf,
}

/// A member of a pool and its effective weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberWeight {
    /// Index of the pool.
    pub pool: usize,
    /// Name of the Backend.
    pub backend: Name,
    /// The weight that is in effect once VPP is in sync; `None` if VPP is not to be programmed.
    pub effective: Option<u32>,
    /// The reason for the weight.
    pub why: proto::WeightReason,
}

impl TryFrom<proto::GetFrontendResponse> for FrontendDetail {
    type Error = Malformed;

    fn try_from(response: proto::GetFrontendResponse) -> Result<Self, Malformed> {
        let mut status = response.frontend.ok_or(Malformed::missing("frontend"))?;
        let resolver = Resolver::new(response.referenced)?;
        let verified_at = status.report.as_mut().and_then(|report| report.verified_at.take());
        let pools = status.frontend.iter().flat_map(|frontend| &frontend.pools).enumerate();
        let weights = pools.flat_map(|(pool, entry)| {
            entry.members.iter().map(move |member| MemberWeight {
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
            paths: read_paths(response.paths)?,
            problems,
            as_of: response.as_of.ok_or(Malformed::missing("as_of"))?.into(),
        })
    }
}
