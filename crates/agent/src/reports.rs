//! How far this node is with each Frontend, told when it changes.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use maglev_model::{
    Name,
    change::{Change, Report as Told},
    config::Frontend,
    event::{Event, Events, FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{HealthSnapshot, ProbeCode, Transition},
    weights::{ActivePool, Condition, Effective},
};

/// The last word about each Frontend.
#[derive(Debug)]
pub struct Reports {
    events: Events,
    of: HashMap<Name, Report>,
    states: HashMap<Name, FrontendState>,
    active_pools: HashMap<Name, ActivePool>,
}

#[derive(Debug)]
struct Report {
    /// As it was when this was reported.
    frontend: Arc<Frontend>,
    result: ProgramResult,
    reason: String,
}

impl Reports {
    /// Reports that are told to `events`.
    pub fn new(events: Events) -> Self {
        Self { events, of: HashMap::new(), states: HashMap::new(), active_pools: HashMap::new() }
    }

    /// Says how far the node is with `frontend`; told if that is news.
    pub fn set(&mut self, frontend: &Arc<Frontend>, result: ProgramResult, reason: &str) {
        let before = self.of.get_mut(&frontend.name);
        if let Some(same) = before.filter(|before| before.result == result && before.reason == reason) {
            let known = same.frontend.revision == frontend.revision;
            same.frontend = Arc::clone(frontend);
            if known {
                return;
            }
        } else {
            let report = Report { frontend: Arc::clone(frontend), result, reason: reason.to_owned() };
            self.of.insert(frontend.name.clone(), report);
        }
        let (name, revision) = (frontend.name.clone(), &frontend.revision);
        let told = Told {
            uid: Arc::clone(&revision.uid),
            generation: revision.generation,
            fingerprint: Fingerprint::of(frontend),
            result,
            reason: reason.into(),
        };
        let event = Event::FrontendProgrammed {
            name: name.clone(),
            generation: revision.generation,
            result,
            reason: reason.to_owned(),
        };
        self.events.emit_change(event, Change::Report(name, told));
    }

    /// The node has begun to follow what `frontend` says now. No news where what it says was
    /// programmed before: weights that follow health are not a new program.
    pub fn set_pending(&mut self, frontend: &Arc<Frontend>) {
        let done = |report: &Report| report.result == ProgramResult::Programmed && report.frontend == *frontend;
        if !self.of.get(&frontend.name).is_some_and(done) {
            self.set(frontend, ProgramResult::Pending, "");
        }
    }

    /// Says which state `frontend` is in; told if that is news. `vpp` tells VPP's weights.
    pub fn set_state(
        &mut self,
        frontend: &Frontend,
        effective: &Effective,
        health: &HealthSnapshot,
        vpp: impl Fn(IpAddr) -> Option<u8>,
    ) {
        let to = if effective.serves(vpp) {
            FrontendState::Up
        } else if effective.ases.values().any(|of| of.condition.is_known()) {
            FrontendState::Down
        } else {
            FrontendState::Unknown
        };
        let from = self.states.get(&frontend.name).copied().unwrap_or_default();
        if from != to {
            self.states.insert(frontend.name.clone(), to);
            let code = cause(to, effective, health);
            let name = frontend.name.clone();
            let event = Event::FrontendTransition { name: name.clone(), from, to, code };
            self.events.emit_change(event, Change::Frontend(name, to, code));
        }
    }

    /// Publishes the pool that takes the Frontend's traffic, if it changed.
    pub fn set_active_pool(&mut self, name: &Name, pool: ActivePool) {
        if self.active_pools.insert(name.clone(), pool) != Some(pool) {
            self.events.change(Change::ActivePool(name.clone(), pool));
        }
    }

    /// The Frontend is no more.
    pub fn forget(&mut self, name: &Name) {
        let reported = self.of.remove(name).is_some();
        let reported = self.active_pools.remove(name).is_some() || reported;
        if self.states.remove(name).is_some() || reported {
            self.events.change(Change::Forget(name.clone()));
        }
    }
}

/// The code of the member that changed last in that direction: it is what moved the Frontend.
fn cause(to: FrontendState, effective: &Effective, health: &HealthSnapshot) -> Option<ProbeCode> {
    let up = to == FrontendState::Up;
    let last = |name: &Name| health.backends.get(name)?.history.last().copied();
    let moved = effective.ases.values().filter(|of| (of.condition == Condition::Up) == up);
    let transitions = moved.filter_map(|of| last(&of.backend));
    transitions.max_by_key(|Transition { at, .. }| *at).and_then(|transition| transition.code)
}
