//! Answers questions about AddressPolicies without an index, for display. Called by `cli`.

use maglev_crd::{AddressPolicySpec, FrontendSpec};

use super::{
    NamespaceObject, Stored, Work,
    policies::{Effect, Grant, Policies},
    read,
};
use maglev_model::Name;

/// The AddressPolicies and the labels of the Namespaces.
pub struct PolicyExplainer {
    policies: Policies,
}

/// Limits of a namespace; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceLimits {
    pub frontends: Option<u64>,
    pub backends: Option<u64>,
    pub table_entries: Option<u64>,
    pub probes_per_second: Option<u64>,
}

impl PolicyExplainer {
    /// `namespaces` may be empty if no AddressPolicy selects by label.
    pub fn new(policies: Vec<Stored<AddressPolicySpec>>, namespaces: Vec<NamespaceObject>) -> Self {
        let mut stored = Policies::default();
        for Stored { meta, spec } in policies {
            let read = read::address_policy(&meta.name, spec.as_ref());
            stored.apply(meta, read, false);
        }
        namespaces.into_iter().for_each(|namespace| stored.apply_namespace(namespace));
        Self { policies: stored }
    }

    /// The AddressPolicies that select `namespace`, by name.
    pub fn selecting(&self, namespace: &str) -> Vec<Name> {
        self.policies.names().filter(|name| self.policies.selects(name, namespace)).cloned().collect()
    }

    /// The effect on what no AddressPolicy allows in `namespace`: `Allow`, because there is none, `Audit` or `Enforce`.
    pub fn effect(&mut self, namespace: &str) -> &'static str {
        match self.grant(namespace).effect {
            Effect::Allow => "Allow",
            Effect::Report => "Audit",
            Effect::Refuse => "Enforce",
        }
    }

    /// The limits of `namespace`.
    pub fn limits(&mut self, namespace: &str) -> NamespaceLimits {
        let limits = self.grant(namespace).limits;
        NamespaceLimits {
            frontends: limits.frontends,
            backends: limits.backends,
            table_entries: limits.table_entries,
            probes_per_second: limits.probes_per_second,
        }
    }

    /// The AddressPolicies that allow the Frontend `name`, by name.
    pub fn allowing(&mut self, name: &Name, spec: &FrontendSpec) -> Vec<Name> {
        let read = read::frontend(name, Ok(spec), true);
        let grant = self.grant(name.namespace());
        let mut allowing: Vec<Name> = read
            .usage()
            .into_iter()
            .flat_map(|usage| grant.frontend_rules(usage))
            .map(|rule| rule.policy.clone())
            .collect();
        allowing.sort();
        allowing.dedup();
        allowing
    }

    fn grant(&mut self, namespace: &str) -> std::sync::Arc<Grant> {
        self.policies.grant(namespace, &mut Work::default())
    }
}
