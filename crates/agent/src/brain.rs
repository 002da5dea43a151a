//! What outlives a session with VPP: the world, what is owed and ours, and what was reported.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::Instant};

use super::{
    AgentOptions,
    flushes::Flushes,
    metrics::Metrics,
    ours::{Ours, OursError},
    recreates::Recreates,
    removals::{Held, Removals, Totals},
    reports::Reports,
    slice::Slice,
    warmup::{Gate, Warmup},
    world::{Concerned, VipView, World, vpp_weights},
};
use maglev_model::{
    Name,
    actual::{Actual, LbDump, VppVip},
    change::{Change, Hold},
    config::{ForeignVips, Frontend, Standing, SyncConf},
    desired::{Desired, Want},
    event::{AsRef, Event, Events, ProgramResult, Scope, VipRef},
    plan::{AddressPlan, RemovalPolicy, Step},
    vip::VipKey,
    weights::WantAs,
};

/// What a plan has to leave as it is for now.
#[derive(Debug)]
pub struct Withheld {
    /// VIPs with servers that are held.
    pub servers_of: BTreeSet<VipKey>,
    /// VIPs that cannot be added or recreated beside one that is held.
    pub blocked: BTreeSet<VipKey>,
}

/// Everything the agent knows that is not a session's.
pub struct Brain {
    pub events: Events,
    pub world: World,
    pub flushes: Flushes,
    pub reports: Reports,
    pub warmup: Warmup,
    pub removals: Removals,
    pub recreates: Recreates,
    /// What VPP had when it was last read, for others to see; `None` without a session.
    pub dump: watch::Sender<Option<Arc<LbDump>>>,
    pub clock: fn() -> Timestamp,
    pub metrics: Metrics,
    ours: Ours,
    /// Backends' names for events about application servers that no Frontend names any more.
    labels: HashMap<VipKey, BTreeMap<IpAddr, Name>>,
    /// Addresses whose Frontends' states may have changed since they were last told.
    untold: BTreeSet<IpAddr>,
}

impl Brain {
    pub fn new(events: Events, ours: Ours, options: &AgentOptions) -> Self {
        Self {
            reports: Reports::new(events.clone()),
            events,
            world: World::default(),
            flushes: Flushes::default(),
            warmup: Warmup::default(),
            removals: Removals::new(fastrand::Rng::new()),
            recreates: Recreates::default(),
            dump: watch::Sender::default(),
            clock: options.clock,
            metrics: options.metrics.clone(),
            ours,
            labels: HashMap::new(),
            untold: BTreeSet::new(),
        }
    }

    /// This node's sync settings; the defaults before anything is listed.
    pub fn sync_conf(&self) -> SyncConf {
        self.world.node().map(|node| node.sync.clone()).unwrap_or_default()
    }

    /// Between two passes.
    pub fn sync_interval(&self) -> Duration {
        self.world.node().map_or_else(|| SyncConf::default().interval, |node| node.sync.interval)
    }

    /// What may be written now.
    pub fn gate(&self, now: Instant) -> Gate {
        self.world.node().map_or(Gate::Closed, |node| self.warmup.gate(now, &node.sync))
    }

    /// Forgets what belonged to Frontends that are no more.
    pub fn forget(&mut self, concerned: &Concerned) {
        let config = self.world.config();
        for (name, vip) in &concerned.removed {
            if config.is_none_or(|config| !config.frontends.contains_key(name)) {
                self.reports.forget(name);
            }
            self.flushes.forget(*vip);
        }
    }

    /// The states of the Frontends concerned may have changed. Each is told when its address is planned,
    /// or else by [`Self::tell_states`].
    pub fn states_changed(&mut self, concerned: &Concerned) {
        self.untold.extend(&concerned.addresses);
        if concerned.everything {
            self.untold.extend(self.world.addresses());
        }
    }

    /// Tells the states of some Frontends that are left, as many as `slice` allows; `actual` is what VPP
    /// has.
    pub fn tell_states(&mut self, slice: &mut Slice, actual: Option<&Actual>) {
        while slice.has_room()
            && let Some(address) = self.untold.pop_first()
        {
            let views = self.world.views(address, actual);
            self.tell_states_of(&views, actual);
            slice.take(views.len());
        }
    }

    /// Takes note of the conditions on `address` and tells its Frontends' states.
    pub fn observe(&mut self, address: IpAddr, views: &[VipView], actual: &Actual) {
        for VipView { frontend, effective } in views.iter().filter(|view| view.is_served()) {
            let vpp = actual.weights(frontend.vip.into());
            self.flushes.observe(frontend.vip, &effective.ases, frontend.on_backend_down, vpp);
        }
        self.untold.remove(&address);
        self.tell_states_of(views, Some(actual));
    }

