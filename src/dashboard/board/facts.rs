//! What one node contributes to a frontend's row.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use crate::{
    dashboard::{
        detail,
        document::{Counters, ProblemDetail},
        inputs::Inputs,
    },
    model::{
        Name,
        actual::VppVip,
        config::{Frontend, Kind, Standing, Target},
        event::{FrontendState, ProgramResult},
        health::{BackendState, ProbeCode},
        vip::{VipKey, Weight},
        weights::Effective,
    },
};

/// A frontend on one node, as far as its row needs it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) vip: VipKey,
    pub(super) withdrawn: bool,
    pub(super) state: FrontendState,
    /// It is up by another pool than the first: the first one's name.
    pub(super) standby_for: Option<Arc<str>>,
    pub(super) since: Option<Timestamp>,
    /// Its backends, in the order of pools and members.
    pub(super) members: Vec<MemberFact>,
    /// The only one that takes traffic, of several.
    pub(super) last: Option<Name>,
    pub(super) result: ProgramResult,
    pub(super) result_reason: Arc<str>,
    /// The first thing that is wrong with it.
    pub(super) problem: Option<ProblemDetail>,
    /// Packets per second, all and dropped.
    pub(super) rate: f64,
    pub(super) dropping: f64,
}

/// A backend of a frontend on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberFact {
    pub(super) backend: Name,
    pub(super) state: BackendState,
    pub(super) code: Option<ProbeCode>,
    pub(super) effective: u8,
}

impl Facts {
    /// What the node says of `name`; `None` where it does not know it.
    pub(super) fn new(inputs: &Inputs, name: &Name) -> Option<Self> {
        let view = inputs.view();
        let frontend = view.frontends.get(name)?;
        let effective = view.effective(frontend);
        let members = members(inputs, frontend, &effective);
        let state = view.states.get(name);
        let report = view.reports.get(name);
        let (withdrawn, own) = match &frontend.standing {
            Standing::Serving => (false, None),
            Standing::Held(problem) => (false, Some(problem)),
            Standing::Withdrawn(problem) => (true, Some(problem)),
        };
        let problems = view.problems_of(Kind::Frontend, name).into_iter().flat_map(|of| of.problems.iter());
        let problem = own.or_else(|| problems.into_iter().next()).map(ProblemDetail::from);
        let vip = VppVip::from(frontend.vip);
        let counters = inputs.traffic.as_ref().and_then(|of| of.vips.get(&vip)).filter(|_| !withdrawn);
        let standby = detail::state_word(view.frontend_state(name), &effective) == "standby";
        Some(Self {
            vip: frontend.vip,
            withdrawn,
            state: view.frontend_state(name),
            standby_for: frontend.pools.first().filter(|_| standby).map(|pool| Arc::clone(&pool.name)),
            since: state.map(|state| state.since),
            last: last(frontend, &members),
            members,
            result: report.map_or(ProgramResult::Pending, |report| report.result),
            result_reason: report.map(|report| Arc::clone(&report.reason)).unwrap_or_default(),
            problem,
            rate: counters.map_or(0.0, Counters::rate),
            dropping: counters.map_or(0.0, Counters::dropping),
        })
    }

    /// The word of its state.
    pub(super) fn word(&self) -> &'static str {
        match (self.withdrawn, self.state, &self.standby_for) {
            (true, ..) => "withdrawn",
            (false, FrontendState::Up, Some(_)) => "standby",
            (false, state, _) => state.as_str(),
        }
    }

    /// State, and how far the node is where it is not there.
    pub(super) fn cell(&self) -> String {
        match (self.withdrawn, self.result) {
            (true, _) | (_, ProgramResult::Programmed) => self.word().to_owned(),
            (false, other) => format!("{} {}", self.word(), other.as_str()),
        }
    }
}

/// Each backend once, with the weight of the application server that it is.
fn members(inputs: &Inputs, frontend: &Frontend, effective: &Effective) -> Vec<MemberFact> {
    let view = inputs.view();
    let vip = VppVip::from(frontend.vip);
    let weight = |address: Option<IpAddr>| {
        let wanted = address.and_then(|address| Some((address, effective.ases.get(&address)?.weight)));
        wanted.map_or(0, |(address, weight)| weight.effective(view.weight_in_vpp(&vip, address)))
    };
    let mut places = BTreeMap::new();
    let mut members = Vec::new();
    for member in frontend.pools.iter().flat_map(|pool| &pool.members) {
        if places.insert(&member.backend, ()).is_some() {
            continue;
        }
        let (state, code) = match &member.target {
            Target::Unreadable { .. } => (BackendState::Unknown, None),
            Target::Backend(backend) => {
                let last = detail::health(view, backend).and_then(|health| health.history.last());
                (detail::backend_state(view, backend), last.and_then(|last| last.code))
            }
        };
        let effective = weight(member.target.address());
        members.push(MemberFact { backend: member.backend.clone(), state, code, effective });
    }
    members
}

/// The only backend that takes traffic, where more are meant to.
fn last(frontend: &Frontend, members: &[MemberFact]) -> Option<Name> {
    let meant = frontend.pools.iter().flat_map(|pool| &pool.members).filter(|member| member.weight > Weight::ZERO);
    let mut serving = members.iter().filter(|member| member.effective > 0);
    let (only, another) = (serving.next()?, serving.next());
    (another.is_none() && meant.count() > 1).then(|| only.backend.clone())
}
