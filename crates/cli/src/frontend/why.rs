//! `why frontend X`: what allows or denies it, and why it is programmed or not, on each node.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    coverage::NodeCoverage,
    output::{Page, Printable},
    path::Path,
    policy::explain::effect_text,
    style::Style,
    weights::{MemberWeight, RampProgress, member_weights},
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    actual::VppVip,
    config::{Frontend, Kind, Standing},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendExplanation {
    name: String,
    vip: String,
    policies: PolicyAnswer,
    #[serde(flatten)]
    coverage: NodeCoverage,
    per_node: Vec<PerNode>,
}

/// The AddressPolicies that concern the Frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "known")]
pub enum PolicyAnswer {
    /// They cannot be read.
    #[serde(rename = "no")]
    Unknown { because: String },
    #[serde(rename = "yes", rename_all = "camelCase")]
    Known {
        /// `Allow`, `Audit` or `Enforce`.
        effect: &'static str,
        selected_by: Vec<String>,
        allowed_by: Vec<String>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PerNode {
    node: Arc<str>,
    standing: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    programmed: Option<String>,
    in_vpp: bool,
    because: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<Path>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ramps: Vec<BackendRamp>,
}

/// The ramp of a backend.
#[derive(Serialize)]
struct BackendRamp {
    backend: String,
    #[serde(flatten)]
    progress: RampProgress,
}

impl FrontendExplanation {
    /// `None` if no reporting node has the Frontend.
    pub fn new(name: &Name, nodes: Vec<NodeState>, policies: PolicyAnswer) -> Option<Self> {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let instances: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.frontends.get(name)?))).collect();
        let (_, newest) = instances.iter().max_by_key(|(_, frontend)| frontend.revision.generation)?;
        Some(Self {
            name: name.to_string(),
            vip: newest.vip.to_string(),
            policies,
            per_node: instances.iter().map(|(node, frontend)| PerNode::new(node, frontend)).collect(),
            coverage,
        })
    }
}

impl PerNode {
    fn new(node: &NodeState, frontend: &Frontend) -> Self {
        let view = &node.view;
        let report = view.reports.get(&frontend.name);
        let problems = view.object_problems(Kind::Frontend, &frontend.name);
        let programmed = report.map(|report| match &*report.reason {
            "" => report.result.as_str().to_owned(),
            reason => format!("{} ({reason})", report.result.as_str()),
        });
        Self {
            node: Arc::clone(&node.node),
            standing: match frontend.standing {
                Standing::Serving => "serving",
                Standing::Held(_) => "held",
                Standing::Withdrawn(_) => "withdrawn",
            },
            state: view.frontend_state(&frontend.name).as_str(),
            programmed,
            in_vpp: view.vpp.as_ref().is_some_and(|vpp| vpp.vips.contains_key(&VppVip::from(frontend.vip))),
            because: problems
                .iter()
                .flat_map(|list| list.problems.iter())
                .map(|problem| problem.message.clone())
                .collect(),
            paths: view.frontend_paths(&frontend.name).map(|(key, health)| Path::new(&key.backend, health)).collect(),
            ramps: ramps(node, frontend),
        }
    }
}

fn ramps(node: &NodeState, frontend: &Frontend) -> Vec<BackendRamp> {
    let members = member_weights(node, &frontend.name).into_iter();
    let ramp = |member: MemberWeight| Some(BackendRamp { backend: member.backend.to_string(), progress: member.ramp? });
    members.filter_map(ramp).collect()
}

impl PolicyAnswer {
    fn text(&self) -> String {
        match self {
            Self::Unknown { because } => format!("not known: {because}"),
            Self::Known { effect, allowed_by, .. } if *effect == "Allow" => {
                debug_assert!(allowed_by.is_empty(), "there is no AddressPolicy");
                effect_text(effect).to_owned()
            }
            Self::Known { allowed_by, .. } if !allowed_by.is_empty() => format!("allowed by {}", allowed_by.join(", ")),
            Self::Known { effect, selected_by, .. } => {
                let selected = match selected_by.is_empty() {
                    true => "no AddressPolicy selects the namespace".to_owned(),
                    false => format!("not allowed by {}", selected_by.join(", ")),
                };
                format!("{selected}; {}", effect_text(effect))
            }
        }
    }
}

impl Printable for FrontendExplanation {
    fn page(&self, _: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        page.fields([
            ("Frontend", self.name.clone().into()),
            ("VIP", self.vip.clone().into()),
            ("AddressPolicies", self.policies.text().into()),
        ]);
        for node in &self.per_node {
            page.heading(&format!("On {}: {}, {}", node.node, node.standing, node.state));
            let in_vpp = if node.in_vpp { "VPP has the VIP" } else { "VPP does not have the VIP" };
            let programmed = node.programmed.as_deref().unwrap_or("no report yet");
            page.line(format_args!("  {in_vpp}; {programmed}"));
            for reason in &node.because {
                page.styled(Style::Warn, format_args!("  {reason}"));
            }
            for ramp in &node.ramps {
                page.line(format_args!("  {}: {}", ramp.backend, ramp.progress.text(now)));
            }
            for path in &node.paths {
                page.styled(path.style(), format_args!("  path to {}: {}", path.name, path.text(now)));
            }
        }
        self.coverage.footnote(&mut page);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_what_allows_or_denies() {
        let known = |effect, selected_by: &[&str], allowed_by: &[&str]| PolicyAnswer::Known {
            effect,
            selected_by: selected_by.iter().map(ToString::to_string).collect(),
            allowed_by: allowed_by.iter().map(ToString::to_string).collect(),
        };
        for (answer, text) in [
            (known("Allow", &[], &[]), "there is no AddressPolicy, so everything is allowed"),
            (known("Enforce", &["shop", "all"], &["shop"]), "allowed by shop"),
            (known("Enforce", &["all"], &[]), "not allowed by all; Enforce: what is not allowed does not take effect"),
            (
                known("Enforce", &[], &[]),
                "no AddressPolicy selects the namespace; Enforce: what is not allowed does not take effect",
            ),
            (PolicyAnswer::Unknown { because: "forbidden".into() }, "not known: forbidden"),
        ] {
            assert_eq!(answer.text(), text);
        }
    }
}
