//! What the agent knows: the configuration, the backends' health, and who is concerned when one of
//! them changes.

mod backends;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use imbl::ordmap::DiffItem;

use self::backends::Backends;
use maglev_model::{
    Name,
    actual::{Actual, ActualVip, VppVip},
    config::{Config, Frontend, Member, NodeConfig, Standing},
    health::HealthSnapshot,
    vip::VipKey,
    weights::{Condition, Effective, effective_by},
};

/// What a change concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Addresses whose VIPs have to be planned again.
    pub addresses: BTreeSet<IpAddr>,
    /// Frontends that are no more, with their VIPs.
    pub removed: Vec<(Name, VipKey)>,
    /// Everything has to be planned again, VPP's own settings included.
    pub everything: bool,
}

/// One Frontend of an address as it is now.
#[derive(Debug)]
pub struct VipView {
    pub frontend: Arc<Frontend>,
    /// Its effective weights; none where it is withdrawn.
    pub effective: Effective,
}

impl VipView {
    /// Whether VPP's VIP is to follow it.
    pub fn is_served(&self) -> bool {
        !matches!(self.frontend.standing, Standing::Withdrawn(_))
    }
}

/// A Frontend, and where its members' Backends are, pool by pool.
#[derive(Debug)]
struct Claimant {
    frontend: Arc<Frontend>,
    backends: Vec<usize>,
}

/// The configuration and the health, indexed by whom a change concerns.
#[derive(Debug, Default)]
pub struct Inputs {
    config: Option<Config>,
    health: HealthSnapshot,
    by_address: BTreeMap<IpAddr, BTreeMap<Name, Claimant>>,
    backends: Backends,
}

impl Inputs {
    /// The configuration, once everything is listed.
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

    /// Every address that some Frontend claims.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// Takes a new configuration; work is proportional to what changed.
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
                            self.remove(old, &mut affected, old.vip != new.vip);
                            self.add(new, &mut affected);
                        }
                    }
                }
            }
        }
        self.config = Some(new);
        affected
    }

    /// Takes a new cached of the backends' health; work is proportional to what changed.
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
            affected.addresses.extend(users.map(|(address, _)| *address));
        }
        self.health = new;
        affected
    }

    /// Every Frontend, by address.
    pub fn frontends(&self) -> impl Iterator<Item = &Arc<Frontend>> {
        self.by_address.values().flat_map(BTreeMap::values).map(|claimant| &claimant.frontend)
    }

    /// The Frontends that claim `vip`, withdrawn ones included.
    pub fn claimants(&self, vip: &VipKey) -> impl Iterator<Item = &Arc<Frontend>> {
        let frontends = self.claimants_on(vip.address).map(|claimant| &claimant.frontend);
        frontends.filter(move |frontend| frontend.vip == *vip)
    }

    /// The Frontends of `address` and their weights, VPP being as in `actual`.
    pub fn views(&self, address: IpAddr, actual: Option<&Actual>) -> Vec<VipView> {
        self.claimants_on(address).map(|claimant| self.view(claimant, actual)).collect()
    }

    /// Whether every backend of `frontend` has been known since the start.
    pub fn all_backends_known(&self, frontend: &Frontend) -> bool {
        members(frontend).all(|member| Condition::of(&member.target, &self.health) != Condition::NeverKnown)
    }

    fn claimants_on(&self, address: IpAddr) -> impl Iterator<Item = &Claimant> {
        self.by_address.get(&address).into_iter().flat_map(BTreeMap::values)
    }

    fn view(&self, claimant: &Claimant, actual: Option<&Actual>) -> VipView {
        let Claimant { frontend, backends } = claimant;
        let mut view = VipView { frontend: Arc::clone(frontend), effective: Effective::default() };
        if view.is_served() {
            let suspect = |family| self.health.suspect(family);
            let condition = |index: usize, member: &Member| {
                let health = backends.get(index).and_then(|place| self.backends.health(*place));
                Condition::of_known(&member.target, health, suspect)
            };
            view.effective = effective_by(&frontend.pools, condition, vpp_weights(actual, frontend.vip));
        }
        view
    }

    fn add(&mut self, frontend: &Arc<Frontend>, affected: &mut Affected) {
        let (address, name) = (frontend.vip.address, &frontend.name);
        affected.addresses.insert(address);
        let place = |member: &Member| self.backends.add(&member.backend, (address, name.clone()), &self.health);
        let backends = members(frontend).map(place).collect();
        let claimant = Claimant { frontend: Arc::clone(frontend), backends };
        self.by_address.entry(address).or_default().insert(name.clone(), claimant);
    }

    fn remove(&mut self, frontend: &Frontend, affected: &mut Affected, gone: bool) {
        affected.addresses.insert(frontend.vip.address);
        if gone {
            affected.removed.push((frontend.name.clone(), frontend.vip));
        }
        if let Some(frontends) = self.by_address.get_mut(&frontend.vip.address) {
            frontends.remove(&frontend.name);
            if frontends.is_empty() {
                self.by_address.remove(&frontend.vip.address);
            }
        }
        let user = (frontend.vip.address, frontend.name.clone());
        for member in members(frontend) {
            self.backends.remove(&member.backend, &user);
        }
    }
}

/// The VIP as VPP has it.
pub fn in_vpp(actual: Option<&Actual>, vip: VipKey) -> Option<&ActualVip> {
    actual?.vips.get(&VppVip::from(vip))
}

/// What tells the weight that VPP has for an application server of `vip`.
pub fn vpp_weights(actual: Option<&Actual>, vip: VipKey) -> impl Fn(IpAddr) -> Option<u8> {
    let weights = actual.map(|actual| actual.weights(vip.into()));
    move |address| weights.as_ref()?(address)
}

/// The members through all pools.
fn members(frontend: &Frontend) -> impl Iterator<Item = &Member> {
    frontend.pools.iter().flat_map(|pool| &pool.members)
}

#[cfg(test)]
mod tests;
