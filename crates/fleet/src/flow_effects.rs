//! The effect of a change on the flows of all VIPs, computed by `maglev_model::preview` for each node. Nodes with equal
//! effects share one [`VipEffect`].

mod percent;
mod vip_effect;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    percent::{percent_text, rounded_percent},
    vip_effect::{Severity, VipEffect},
};
use super::NodeState;
use maglev_model::{
    Name,
    operator_change::OperatorChange,
    preview::{NodeInputs, NodePreview, VipPreview, WhatIf},
    vip::VipKey,
};

/// The effect on one node; an error is the reason for which it is not known.
pub type NodeEffect = (NodeState, Result<NodePreview, String>);

/// An effect, and the nodes that have it.
type Group<'n> = (&'n VipPreview, Vec<&'n NodeState>);

/// The effects on the VIPs of all nodes whose effect is known, by VIP and Frontend.
pub fn vip_effects(effects: &[NodeEffect]) -> Vec<VipEffect> {
    let mut vips: BTreeMap<(VipKey, Option<Name>), Vec<Group<'_>>> = BTreeMap::new();
    for (node, preview) in effects {
        for vip in preview.iter().flat_map(|preview| &preview.vips) {
            let groups = vips.entry((vip.vip, vip.frontend.clone())).or_default();
            match groups.iter_mut().find(|(other, _)| *other == vip) {
                Some((_, nodes)) => nodes.push(node),
                None => groups.push((vip, vec![node])),
            }
        }
    }
    vips.values().flatten().map(|(vip, nodes)| VipEffect::new(vip, nodes)).collect()
}

/// The effect of `change` on a node, and the Backends that are taken for up since no probe has decided yet. The effect is
/// not known while the agent is not connected to VPP.
pub fn what_if(change: &WhatIf, node: &NodeState) -> (Result<NodePreview, String>, BTreeSet<Name>) {
    let before = NodeInputs::from(&node.view);
    let mut after = change.apply(&before);
    let assumed = after.assume_up(&before);
    (NodePreview::new(&node.view, &before, &after).ok_or_else(vpp_not_connected), assumed)
}

/// The reason for an unknown effect on a node that reports.
pub fn vpp_not_connected() -> String {
    "the agent is not connected to VPP".to_owned()
}

/// A sentence for each VIP that an operator change has an effect on: its Frontend, the moved share of new flows, and the
/// effect on tracked flows.
pub fn sentences(change: &OperatorChange, nodes: Vec<NodeState>) -> Vec<String> {
    let change = WhatIf::from(change.clone());
    let effect = |node: NodeState| {
        let (effect, _) = what_if(&change, &node);
        (node, effect)
    };
    let effects: Vec<NodeEffect> = nodes.into_iter().map(effect).collect();
    let known = effects.iter().filter(|(_, effect)| effect.is_ok()).count();
    let mut sentences: Vec<String> = vip_effects(&effects).iter().map(|effect| effect.sentence(known)).collect();
    let unknown = effects.iter().filter_map(|(node, effect)| Some((&node.node, effect.as_ref().err()?)));
    sentences.extend(unknown.map(|(node, reason)| format!("{node}: not known: {reason}")));
    sentences
}
