//! The Backends on a Node.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, bail};
use kube::Api;

use super::{Drained, Flags, Session, check_server};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::{AdminState, Backend},
    derived::{DerivedName, Origin},
};

/// The Backends that have an address of the Node `node`, and whose admin state `includes` accepts; and, if a pool follows a
/// Service, the derived Backend of the Node.
///
/// # Errors
/// The Node cannot be read, or there is no such Backend.
pub async fn backends_of_node(
    session: &Session,
    flags: &Flags,
    node: &str,
    includes: fn(AdminState) -> bool,
) -> anyhow::Result<Vec<Name>> {
    check_server(flags)?;
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(session.kube().await?.clone());
    let object = api.get(node).await.with_context(|| format!("cannot read the addresses of Node {node}"))?;
    let addresses = object.status.and_then(|status| status.addresses).unwrap_or_default();
    let addresses: Vec<String> = addresses.into_iter().map(|address| address.address).collect();
    let nodes = session.nodes(None).await?;
    let names = names_on_node(&nodes, node, &addresses, includes);
    if names.is_empty() {
        bail!(
            "no Backend to change has an address of Node {node} ({}), and no pool follows a Service",
            addresses.join(", ")
        );
    }
    Ok(names)
}

fn names_on_node(nodes: &[NodeState], node: &str, addresses: &[String], includes: fn(AdminState) -> bool) -> Vec<Name> {
    let backends = || nodes.iter().flat_map(|node| node.view.backends.values());
    let is_stored = |backend: &&Arc<Backend>| Origin::parse(&backend.name).is_none();
    let on_node = backends().filter(|backend| addresses.contains(&backend.address.to_string())).filter(is_stored);
    let included = on_node.filter(|backend| includes(backend.admin_state));
    let mut names: BTreeSet<Name> = included.map(|backend| backend.name.clone()).collect();
    // Also a Node that no pool uses at present: it stays drained when a pod starts there.
    if !backends().all(|backend| is_stored(&backend)) {
        names.insert(DerivedName::node(node).into());
    }
    names.into_iter().collect()
}

/// `paused` with every address of a Node that a pool uses.
pub fn with_addresses(nodes: &[NodeState], paused: Vec<Drained>) -> Vec<Drained> {
    let mut all = Vec::new();
    for (name, generation) in paused {
        let of_node = nodes.iter().flat_map(|node| node.view.backends.keys());
        let mut names: BTreeSet<Name> =
            of_node.filter(|other| DerivedName::change_together(other, &name)).cloned().collect();
        if names.is_empty() {
            names.insert(name);
        }
        all.extend(names.into_iter().map(|name| (name, generation)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::what_if::tests::node;

    /// A node whose agent has Backends on the Nodes `a` (10.0.0.1) and `b`.
    fn agent(backends: &[(&str, [u8; 4], AdminState)]) -> NodeState {
        let mut state = node("lb-1", [0; 3]);
        let pattern = Arc::clone(state.view.backends.values().next().expect("the node has Backends"));
        state.view.backends = backends
            .iter()
            .map(|(name, address, admin_state)| {
                let (name, address, admin_state) = (Name::from(*name), (*address).into(), *admin_state);
                let backend = Backend { name: name.clone(), address, admin_state, ..(*pattern).clone() };
                (name, Arc::new(backend))
            })
            .collect();
        state
    }

    fn on_a(state: NodeState, includes: fn(AdminState) -> bool) -> Vec<String> {
        let names = names_on_node(&[state], "a", &["10.0.0.1".to_owned()], includes);
        names.iter().map(ToString::to_string).collect()
    }

    const STORED: [(&str, [u8; 4], AdminState); 3] = [
        ("shop/on", [10, 0, 0, 1], AdminState::Enabled),
        ("shop/off", [10, 0, 0, 1], AdminState::Disabled),
        ("shop/other", [10, 0, 0, 2], AdminState::Enabled),
    ];

    #[test]
    fn node_is_drained_in_pools_of_services_only_if_there_are_any() {
        let is_not_disabled = |state| state != AdminState::Disabled;
        assert_eq!(on_a(agent(&STORED), is_not_disabled), ["shop/on"]);
        let with_service = |more| agent(&[&STORED[..], &[(more, [10, 0, 0, 9], AdminState::Enabled)]].concat());
        assert_eq!(on_a(with_service("node:b"), is_not_disabled), ["node:a", "shop/on"], "a pod may start there");
        assert_eq!(on_a(with_service("shop/web@10.0.0.9"), is_not_disabled), ["node:a", "shop/on"]);
        // An endpoint in the host's network follows its Node.
        let host = agent(&[("shop/web@10.0.0.1", [10, 0, 0, 1], AdminState::Enabled)]);
        assert_eq!(on_a(host, is_not_disabled), ["node:a"]);
        assert_eq!(on_a(agent(&STORED), |state| state == AdminState::Paused), Vec::<String>::new());
    }

    #[test]
    fn drain_waits_for_every_address_of_a_node() {
        let state = agent(&[
            ("node:a", [10, 0, 0, 1], AdminState::Paused),
            ("node:a:ipv6", [10, 0, 0, 3], AdminState::Paused),
            ("node:b", [10, 0, 0, 2], AdminState::Enabled),
        ]);
        let names = |paused: &str| {
            let all = with_addresses(std::slice::from_ref(&state), vec![(Name::from(paused), 0)]);
            all.into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names("node:a"), ["node:a", "node:a:ipv6"]);
        assert_eq!(names("shop/on"), ["shop/on"]);
        assert_eq!(names("node:unused"), ["node:unused"]);
    }
}
