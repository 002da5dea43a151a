//! This node's report on each Frontend, published when it changes.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use maglev_model::{
    Name,
    change::{Change, Report as ReportChange},
    config::Frontend,
    derived::DerivedName,
    event::{Event, Events, FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{HealthSnapshot, ProbeCode, Transition},
    weights::{ActivePool, BackendCondition, EffectiveWeights},
};

/// The latest report and state of each Frontend.
#[derive(Debug)]
pub struct Reports {
    events: Events,
    reports: HashMap<Name, Report>,
    states: HashMap<Name, FrontendState>,
    active_pools: HashMap<Name, ActivePool>,
}

#[derive(Debug)]
struct Report {
    /// The Frontend as of this report.
    frontend: Arc<Frontend>,
    result: ProgramResult,
    reason: String,
}

impl Reports {
    /// Reports that are published to `events`.
    pub fn new(events: Events) -> Self {
        Self { events, reports: HashMap::new(), states: HashMap::new(), active_pools: HashMap::new() }
    }

    /// Sets the programming result of `frontend`, and publishes the report if it changed.
    pub fn set(&mut self, frontend: &Arc<Frontend>, result: ProgramResult, reason: &str) {
        let before = self.reports.get_mut(&frontend.name);
        if let Some(same) = before.filter(|before| before.result == result && before.reason == reason) {
            let unchanged = is_same_spec(&same.frontend, frontend);
            same.frontend = Arc::clone(frontend);
            if unchanged {
                return;
            }
        } else {
            let report = Report { frontend: Arc::clone(frontend), result, reason: reason.to_owned() };
            self.reports.insert(frontend.name.clone(), report);
        }
        let (name, revision) = (frontend.name.clone(), &frontend.revision);
        let report = ReportChange {
            uid: Arc::clone(&revision.uid),
            generation: revision.generation,
            fingerprint: Fingerprint::new(frontend),
            result,
            reason: reason.into(),
        };
        self.events.emit(Event::FrontendProgrammed { name, report });
    }

    /// Reports that the node is programming a new spec of `frontend`. A spec that is already programmed stays so:
    /// weights that follow health, and members that follow a Service, do not make it pending.
    pub fn set_pending(&mut self, frontend: &Arc<Frontend>) {
        let is_same =
            |before: &Arc<Frontend>| before == frontend || follows_service(frontend) && is_same_spec(before, frontend);
        let done = |report: &Report| report.result == ProgramResult::Programmed && is_same(&report.frontend);
        if !self.reports.get(&frontend.name).is_some_and(done) {
            self.set(frontend, ProgramResult::Pending, "");
        }
    }

    /// Sets the state of `frontend`, and publishes it if it changed. `vpp` returns weights in VPP.
    pub fn set_state(
        &mut self,
        frontend: &Frontend,
        effective: &EffectiveWeights,
        health: &HealthSnapshot,
        vpp: impl Fn(IpAddr) -> Option<u8>,
    ) {
        let to = if effective.serves(vpp) {
            FrontendState::Up
        } else if effective.ases.values().any(|server| server.condition.is_known()) {
            FrontendState::Down
        } else {
            FrontendState::Unknown
        };
        let from = self.states.get(&frontend.name).copied().unwrap_or_default();
        if from != to {
            self.states.insert(frontend.name.clone(), to);
            let code = cause(to, effective, health);
            let name = frontend.name.clone();
            self.events.emit(Event::FrontendTransition { name, from, to, code });
        }
    }

    /// Publishes the pool that takes the Frontend's traffic, if it changed.
    pub fn set_active_pool(&mut self, name: &Name, pool: ActivePool) {
        if self.active_pools.insert(name.clone(), pool) != Some(pool) {
            self.events.emit_change(Change::ActivePool(name.clone(), pool));
        }
    }

    /// Drops the state of a deleted Frontend.
    pub fn forget(&mut self, name: &Name) {
        let reported = self.reports.remove(name).is_some();
        let reported = self.active_pools.remove(name).is_some() || reported;
        if self.states.remove(name).is_some() || reported {
            self.events.emit_change(Change::Forget(name.clone()));
        }
    }
}

/// True if reports on both have the same identity, generation and fingerprint. The fingerprint also covers the Backends, which
/// change without a new generation of the Frontend.
fn is_same_spec(before: &Arc<Frontend>, now: &Arc<Frontend>) -> bool {
    Arc::ptr_eq(before, now) || before.revision == now.revision && Fingerprint::new(before) == Fingerprint::new(now)
}

/// True if a pool follows a Service that has endpoints.
fn follows_service(frontend: &Frontend) -> bool {
    let mut members = frontend.pools.iter().flat_map(|pool| &pool.members);
    members.any(|member| DerivedName::parse(&member.backend).is_some())
}

/// The probe code of the last backend that changed in the direction of `to`, and so caused the transition.
fn cause(to: FrontendState, effective: &EffectiveWeights, health: &HealthSnapshot) -> Option<ProbeCode> {
    let up = to == FrontendState::Up;
    let last = |name: &Name| health.backends.get(name)?.history.last().copied();
    let moved = effective.ases.values().filter(|server| (server.condition == BackendCondition::Up) == up);
    let transitions = moved.filter_map(|server| last(&server.backend));
    transitions.max_by_key(|Transition { at, .. }| *at).and_then(|transition| transition.code)
}

#[cfg(test)]
mod tests {
    use maglev_model::config::{AdminState, Backend};
    use maglev_testkit::{
        EventCollector,
        objects::{backend, frontend, pool, vip},
    };

    use super::*;

    #[test]
    fn changed_backend_is_reported_although_the_result_is_the_same() {
        let collector = Arc::new(EventCollector::default());
        let mut reports = Reports::new(collector.handle());
        let with = |admin_state| {
            let web_1 = Backend { admin_state, ..backend("web-1", "192.0.2.10") };
            Arc::new(frontend("web", vip("198.51.100.1"), vec![pool("main", &[&web_1])]))
        };
        let (enabled, disabled) = (with(AdminState::Enabled), with(AdminState::Disabled));
        for (spec, events) in
            [(&enabled, 1), (&enabled, 1), (&with(AdminState::Enabled), 1), (&disabled, 2), (&enabled, 3)]
        {
            reports.set(spec, ProgramResult::Programmed, "");
            assert_eq!(collector.events().len(), events);
        }
        let last = collector.changes().pop();
        let Some(Change::Report(_, report)) = last else { panic!("{last:?}") };
        assert_eq!(report.fingerprint, Fingerprint::new(&enabled));
    }
}
