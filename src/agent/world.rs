//! What the agent knows: the configuration, the backends' health, and who is concerned when one of
//! them changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use imbl::ordmap::DiffItem;

use crate::model::{
    Name,
    actual::{Actual, ActualVip, VppVip},
    config::{Config, Frontend, NodeConfig, Standing},
    health::HealthSnapshot,
    vip::VipKey,
    weights::{Condition, Effective, conditions, effective_in},
};

/// What a change concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Concerned {
    /// Addresses whose VIPs have to be planned again.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Frontends that are no more, with their VIPs.
    pub(super) removed: Vec<(Name, VipKey)>,
    /// Everything has to be planned again, VPP's own settings included.
    pub(super) everything: bool,
}

/// One Frontend of an address as it is now.
#[derive(Debug)]
pub(super) struct VipView {
    /// The Frontend.
    pub(super) frontend: Arc<Frontend>,
    /// Its effective weights; none where it is withdrawn.
    pub(super) effective: Effective,
}

impl VipView {
    /// Whether VPP's VIP is to follow it.
    pub(super) fn is_served(&self) -> bool {
        !matches!(self.frontend.standing, Standing::Withdrawn(_))
    }
}

/// A Frontend, and what is known of its backends.
#[derive(Debug)]
pub(super) struct Known {
    /// The Frontend.
    pub(super) frontend: Arc<Frontend>,
    /// The conditions of its members, pool by pool. To look each of them up by name would be much of
    /// the time that a plan takes.
    conditions: Vec<Condition>,
}

impl Known {
    fn new(frontend: &Arc<Frontend>, health: &HealthSnapshot) -> Self {
        Self { frontend: Arc::clone(frontend), conditions: conditions(&frontend.pools, health) }
    }

    /// Something about `backend` is new in `health`.
    fn renew(&mut self, backend: &Name, health: &HealthSnapshot) {
        let members = self.frontend.pools.iter().flat_map(|pool| &pool.members);
        for (member, condition) in members.zip(&mut self.conditions) {
            if member.backend == *backend {
                *condition = Condition::of(&member.target, health);
            }
        }
    }

    /// Whether every backend has been known since the start.
    pub(super) fn is_complete(&self) -> bool {
        !self.conditions.contains(&Condition::NeverKnown)
    }

    /// VPP being as in `actual`.
    fn view(&self, actual: Option<&Actual>) -> VipView {
        let mut view = VipView { frontend: Arc::clone(&self.frontend), effective: Effective::default() };
        if view.is_served() {
            let vpp = vpp_weights(actual, self.frontend.vip);
            view.effective = effective_in(&self.frontend.pools, &self.conditions, vpp);
        }
        view
    }
}

/// The configuration and the health, indexed by whom a change concerns.
#[derive(Debug, Default)]
pub(super) struct World {
    config: Option<Config>,
    health: HealthSnapshot,
    by_address: BTreeMap<IpAddr, BTreeMap<Name, Known>>,
    /// The Frontends that use a Backend, each with its VIP's address.
    by_backend: HashMap<Name, BTreeSet<(IpAddr, Name)>>,
}

impl World {
    /// The configuration, once everything is listed.
    pub(super) fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// This node's settings.
    pub(super) fn node(&self) -> Option<&NodeConfig> {
        self.config.as_ref().map(|config| &*config.node)
    }

    /// The backends' health.
    pub(super) fn health(&self) -> &HealthSnapshot {
        &self.health
    }

    /// Every address that some Frontend claims.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// Takes a new configuration; work is proportional to what changed.
    pub(super) fn set_config(&mut self, new: Config) -> Concerned {
        let mut concerned = Concerned::default();
        match self.config.take() {
            None => {
                concerned.everything = true;
                for frontend in new.frontends.values() {
                    self.add(frontend, &mut concerned);
                }
            }
            Some(old) => {
                concerned.everything = old.node != new.node || old.claims_unknown != new.claims_unknown;
                for change in old.frontends.diff(&new.frontends) {
                    match change {
                        DiffItem::Add(_, frontend) => self.add(frontend, &mut concerned),
                        DiffItem::Remove(_, frontend) => self.remove(frontend, &mut concerned, true),
                        DiffItem::Update { old: (_, old), new: (_, new) } => {
                            self.remove(old, &mut concerned, old.vip != new.vip);
                            self.add(new, &mut concerned);
                        }
                    }
                }
            }
        }
        self.config = Some(new);
        concerned
    }

