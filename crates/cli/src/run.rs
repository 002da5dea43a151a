//! Runs one command: fetches the data, prints the result and returns the exit status.

mod drains;
mod preview;
mod services;

use std::{io, sync::Arc};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::Api;

use super::{
    ExitStatus, Program, accept,
    agent_access::Role,
    backend,
    command::Command,
    completion, doctor, events,
    fan_out::{fan_out, fan_out_as, successes},
    flags::{Flags, Output},
    frontend::{
        self,
        why::{FrontendExplanation, PolicyAnswer},
    },
    health_check::HealthChecks,
    node::{Nodes, Versions},
    output::{Printable, render},
    policy,
    session::Session,
    set, status,
    style::{Style, guarded},
    sync::Synced,
    trace::Trace,
    vpp,
};
use maglev_crd as crd;
use maglev_fleet::NodeState;
use maglev_kube::{LastWriter, operator_change::last_writer};
use maglev_model::{
    Name, derived::Origin, operator_change::OperatorChange, printable::escaped_lines, trace::Flow, vip::Weight,
};
use maglev_rpc::client::AgentClient;

/// The context of a command.
pub struct Run<'r> {
    pub(crate) program: &'r Program,
    pub(crate) session: &'r Arc<Session>,
    pub(crate) flags: &'r Flags,
}

