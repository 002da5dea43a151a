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
    config::{Config, Frontend, NodeConfig},
    desired::{Want, want},
    health::HealthSnapshot,
    vip::VipKey,
    weights::Effective,
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

/// One Frontend of an address, with what it wants now.
#[derive(Debug)]
pub(super) struct VipView {
    /// The Frontend.
    pub(super) frontend: Arc<Frontend>,
    /// What it wants; `None` for a withdrawn one.
    pub(super) want: Option<Want>,
    /// Its effective weights.
    pub(super) effective: Effective,
}

/// The configuration and the health, indexed by whom a change concerns.
#[derive(Debug, Default)]
pub(super) struct World {
    config: Option<Config>,
    health: HealthSnapshot,
    by_address: BTreeMap<IpAddr, BTreeSet<Name>>,
    by_backend: HashMap<Name, BTreeSet<Name>>,
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
        let frontends = self.config.as_ref().map(|config| &config.frontends);
        for change in self.health.backends.diff(&new.backends) {
            let (DiffItem::Add(name, _) | DiffItem::Remove(name, _) | DiffItem::Update { new: (name, _), .. }) = change;
            for user in self.by_backend.get(name).into_iter().flatten() {
                let frontend = frontends.and_then(|frontends| frontends.get(user));
                concerned.addresses.extend(frontend.map(|frontend| frontend.vip.address));
            }
        }
        self.health = new;
        concerned
    }

    /// The Frontends that claim `vip`, withdrawn ones included.
    pub(super) fn claimants(&self, vip: &VipKey) -> impl Iterator<Item = &Arc<Frontend>> {
        let names = self.by_address.get(&vip.address).into_iter().flatten();
        let frontends = names.filter_map(|name| self.config.as_ref()?.frontends.get(name));
        frontends.filter(move |frontend| frontend.vip == *vip)
    }

    /// The Frontends of `address` and what each wants, VPP being as in `actual`.
    pub(super) fn views(&self, address: IpAddr, actual: Option<&Actual>) -> Vec<VipView> {
        let names = self.by_address.get(&address).into_iter().flatten();
        let frontends = names.filter_map(|name| self.config.as_ref()?.frontends.get(name));
        frontends.map(|frontend| self.view(frontend, actual)).collect()
    }

    fn view(&self, frontend: &Arc<Frontend>, actual: Option<&Actual>) -> VipView {
        let (want, effective) = match want(frontend, &self.health, actual) {
            Some((want, effective)) => (Some(want), effective),
            None => (None, Effective::default()),
        };
        VipView { frontend: Arc::clone(frontend), want, effective }
    }

    fn add(&mut self, frontend: &Frontend, concerned: &mut Concerned) {
        concerned.addresses.insert(frontend.vip.address);
        self.by_address.entry(frontend.vip.address).or_default().insert(frontend.name.clone());
        for backend in backends(frontend) {
            self.by_backend.entry(backend.clone()).or_default().insert(frontend.name.clone());
        }
    }

    fn remove(&mut self, frontend: &Frontend, concerned: &mut Concerned, gone: bool) {
        concerned.addresses.insert(frontend.vip.address);
        if gone {
            concerned.removed.push((frontend.name.clone(), frontend.vip));
        }
        if let Some(names) = self.by_address.get_mut(&frontend.vip.address) {
            names.remove(&frontend.name);
            if names.is_empty() {
                self.by_address.remove(&frontend.vip.address);
            }
        }
        for backend in backends(frontend) {
            if let Some(names) = self.by_backend.get_mut(backend) {
                names.remove(&frontend.name);
                if names.is_empty() {
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

fn backends(frontend: &Frontend) -> impl Iterator<Item = &Name> {
    frontend.pools.iter().flat_map(|pool| &pool.members).map(|member| &member.backend)
}
