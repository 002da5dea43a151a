//! `explain policy NAMESPACE`: what a namespace may use, and the AddressPolicies that allow it.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{Grants, Limit, limits_text};
use crate::{
    output::{Cell, Page, Printable},
    session::Session,
};
use maglev_crd::Namespaces;
use maglev_index::{NamespaceLimits, PolicyExplainer};
use maglev_kube::{ReadPolicy, read_namespaces};

/// The grants of one namespace.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceGrants {
    namespace: String,
    /// `Allow`, `Audit` or `Enforce`.
    effect: &'static str,
    selected_by: Vec<String>,
    #[serde(flatten)]
    grants: Grants,
    limits: Vec<Limit>,
}

/// An explainer with the labels of the Namespaces, if one of `policies` selects them.
pub async fn explainer(session: &Session, policies: &[ReadPolicy]) -> anyhow::Result<PolicyExplainer> {
    let by_label = |policy: &ReadPolicy| {
        let namespaces = policy.object.spec.as_ref().ok().and_then(|spec| spec.namespaces.as_ref());
        matches!(namespaces, Some(Namespaces { selector: Some(_), .. }))
    };
    let namespaces = if policies.iter().any(by_label) {
        let context = "cannot list the Namespaces, whose labels an AddressPolicy selects";
        read_namespaces(session.kube().await?).await.context(context)?
    } else {
        Vec::new()
    };
    Ok(PolicyExplainer::new(policies.iter().map(|policy| policy.object.clone()).collect(), namespaces))
}

impl NamespaceGrants {
    pub fn new(namespace: &str, policies: &[ReadPolicy], explainer: &mut PolicyExplainer) -> Self {
        let selected_by = explainer.selecting(namespace);
        let mut grants = Grants::default();
        for policy in policies.iter().filter(|policy| selected_by.contains(&policy.object.meta.name)) {
            if let Ok(spec) = &policy.object.spec {
                grants.add(policy.object.meta.name.as_str(), spec);
            }
        }
        let NamespaceLimits { frontends, backends, table_entries, probes_per_second } = explainer.limits(namespace);
        let limits = [
            ("frontends", frontends),
            ("backends", backends),
            ("tableEntries", table_entries),
            ("probesPerSecond", probes_per_second),
        ];
        Self {
            namespace: namespace.to_owned(),
            effect: explainer.effect(namespace),
            selected_by: selected_by.iter().map(ToString::to_string).collect(),
            grants,
            limits: limits.into_iter().filter_map(|(field, limit)| Some(Limit { field, limit: limit? })).collect(),
        }
    }
}

/// The effect of AddressPolicies in a namespace, in words.
pub fn effect_text(effect: &str) -> &'static str {
    match effect {
        "Allow" => "there is no AddressPolicy, so everything is allowed",
        "Audit" => "Audit: what is not allowed takes effect and is reported (PolicyViolation)",
        _ => "Enforce: what is not allowed does not take effect",
    }
}

impl Printable for NamespaceGrants {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let selected = if self.selected_by.is_empty() { Cell::none() } else { self.selected_by.join(", ").into() };
        page.fields([
            ("Namespace", self.namespace.clone().into()),
            ("Selected by", selected),
            ("Effect", effect_text(self.effect).into()),
            ("Limits", limits_text(&self.limits)),
        ]);
        if self.effect != "Allow" {
            self.grants.print(&mut page);
        }
        page
    }
}
