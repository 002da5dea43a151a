//! The effect of a change on the VIPs of one address, which are planned together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{BudgetExcess, NodeInputs, Obstacle, VipPreview, is_owned};
use crate::{
    actual::{Actual, ActualAs, ActualConf, ActualVip, VppVip},
    change::VipState,
    conf::desired_conf,
    config::{Frontend, Standing},
    desired::{Desired, DesiredEntry, DesiredVip, desired_vip, obstacle},
    disruption::{ConfigChange, TableInputs, has_same_tables, refreshed},
    flushes::Flushes,
    name::Name,
    plan::{AddressPlan, FlowChange, Removal, RemovalPolicy, plan_address, vips_on_address},
    problem::{Problem, Reason},
    view::{View, VppView},
    vip::VipKey,
    weights::{EffectiveWeights, effective_weights},
};

/// The effect of a change on the VIPs of one address.
pub struct AddressPreview {
    pub vips: Vec<VipPreview>,
    /// The removals that only the change causes.
    pub removals: BTreeSet<Removal>,
}

/// The plan of an address with one of the two inputs.
struct Planned<'i> {
    frontends: Vec<&'i Arc<Frontend>>,
    changes: BTreeMap<VppVip, FlowChange>,
    removals: BTreeSet<Removal>,
    obstacles: BTreeMap<Name, Obstacle>,
}

/// The state of VPP on an address.
struct VppState {
    address: IpAddr,
    actual: Actual,
    conf: ActualConf,
    owned_vips: BTreeMap<VipKey, Name>,
    /// Removals that are held back already.
    held: bool,
}

impl AddressPreview {
    pub fn new(
        view: &View,
        vpp: &VppView,
        conf: ActualConf,
        before: &NodeInputs,
        after: &NodeInputs,
        address: IpAddr,
    ) -> Self {
        let state = VppState::new(view, vpp, conf, address);
        let mut flushes = Flushes::default();
        let old = state.plan(before, &mut flushes, &BTreeSet::new());
        let held = if state.held { old.removals.clone() } else { BTreeSet::new() };
        let new = state.plan(after, &mut flushes, &held);
        let removals = new.removals.difference(&old.removals).copied().collect();
        let mut vips = vips(&old, &new);
        for preview in vips.iter_mut().filter(|preview| preview.change.is_some()) {
            preview.exceeded_budget = state.exceeded_budget(preview.vip, &old, &new, after);
        }
        Self { vips, removals }
    }
}

/// The VIPs that the plans differ in, and those of Frontends that get another obstacle.
fn vips(old: &Planned<'_>, new: &Planned<'_>) -> Vec<VipPreview> {
    let mut vips = Vec::new();
    let mut changed: BTreeMap<VipKey, &FlowChange> = BTreeMap::new();
    for (vip, change) in &new.changes {
        if let Some(key) = vip.key().filter(|_| old.changes.get(vip) != Some(change)) {
            changed.insert(key, change);
        }
    }
    for frontend in &new.frontends {
        let obstacle = new.obstacles.get(&frontend.name);
        // The VIP of a withdrawn Frontend belongs to another one, or is removed.
        let had_vip = |name: &Name| old.frontends.iter().any(|before| before.name == *name && is_served(before));
        let is_owner = is_served(frontend) || (!new.serves(frontend.vip) && had_vip(&frontend.name));
        let change = if is_owner { changed.remove(&frontend.vip).cloned() } else { None };
        let is_new = obstacle.is_some() && obstacle != old.obstacles.get(&frontend.name);
        if change.is_some() || is_new {
            vips.push(VipPreview {
                vip: frontend.vip,
                frontend: Some(frontend.name.clone()),
                change,
                obstacle: obstacle.cloned(),
                exceeded_budget: None,
                backends: backends(frontend.vip, old, new),
            });
        }
    }
    // VIPs that no Frontend claims any more.
    for (vip, change) in changed {
        let serving = |frontend: &&&Arc<Frontend>| frontend.vip == vip && is_served(frontend);
        let frontend = old.frontends.iter().find(serving).map(|frontend| frontend.name.clone());
        let backends = backends(vip, old, new);
        let change = Some(change.clone());
        vips.push(VipPreview { vip, frontend, change, obstacle: None, exceeded_budget: None, backends });
    }
    vips
}

impl<'i> Planned<'i> {
    /// True if a Frontend has the VIP.
    fn serves(&self, vip: VipKey) -> bool {
        self.owner(vip).is_some()
    }

    /// The Frontend that has the VIP.
    fn owner(&self, vip: VipKey) -> Option<&'i Arc<Frontend>> {
        self.frontends.iter().copied().find(|frontend| frontend.vip == vip && is_served(frontend))
    }
}

fn is_served(frontend: &Frontend) -> bool {
    !matches!(frontend.standing, Standing::Withdrawn(_))
}

fn backends(vip: VipKey, old: &Planned<'_>, new: &Planned<'_>) -> BTreeMap<IpAddr, Name> {
    let frontends = old.frontends.iter().chain(&new.frontends).filter(|frontend| frontend.vip == vip);
    let members = frontends.flat_map(|frontend| &frontend.pools).flat_map(|pool| &pool.members);
    members.filter_map(|member| Some((member.target.address()?, member.backend.clone()))).collect()
}