impl Run<'_> {
    /// Runs `command`.
    ///
    /// # Errors
    /// The command failed. Only `watch` may have printed something.
    pub async fn run(&self, command: Command) -> anyhow::Result<ExitStatus> {
        match command {
            Command::Status => self.status().await,
            Command::Why(name) => self.why(&name).await,
            Command::WhyFrontend(name) => self.why_frontend(&name).await,
            Command::WhyService(name) => self.why_service(&name).await,
            Command::ExplainPolicy(namespace) => self.explain_policy(&namespace).await,
            Command::Doctor(name) => self.doctor(&name).await,
            Command::Trace(flow) => self.trace(&flow).await,
            Command::WhatIfBackend { backend, change } => self.what_if(&backend, change).await,
            Command::WhatIfNodeLost(node) => self.node_lost(&node).await,
            Command::Diff => self.diff().await,
            Command::Version => self.version().await,
            Command::Nodes => self.print(&Nodes::new(&self.nodes().await?)),
            Command::Frontends => self.print(&frontend::Frontends::new(self.reporting().await?)),
            Command::Frontend(name) => self.frontend(&name).await,
            Command::Backends => self.print(&backend::Backends::new(self.reporting().await?)),
            Command::Backend(name) => self.backend(&name).await,
            Command::HealthChecks => self.print(&HealthChecks::new(self.reporting().await?)),
            Command::Policies => self.print(&policy::Policies::new(&policy::read(self.session).await?)),
            Command::Policy(name) => self.policy(&name).await,
            Command::Addresses => self.addresses().await,
            Command::VppInfo | Command::VppLbState | Command::VppLbCounters => self.vpp(&command).await,
            Command::Watch(watch) => {
                let output = self.output();
                events::watch(self.session, watch, self.node(), output, &mut |text| write(text)).await?;
                Ok(ExitStatus::Success)
            }
            Command::Sync => self.sync().await,
            Command::Accept(hold) => self.accept(&hold).await,
            Command::SetAdminState { backend, state } => {
                let backend = self.name(&backend).await;
                self.set(OperatorChange::AdminState { backend, state }).await
            }
            Command::DrainBackend(backend) => {
                let backend = self.name(&backend).await;
                self.drain(vec![backend]).await
            }
            Command::DrainNode(node) => self.drain_node(&node).await,
            Command::UndrainNode(node) => self.undrain_node(&node).await,
            Command::SetWeight { frontend, pool, backend, weight } => {
                let frontend = self.name(&frontend).await;
                let (pool, backend, weight) = (pool.into(), backend.into(), Weight::clamped(weight));
                self.set(OperatorChange::Weight { frontend, pool, backend, weight }).await
            }
            Command::Crds => self.text(&crds()?),
            Command::Completion(shell) => self.text(completion::script(shell)),
            // Handled by the shell.
            Command::Help | Command::Exit => Ok(ExitStatus::Success),
        }
    }

    fn node(&self) -> Option<&str> {
        self.flags.node.as_deref()
    }

    fn output(&self) -> Output {
        self.flags.output.unwrap_or_default()
    }

    async fn nodes(&self) -> anyhow::Result<Vec<NodeState>> {
        self.session.nodes(self.node()).await
    }

    /// Like [`Self::nodes`], and fails if no node reports.
    async fn reporting(&self) -> anyhow::Result<Vec<NodeState>> {
        let nodes = self.nodes().await?;
        if nodes.iter().any(NodeState::reporting) {
            return Ok(nodes);
        }
        let reasons: Vec<_> =
            nodes.iter().map(|node| format!("{}: {}", node.node, node.unreachable_reason())).collect();
        bail!("no node reports: {}", reasons.join("; "))
    }

    async fn name(&self, text: &str) -> Name {
        self.session.name(text, self.flags.namespace.as_deref()).await
    }

    fn print(&self, value: &impl Printable) -> anyhow::Result<ExitStatus> {
        self.text(&render(value, self.output(), Timestamp::now())?)
    }

    #[expect(clippy::unused_self, reason = "counterpart of print")]
    fn text(&self, text: &str) -> anyhow::Result<ExitStatus> {
        write(text)?;
        Ok(ExitStatus::Success)
    }

    async fn status(&self) -> anyhow::Result<ExitStatus> {
        let report = match self.session.nodes(self.node()).await {
            Ok(_) => status::check(self.session.fleet().await?, self.node()).await,
            Err(error) => {
                print_error(&error);
                status::StatusReport::unknown()
            }
        };
        self.print(&report)?;
        Ok(ExitStatus::Health(report.health()))
    }

    async fn version(&self) -> anyhow::Result<ExitStatus> {
        let nodes = self.nodes().await;
        let versions = Versions::new(&self.program.build, nodes.as_deref().unwrap_or(&[]));
        self.print(&versions)?;
        nodes.map(|_| ExitStatus::Success)
    }

    async fn frontend(&self, text: &str) -> anyhow::Result<ExitStatus> {
        let (name, mut nodes) = (self.name(text).await, self.reporting().await?);
        let existing = nodes.iter().flat_map(|node| node.view.frontends.keys().cloned()).collect();
        // The fleet's dump can be old; request the current buckets.
        let dumps = successes(fan_out(self.session, &reporting(&nodes), async |agent| agent.lb_state().await).await);
        for node in &mut nodes {
            node.dump = dumps.get(&node.node).cloned().map(Arc::new);
        }
        let overview = frontend::detail::FrontendOverview::new(&name, nodes);
        self.print(&overview.with_context(|| not_found("Frontend", &name, existing))?)
    }

    async fn backend(&self, text: &str) -> anyhow::Result<ExitStatus> {
        let (name, nodes) = (self.name(text).await, self.reporting().await?);
        let existing = nodes.iter().flat_map(|node| node.view.backends.keys().cloned()).collect();
        let request = async |agent: AgentClient| {
            let (detail, stats) = tokio::join!(agent.backend(&name), agent.lb_counters());
            Ok(backend::detail::Response { detail: detail?, stats: stats.ok() })
        };
        let responses = successes(fan_out(self.session, &reporting(&nodes), request).await);
        let overview = backend::detail::BackendOverview::new(&name, nodes, &responses);
        self.print(&overview.with_context(|| not_found("Backend", &name, existing))?)
    }

    async fn why(&self, text: &str) -> anyhow::Result<ExitStatus> {
        let (name, nodes) = (self.name(text).await, self.reporting().await?);
        let existing = nodes.iter().flat_map(|node| node.view.backends.keys().cloned()).collect();
        let reporting = reporting(&nodes);
        let details = fan_out(self.session, &reporting, async |agent| agent.backend(&name).await);
        let (details, writer) = tokio::join!(details, self.writer(&name));
        let explanation = backend::why::Explanation::new(&name, nodes, &successes(details), writer);
        self.print(&explanation.with_context(|| not_found("Backend", &name, existing))?)
    }

    async fn why_frontend(&self, text: &str) -> anyhow::Result<ExitStatus> {
        let (name, nodes) = (self.name(text).await, self.reporting().await?);
        let existing = nodes.iter().flat_map(|node| node.view.frontends.keys().cloned()).collect();
        let policies = match self.policy_answer(&name).await {
            Ok(answer) => answer,
            Err(error) => PolicyAnswer::Unknown { because: format!("{error:#}") },
        };
        let explanation = FrontendExplanation::new(&name, nodes, policies);
        self.print(&explanation.with_context(|| not_found("Frontend", &name, existing))?)
    }

    /// The AddressPolicies that concern the Frontend `name`.
    async fn policy_answer(&self, name: &Name) -> anyhow::Result<PolicyAnswer> {
        let client = self.session.kube_unless_server().await.context("the API server is not used with --server")?;
        let policies = policy::read(self.session).await?;
        let mut explainer = policy::explain::explainer(self.session, &policies).await?;
        let api: Api<crd::Frontend> = Api::namespaced(client.clone(), name.namespace());
        let frontend = api.get(name.name()).await.context("cannot read the Frontend")?;
        let texts = |names: Vec<Name>| names.iter().map(ToString::to_string).collect();
        Ok(PolicyAnswer::Known {
            effect: explainer.effect(name.namespace()),
            selected_by: texts(explainer.selecting(name.namespace())),
            allowed_by: texts(explainer.allowing(name, &frontend.spec)),
        })
    }

    async fn explain_policy(&self, namespace: &str) -> anyhow::Result<ExitStatus> {
        let policies = policy::read(self.session).await?;
        let mut explainer = policy::explain::explainer(self.session, &policies).await?;
        self.print(&policy::explain::NamespaceGrants::new(namespace, &policies, &mut explainer))
    }

    async fn policy(&self, name: &str) -> anyhow::Result<ExitStatus> {
        let policies = policy::read(self.session).await?;
        let found = policies.iter().find(|policy| policy.object.meta.name.as_str() == name);
        let existing: Vec<&str> = policies.iter().map(|policy| policy.object.meta.name.as_str()).collect();
        let existing = match &existing[..] {
            [] => "there are none".to_owned(),
            names => format!("existing are {}", names.join(", ")),
        };
        let missing = || format!("AddressPolicy {name} not found: {existing}");
        self.print(&policy::Policy::new(found.with_context(missing)?))
    }

    async fn doctor(&self, text: &str) -> anyhow::Result<ExitStatus> {
        let (name, nodes) = (self.name(text).await, self.reporting().await?);
        let existing = nodes.iter().flat_map(|node| node.view.backends.keys().cloned()).collect();
        let has_backend = |node: &NodeState| node.view.backends.contains_key(&name);
        let probing: Vec<NodeState> = reporting(&nodes).into_iter().filter(has_backend).collect();
        let probed = fan_out(self.session, &probing, async |agent| agent.probe_paths(&name).await).await;
        let preparation = doctor::Preparation::new(&name, nodes, probed);
        self.print(&preparation.with_context(|| not_found("Backend", &name, existing))?)
    }

    async fn trace(&self, flow: &Flow) -> anyhow::Result<ExitStatus> {
        let nodes = self.reporting().await?;
        let dumps = fan_out(self.session, &reporting(&nodes), async |agent| agent.lb_state().await).await;
        let trace = Trace::new(flow, self.flags.hash.unwrap_or_default(), nodes, &dumps);
        self.print(&trace)?;
        Ok(if trace.is_answered() { ExitStatus::Success } else { ExitStatus::Problem })
    }

    /// The last writer of a Backend; `None` without an API server, or if the object cannot be read.
    async fn writer(&self, name: &Name) -> Option<LastWriter> {
        if Origin::parse(name).is_some() {
            return None;
        }
        let client = self.session.kube_unless_server().await?;
        let api: Api<crd::Backend> = Api::namespaced(client.clone(), name.namespace());
        last_writer(&api.get_metadata(name.name()).await.ok()?.metadata)
    }

    async fn vpp(&self, command: &Command) -> anyhow::Result<ExitStatus> {
        let nodes = self.nodes().await?;
        match command {
            Command::VppLbState => self.print(&vpp::state::State::new(
                fan_out(self.session, &nodes, async |agent| agent.lb_state().await).await,
            )),
            Command::VppLbCounters => {
                let responses = fan_out(self.session, &nodes, async |agent| agent.lb_counters().await).await;
                self.print(&vpp::counters::Counters::new(responses))
            }
            _ => {
                self.print(&vpp::Infos::new(fan_out(self.session, &nodes, async |agent| agent.vpp_info().await).await))
            }
        }
    }

    async fn accept(&self, hold: &str) -> anyhow::Result<ExitStatus> {
        let accepted = accept::accept(self.session, self.flags, hold).await?;
        self.print(&accepted)?;
        Ok(if accepted.is_complete() { ExitStatus::Success } else { ExitStatus::Problem })
    }

    async fn sync(&self) -> anyhow::Result<ExitStatus> {
        let nodes = self.nodes().await?;
        let sync = async |agent: AgentClient| agent.sync_now().await;
        let responses = fan_out_as(Role::Operator, self.session, &nodes, sync).await;
        let synced = Synced::new(responses);
        self.print(&synced)?;
        Ok(if synced.is_complete() { ExitStatus::Success } else { ExitStatus::Problem })
    }

    async fn set(&self, change: OperatorChange) -> anyhow::Result<ExitStatus> {
        let changed = set::set(self.session, self.flags, change).await?;
        self.print(&changed)?;
        Ok(if changed.is_complete() { ExitStatus::Success } else { ExitStatus::Problem })
    }
}

