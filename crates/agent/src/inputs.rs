//! The agent's inputs: the configuration and the health of the backends, indexed by address, so that a change yields
//! the affected addresses.

mod backends;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use imbl::ordmap::DiffItem;
use slab::Slab;

use self::backends::{Backends, UserId};
use maglev_model::{
    Name,
    actual::{Actual, ActualVip, VppVip},
    config::{Backend, Config, Frontend, Member, MemberTarget, NodeConfig, Standing},
    health::HealthSnapshot,
    vip::VipKey,
    weights::{BackendCondition, EffectiveWeights, effective_weights, effective_weights_by},
};

/// The addresses and Frontends that a change affects.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Addresses whose VIPs have to be planned again.
    pub addresses: BTreeSet<IpAddr>,
    /// Deleted Frontends, with their VIPs.
    pub removed: Vec<(Name, VipKey)>,
    /// Every address has to be planned again, and VPP's global settings have to be compared.
    pub everything: bool,
}

/// A Frontend of an address, with its current effective weights.
#[derive(Debug)]
pub struct VipView {
    pub frontend: Arc<Frontend>,
    /// The effective weights; empty if the Frontend is withdrawn.
    pub effective: EffectiveWeights,
    /// The Frontend as configured, while a change of it is held and `frontend` is the one of before.
    pub held_change: Option<Arc<Frontend>>,
}

impl VipView {
    /// The same VIP, while `in_force` is followed instead of the Frontend as configured.
    pub fn held_at(self, in_force: Arc<Frontend>, health: &HealthSnapshot, actual: Option<&Actual>) -> Self {
        let effective = effective_weights(&in_force, health, vpp_weights(actual, in_force.vip));
        Self { frontend: in_force, effective, held_change: Some(self.frontend) }
    }

    /// The Frontend as configured.
    pub fn configured(&self) -> &Arc<Frontend> {
        self.held_change.as_ref().unwrap_or(&self.frontend)
    }

    /// True if the VIP in VPP follows this Frontend.
    pub fn is_served(&self) -> bool {
        !matches!(self.frontend.standing, Standing::Withdrawn(_))
    }
}

/// A Frontend as a user of Backends.
#[derive(Debug)]
struct Claimant {
    frontend: Arc<Frontend>,
    user: UserId,
    /// The slots of its members' Backends, pool by pool.
    backends: Box<[usize]>,
}

/// The configuration and the health of the backends, indexed by the objects that a change affects.
#[derive(Debug, Default)]
pub struct Inputs {
    config: Option<Config>,
    health: HealthSnapshot,
    by_address: BTreeMap<IpAddr, BTreeMap<Name, Claimant>>,
    backends: Backends,
    /// The Frontends that use Backends, with the addresses of their VIPs.
    users: Slab<(IpAddr, Name)>,
}

impl Inputs {
    /// The configuration; `None` before the first complete list.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// This node's settings.
    pub fn node(&self) -> Option<&NodeConfig> {
        self.config.as_ref().map(|config| &*config.node)
    }

    /// The backends' health.
    pub fn health(&self) -> &HealthSnapshot {
        &self.health
    }

    /// All addresses claimed by Frontends.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// Replaces the configuration. The work is proportional to the change.
    pub fn set_config(&mut self, new: Config) -> Affected {
        let mut affected = Affected::default();
        match self.config.take() {
            None => {
                affected.everything = true;
                for frontend in new.frontends.values() {
                    self.add(frontend, &mut affected);
                }
            }
            Some(old) => {
                affected.everything = old.node != new.node || old.claims_unknown != new.claims_unknown;
                for change in old.frontends.diff(&new.frontends) {
                    match change {
                        DiffItem::Add(_, frontend) => self.add(frontend, &mut affected),
                        DiffItem::Remove(_, frontend) => self.remove(frontend, &mut affected, true),
                        DiffItem::Update { old: (_, old), new: (_, new) } => {
                            if !self.replace(old, new, &mut affected) {
                                self.remove(old, &mut affected, old.vip != new.vip);
                                self.add(new, &mut affected);
                            }
                        }
                    }
                }
            }
        }
        self.config = Some(new);
        affected
    }

    /// Replaces the health of the backends. The work is proportional to the change.
    pub fn set_health(&mut self, new: HealthSnapshot) -> Affected {
        let mut affected = Affected {
            everything: (self.health.suspect_v4, self.health.suspect_v6) != (new.suspect_v4, new.suspect_v6),
            ..Affected::default()
        };
        for change in self.health.backends.diff(&new.backends) {
            let (name, health) = match change {
                DiffItem::Add(name, health) | DiffItem::Update { new: (name, health), .. } => (name, Some(health)),
                DiffItem::Remove(name, _) => (name, None),
            };
            let users = self.backends.set_health(name, health);
            affected.addresses.extend(users.filter_map(|user| Some(self.users.get(user)?.0)));
        }
        let frontends = self.config.as_ref().map(|config| &config.frontends);
        for change in self.health.paths.diff(&new.paths) {
            let (DiffItem::Add(path, _) | DiffItem::Update { new: (path, _), .. } | DiffItem::Remove(path, _)) = change;
            affected.addresses.extend(frontends.and_then(|all| Some(all.get(&path.frontend)?.vip.address)));
        }
        self.health = new;
        affected
    }