impl VppState {
    fn new(view: &View, vpp: &VppView, conf: ActualConf, address: IpAddr) -> Self {
        let on_address = || vpp.vips.range(vips_on_address(address));
        let vips = on_address().map(|(vip, state)| (*vip, actual_vip(state))).collect();
        let owned = on_address().filter(|(vip, _)| is_owned(vpp, vip)).filter_map(|(vip, _)| vip.key());
        Self {
            address,
            actual: Actual { vips, weightless: vpp.weightless },
            conf,
            // The names are not used by the policy.
            owned_vips: owned.map(|key| (key, Name::cluster(""))).collect(),
            held: view.holds.values().any(|hold| hold.change.is_none()),
        }
    }

    /// The disruption budget of the Frontend that has `vip` afterwards, if the change exceeds it by itself.
    fn exceeded_budget(
        &self,
        vip: VipKey,
        old: &Planned<'_>,
        new: &Planned<'_>,
        after: &NodeInputs,
    ) -> Option<BudgetExcess> {
        let (current, wanted) = old.owner(vip).zip(new.owner(vip))?;
        let budget = wanted.disruption.filter(|_| wanted.standing == Standing::Serving)?;
        let current = refreshed(current, wanted, |_| None);
        if has_same_tables(&current, wanted) {
            return None;
        }
        let (vip, weightless) = (self.actual.vips.get(&VppVip::from(vip))?, self.actual.weightless);
        let change = ConfigChange::new(&current, wanted, TableInputs { health: &after.health, vip, weightless });
        let is_allowed = change.is_needed || change.moved_percent <= f64::from(budget.max_moved_percent);
        (!is_allowed).then(|| BudgetExcess {
            max_moved_percent: budget.max_moved_percent,
            moved_permille: (change.moved_percent * 10.0).round() as u16,
            hold: after.node.sync.mass_removal_hold.max(budget.window),
        })
    }

    /// Plans as the agent does. The first call gives `flushes` the conditions from which a later call finds the edges.
    /// `held` removals are withheld.
    fn plan<'i>(&self, inputs: &'i NodeInputs, flushes: &mut Flushes, held: &BTreeSet<Removal>) -> Planned<'i> {
        let conf = desired_conf(&inputs.node, &self.conf);
        let frontends: Vec<_> =
            inputs.frontends.values().filter(|frontend| frontend.vip.address == self.address).collect();
        let (mut desired, mut obstacles) = (Desired::new(), BTreeMap::new());
        for frontend in &frontends {
            let mut effective = EffectiveWeights::default();
            if is_served(frontend) {
                let vpp = || self.actual.weights(frontend.vip.into());
                effective = effective_weights(frontend, &inputs.health, vpp());
                flushes.observe(frontend.vip, &effective.ases, frontend.on_backend_down, vpp());
            }
            let Some(vip) = desired_vip(frontend, effective, &self.actual) else {
                if let Standing::Withdrawn(problem) = &frontend.standing {
                    obstacles.insert(frontend.name.clone(), Obstacle::Withdrawn(problem.clone()));
                }
                continue;
            };
            let vip = match obstacle(frontend, &vip, &self.actual, &conf) {
                Some(problem) => DesiredVip::Hold { problem, weights: BTreeMap::new() },
                None => vip,
            };
            if let Some(problem) = vip.problem() {
                obstacles.insert(frontend.name.clone(), Obstacle::Held(problem.clone()));
            }
            desired.insert(frontend.vip, DesiredEntry { frontend: frontend.name.clone(), vip });
        }
        let (plan, removals) = self.steps(inputs, &desired, flushes, held, &mut obstacles);
        Planned { changes: plan.flow_changes(&self.actual), frontends, removals, obstacles }
    }

    /// The plan without the `held` removals and without what VPP would refuse, and its removals.
    fn steps(
        &self,
        inputs: &NodeInputs,
        desired: &Desired,
        flushes: &Flushes,
        held: &BTreeSet<Removal>,
        obstacles: &mut BTreeMap<Name, Obstacle>,
    ) -> (AddressPlan, BTreeSet<Removal>) {
        let policy = RemovalPolicy {
            owned_vips: &self.owned_vips,
            foreign: inputs.node.sync.foreign_vips,
            claims_unknown: inputs.claims_unknown,
        };
        let due = flushes.due(self.address);
        let mut plan = plan_address(self.address, desired, &self.actual, &due, policy);
        let owned = |removal: &Removal| {
            removal.server.is_some() || removal.vip.key().is_some_and(|key| self.owned_vips.contains_key(&key))
        };
        let removals = plan.removals().into_iter().filter(owned).collect();
        plan.withhold(held);
        for (vip, other) in plan.keep_blocked(desired, &self.actual, &due) {
            let Some(entry) = desired.get(&vip) else { continue };
            let message = format!("VPP refuses the VIP of Frontend {} beside {other}, which stays", entry.frontend);
            let problem = Problem::new(Reason::OtherVipInVpp, "spec.address", message);
            obstacles.insert(entry.frontend.clone(), Obstacle::Held(problem));
        }
        (plan, removals)
    }
}

fn actual_vip(state: &VipState) -> ActualVip {
    let VipState { encap, sticky, table_length, servers } = state;
    let server = |(address, weight): (&IpAddr, &u8)| (*address, ActualAs { weight: *weight, buckets: 0 });
    ActualVip {
        encap: *encap,
        sticky: *sticky,
        table_length: *table_length,
        pool_index: None,
        ases: servers.iter().map(server).collect(),
    }
}
