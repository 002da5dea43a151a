//! Names for completion, from whoever knows them: the agents' mirrored states.

use std::collections::BTreeSet;

use super::grammar::{Read, Value};
use maglev_fleet::NodeState;
use maglev_model::{Name, config::Frontend};

/// The names that a value may have, given the words before it. Names of `namespace` are offered without it.
pub fn names(nodes: &[NodeState], namespace: &str, kind: Value, read: &Read) -> Vec<String> {
    let views = || nodes.iter().map(|node| &node.view);
    let short = |name: &Name| if name.namespace() == namespace { name.name().to_owned() } else { name.to_string() };
    let found: BTreeSet<String> = match kind {
        Value::Backend => views().flat_map(|view| view.backends.keys()).map(short).collect(),
        Value::Frontend => views().flat_map(|view| view.frontends.keys()).map(short).collect(),
        Value::Hold => views().flat_map(|view| view.holds.keys()).map(ToString::to_string).collect(),
        Value::Pool => frontends(nodes, namespace, read)
            .flat_map(|frontend| frontend.pools.iter().map(|pool| pool.name.to_string()))
            .collect(),
        Value::Member => {
            let pool = read.value(Value::Pool).unwrap_or_default();
            let pools = frontends(nodes, namespace, read).flat_map(|frontend| &frontend.pools);
            let members = pools.filter(|of| &*of.name == pool).flat_map(|of| &of.members);
            members.map(|member| member.backend.name().to_owned()).collect()
        }
        Value::Weight | Value::Count | Value::Level => BTreeSet::new(),
    };
    found.into_iter().collect()
}

/// The Frontend that was named before, as each node has it.
fn frontends<'n>(nodes: &'n [NodeState], namespace: &str, read: &Read) -> impl Iterator<Item = &'n Frontend> {
    let text = read.value(Value::Frontend).unwrap_or_default();
    let name = match text.split_once('/') {
        Some((namespace, name)) => Name::namespaced(namespace, name),
        None => Name::namespaced(namespace, text),
    };
    nodes.iter().filter_map(move |node| node.view.frontends.get(&name)).map(|frontend| &**frontend)
}