    /// All Frontends, ordered by address.
    pub fn frontends(&self) -> impl Iterator<Item = &Arc<Frontend>> {
        self.by_address.values().flat_map(BTreeMap::values).map(|claimant| &claimant.frontend)
    }

    /// The Frontends that claim `vip`, withdrawn ones included.
    pub fn claimants(&self, vip: &VipKey) -> impl Iterator<Item = &Arc<Frontend>> {
        let frontends = self.claimants_on(vip.address).map(|claimant| &claimant.frontend);
        frontends.filter(move |frontend| frontend.vip == *vip)
    }

    /// The VIPs of the Frontends that name `backend` in a pool, without those of withdrawn Frontends.
    pub fn vips_of_backend(&self, backend: &Name) -> impl Iterator<Item = VipKey> {
        let users = self.backends.users(backend).filter_map(|user| self.users.get(user));
        let claimants = users.filter_map(|(address, name)| self.by_address.get(address)?.get(name));
        let served = claimants.filter(|claimant| !matches!(claimant.frontend.standing, Standing::Withdrawn(_)));
        served.map(|claimant| claimant.frontend.vip)
    }

    /// The Frontends of `address` with their weights, given VPP's state `actual`.
    pub fn views(&self, address: IpAddr, actual: Option<&Actual>) -> Vec<VipView> {
        self.claimants_on(address).map(|claimant| self.view(claimant, actual)).collect()
    }

    /// True if every backend of `frontend` has had a health state since the start.
    pub fn all_backends_known(&self, frontend: &Frontend) -> bool {
        members(frontend)
            .all(|member| !BackendCondition::of_member(frontend, &member.target, &self.health).is_never_known())
    }

    /// The condition of a Backend, which need not be in use.
    pub fn condition(&self, backend: &Arc<Backend>) -> BackendCondition {
        BackendCondition::from_snapshot(&MemberTarget::Backend(Arc::clone(backend)), &self.health)
    }

    fn claimants_on(&self, address: IpAddr) -> impl Iterator<Item = &Claimant> {
        self.by_address.get(&address).into_iter().flat_map(BTreeMap::values)
    }

    fn view(&self, claimant: &Claimant, actual: Option<&Actual>) -> VipView {
        let Claimant { frontend, backends, .. } = claimant;
        let frontend_view = Arc::clone(frontend);
        let mut view = VipView { frontend: frontend_view, effective: EffectiveWeights::default(), held_change: None };
        if view.is_served() {
            let suspect = |family| self.health.suspect(family);
            let condition = |index: usize, member: &Member| {
                let health = backends.get(index).and_then(|slot| self.backends.health(*slot));
                let condition = BackendCondition::new(&member.target, health, suspect);
                condition.with_path_of(frontend, &member.target, &self.health)
            };
            view.effective = effective_weights_by(&frontend.pools, condition, vpp_weights(actual, frontend.vip));
        }
        view
    }

    fn add(&mut self, frontend: &Arc<Frontend>, affected: &mut Affected) {
        let (address, name) = (frontend.vip.address, &frontend.name);
        affected.addresses.insert(address);
        let user = self.users.insert((address, name.clone()));
        let slot = |member: &Member| self.backends.add(&member.backend, user, &self.health);
        let backends = members(frontend).map(slot).collect();
        let claimant = Claimant { frontend: Arc::clone(frontend), user, backends };
        self.by_address.entry(address).or_default().insert(name.clone(), claimant);
    }

    /// Replaces a Frontend by one with the same VIP and the same Backends, of which only weights may differ. Returns false if
    /// there is more to change.
    fn replace(&mut self, old: &Frontend, new: &Arc<Frontend>, affected: &mut Affected) -> bool {
        let backends = |frontend| members(frontend).map(|member| &member.backend);
        if old.vip != new.vip || !backends(old).eq(backends(new)) {
            return false;
        }
        let claimants = self.by_address.get_mut(&old.vip.address);
        let Some(claimant) = claimants.and_then(|claimants| claimants.get_mut(&old.name)) else { return false };
        claimant.frontend = Arc::clone(new);
        affected.addresses.insert(new.vip.address);
        true
    }

    fn remove(&mut self, frontend: &Frontend, affected: &mut Affected, removed: bool) {
        affected.addresses.insert(frontend.vip.address);
        if removed {
            affected.removed.push((frontend.name.clone(), frontend.vip));
        }
        let Some(frontends) = self.by_address.get_mut(&frontend.vip.address) else { return };
        let Some(Claimant { user, .. }) = frontends.remove(&frontend.name) else { return };
        if frontends.is_empty() {
            self.by_address.remove(&frontend.vip.address);
        }
        self.users.try_remove(user);
        for member in members(frontend) {
            self.backends.remove(&member.backend, user);
        }
    }
}

/// The state of a VIP in VPP.
pub fn in_vpp(actual: Option<&Actual>, vip: VipKey) -> Option<&ActualVip> {
    actual?.vips.get(&VppVip::from(vip))
}

/// A function that returns the weight of an application server of `vip` in VPP.
pub fn vpp_weights(actual: Option<&Actual>, vip: VipKey) -> impl Fn(IpAddr) -> Option<u8> {
    let weights = actual.map(|actual| actual.weights(vip.into()));
    move |address| weights.as_ref()?(address)
}

/// The members of all pools.
fn members(frontend: &Frontend) -> impl Iterator<Item = &Member> {
    frontend.pools.iter().flat_map(|pool| &pool.members)
}

#[cfg(test)]
mod tests;