    fn tell_states_of(&mut self, views: &[VipView], actual: Option<&Actual>) {
        for VipView { frontend, effective } in views {
            let vpp = vpp_weights(actual, frontend.vip);
            self.reports.set_state(frontend, effective, self.world.health(), vpp);
        }
    }

    /// Which VIPs may go that nobody wants.
    pub fn removal_policy(&self) -> RemovalPolicy<'_> {
        let config = self.world.config();
        RemovalPolicy {
            ours: self.ours.vips(),
            foreign: config.map_or(ForeignVips::Keep, |config| config.node.sync.foreign_vips),
            claims_unknown: config.is_none_or(|config| config.claims_unknown),
        }
    }

    /// Takes out of the plan what may not go yet.
    pub fn withhold(&mut self, plan: &mut AddressPlan, address: IpAddr, actual: &Actual, now: Instant) -> Withheld {
        let hold_for = self.sync_conf().mass_removal_hold;
        let mut asked = plan.removals();
        asked.retain(|removal| removal.server.is_some() || self.is_ours(&removal.vip));
        let (ours, world) = (&self.ours, &self.world);
        let totals = || totals(actual, |vip| is_ours(ours, world, vip));
        let removals = self.removals.ask(now, address, &asked, hold_for, totals);
        let blocked = plan.withhold(&removals, actual);
        let servers = removals.iter().filter(|removal| removal.server.is_some());
        Withheld { servers_of: servers.filter_map(|removal| removal.vip.key()).collect(), blocked }
    }

    fn is_ours(&self, vip: &VppVip) -> bool {
        is_ours(&self.ours, &self.world, vip)
    }

    /// The addresses from which something may go now that waited.
    pub fn removals_due(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let hold_for = self.sync_conf().mass_removal_hold;
        self.removals.tick(now, hold_for)
    }

    /// Tells of removals that are held, and of holds that have ended.
    pub fn tell_held(&mut self, now: Instant) {
        for Held { id, removals, until } in self.removals.untold() {
            let left = SignedDuration::try_from(until.saturating_duration_since(now)).unwrap_or(SignedDuration::MAX);
            let until = (self.clock)().checked_add(left).unwrap_or(Timestamp::MAX);
            let removals = u32::try_from(removals).unwrap_or(u32::MAX);
            let event = Event::SyncHeld { hold: id.to_string(), removals, until: format!("{until:.0}") };
            self.events.emit_change(event, Change::Held(Hold { id: id.as_str().into(), removals, until }));
        }
        for id in self.removals.ended() {
            let event = Event::SyncReleased { hold: id.to_string() };
            self.events.emit_change(event, Change::Released(id.as_str().into()));
        }
    }

    /// Whether no Frontend claims `vip` and it is not ours.
    pub fn is_foreign(&self, vip: &VppVip) -> bool {
        let claimed = vip.key().is_some_and(|key| self.world.claimants(&key).next().is_some());
        !claimed && self.removal_policy().is_foreign(vip)
    }

    /// What is made to be as wanted is ours, also where somebody else had put it there.
    pub fn claim(&mut self, desired: &Desired) {
        for (vip, wanted) in desired {
            if matches!(wanted.want, Want::Exactly(_)) {
                self.ours.claim(*vip, &wanted.frontend);
            }
        }
    }

    /// The VIPs of such Frontends will be made to be as wanted.
    pub fn claim_where(&mut self, wanted: impl Fn(&World, &Frontend) -> bool) {
        for frontend in self.world.frontends().filter(|frontend| wanted(&self.world, frontend)) {
            self.ours.claim(frontend.vip, &frontend.name);
        }
    }

    /// Forgets ours that are neither in VPP nor claimed.
    pub fn prune_ours(&mut self, in_vpp: impl Fn(&VipKey) -> bool) {
        let claimed = |key: &VipKey| self.world.claimants(key).next().is_some();
        let gone: Vec<VipKey> = self.ours.vips().keys().filter(|key| !in_vpp(key) && !claimed(key)).copied().collect();
        for key in gone {
            self.ours.release(&key);
        }
    }

    pub fn ours(&self) -> &BTreeMap<VipKey, Name> {
        self.ours.vips()
    }

    /// Writes the file of ours if it changed, or says why that failed.
    pub fn try_save_ours(&mut self) -> Result<(), OursError> {
        self.ours.try_save()
    }

    /// Writes the file of ours if it changed.
    pub fn save_ours(&mut self) {
        self.ours.save();
    }

    /// Remembers backends' names for later events.
    pub fn label(&mut self, desired: &Desired) {
        for (vip, wanted) in desired {
            let ases = match &wanted.want {
                Want::Exactly(want) => &want.ases,
                Want::Hold { weights, .. } => weights,
            };
            if ases.is_empty() {
                continue;
            }
            let labels = self.labels.entry(*vip).or_default();
            let known =
                |((address, of), label): ((&IpAddr, &WantAs), (&IpAddr, &Name))| (address, &of.backend) == label;
            if labels.len() != ases.len() || !ases.iter().zip(&*labels).all(known) {
                labels.extend(ases.iter().map(|(address, of)| (*address, of.backend.clone())));
            }
        }
    }

    /// A VIP as events name it.
    pub fn vip_ref(&self, vip: VppVip) -> VipRef {
        let frontend = vip.key().and_then(|key| self.ours.vips().get(&key).cloned());
        VipRef { frontend, vip }
    }

    fn as_ref(&self, vip: VppVip, address: IpAddr, backend: Option<&Name>) -> AsRef {
        let label = vip.key().and_then(|key| self.labels.get(&key)?.get(&address));
        AsRef { vip: self.vip_ref(vip), backend: backend.or(label).cloned(), address }
    }

    /// Tells of a step that VPP carried out.
    pub fn tell(&self, scope: Scope, step: &Step) {
        self.metrics.synced(scope, step.into());
        let event = match step {
            Step::AddVip { vip, encap, .. } => {
                Event::VipAdded { vip: self.vip_ref((*vip).into()), encap: encap.as_str() }
            }
            Step::RemoveVip { vip, encap } => {
                Event::VipRemoved { vip: self.vip_ref(*vip), encap: encap.map_or("unknown", |encap| encap.as_str()) }
            }
            Step::AddAs { vip, address, backend, weight } => Event::AsAdded {
                of: self.as_ref((*vip).into(), *address, Some(backend)),
                weight: weight.get(),
                flush: true,
            },
            Step::RemoveAs { vip, address, weight, flush } => {
                Event::AsRemoved { of: self.as_ref(*vip, *address, None), weight: *weight, flush: *flush }
            }
            Step::SetWeight { vip, address, backend, from, to, flush } => Event::AsWeightUpdated {
                of: self.as_ref((*vip).into(), *address, Some(backend)),
                from: *from,
                to: to.get(),
                flush: *flush,
            },
        };
        self.events.emit_change(event, step.into());
    }

    /// Forgets what a step made obsolete, once it was told.
    pub fn settle(&mut self, step: &Step) {
        match step {
            Step::RemoveVip { vip, .. } => {
                if let Some(key) = vip.key().filter(|key| !self.claims(key)) {
                    self.ours.release(&key);
                }
            }
            // Its removal just before may have been the first half of a recreate.
            Step::AddAs { vip, address, backend, .. } => {
                self.labels.entry(*vip).or_default().insert(*address, backend.clone());
            }
            Step::RemoveAs { vip, address, .. } => {
                if let Some(key) = vip.key()
                    && let Some(labels) = self.labels.get_mut(&key)
                {
                    labels.remove(address);
                    if labels.is_empty() {
                        self.labels.remove(&key);
                    }
                }
            }
            _ => {}
        }
    }

    fn claims(&self, key: &VipKey) -> bool {
        self.world.claimants(key).any(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)))
    }

    /// A step failed: it is told, and so is its Frontend's report.
    pub fn step_failed(&mut self, step: &Step, error: &str) {
        let vip = self.vip_ref(step.vip());
        let frontend = vip.frontend.as_ref().and_then(|name| self.world.config()?.frontends.get(name)).cloned();
        if let Some(frontend) = frontend {
            self.reports.set(&frontend, ProgramResult::Failed, error);
        }
        self.sync_error(Some(vip), step.name(), error);
    }

    /// Something about syncing went wrong.
    pub fn sync_error(&self, vip: Option<VipRef>, step: &'static str, error: &str) {
        self.metrics.error(step);
        let nodes_own = vip.is_none().then(|| Change::SyncFailed(format!("{step}: {error}").into()));
        let event = Event::SyncError { vip, step, err: error.to_owned() };
        match nodes_own {
            Some(change) => self.events.emit_change(event, change),
            None => self.events.emit(event),
        }
    }
}

/// Whether `vip` is remembered as ours, or a Frontend's.
fn is_ours(ours: &Ours, world: &World, vip: &VppVip) -> bool {
    vip.key().is_some_and(|key| ours.vips().contains_key(&key) || world.claimants(&key).next().is_some())
}

/// How much of what VPP has is ours.
fn totals(actual: &Actual, is_ours: impl Fn(&VppVip) -> bool) -> Totals {
    let ours = actual.vips.iter().filter(|(vip, _)| is_ours(vip));
    ours.fold(Totals { vips: 0, servers: 0 }, |totals, (_, vip)| Totals {
        vips: totals.vips + 1,
        servers: totals.servers + vip.ases.len(),
    })
}
