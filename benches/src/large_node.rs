//! The state of a large node, emitted to a bus as an agent does.

use std::{net::IpAddr, num::NonZeroU16, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use maglev_model::{
    Name,
    change::{Change, ConfigDelta, Report, VppInfo},
    config::{
        AdminState, Backend, Check, Frontend, HealthCheck, Member, MemberTarget, OnBackendDown, Pool, Probe, Revision,
        Standing,
    },
    event::{Event, Events, FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode, Transition},
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};

pub const FRONTENDS: usize = 1000;
pub const ENTRIES: usize = 10;
pub const BACKENDS: usize = 10_000;

/// The objects of the node. No two Frontends share a Backend.
pub struct LargeNode {
    pub backends: Vec<Arc<Backend>>,
    pub frontends: Vec<Arc<Frontend>>,
}

impl LargeNode {
    pub fn new() -> anyhow::Result<Self> {
        let check = Arc::new(check());
        let backends: Vec<Arc<Backend>> = (0..BACKENDS).map(|number| backend(number, &check)).collect();
        let frontends = (0..FRONTENDS).map(|number| frontend(number, &backends)).collect::<anyhow::Result<_>>()?;
        Ok(Self { backends, frontends })
    }

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

fn check() -> HealthCheck {
    HealthCheck {
        name: Name::namespaced("bench", "tcp"),
        revision: Revision::default(),
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_secs(2),
        down_interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        probe: Probe::Tcp { port: NonZeroU16::MIN, tls: None },
    }
}

fn backend(number: usize, check: &Arc<HealthCheck>) -> Arc<Backend> {
    Arc::new(Backend {
        name: Name::namespaced("bench", &format!("backend-{:04}-{}", number / ENTRIES, number % ENTRIES)),
        revision: Revision::default(),
        address: address(1, number),
        admin_state: AdminState::Enabled,
        check: Check::Probe(Arc::clone(check)),
    })
}

fn frontend(number: usize, backends: &[Arc<Backend>]) -> anyhow::Result<Arc<Frontend>> {
    let member = |backend: &Arc<Backend>| Member {
        backend: backend.name.clone(),
        weight: Weight::DEFAULT,
        target: MemberTarget::Backend(Arc::clone(backend)),
    };
    let members = backends.iter().cycle().skip(number * ENTRIES).take(ENTRIES).map(member).collect();
    let service = Service::Port { protocol: Protocol::Tcp, port: NonZeroU16::MIN };
    Ok(Arc::new(Frontend {
        name: Name::namespaced("bench", &format!("service-{number:04}")),
        revision: Revision::default(),
        vip: VipKey { address: address(2, number), service },
        standing: Standing::Serving,
        pools: vec![Pool { name: "primary".into(), members }],
        encap: Some(Encap::Gre4),
        sticky: false,
        on_backend_down: OnBackendDown::Flush,
        table_length: TableLength::new(1024).context("a power of two")?,
    }))
}
