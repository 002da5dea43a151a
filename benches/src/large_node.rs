//! The state of a large node, emitted to a bus as an agent does.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use maglev_model::{
    change::{Change, ConfigDelta, Report, VppInfo},
    config::{Backend, Check, Frontend, HealthCheck, Pool},
    event::{Event, Events, FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode, Transition},
};
use maglev_testkit::objects::{self, member, vip};

pub const FRONTENDS: usize = 1000;
pub const ENTRIES: usize = 10;
pub const BACKENDS: usize = 10_000;

/// The objects of the node. No two Frontends share a Backend.
pub struct LargeNode {
    pub backends: Vec<Arc<Backend>>,
    pub frontends: Vec<Arc<Frontend>>,
}

impl Default for LargeNode {
    fn default() -> Self {
        let check = Arc::new(objects::health_check("bench/tcp"));
        let backends: Vec<Arc<Backend>> = (0..BACKENDS).map(|number| backend(number, &check)).collect();
        let frontends = (0..FRONTENDS).map(|number| frontend(number, &backends)).collect();
        Self { backends, frontends }
    }
}

impl LargeNode {
    /// Emits the whole state: every third Backend is down, every Frontend is programmed and up.
    pub fn emit(&self, events: &Events) {
        let delta = ConfigDelta {
            backends: self.backends.iter().map(|backend| (backend.name.clone(), Some(Arc::clone(backend)))).collect(),
            frontends: self
                .frontends
                .iter()
                .map(|frontend| (frontend.name.clone(), Some(Arc::clone(frontend))))
                .collect(),
            ..ConfigDelta::default()
        };
        events.emit_change(Change::Config(Arc::new(delta)));
        events.emit_change(Change::VppConnected(Arc::new(VppInfo::default())));
        for (number, backend) in self.backends.iter().enumerate() {
            emit_transition(events, backend, BackendState::Unknown, BackendState::Up);
            if number % 3 == 0 {
                emit_transition(events, backend, BackendState::Up, BackendState::Down);
            }
        }
        for frontend in &self.frontends {
            events.emit_change(Change::Frontend(frontend.name.clone(), FrontendState::Up, None));
            let (revision, fingerprint) = (&frontend.revision, Fingerprint::new(frontend));
            let (uid, generation) = (Arc::clone(&revision.uid), revision.generation);
            let report = Report { uid, generation, fingerprint, result: ProgramResult::Programmed, reason: "".into() };
            events.emit_change(Change::Report(frontend.name.clone(), report));
        }
    }
}

/// Emits a transition of `backend`, with a full history.
pub fn emit_transition(events: &Events, backend: &Backend, from: BackendState, to: BackendState) {
    let (name, code) = (backend.name.clone(), Some(ProbeCode::L7Ok));
    let history = [Transition { from, to, at: Timestamp::now(), code }; 5].into();
    let health = BackendHealth { address: backend.address, state: to, ever_known: true, in_doubt: false, history };
    events.emit(Event::BackendTransition { name, from, code, health });
}

fn address(net: u8, number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    [10, net, high, low].into()
}

fn backend(number: usize, check: &Arc<HealthCheck>) -> Arc<Backend> {
    let name = format!("bench/backend-{:04}-{}", number / ENTRIES, number % ENTRIES);
    let check = Check::Probe(Arc::clone(check));
    Arc::new(Backend { check, ..objects::backend(&name, &address(1, number).to_string()) })
}

fn frontend(number: usize, backends: &[Arc<Backend>]) -> Arc<Frontend> {
    let members = backends.iter().cycle().skip(number * ENTRIES).take(ENTRIES).cloned().map(member).collect();
    let pool = Pool { name: "primary".into(), members };
    let name = format!("bench/service-{number:04}");
    Arc::new(objects::frontend(&name, vip(&address(2, number).to_string()), vec![pool]))
}