/// The reporting nodes, which accept requests.
fn reporting(nodes: &[NodeState]) -> Vec<NodeState> {
    nodes.iter().filter(|node| node.reporting()).cloned().collect()
}

/// The error for an object that no node has, with objects of the same name in other namespaces, or else all objects.
pub fn not_found(kind: &str, name: &Name, mut existing: Vec<Name>) -> String {
    existing.sort();
    existing.dedup();
    let list = |names: Vec<&Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let same_name: Vec<&Name> = existing.iter().filter(|other| other.name() == name.name()).collect();
    match (same_name.is_empty(), existing.len()) {
        (false, _) => format!("{kind} {name} not found on any node: did you mean {}?", list(same_name)),
        (true, 0) => format!("{kind} {name} not found: no node has any {kind}"),
        (true, 1..=LISTED) => {
            format!("{kind} {name} not found on any node: existing are {}", list(existing.iter().collect()))
        }
        (true, count) => {
            format!("{kind} {name} not found on any node: for all {count} of them see show {}s", kind.to_lowercase())
        }
    }
}

/// Maximum number of names in an error.
const LISTED: usize = 12;

/// Prints to standard output, with colours on terminals.
pub fn write(text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut out = anstream::stdout().lock();
    out.write_all(guarded(text).as_bytes())?;
    out.flush()
}

/// Prints an error.
pub fn print_error(error: &anyhow::Error) {
    write_error(&error_text(error));
}

/// The text of an error. Further lines are indented, so that none of them looks like a line of maglevc.
pub fn error_text(error: &anyhow::Error) -> String {
    let text = format!("{error:#}").replace('\n', "\n  ");
    format!("{} {}\n", Style::Bad.paint("error:"), escaped_lines(&text))
}

/// Prints to standard error, with colours on terminals.
pub fn write_error(text: &str) {
    use io::Write as _;
    // A closed standard error is ignored.
    let _ = anstream::stderr().lock().write_all(guarded(text).as_bytes());
}

/// The CustomResourceDefinitions as one YAML stream, for `kubectl apply -f -`.
fn crds() -> anyhow::Result<String> {
    let documents = crd::all().iter().map(crd::yaml).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crds_equal_the_committed_files() {
        let all = crds().unwrap();
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds");
        let mut committed: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        committed.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
        assert_eq!(committed.len(), all.split("---\n").count());
        for path in committed {
            let text = std::fs::read_to_string(&path).unwrap();
            let body: String =
                text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
            assert!(all.contains(body.trim_start_matches("---\n")), "{} is printed", path.display());
        }
    }
}
