//! The effect of changed objects on each node.

use std::{collections::BTreeSet, thread};

use maglev_fleet::{
    NodeState,
    flow_effects::{NodeEffect, vpp_not_connected},
};
use maglev_index::{ChangedObjects, ConfigPair, IndexOptions};
use maglev_model::{
    Name,
    preview::{NodeInputs, NodePreview},
    view::View,
};

/// The effect on each of `nodes`. Adds Backends that are taken for up to `assumed`.
pub fn previews(changed: &ChangedObjects, nodes: Vec<NodeState>, assumed: &mut BTreeSet<Name>) -> Vec<NodeEffect> {
    if changed.changed.is_empty() {
        let preview = |node: NodeState| {
            let preview = node.view.vpp.as_ref().map(|_| NodePreview::default()).ok_or_else(vpp_not_connected);
            (node, preview)
        };
        return nodes.into_iter().map(preview).collect();
    }
    // Each node resolves all objects with its own settings.
    let threads = thread::available_parallelism().map_or(1, usize::from).min(nodes.len().max(1));
    let size = nodes.len().div_ceil(threads).max(1);
    let results: Vec<_> = thread::scope(|scope| {
        let part = |nodes: &[NodeState]| -> Vec<_> { nodes.iter().map(|node| preview(changed, node)).collect() };
        let parts: Vec<_> = nodes.chunks(size).map(|nodes| scope.spawn(move || part(nodes))).collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let previews = nodes.into_iter().zip(results).map(|(node, result)| {
        let preview = result.map(|(preview, taken_for_up)| {
            assumed.extend(taken_for_up);
            preview
        });
        (node, preview)
    });
    previews.collect()
}

/// The effect on a node, and the Backends that are taken for up.
fn preview(changed: &ChangedObjects, node: &NodeState) -> Result<(NodePreview, BTreeSet<Name>), String> {
    let view = &node.view;
    let options = IndexOptions {
        allow_loopback: has_loopback(view),
        node_name: Some(node.node.to_string()),
        icmp_missing: None,
        services: true,
    };
    let pair = changed.resolve(options);
    let ConfigPair { before, after } = pair.ok_or_else(|| format!("there is no Node {}", node.node))?;
    let (mut before, mut after) =
        (NodeInputs::new(&before, view.health.clone()), NodeInputs::new(&after, view.health.clone()));
    NodeInputs::adopt_reported(&mut before, &mut after, view);
    let assumed = after.assume_up(&before);
    let preview = NodePreview::new(view, &before, &after).ok_or_else(vpp_not_connected)?;
    Ok((preview, assumed))
}

/// True if the agent accepts loopback addresses, which is an option of its own that it does not report.
fn has_loopback(view: &View) -> bool {
    view.backends.values().any(|backend| backend.address.is_loopback())
        || view.frontends.values().any(|frontend| frontend.vip.address.is_loopback())
}
