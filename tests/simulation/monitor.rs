//! Watches one simulation: writes its log, and checks the invariants of every request that the agent sends to VPP.
//!
//! The monitor knows the inputs that the agent has received (configuration and health, each with its time). A request
//! is right if one of the inputs of the last second calls for it; a request that follows the removal or the addition of
//! a VIP on its address waits for VPP's replies, so older inputs count as well.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    net::IpAddr,
    time::Duration,
};

use maglev_model::{actual::VppVip, config::Config, health::HealthSnapshot, vip::VipKey};
use maglev_vpp_simulator::{Snapshot, VipSettings};
use tokio::time::Instant;

use crate::{
    objects,
    oracle::{self, Want},
    request::Request,
};

/// Time from a new input to the last request of its plan, if VPP replies at once.
const WINDOW: Duration = Duration::from_secs(1);
/// The same for plans that wait for the replies to an earlier phase.
const LONG_WINDOW: Duration = Duration::from_secs(30);

/// Inputs of the agent. The agent waits a moment for further changes of the configuration but not of the health, so an
/// earlier configuration is in force together with a later health.
pub struct Version {
    /// `None` for the current inputs.
    until: Option<Instant>,
    pub config: Option<Config>,
    pub health: HealthSnapshot,
}

/// The flushes of one server. Falls and flushes are numbered in one sequence.
#[derive(Clone, Copy, Debug, Default)]
struct Flush {
    /// The last fall.
    fall: u64,
    /// Until then the agent may follow the configuration with the last fall, and flush once more if it flushed before.
    follows_until: Option<Instant>,
    /// The last flush that the agent sent.
    sent: u64,
    /// The last flush that the agent knows to be executed.
    done: Option<u64>,
    /// VPP has to receive a flush.
    due: bool,
}

pub struct Monitor {
    start: Instant,
    log: Option<String>,
    violation: Option<String>,
    /// Replaced configurations, with the time of their replacement.
    replaced: VecDeque<(Instant, Option<Config>)>,
    /// Past inputs, oldest first.
    past: VecDeque<Version>,
    current: Option<Version>,
    /// Time of the first write that the warm-up allows; `None` before the first configuration.
    writes_from: Option<Instant>,
    /// Time of the last addition or removal of a VIP, by address.
    phases: BTreeMap<IpAddr, Instant>,
    flushes: BTreeMap<(VipKey, IpAddr), Flush>,
    sequence: u64,
    /// VIPs of other clients, each with the time at which it was added.
    foreign: BTreeMap<VppVip, Instant>,
    /// Time of the last write of the agent.
    pub last_write: Instant,
    pub writes: u64,
}

impl Monitor {
    pub fn new(with_log: bool) -> Self {
        let start = Instant::now();
        Self {
            start,
            log: with_log.then(String::new),
            violation: None,
            replaced: VecDeque::new(),
            past: VecDeque::new(),
            current: None,
            writes_from: None,
            phases: BTreeMap::new(),
            flushes: BTreeMap::new(),
            sequence: 0,
            foreign: BTreeMap::new(),
            last_write: start,
            writes: 0,
        }
    }

