//! State that survives reconnecting to VPP: inputs, pending flushes, owned VIPs, reports.

mod backend_names;
mod in_force;
mod removals;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use self::backend_names::BackendNames;
pub use self::removals::Deferred;
use super::{
    AgentOptions,
    disruption_guard::DisruptionGuard,
    flow_accounting::FlowAccounting,
    held_servers::HeldServers,
    inputs::{Affected, Inputs, VipView, vpp_weights},
    mass_removal_guard::MassRemovalGuard,
    metrics::Metrics,
    owned_vips::{OwnedVips, OwnedVipsError},
    ramps::Ramps,
    recreates::Recreates,
    reports::Reports,
    stats::Publication,
    turn_budget::TurnBudget,
    warmup::{Gate, Warmup},
};
use maglev_model::{
    Name, ServerMap,
    actual::{Actual, LbDump, VppVip},
    change::VipState,
    config::{ForeignVips, Frontend, Standing, SyncConf},
    desired::{Desired, DesiredVip},
    event::{Event, Events, ProgramResult, Scope, ServerRef, VipRef},
    flushes::Flushes,
    plan::{RemovalPolicy, Step},
    vip::VipKey,
};
use maglev_net::{LogThrottle, error_chain};

/// Delay after the file of owned VIPs could not be written.
const SAVE_RETRY: Duration = Duration::from_secs(1);

/// All state that is independent of a session with VPP. Owned and updated by the agent's task.
pub struct AgentState {
    pub events: Events,
    pub inputs: Inputs,
    pub flushes: Flushes,
    pub reports: Reports,
    pub warmup: Warmup,
    pub mass_removals: MassRemovalGuard,
    pub disruption: DisruptionGuard,
    pub ramps: Ramps,
    pub held_servers: HeldServers,
    pub recreates: Recreates,
    /// VPP's state as last read, for other tasks; `None` without a session.
    pub dump: watch::Sender<Option<Arc<LbDump>>>,
    pub clock: fn() -> Timestamp,
    pub metrics: Metrics,
    pub flow_accounting: FlowAccounting,
    owned_vips: OwnedVips,
    /// Set after the file of owned VIPs could not be written.
    save_retry: Option<Instant>,
    save_log: LogThrottle,
    /// Owned VIPs that VPP did not have at the last pass, and that no Frontend claims.
    absent_vips: BTreeSet<VipKey>,
    /// VIPs that a step has removed, until a dump shows that they are gone.
    removed_vips: BTreeSet<VipKey>,
    /// Names of backends, for events about application servers that no Frontend references any more.
    backend_names: BackendNames,
    /// Addresses whose Frontends' states may have changed since they were last published.
    unpublished_states: BTreeSet<IpAddr>,
}

impl AgentState {
    pub fn new(
        events: Events,
        owned_vips: OwnedVips,
        options: &AgentOptions,
        stats_rx: watch::Receiver<Publication>,
    ) -> Self {
        let metrics = options.metrics.clone();
        Self {
            flow_accounting: FlowAccounting::new(options.accounting, events.clone(), metrics.clone(), stats_rx),
            reports: Reports::new(events.clone()),
            ramps: Ramps::new(events.clone(), options.clock),
            events,
            inputs: Inputs::default(),
            flushes: Flushes::default(),
            warmup: Warmup::default(),
            mass_removals: MassRemovalGuard::new(fastrand::Rng::new()),
            disruption: DisruptionGuard::default(),
            held_servers: HeldServers::default(),
            recreates: Recreates::default(),
            dump: watch::Sender::default(),
            clock: options.clock,
            metrics,
            owned_vips,
            save_retry: None,
            save_log: LogThrottle::default(),
            absent_vips: BTreeSet::new(),
            removed_vips: BTreeSet::new(),
            backend_names: BackendNames::default(),
            unpublished_states: BTreeSet::new(),
        }
    }

    /// This node's sync settings; the defaults before the first complete list.
    pub fn sync_conf(&self) -> SyncConf {
        self.inputs.node().map(|node| node.sync.clone()).unwrap_or_default()
    }

    /// Interval between two full passes.
    pub fn sync_interval(&self) -> Duration {
        self.inputs.node().map_or_else(|| SyncConf::default().interval, |node| node.sync.interval)
    }

    /// The writes that the warm-up currently allows.
    pub fn gate(&self, now: Instant) -> Gate {
        self.inputs.node().map_or(Gate::Closed, |node| self.warmup.gate(now, &node.sync))
    }

    /// Drops the state of deleted Frontends.
    pub fn forget(&mut self, affected: &Affected) {
        let config = self.inputs.config();
        for (name, vip) in &affected.removed {
            if config.is_none_or(|config| !config.frontends.contains_key(name)) {
                self.reports.forget(name);
                self.flow_accounting.forget(name);
            }
            self.flushes.forget(*vip);
            self.disruption.forget(*vip);
            self.ramps.forget(*vip);
        }
    }

