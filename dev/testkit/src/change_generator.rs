//! Generates random states and changes for tests, reproducibly for a seed.

mod config;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use imbl::OrdMap;
use jiff::Timestamp;

use maglev_model::{
    actual::{Actual, ActualAs, ActualConf, ActualEncap, ActualVip, VppVip},
    change::{Change, HeldChange, Report, SyncHold, VipState, VppInfo},
    config::{Config, Listed, Revision},
    counters::{BackendCounters, Counters, RouteCounters, StickyTable, VipCounters, VipPackets},
    drain::{Drain, DrainLosses, DrainState},
    event::{Event, Events, FrontendState, HoldEnd, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode, Transition},
    name::Name,
    path::{PathHealth, PathKey, PathState},
    problem::{Problem, Reason},
    ramp::{Ramp, Ramps},
    vip::{Family, Weight},
    weights::ActivePool,
};

/// Few names, so that changes concern the same objects.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TEXTS: [&str; 4] = ["", "one", "two words", "drei \u{1f6a6}"];

pub struct ChangeGenerator {
    rng: Rng,
    config: Config,
    names: [String; 4],
    texts: Vec<String>,
}

impl ChangeGenerator {
    pub fn new(seed: u64) -> Self {
        let listed = Listed::when(|_| true).expect("all kinds are listed");
        let config = Config::new(listed, Arc::default());
        Self {
            rng: Rng::with_seed(seed),
            config,
            names: NAMES.map(str::to_owned),
            texts: TEXTS.map(str::to_owned).into(),
        }
    }

    /// Replaces the names of objects and all other texts.
    #[must_use]
    pub fn with_texts(self, names: [String; 4], texts: Vec<String>) -> Self {
        Self { names, texts, ..self }
    }

    /// Emits a random change, with an event if there is one for it.
    pub fn emit_next(&mut self, events: &Events) {
        let change = self.change();
        match self.event(&change) {
            Some(event) => events.emit(event),
            None => events.emit_change(change),
        }
    }

    /// An event that carries `change`; `None` for changes without an event.
    fn event(&mut self, change: &Change) -> Option<Event> {
        let event = match change.clone() {
            Change::Suspect(family, active) => Event::ProbePathSuspect { family, active },
            Change::Path(path, Some(health)) => Event::PathTransition { path, from: self.path_state(), health },
            Change::Drain(name, Some(drain)) => {
                Event::DrainTransition { name, from: self.some(Self::drain_state), drain }
            }
            Change::Frontend(name, to, code) => Event::FrontendTransition { name, from: self.state(), to, code },
            Change::Report(name, report) => Event::FrontendProgrammed { name, report },
            Change::VppConnected(info) => Event::VppConnect { info, api: String::new(), stats: String::new() },
            Change::VppDisconnected => Event::VppDisconnect { reason: format!("{:?}", self.rng.u16(..)) },
            Change::VppState(conf, actual) => Event::VppLbState { conf, actual },
            Change::Foreign(vip) => Event::ForeignVip { vip },
            Change::Held(hold) => Event::SyncHeld { hold },
            Change::Released(hold) => Event::SyncReleased { hold, by: HoldEnd::Expired },
            _ => return None,
        };
        Some(event)
    }

