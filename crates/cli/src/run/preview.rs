//! The commands that show the effect of a change before it is made.

use anyhow::Context as _;

use super::{ExitStatus, Run, not_found};
use crate::{
    command::BackendChange,
    diff::{DiffRequest, diff},
    what_if::{LostNode, WhatIfReport},
};
use maglev_fleet::NodeState;
use maglev_model::{Name, preview::WhatIf, vip::Weight};

impl Run<'_> {
    pub(super) async fn what_if(&self, backend: &str, change: BackendChange) -> anyhow::Result<ExitStatus> {
        let (name, nodes) = (self.name(backend).await, self.reporting().await?);
        if !nodes.iter().any(|node| node.view.backends.contains_key(&name)) {
            let existing = nodes.iter().flat_map(|node| node.view.backends.keys().cloned()).collect();
            anyhow::bail!(not_found("Backend", &name, existing));
        }
        let change = match change {
            BackendChange::Up => WhatIf::Up(name),
            BackendChange::Down => WhatIf::Down(name),
            BackendChange::AdminState(state) => WhatIf::AdminState(name, state),
            BackendChange::Weight { weight, frontend } => {
                let frontend = match frontend {
                    Some(frontend) => Some(self.frontend_with(&frontend, &name, &nodes).await?),
                    None => None,
                };
                WhatIf::Weight { backend: name, frontend, pool: None, weight: Weight::clamped(weight) }
            }
        };
        let report = WhatIfReport::new(&change, self.session.nodes_with_counters(self.node()).await?);
        self.print(&report)?;
        Ok(if report.is_complete() { ExitStatus::Success } else { ExitStatus::Problem })
    }

    /// The name of a Frontend that has `backend` in a pool.
    async fn frontend_with(&self, text: &str, backend: &Name, nodes: &[NodeState]) -> anyhow::Result<Name> {
        let name = self.name(text).await;
        let mut views = nodes.iter().map(|node| &node.view);
        let existing = || nodes.iter().flat_map(|node| node.view.frontends.keys().cloned()).collect();
        let frontend = views.find_map(|view| view.frontends.get(&name));
        let frontend = frontend.with_context(|| not_found("Frontend", &name, existing()))?;
        let mut members = frontend.pools.iter().flat_map(|pool| &pool.members);
        anyhow::ensure!(
            members.any(|member| member.backend == *backend),
            "no pool of Frontend {name} names Backend {backend}"
        );
        Ok(name)
    }

    pub(super) async fn node_lost(&self, node: &str) -> anyhow::Result<ExitStatus> {
        let lost = LostNode::new(node, self.session.nodes_with_counters(None).await?)?;
        self.print(&lost)?;
        Ok(if lost.is_complete() { ExitStatus::Success } else { ExitStatus::Problem })
    }

    pub(super) async fn diff(&self) -> anyhow::Result<ExitStatus> {
        let namespace = self.session.namespace(self.flags.namespace.as_deref()).await;
        let request = DiffRequest {
            paths: &self.flags.filename,
            namespace: &namespace,
            force: self.flags.force,
            node: self.node(),
        };
        let diff = diff(self.session, &request).await?;
        self.print(&diff)?;
        Ok(if diff.has_changes() { ExitStatus::Problem } else { ExitStatus::Success })
    }
}