    /// Marks the states of the affected Frontends for publication. Each is published when its address is planned, or
    /// else by [`Self::publish_states`].
    pub fn states_changed(&mut self, affected: &Affected) {
        self.unpublished_states.extend(&affected.addresses);
        if affected.everything {
            self.unpublished_states.extend(self.inputs.addresses());
        }
    }

    /// Publishes pending Frontend states, as many as `budget` allows. `actual` is VPP's state.
    pub fn publish_states(&mut self, budget: &mut TurnBudget, actual: Option<&Actual>) {
        while budget.has_remaining()
            && let Some(address) = self.unpublished_states.pop_first()
        {
            let views = self.views(address, actual);
            self.publish_frontend_states(&views, actual);
            budget.spend(views.len());
        }
    }

    /// Records the conditions of the backends on `address` and publishes the states of its Frontends.
    pub fn observe(&mut self, address: IpAddr, views: &[VipView], actual: &Actual) {
        for VipView { frontend, effective, .. } in views.iter().filter(|view| view.is_served()) {
            let vpp = actual.weights(frontend.vip.into());
            self.flushes.observe(frontend.vip, &effective.ases, frontend.on_backend_down, vpp);
        }
        self.unpublished_states.remove(&address);
        self.publish_frontend_states(views, Some(actual));
    }

    fn publish_frontend_states(&mut self, views: &[VipView], actual: Option<&Actual>) {
        for VipView { frontend, effective, .. } in views {
            let vpp = vpp_weights(actual, frontend.vip);
            self.reports.set_state(frontend, effective, self.inputs.health(), vpp);
        }
    }