    pub fn change(&mut self) -> Change {
        match self.rng.u8(..30) {
            0..6 => Change::Config(Arc::new(self.delta())),
            6..8 => Change::Health(self.name(), self.some(Self::health)),
            8 => Change::Suspect(if self.rng.bool() { Family::V4 } else { Family::V6 }, self.rng.bool()),
            9..11 => Change::Frontend(self.name(), self.state(), self.some(Self::code)),
            11..13 => Change::Report(self.name(), self.report()),
            13 => Change::Forget(self.name()),
            14 => Change::VppConnected(Arc::new(self.vpp_info())),
            15 => {
                if self.rng.u8(..4) == 0 {
                    Change::VppDisconnected
                } else {
                    Change::VppConf(self.conf())
                }
            }
            16 => Change::VppState(self.conf(), Arc::new(self.actual())),
            17 => Change::Vip(self.vip(), self.some(|generator| VipState::from(&generator.actual_vip()))),
            18..20 => Change::Server(self.vip(), self.address(), self.some(|generator| generator.rng.u8(..))),
            20 => Change::Foreign(self.vip()),
            21 => Change::Held(self.hold()),
            22 => Change::Released(self.text()),
            23 => Change::ActivePool(self.name(), self.active_pool()),
            24..26 => {
                Change::Path(PathKey { frontend: self.name(), backend: self.name() }, self.some(Self::path_health))
            }
            26..28 => Change::Drain(self.name(), self.some(Self::drain)),
            28 => Change::Ramps(self.name(), self.ramps()),
            _ if self.rng.bool() => Change::Synced(self.rng.u32(..9)),
            _ => Change::SyncFailed(self.text()),
        }
    }

    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.rng.u8(..3) > 0).then(|| make(self))
    }

    fn name(&mut self) -> Name {
        Name::namespaced("shop", &self.names[self.rng.usize(..self.names.len())])
    }

    pub fn text(&mut self) -> Arc<str> {
        self.texts[self.rng.usize(..self.texts.len())].as_str().into()
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.rng.i64(..)) / 8).expect("a few centuries around 1970")
    }

    fn address(&mut self) -> IpAddr {
        let last = self.rng.u8(..4);
        if self.rng.bool() {
            self.v4(last).into()
        } else {
            Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(last)).into()
        }
    }

    fn v4(&self, last: u8) -> Ipv4Addr {
        [10, 0, 0, last].into()
    }

    fn duration(&mut self) -> Duration {
        Duration::from_nanos(self.rng.u64(..10_000_000_000))
    }

    fn port(&mut self) -> NonZeroU16 {
        NonZeroU16::new(self.rng.u16(1..)).expect("the range excludes 0")
    }

    fn revision(&mut self) -> Revision {
        Revision { uid: self.text(), generation: self.rng.i64(..) }
    }

    fn problem(&mut self) -> Problem {
        let reason = Reason::ALL[self.rng.usize(..Reason::ALL.len())];
        Problem::new(reason, self.text().to_string(), self.text().to_string())
    }

    fn code(&mut self) -> ProbeCode {
        use ProbeCode as P;
        let all = [
            P::L4Ok,
            P::L4Timeout,
            P::L4Connection,
            P::L6Ok,
            P::L6Timeout,
            P::L6Response,
            P::L7Ok,
            P::L7Timeout,
            P::L7Response,
            P::L7Status,
        ];
        all[self.rng.usize(..all.len())]
    }

    fn backend_state(&mut self) -> BackendState {
        use BackendState as S;
        [S::Unknown, S::Up, S::Down, S::Paused, S::Disabled][self.rng.usize(..5)]
    }

    fn active_pool(&mut self) -> ActivePool {
        if self.rng.bool() { ActivePool::None } else { ActivePool::Index(self.rng.u32(..3)) }
    }

    fn state(&mut self) -> FrontendState {
        [FrontendState::Unknown, FrontendState::Up, FrontendState::Down][self.rng.usize(..3)]
    }

    fn health(&mut self) -> BackendHealth {
        let transition = |generator: &mut Self| Transition {
            from: generator.backend_state(),
            to: generator.backend_state(),
            at: generator.time(),
            code: generator.some(Self::code),
        };
        BackendHealth {
            address: self.address(),
            state: self.backend_state(),
            ever_known: self.rng.bool(),
            in_doubt: self.rng.bool(),
            history: (0..self.rng.u8(..3)).map(|_| transition(self)).collect(),
        }
    }

    fn path_state(&mut self) -> PathState {
        PathState::ALL[self.rng.usize(..PathState::ALL.len())]
    }

    fn path_health(&mut self) -> PathHealth {
        PathHealth {
            address: self.address(),
            state: self.path_state(),
            since: self.time(),
            in_doubt: self.rng.bool(),
            detail: self.text(),
        }
    }

    fn drain_state(&mut self) -> DrainState {
        DrainState::ALL[self.rng.usize(..DrainState::ALL.len())]
    }

    fn drain(&mut self) -> Drain {
        Drain {
            generation: self.rng.i64(..),
            state: self.drain_state(),
            since: self.time(),
            flows: self.some(|generator| generator.rng.u32(..)),
            bits_per_second: self.some(|generator| generator.rng.u64(..)),
            idle: self.some(|generator| generator.rng.u32(..)),
            is_shared: self.rng.bool(),
            is_overdue: self.rng.bool(),
            losses: DrainLosses {
                untracked: self.rng.bool(),
                vpp_restarted: self.rng.bool(),
                sticky_tables_resized: self.rng.bool(),
            },
        }
    }

    fn ramps(&mut self) -> Ramps {
        let ramp = |generator: &mut Self| Ramp {
            weight: Weight::clamped(generator.rng.u8(..)),
            step: generator.rng.u8(..),
            steps: generator.rng.u8(..),
            full_at: generator.time(),
        };
        Arc::new((0..self.rng.u8(..3)).map(|_| (self.address(), ramp(self))).collect())
    }

    fn report(&mut self) -> Report {
        use ProgramResult as R;
        Report {
            uid: self.text(),
            generation: self.rng.i64(..),
            fingerprint: Fingerprint { version: self.rng.u32(..), hash: std::array::from_fn(|_| self.rng.u8(..)) },
            result: [R::Pending, R::Programmed, R::Held, R::Failed][self.rng.usize(..4)],
            reason: self.text(),
        }
    }
}

