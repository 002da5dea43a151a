//! Marks objects as dirty: their statuses are computed again.

use super::{Key, StatusEngine};
use maglev_kube::StatusKind;
use maglev_model::{
    Name,
    config::{AdminState, Kind},
};

impl StatusEngine {
    /// Marks all MaglevNodes and LoadBalancerConfigs as dirty. The times of passes are not tracked one by one.
    pub fn mark_nodes(&mut self) {
        let nodes: Vec<Name> = self.present_nodes.iter().map(|node| Name::cluster(node)).collect();
        nodes.into_iter().for_each(|node| self.mark(StatusKind::MaglevNode, node));
        let is_config = |key: &&Key| key.0 == StatusKind::Kind(Kind::LoadBalancerConfig);
        self.dirty.extend(self.stored.keys().filter(is_config).cloned());
    }

    /// Marks all AddressPolicies as dirty: their numbers follow from all Frontends and Backends.
    pub fn mark_policies(&mut self) {
        let is_policy = |key: &&Key| key.0 == StatusKind::Kind(Kind::AddressPolicy);
        self.dirty.extend(self.stored.keys().filter(is_policy).cloned());
    }

    pub fn mark_all(&mut self) {
        self.counts.clear();
        self.all_dirty = true;
    }

    pub fn mark_backend(&mut self, name: &Name) {
        self.counts.remove(name);
        let frontends: Vec<Name> = self.index.frontends_using(name).cloned().collect();
        frontends.into_iter().for_each(|frontend| self.mark(StatusKind::Kind(Kind::Frontend), frontend));
        self.mark(StatusKind::Kind(Kind::Backend), name.clone());
    }

    /// Marks the Backends that are paused or disabled as dirty: their conditions say which nodes report.
    pub fn mark_drains(&mut self) {
        let backends = self.config.iter().flat_map(|config| &config.backends);
        let drained = backends.filter(|(_, backend)| backend.admin_state != AdminState::Enabled);
        let drained: Vec<Key> = drained.map(|(name, _)| (StatusKind::Kind(Kind::Backend), name.clone())).collect();
        self.dirty.extend(drained);
    }

    /// Marks an object as dirty.
    pub fn mark(&mut self, kind: StatusKind, name: Name) {
        self.dirty.insert((kind, name));
    }
}