    /// Rules for removing VIPs that no Frontend desires.
    pub fn removal_policy(&self) -> RemovalPolicy<'_> {
        let config = self.inputs.config();
        RemovalPolicy {
            owned_vips: self.owned_vips.vips(),
            foreign: config.map_or(ForeignVips::Keep, |config| config.node.sync.foreign_vips),
            claims_unknown: config.is_none_or(|config| config.claims_unknown),
        }
    }

    /// True if no Frontend claims `vip` and the agent does not own it.
    pub fn is_foreign(&self, vip: &VppVip) -> bool {
        let claimed = vip.key().is_some_and(|key| self.inputs.claimants(&key).next().is_some());
        !claimed && self.removal_policy().is_foreign(vip)
    }

    /// Marks every VIP that is programmed as owned, even if it existed before.
    pub fn claim(&mut self, desired: &Desired) {
        for (vip, entry) in desired {
            if matches!(entry.vip, DesiredVip::Exactly(_)) {
                self.owned_vips.claim(*vip, &entry.frontend);
            }
        }
    }

    /// Marks the VIPs of the matching Frontends as owned.
    pub fn claim_where(&mut self, predicate: impl Fn(&Inputs, &Frontend) -> bool) {
        for frontend in self.inputs.frontends().filter(|frontend| predicate(&self.inputs, frontend)) {
            self.owned_vips.claim(frontend.vip, &frontend.name);
        }
    }

    /// Drops owned VIPs that are neither kept, as VPP has them, nor claimed.
    pub fn prune_owned_vips(&mut self, is_kept: impl Fn(&VipKey) -> bool) {
        for key in self.stale_vips(is_kept) {
            self.owned_vips.release(&key);
        }
    }

    /// Drops owned VIPs that are neither kept nor claimed, at a pass. A VIP that is absent from VPP is dropped at the
    /// second pass in a row that finds it absent, and not while steps for its address are unsettled: VPP may still
    /// execute an addition that was sent before, and the VIP would then belong to nobody.
    pub fn release_owned_vips(
        &mut self,
        is_kept: impl Fn(&VipKey) -> bool,
        is_absent: impl Fn(&VipKey) -> bool,
        is_unsettled: impl Fn(&VipKey) -> bool,
    ) {
        let (absent, present): (BTreeSet<VipKey>, _) = self.stale_vips(is_kept).into_iter().partition(is_absent);
        let absent_before = std::mem::replace(&mut self.absent_vips, absent);
        let is_released = |key: &&VipKey| absent_before.contains(*key) && !is_unsettled(key);
        let released: Vec<VipKey> = self.absent_vips.iter().filter(is_released).copied().chain(present).collect();
        for key in released {
            self.owned_vips.release(&key);
        }
    }

    fn stale_vips(&self, is_kept: impl Fn(&VipKey) -> bool) -> BTreeSet<VipKey> {
        let claimed = |key: &VipKey| self.inputs.claimants(key).next().is_some();
        self.owned_vips.vips().keys().filter(|key| !is_kept(key) && !claimed(key)).copied().collect()
    }

    pub fn owned_vips(&self) -> &BTreeMap<VipKey, Name> {
        self.owned_vips.vips()
    }

    /// True if the file of owned VIPs has `vip`.
    pub fn is_recorded(&self, vip: &VipKey) -> bool {
        self.owned_vips.is_recorded(vip)
    }

    /// Writes the file of owned VIPs if it changed; returns the error.
    pub fn try_save_owned_vips(&mut self) -> Result<(), OwnedVipsError> {
        self.owned_vips.save()
    }

    /// Writes the file of owned VIPs if it changed. An error is published once a minute, and the file is written again
    /// after a second. Returns true if the file was written after an error, so that VIPs which waited can be added.
    pub fn save_owned_vips(&mut self, now: Instant) -> bool {
        if self.save_retry.is_some_and(|at| now < at) {
            return false;
        }
        match self.owned_vips.save() {
            Ok(()) => self.save_retry.take().is_some(),
            Err(error) => {
                self.save_retry = Some(now + SAVE_RETRY);
                if self.save_log.admit("save").is_some() {
                    self.sync_error(None, "record-vips", &error_chain(&error));
                }
                false
            }
        }
    }

    /// Time at which the file of owned VIPs is to be written again.
    pub fn next_save(&self) -> Option<Instant> {
        self.save_retry
    }

    /// Keeps the names of backends for later events.
    pub fn remember_backend_names(&mut self, desired: &Desired) {
        for (vip, entry) in desired {
            let ases = match &entry.vip {
                DesiredVip::Exactly(spec) => &spec.ases,
                DesiredVip::Hold { weights, .. } => weights,
            };
            self.backend_names.extend(*vip, ases.iter().map(|(address, server)| (*address, &server.backend)));
        }
    }

    /// True if the configuration has the Frontend.
    pub fn has_frontend(&self, name: &Name) -> bool {
        self.inputs.config().is_some_and(|config| config.frontends.contains_key(name))
    }

    /// A VIP with its Frontend's name, for events.
    pub fn vip_ref(&self, vip: VppVip) -> VipRef {
        let frontend = vip.key().and_then(|key| self.owned_vips.vips().get(&key).cloned());
        VipRef { frontend, vip }
    }

    fn server_ref(&self, vip: VppVip, address: IpAddr, backend: Option<&Name>) -> ServerRef {
        let backend_name = vip.key().and_then(|key| self.backend_names.get(key, address));
        ServerRef { vip: self.vip_ref(vip), backend: backend.or(backend_name).cloned(), address }
    }

    /// Publishes a step that VPP executed.
    pub fn publish_step(&self, scope: Scope, step: &Step) {
        self.metrics.synced(scope, step.into());
        let event = match step {
            Step::AddVip { vip, encap, sticky, table_length } => Event::VipAdded {
                vip: self.vip_ref((*vip).into()),
                state: VipState {
                    encap: Some((*encap).into()),
                    sticky: Some(*sticky),
                    table_length: Some(table_length.get()),
                    servers: ServerMap::default(),
                },
            },
            Step::RemoveVip { vip, encap } => {
                Event::VipRemoved { vip: self.vip_ref(*vip), encap: encap.map_or("unknown", |encap| encap.as_str()) }
            }
            Step::AddAs { vip, address, backend, weight } => Event::AsAdded {
                server: self.server_ref((*vip).into(), *address, Some(backend)),
                weight: weight.get(),
                flush: true,
            },
            Step::RemoveAs { vip, address, weight, flush } => {
                Event::AsRemoved { server: self.server_ref(*vip, *address, None), weight: *weight, flush: *flush }
            }
            Step::SetWeight { vip, address, backend, from, to, flush } => Event::AsWeightUpdated {
                server: self.server_ref((*vip).into(), *address, Some(backend)),
                from: *from,
                to: to.get(),
                flush: *flush,
            },
        };
        self.events.emit(event);
    }

    /// Drops state that an executed step made obsolete. Call it after [`Self::publish_step`]. A removed VIP is owned until
    /// [`Self::release_removed_vips`]: VPP may have replied without removing it.
    pub fn forget_removed(&mut self, step: &Step) {
        match step {
            Step::RemoveVip { vip, .. } => {
                self.removed_vips.extend(vip.key());
            }
            // The preceding removal may have been the first half of a recreate.
            Step::AddAs { vip, address, backend, .. } => {
                self.backend_names.extend(*vip, std::iter::once((*address, backend)));
            }
            Step::RemoveAs { vip, address, .. } => {
                if let Some(key) = vip.key() {
                    self.backend_names.remove(key, *address);
                }
            }
            _ => {}
        }
    }

    fn claims(&self, key: &VipKey) -> bool {
        self.inputs.claimants(key).any(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)))
    }

    /// Publishes a failed step, and reports its Frontend as failed.
    pub fn step_failed(&mut self, step: &Step, error: &str) {
        let vip = self.vip_ref(step.vip());
        let frontend = vip.frontend.as_ref().and_then(|name| self.inputs.config()?.frontends.get(name)).cloned();
        if let Some(frontend) = frontend {
            self.reports.set(&frontend, ProgramResult::Failed, error);
        }
        self.sync_error(Some(vip), step.name(), error);
    }

    /// Publishes a sync error. Without `vip`, it becomes a condition of the node.
    pub fn sync_error(&self, vip: Option<VipRef>, step: &'static str, error: &str) {
        self.metrics.error(step);
        self.events.emit(Event::SyncError { vip, step, error: error.to_owned() });
    }
}
