//! What outlives a session with VPP: the world, what is owed and ours, and what was reported.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::{
    flushes::Flushes,
    ours::Ours,
    reports::Reports,
    warmup::{Gate, Warmup},
    world::{Concerned, VipView, World, in_vpp},
};
use crate::model::{
    Name,
    actual::{Actual, VppVip},
    config::{ForeignVips, Standing, SyncConf},
    desired::{Desired, Want},
    event::{AsRef, Event, Events, ProgramResult, VipRef},
    plan::{RemovalPolicy, Step},
    vip::VipKey,
};

/// Everything the agent knows that is not a session's.
pub(super) struct Brain {
    pub(super) events: Events,
    pub(super) world: World,
    pub(super) flushes: Flushes,
    pub(super) reports: Reports,
    pub(super) warmup: Warmup,
    ours: Ours,
    /// Backends' names for events about application servers that no Frontend names any more.
    labels: HashMap<(VipKey, IpAddr), Name>,
}

impl Brain {
    pub(super) fn new(events: Events, ours: Ours) -> Self {
        Self {
            reports: Reports::new(events.clone()),
            events,
            world: World::default(),
            flushes: Flushes::default(),
            warmup: Warmup::default(),
            ours,
            labels: HashMap::new(),
        }
    }

    /// This node's sync settings; the defaults before anything is listed.
    pub(super) fn sync_conf(&self) -> SyncConf {
        self.world.node().map(|node| node.sync.clone()).unwrap_or_default()
    }

    /// Between two passes.
    pub(super) fn sync_interval(&self) -> Duration {
        self.world.node().map_or_else(|| SyncConf::default().interval, |node| node.sync.interval)
    }

    /// What may be written now.
    pub(super) fn gate(&self, now: Instant) -> Gate {
        self.world.node().map_or(Gate::Closed, |node| self.warmup.gate(now, &node.sync))
    }

    /// Forgets what belonged to Frontends that are no more.
    pub(super) fn forget(&mut self, concerned: &Concerned) {
        let config = self.world.config();
        for (name, vip) in &concerned.removed {
            if config.is_none_or(|config| !config.frontends.contains_key(name)) {
                self.reports.forget(name);
            }
            self.flushes.forget(*vip);
        }
    }

    /// Takes note of conditions and states.
    pub(super) fn observe(&mut self, views: &[VipView], actual: &Actual) {
        for VipView { frontend, want, effective } in views {
            let have = in_vpp(Some(actual), frontend.vip);
            if want.is_some() {
                self.flushes.observe(frontend.vip, &effective.ases, frontend.on_backend_down, have);
            }
        }
        self.observe_states(views, Some(actual));
    }

    /// Takes note of the Frontends' states.
    pub(super) fn observe_states(&mut self, views: &[VipView], actual: Option<&Actual>) {
        for VipView { frontend, effective, .. } in views {
            let have = in_vpp(actual, frontend.vip);
            let vpp = |address: IpAddr| have.and_then(|vip| vip.ases.get(&address)).map(|of| of.weight);
            self.reports.set_state(frontend, effective, self.world.health(), vpp);
        }
    }

    /// Which VIPs may go that nobody wants.
    pub(super) fn removal_policy(&self) -> RemovalPolicy<'_> {
        let config = self.world.config();
        RemovalPolicy {
            ours: self.ours.vips(),
            foreign: config.map_or(ForeignVips::Keep, |config| config.node.sync.foreign_vips),
            claims_unknown: config.is_none_or(|config| config.claims_unknown),
        }
    }

    /// Whether no Frontend claims `vip` and it is not ours.
    pub(super) fn is_foreign(&self, vip: &VppVip) -> bool {
        let claimed = vip.key().is_some_and(|key| self.world.claimants(&key).next().is_some());
        !claimed && self.removal_policy().is_foreign(vip)
    }

    /// What is wanted and in VPP, or about to be (`added`), is ours.
    pub(super) fn claim(&mut self, desired: &Desired, added: impl Fn(VppVip) -> bool) {
        for (vip, wanted) in desired {
            if matches!(wanted.want, Want::Exactly(_)) || added((*vip).into()) {
                self.ours.claim(*vip, &wanted.frontend);
            }
        }
    }

    /// Forgets ours that are neither in VPP nor claimed.
    pub(super) fn prune_ours(&mut self, in_vpp: impl Fn(&VipKey) -> bool) {
        let claimed = |key: &VipKey| self.world.claimants(key).next().is_some();
        let gone: Vec<VipKey> = self.ours.vips().keys().filter(|key| !in_vpp(key) && !claimed(key)).copied().collect();
        for key in gone {
            self.ours.release(&key);
        }
    }

    /// Writes the file of ours if it changed.
    pub(super) fn save_ours(&mut self) {
        self.ours.save();
    }

    /// Remembers backends' names for later events.
    pub(super) fn label(&mut self, desired: &Desired) {
        for (vip, wanted) in desired {
            let ases = match &wanted.want {
                Want::Exactly(want) => &want.ases,
                Want::Hold { weights, .. } => weights,
            };
            for (address, of) in ases {
                self.labels.insert((*vip, *address), of.backend.clone());
            }
        }
    }

    /// A VIP as events name it.
    pub(super) fn vip_ref(&self, vip: VppVip) -> VipRef {
        let frontend = vip.key().and_then(|key| self.ours.vips().get(&key).cloned());
        VipRef { frontend, vip }
    }

    fn as_ref(&self, vip: VppVip, address: IpAddr, backend: Option<&Name>) -> AsRef {
        let label = vip.key().and_then(|key| self.labels.get(&(key, address)));
        AsRef { vip: self.vip_ref(vip), backend: backend.or(label).cloned(), address }
    }

    /// Tells of a step that VPP carried out.
    pub(super) fn tell(&self, step: &Step) {
        self.events.emit(match step {
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
            Step::RemoveAs { vip, address, weight } => {
                Event::AsRemoved { of: self.as_ref(*vip, *address, None), weight: *weight, flush: true }
            }
            Step::SetWeight { vip, address, backend, from, to, flush } => Event::AsWeightUpdated {
                of: self.as_ref((*vip).into(), *address, Some(backend)),
                from: *from,
                to: to.get(),
                flush: *flush,
            },
        });
    }

    /// Forgets what a step made obsolete, once it was told.
    pub(super) fn settle(&mut self, step: &Step) {
        match step {
            Step::RemoveVip { vip, .. } => {
                if let Some(key) = vip.key().filter(|key| !self.claims(key)) {
                    self.ours.release(&key);
                }
            }
            Step::RemoveAs { vip, address, .. } => {
                if let Some(key) = vip.key() {
                    self.labels.remove(&(key, *address));
                }
            }
            _ => {}
        }
    }

    fn claims(&self, key: &VipKey) -> bool {
        self.world.claimants(key).any(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)))
    }

    /// A step failed: it is told, and so is its Frontend's report.
    pub(super) fn step_failed(&mut self, step: &Step, error: &str) {
        let vip = self.vip_ref(step.vip());
        let frontend = vip.frontend.as_ref().and_then(|name| self.world.config()?.frontends.get(name)).cloned();
        if let Some(frontend) = frontend {
            self.reports.set(&frontend, ProgramResult::Failed, error);
        }
        self.sync_error(Some(vip), step.name(), error);
    }

    /// Something about syncing went wrong.
    pub(super) fn sync_error(&self, vip: Option<VipRef>, step: &'static str, error: &str) {
        self.events.emit(Event::SyncError { vip, step, err: error.to_owned() });
    }
}