/// The state of VPP.
impl ChangeGenerator {
    fn vpp_info(&mut self) -> VppInfo {
        let (version, build_date) = (self.text().to_string(), self.text().to_string());
        VppInfo { version, build_date, pid: self.rng.u32(..), capabilities: self.text().to_string() }
    }

    fn vip(&mut self) -> VppVip {
        let (length, protocol) = (self.rng.u8(..129), [6, 17, 255][self.rng.usize(..3)]);
        VppVip { address: self.address(), length: length / 64 * 32, protocol, port: self.rng.u16(..2) }
    }

    pub fn conf(&mut self) -> ActualConf {
        ActualConf {
            ipv4_source: self.v4(9),
            ipv6_source: Ipv6Addr::from_bits(self.rng.u128(..)),
            sticky_buckets_per_core: self.rng.u32(..),
            flow_timeout: ActualConf::UNKNOWN,
        }
    }

    pub fn actual(&mut self) -> Actual {
        let vips = (0..self.rng.u8(..5)).map(|_| (self.vip(), self.actual_vip())).collect();
        Actual { vips, weightless: self.rng.bool() }
    }

    fn actual_vip(&mut self) -> ActualVip {
        let encap = |generator: &mut Self| ActualEncap {
            kind: generator.rng.u32(..),
            dscp: generator.rng.u8(..),
            target_port: generator.rng.u16(..),
        };
        let server = |generator: &mut Self| ActualAs { weight: generator.rng.u8(..), buckets: generator.rng.u32(..) };
        ActualVip {
            encap: self.some(encap),
            sticky: self.some(|generator| generator.rng.bool()),
            table_length: self.some(|generator| generator.rng.u16(..)),
            pool_index: self.some(|generator| generator.rng.u32(..)),
            ases: (0..self.rng.u8(..4)).map(|_| (self.address(), server(self))).collect(),
        }
    }
}

/// The counters of VPP.
impl ChangeGenerator {
    pub fn counters(&mut self) -> Counters {
        let backend = |generator: &mut Self| {
            let [packets, bytes, recent_packets, recent_bytes] = generator.numbers();
            let recent = RouteCounters { packets: recent_packets, bytes: recent_bytes };
            BackendCounters { packets, bytes, vips: generator.rng.u32(..), recent }
        };
        let sticky_table = |generator: &mut Self, thread| {
            let [entries, capacity] = generator.numbers();
            StickyTable { thread, entries, capacity }
        };
        let [boot_time, heartbeat] = self.numbers();
        Counters {
            boot_time,
            heartbeat,
            vips: (0..self.rng.u8(..5)).map(|_| (self.vip(), self.vip_counters())).collect(),
            backends: (0..self.rng.u8(..5)).map(|_| (self.address(), backend(self))).collect(),
            sticky_tables: (0..self.rng.u32(..3)).map(|thread| sticky_table(self, thread)).collect(),
            interval: Duration::from_millis(self.rng.u32(..).into()),
        }
    }

    fn hold(&mut self) -> SyncHold {
        let change = |generator: &mut Self| HeldChange {
            frontend: generator.name(),
            moved_permille: generator.rng.u16(..=1000),
        };
        SyncHold { id: self.text(), removals: self.rng.u32(..), change: self.some(change), until: self.time() }
    }

    fn vip_counters(&mut self) -> VipCounters {
        VipCounters {
            packets: self.some(|generator| {
                let [existing, first, untracked, no_server] = generator.numbers();
                VipPackets { existing, first, untracked, no_server }
            }),
            route: self.some(|generator| {
                let [packets, bytes] = generator.numbers();
                RouteCounters { packets, bytes }
            }),
            flows: (0..self.rng.u8(..4)).map(|_| (self.address(), self.rng.u32(..))).collect(),
        }
    }

    fn numbers<const N: usize>(&mut self) -> [u64; N] {
        std::array::from_fn(|_| self.rng.u64(..))
    }
}

fn set<T>(objects: &mut OrdMap<Name, Arc<T>>, name: &Name, object: Option<Arc<T>>) {
    match object {
        Some(object) => objects.insert(name.clone(), object),
        None => objects.remove(name),
    };
}

fn change_all<T: Clone>(objects: &OrdMap<Name, Arc<T>>, mut change: impl FnMut(&mut T)) -> OrdMap<Name, Arc<T>> {
    let changed = |(name, object): (&Name, &Arc<T>)| {
        let mut object = (**object).clone();
        change(&mut object);
        (name.clone(), Arc::new(object))
    };
    objects.iter().map(changed).collect()
}