    /// Appends a line with the simulated time to the log.
    pub fn log(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{:10.3} {}", self.start.elapsed().as_secs_f64(), text());
        }
    }

    /// Removes and returns the log.
    pub fn take_log(&mut self) -> String {
        self.log.take().unwrap_or_default()
    }

    /// Records a violation; later ones are only logged.
    pub fn violate(&mut self, text: &str) {
        self.log(|| format!("VIOLATION {text}"));
        let at = self.start.elapsed().as_secs_f64();
        self.violation.get_or_insert_with(|| format!("at {at:.3} s: {text}"));
    }

    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// A new process of the agent starts: it has no inputs, and may repeat a flush.
    pub fn process_started(&mut self) {
        self.past.clear();
        self.replaced.clear();
        self.current = None;
        self.writes_from = None;
        self.flushes.clear();
    }

    /// VPP restarted: it has no flows.
    pub fn vpp_restarted(&mut self) {
        self.flushes.values_mut().for_each(|flush| flush.due = false);
    }

    fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Records a fall; VPP has to receive a flush if `due`.
    fn fell(&mut self, vip: VipKey, address: IpAddr, due: bool, follows_until: Option<Instant>) {
        let fall = self.next_number();
        let flush = self.flushes.entry((vip, address)).or_default();
        *flush = Flush { fall, follows_until: follows_until.or(flush.follows_until), due, ..*flush };
    }

    /// The agent receives new inputs now. `snapshot` is VPP's state.
    pub fn input(&mut self, config: Option<Config>, health: HealthSnapshot, snapshot: &Snapshot) {
        let now = Instant::now();
        if let Some(config) = config.as_ref().filter(|_| self.writes_from.is_none()) {
            self.writes_from = Some(now + config.node.sync.startup_min_delay);
        }
        let Some(before) = self.current.take() else {
            self.current = Some(Version { until: None, config, health });
            return;
        };
        let version = Version { until: None, config, health };
        let follows_until = (before.health == version.health).then(|| now + WINDOW);
        for fall in oracle::falls(&before, &version) {
            let had_weight = snapshot.weights(fall.vip).get(&fall.address).is_some_and(|weight| *weight > 0);
            self.fell(fall.vip, fall.address, fall.was_up && had_weight, follows_until);
        }
        self.drop_unseen_falls(&version, snapshot);
        self.add_lagging(now, &before, &version.health);
        self.past.push_back(Version { until: Some(now), ..before });
        self.current = Some(version);
        let oldest = now.checked_sub(LONG_WINDOW).unwrap_or(self.start);
        self.past.retain(|version| version.until.is_some_and(|until| until >= oldest));
    }

    /// Expects no flush of a server that is back before its weight was lowered in VPP, for example while VPP could not be
    /// reached.
    fn drop_unseen_falls(&mut self, version: &Version, snapshot: &Snapshot) {
        for ((vip, address), flush) in self.flushes.iter_mut().filter(|(_, flush)| flush.due) {
            let has_weight = snapshot.weights(*vip).get(address).is_some_and(|weight| *weight > 0);
            flush.due = oracle::flushes(version, *vip, *address) || !has_weight;
        }
    }

    /// Adds the combinations of the configurations of the last second with a new health.
    fn add_lagging(&mut self, now: Instant, before: &Version, health: &HealthSnapshot) {
        self.replaced.push_back((now, before.config.clone()));
        self.replaced.retain(|(at, _)| *at + WINDOW > now);
        for (at, config) in self.replaced.clone() {
            let lagging = Version { until: Some(at + WINDOW), config, health: health.clone() };
            for fall in oracle::falls(before, &lagging) {
                let due = self.flushes.get(&(fall.vip, fall.address)).is_some_and(|flush| flush.due);
                self.fell(fall.vip, fall.address, due, None);
            }
            self.past.push_back(lagging);
        }
    }

    /// The current inputs.
    pub fn version(&self) -> Option<&Version> {
        self.current.as_ref()
    }

    /// The inputs in force within the last `window`.
    fn recent(&self, window: Duration) -> impl Iterator<Item = &Version> {
        let from = Instant::now().checked_sub(window).unwrap_or(self.start);
        self.past.iter().chain(&self.current).filter(move |version| version.until.is_none_or(|until| until >= from))
    }

    /// Checks a request of the agent. `snapshot` is VPP's state before the request.
    pub fn requested(&mut self, request: &Request, snapshot: &Snapshot) {
        let now = Instant::now();
        (self.last_write, self.writes) = (now, self.writes + 1);
        if self.writes_from.is_none_or(|from| now < from) {
            self.violate(&format!("written during the warm-up: {request}"));
        }
        let Some(vip) = request.vip() else { return };
        let Some(key) = vip.key().filter(|_| objects::is_own(vip)) else {
            return self.violate(&format!("no VIP of a Frontend: {request}"));
        };
        let phase = self.phases.get(&vip.address).is_some_and(|at| now.duration_since(*at) < LONG_WINDOW);
        let window = if phase { LONG_WINDOW } else { WINDOW };
        if let Err(reason) = self.check(request, key, snapshot, window) {
            self.violate(&format!("{reason}: {request}"));
        }
        match request {
            Request::AddVip(_) | Request::RemoveVip(_) => {
                self.phases.insert(vip.address, now);
            }
            Request::SetWeight { address, flush: true, .. } => {
                let sent = self.next_number();
                let flush = self.flushes.entry((key, *address)).or_default();
                (flush.sent, flush.due) = (sent, false);
                let is_repeated = flush.done.is_some_and(|done| flush.fall < done);
                if is_repeated && flush.follows_until.take().is_none_or(|until| until < now) {
                    self.violate(&format!("flushed again without another fall: {request}"));
                }
            }
            Request::RemoveAs { address, .. } => {
                self.flushes.remove(&(key, *address));
            }
            _ => {}
        }
    }

    fn check(&self, request: &Request, key: VipKey, snapshot: &Snapshot, window: Duration) -> Result<(), &'static str> {
        let settings = snapshot.vips.get(&VppVip::from(key)).map(|vip| vip.settings);
        let goes = |window| self.recent(window).any(|version| oracle::vip_goes(version, key, settings.as_ref()));
        match request {
            Request::Conf | Request::AddVip(_) => Ok(()),
            Request::RemoveVip(_) if self.is_recreated_in_vain(key, snapshot) => {
                Err("removal of a VIP that VPP will not add again beside a foreign VIP")
            }
            Request::RemoveVip(_) if goes(WINDOW) => Ok(()),
            Request::RemoveVip(_) => Err("removal of a VIP that every input wants as it is"),
            Request::RemoveAs { address, .. } => {
                let gone = self.recent(window).any(|version| !oracle::is_member(version, key, *address));
                if gone || goes(WINDOW) { Ok(()) } else { Err("removal of a server that every input wants") }
            }
            Request::AddAs { address, weight, .. } => {
                let is_wanted = |want: Want| match want {
                    Want::Weight(wanted) => wanted == *weight,
                    Want::Kept | Want::Unknown => true,
                    Want::Absent => false,
                };
                let is_step = |version| oracle::is_step(version, key, *address, *weight);
                let mut recent = self.recent(window);
                if recent.any(|version| is_wanted(oracle::want(version, key, *address)) || is_step(version)) {
                    Ok(())
                } else {
                    Err("server added with a weight that no input wants")
                }
            }
            Request::SetWeight { address, weight, .. } => {
                let is_wanted = |want: Want| match want {
                    Want::Weight(wanted) => wanted == *weight,
                    Want::Kept => false,
                    // A server whose removal is held.
                    Want::Unknown | Want::Absent => true,
                };
                let is_step = |version| oracle::is_step(version, key, *address, *weight);
                let mut recent = self.recent(window);
                if recent.any(|version| is_wanted(oracle::want(version, key, *address)) || is_step(version)) {
                    Ok(())
                } else {
                    Err("weight that no input wants")
                }
            }
        }
    }

    /// The foreign VIPs in VPP from now on.
    pub fn foreign_vips(&mut self, vips: BTreeSet<VppVip>) {
        self.foreign.retain(|vip, _| vips.contains(vip));
        let now = Instant::now();
        for vip in vips {
            self.foreign.entry(vip).or_insert(now);
        }
    }

    /// A foreign VIP that VPP should have and has not.
    pub fn missing_foreign_vip(&self, snapshot: &Snapshot) -> Option<VppVip> {
        self.foreign.keys().find(|vip| !snapshot.vips.contains_key(vip)).copied()
    }

    /// True if every recent input wants the VIP, with settings that VPP refuses beside a foreign VIP that the agent has
    /// read.
    fn is_recreated_in_vain(&self, key: VipKey, snapshot: &Snapshot) -> bool {
        let is_read = |vip: &VppVip| self.foreign.get(vip).is_some_and(|since| since.elapsed() > LONG_WINDOW);
        self.recent(WINDOW).all(|version| {
            let wanted = oracle::frontend(version, key);
            wanted.is_some_and(|frontend| oracle::excluded_by(snapshot, frontend, is_read).is_some())
        })
    }

    /// The agent knows that VPP executed a flush.
    pub fn flushed(&mut self, vip: VipKey, address: IpAddr) {
        let flush = self.flushes.entry((vip, address)).or_default();
        flush.done = Some(flush.sent);
    }

    /// The servers whose fall was never followed by a flush.
    pub fn flushes_due(&self) -> Vec<(VipKey, IpAddr)> {
        self.flushes.iter().filter(|(_, flush)| flush.due).map(|(server, _)| *server).collect()
    }

    /// Another client changed a VIP: its flows are not tracked any more.
    pub fn meddled(&mut self, vip: VipKey) {
        self.flushes.retain(|(key, _), _| *key != vip);
    }
}

/// The settings of a VIP in VPP that a Frontend wants.
pub fn settings_match(settings: &VipSettings, frontend: &maglev_model::config::Frontend) -> bool {
    let encap = frontend.encap.map(maglev_model::actual::ActualEncap::from);
    encap.is_none_or(|encap| (encap.kind, encap.dscp) == (settings.encap, settings.dscp))
        && settings.src_ip_sticky == frontend.sticky
        && settings.table_length == u32::from(frontend.table_length.get())
}