    /// Takes a new picture of the backends' health; work is proportional to what changed.
    pub(super) fn set_health(&mut self, new: HealthSnapshot) -> Concerned {
        let mut concerned = Concerned {
            everything: (self.health.suspect_v4, self.health.suspect_v6) != (new.suspect_v4, new.suspect_v6),
            ..Concerned::default()
        };
        for change in self.health.backends.diff(&new.backends) {
            let (DiffItem::Add(name, _) | DiffItem::Remove(name, _) | DiffItem::Update { new: (name, _), .. }) = change;
            for (address, user) in self.by_backend.get(name).into_iter().flatten() {
                concerned.addresses.insert(*address);
                let known = self.by_address.get_mut(address).and_then(|frontends| frontends.get_mut(user));
                known.into_iter().for_each(|known| known.renew(name, &new));
            }
        }
        if concerned.everything {
            for known in self.by_address.values_mut().flat_map(BTreeMap::values_mut) {
                *known = Known::new(&known.frontend, &new);
            }
        }
        self.health = new;
        concerned
    }

    /// Every Frontend, by address.
    pub(super) fn frontends(&self) -> impl Iterator<Item = &Known> {
        self.by_address.values().flat_map(BTreeMap::values)
    }

    /// The Frontends that claim `vip`, withdrawn ones included.
    pub(super) fn claimants(&self, vip: &VipKey) -> impl Iterator<Item = &Arc<Frontend>> {
        let frontends = self.on(vip.address).map(|known| &known.frontend);
        frontends.filter(move |frontend| frontend.vip == *vip)
    }

    /// The Frontends of `address` and their weights, VPP being as in `actual`.
    pub(super) fn views(&self, address: IpAddr, actual: Option<&Actual>) -> Vec<VipView> {
        self.on(address).map(|known| known.view(actual)).collect()
    }

    fn on(&self, address: IpAddr) -> impl Iterator<Item = &Known> {
        self.by_address.get(&address).into_iter().flat_map(BTreeMap::values)
    }

    fn add(&mut self, frontend: &Arc<Frontend>, concerned: &mut Concerned) {
        let address = frontend.vip.address;
        concerned.addresses.insert(address);
        self.by_address.entry(address).or_default().insert(frontend.name.clone(), Known::new(frontend, &self.health));
        for backend in backends(frontend) {
            self.by_backend.entry(backend.clone()).or_default().insert((address, frontend.name.clone()));
        }
    }

    fn remove(&mut self, frontend: &Frontend, concerned: &mut Concerned, gone: bool) {
        concerned.addresses.insert(frontend.vip.address);
        if gone {
            concerned.removed.push((frontend.name.clone(), frontend.vip));
        }
        if let Some(frontends) = self.by_address.get_mut(&frontend.vip.address) {
            frontends.remove(&frontend.name);
            if frontends.is_empty() {
                self.by_address.remove(&frontend.vip.address);
            }
        }
        let user = (frontend.vip.address, frontend.name.clone());
        for backend in backends(frontend) {
            if let Some(users) = self.by_backend.get_mut(backend) {
                users.remove(&user);
                if users.is_empty() {
                    self.by_backend.remove(backend);
                }
            }
        }
    }
}

/// The VIP as VPP has it.
pub(super) fn in_vpp(actual: Option<&Actual>, vip: VipKey) -> Option<&ActualVip> {
    actual?.vips.get(&VppVip::from(vip))
}

/// What tells the weight that VPP has for an application server of `vip`.
pub(super) fn vpp_weights(actual: Option<&Actual>, vip: VipKey) -> impl Fn(IpAddr) -> Option<u8> {
    let weights = actual.map(|actual| actual.weights(vip.into()));
    move |address| weights.as_ref()?(address)
}

fn backends(frontend: &Frontend) -> impl Iterator<Item = &Name> {
    frontend.pools.iter().flat_map(|pool| &pool.members).map(|member| &member.backend)
}

#[cfg(test)]
mod tests;
