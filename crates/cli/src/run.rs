//! Runs one command: whom it asks, what it prints, how it ends.

use std::{io, sync::Arc};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::Api;

use super::{
    Program, Status,
    ask::{answered, ask},
    backend,
    command::Command,
    completion, crds, events,
    flags::{Flags, Output},
    frontend,
    health_check::HealthChecks,
    node::{Nodes, Versions},
    output::{Answer, render},
    session::Session,
    set, status,
    sync::Synced,
    vpp,
};
use maglev_crd as crd;
use maglev_fleet::NodeState;
use maglev_kube::{LastWriter, operator_action::last_writer};
use maglev_model::{Name, by_hand::HandChange, vip::Weight};

/// One command, with everything that it may need.
pub struct Run<'r> {
    pub(crate) program: &'r Program,
    pub(crate) session: &'r Arc<Session>,
    pub(crate) flags: &'r Flags,
}

impl Run<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// If it could not do what it should; nothing was printed then, but what `watch` had seen.
    pub async fn run(&self, command: Command) -> anyhow::Result<Status> {
        match command {
            Command::Status => self.status().await,
            Command::Why(name) => self.why(&name).await,
            Command::Version => self.version().await,
            Command::Nodes => self.print(&Nodes::of(&self.nodes().await?)),
            Command::Frontends => self.print(&frontend::Frontends::of(self.reporting().await?)),
            Command::Frontend(name) => self.frontend(&name).await,
            Command::Backends => self.print(&backend::Backends::of(self.reporting().await?)),
            Command::Backend(name) => self.backend(&name).await,
            Command::HealthChecks => self.print(&HealthChecks::of(self.reporting().await?)),
            Command::VppInfo | Command::VppLbState | Command::VppLbCounters => self.vpp(&command).await,
            Command::Watch(watch) => {
                let output = self.output();
                events::watch(self.session, watch, self.node(), output, &mut |text| write(text)).await?;
                Ok(Status::Fine)
            }
            Command::Sync { accept } => self.sync(accept).await,
            Command::SetAdminState { backend, state } => {
                let backend = self.name(&backend).await;
                self.set(HandChange::AdminState { backend, state }).await
            }
            Command::SetWeight { frontend, pool, backend, weight } => {
                let frontend = self.name(&frontend).await;
                let (pool, backend, weight) = (pool.into(), backend.into(), Weight::clamped(weight));
                self.set(HandChange::Weight { frontend, pool, backend, weight }).await
            }
            Command::Crds => self.text(&crds::yaml()?),
            Command::Completion(shell) => self.text(completion::script(shell)),
            // The shell does these itself.
            Command::Help | Command::Exit => Ok(Status::Fine),
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

    /// The same, where nothing can be said unless somebody reports.
    async fn reporting(&self) -> anyhow::Result<Vec<NodeState>> {
        let nodes = self.nodes().await?;
        if nodes.iter().any(NodeState::reporting) {
            return Ok(nodes);
        }
        let why: Vec<_> = nodes.iter().map(|node| format!("{}: {}", node.node, node.silence())).collect();
        bail!("no node reports: {}", why.join("; "))
    }

    async fn name(&self, text: &str) -> Name {
        self.session.name(text, self.flags.namespace.as_deref()).await
    }

    fn print(&self, answer: &impl Answer) -> anyhow::Result<Status> {
        self.text(&render(answer, self.output(), Timestamp::now())?)
    }

    #[expect(clippy::unused_self, reason = "it stands beside print")]
    fn text(&self, text: &str) -> anyhow::Result<Status> {
        write(text)?;
        Ok(Status::Fine)
    }

    async fn status(&self) -> anyhow::Result<Status> {
        let found = match self.session.nodes(self.node()).await {
            Ok(_) => status::look(self.session.fleet().await?, self.node()).await,
            Err(error) => {
                complain(&error);
                status::Status::unknown()
            }
        };
        self.print(&found)?;
        Ok(Status::Verdict(found.verdict()))
    }

    async fn version(&self) -> anyhow::Result<Status> {
        let nodes = self.nodes().await;
        let answer = Versions::of(&self.program.build, nodes.as_deref().unwrap_or(&[]));
        self.print(&answer)?;
        nodes.map(|_| Status::Fine)
    }

    async fn frontend(&self, text: &str) -> anyhow::Result<Status> {
        let (name, mut nodes) = (self.name(text).await, self.reporting().await?);
        let there = nodes.iter().flat_map(|node| node.view.frontends.keys().cloned()).collect();
        // The mirror reads what VPP has now and then; whoever asks wants the buckets of this moment.
        let dumps = answered(ask(self.session, &reporting(&nodes), async |agent| agent.lb_state().await).await);
        for node in &mut nodes {
            node.dump = dumps.get(&node.node).cloned().map(Arc::new);
        }
        let found = frontend::one::One::of(&name, nodes);
        self.print(&found.with_context(|| missing("Frontend", &name, there))?)
    }

    async fn backend(&self, text: &str) -> anyhow::Result<Status> {
        let (name, nodes) = (self.name(text).await, self.reporting().await?);
        let there = nodes.iter().flat_map(|node| node.view.backends.keys().cloned()).collect();
        let details = answered(ask(self.session, &reporting(&nodes), async |agent| agent.backend(&name).await).await);
        let found = backend::one::One::of(&name, nodes, &details);
        self.print(&found.with_context(|| missing("Backend", &name, there))?)
    }

    async fn why(&self, text: &str) -> anyhow::Result<Status> {
        let (name, nodes) = (self.name(text).await, self.reporting().await?);
        let there = nodes.iter().flat_map(|node| node.view.backends.keys().cloned()).collect();
        let asked = reporting(&nodes);
        let details = ask(self.session, &asked, async |agent| agent.backend(&name).await);
        let (details, writer) = tokio::join!(details, self.writer(&name));
        let found = backend::why::Why::of(&name, nodes, &answered(details), writer);
        self.print(&found.with_context(|| missing("Backend", &name, there))?)
    }

    /// Who wrote a Backend last; nothing where there is no API server to tell.
    async fn writer(&self, name: &Name) -> Option<LastWriter> {
        let client = self.session.kube_unless_server().await?;
        let api: Api<crd::Backend> = Api::namespaced(client.clone(), name.namespace());
        last_writer(&api.get_metadata(name.name()).await.ok()?.metadata)
    }

    async fn vpp(&self, command: &Command) -> anyhow::Result<Status> {
        let nodes = self.nodes().await?;
        match command {
            Command::VppLbState => self
                .print(&vpp::state::State::of(ask(self.session, &nodes, async |agent| agent.lb_state().await).await)),
            Command::VppLbCounters => {
                let answers = ask(self.session, &nodes, async |agent| agent.lb_counters().await).await;
                self.print(&vpp::counters::Counters::of(answers))
            }
            _ => self.print(&vpp::Infos::of(ask(self.session, &nodes, async |agent| agent.vpp_info().await).await)),
        }
    }

    async fn sync(&self, accept: Option<String>) -> anyhow::Result<Status> {
        let mut nodes = self.nodes().await?;
        if let Some(hold) = &accept {
            // A hold is of one node: the others know nothing of it.
            nodes.retain(|node| node.view.holds.contains_key(&**hold));
            if nodes.is_empty() {
                bail!("no node holds removals as {hold}: `show nodes` lists the holds");
            }
        }
        let answers = ask(self.session, &nodes, async |agent| agent.sync_now(accept.as_deref()).await).await;
        let synced = Synced::of(answers);
        self.print(&synced)?;
        Ok(if synced.is_complete() { Status::Fine } else { Status::Problem })
    }

    async fn set(&self, change: HandChange) -> anyhow::Result<Status> {
        let changed = set::set(self.session, self.flags, change).await?;
        self.print(&changed)?;
        Ok(if changed.is_complete() { Status::Fine } else { Status::Problem })
    }
}

/// Those of `nodes` that can be asked something.
fn reporting(nodes: &[NodeState]) -> Vec<NodeState> {
    nodes.iter().filter(|node| node.reporting()).cloned().collect()
}

/// That there is no such object, and what there is of that name elsewhere, or else at all.
fn missing(kind: &str, name: &Name, mut there: Vec<Name>) -> String {
    there.sort();
    there.dedup();
    let list = |names: Vec<&Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let alike: Vec<&Name> = there.iter().filter(|of| of.name() == name.name()).collect();
    match (alike.is_empty(), there.len()) {
        (false, _) => format!("no node knows a {kind} {name}: there is {}", list(alike)),
        (true, 0) => format!("no node knows a {kind} {name}, nor any other"),
        (true, 1..=LISTED) => format!("no node knows a {kind} {name}: there is {}", list(there.iter().collect())),
        (true, count) => {
            format!("no node knows a {kind} {name}: there are {count} others, see show {}s", kind.to_lowercase())
        }
    }
}

/// So many names are listed in an error.
const LISTED: usize = 12;

/// Prints to standard output, with colours where somebody sees them.
pub fn write(text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints an error.
pub fn complain(error: &anyhow::Error) {
    use io::Write as _;
    let head = super::paint::Tone::Bad.paint("error:");
    // Where standard error is gone, there is nobody to tell.
    let _ = writeln!(anstream::stderr().lock(), "{head} {error:#}");
}
