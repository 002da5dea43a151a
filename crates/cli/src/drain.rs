//! `drain` and `undrain`: pauses Backends, and waits until they have no flows left on any node. The derived Backend of a Node
//! is paused by an annotation of the Node.
//!
//! The end of a drain is decided by the rules of the condition Drained, from the states of the agents.

mod on_node;

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

pub use self::on_node::backends_of_node;
use super::{
    flags::Flags,
    output::{Page, Printable},
    session::Session,
    set,
    style::Style,
};
use maglev_fleet::{FleetHandle, NodeState};
use maglev_model::{
    Name,
    derived::Origin,
    drain::{DrainConf, DrainSummary, NodeDrain, OnDeadline},
    operator_change::OperatorChange,
};

/// Least interval between two lines of progress of a Backend.
const PROGRESS: Duration = Duration::from_secs(2);
/// Time after a deadline with a flush until the agents have flushed and reported it.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// A Backend that is drained: its name and its `metadata.generation` after it was paused.
type Drained = (Name, i64);

/// The result of `drain`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drains {
    backends: Vec<BackendDrain>,
    /// Time since the first Backend was paused.
    seconds: u64,
    /// The commands that undo the drain.
    #[serde(skip)]
    undo: String,
    #[serde(skip)]
    interrupted: bool,
}

/// The drain of one Backend.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendDrain {
    backend: String,
    /// Absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    drained: Option<bool>,
    /// The reason of the condition Drained.
    reason: &'static str,
    nodes: String,
}

fn check_server(flags: &Flags) -> anyhow::Result<()> {
    if !flags.server.is_empty() {
        bail!("drain writes to the API server: omit --server");
    }
    Ok(())
}

/// Pauses `backends` and waits until they are drained, the deadline passes, or Ctrl-C. `print` gets the changes and the
/// progress; it is not called for output in JSON or YAML.
///
/// # Errors
/// A Backend was not paused, or `print` fails.
pub async fn drain(
    session: &Session,
    flags: &Flags,
    program: &str,
    backends: Vec<Name>,
    print: &mut dyn FnMut(&Page) -> anyhow::Result<()>,
) -> anyhow::Result<Drains> {
    check_server(flags)?;
    let conf = flags.deadline.map(|deadline| DrainConf {
        deadline: Some(deadline.get()),
        on_deadline: if flags.flush_at_deadline { OnDeadline::Flush } else { OnDeadline::Keep },
    });
    let start = Instant::now();
    let mut paused: Vec<Drained> = Vec::new();
    for backend in backends {
        let change = OperatorChange::Drain { backend: backend.clone(), drain: conf };
        let changed = set::set(session, flags, change).await;
        let changed = changed.with_context(|| not_paused(&backend, &paused, program))?;
        print(&changed.page(false, Timestamp::now()))?;
        paused.push((backend, changed.generation()));
    }
    let undo = undo(paused.iter().map(|(name, _)| name), program);
    print(&waiting(&undo))?;
    let handle = session.fleet().await?;
    let paused = on_node::with_addresses(&handle.nodes(), paused);
    let limit = conf.or_else(|| longest(handle, &paused)).and_then(limit);
    let mut progress = Progress::new(paused.len());
    let waited =
        wait(handle, &paused, limit.map(|limit| Instant::now() + limit), |drains| progress.print(drains, start, print));
    let interrupted = tokio::select! {
        waited = waited => { waited?; false }
        _ = tokio::signal::ctrl_c() => true,
    };
    let drains = summaries(&handle.nodes(), &paused);
    Ok(Drains { backends: drains, seconds: start.elapsed().as_secs(), undo, interrupted })
}

fn not_paused(backend: &Name, paused: &[Drained], program: &str) -> String {
    let mut text = format!("Backend {backend} was not paused");
    if !paused.is_empty() {
        let undo = undo(paused.iter().map(|(name, _)| name), program);
        let _ = write!(text, "; paused already, undo with: {undo}");
    }
    text
}

/// The commands that undo a drain.
fn undo(backends: impl Iterator<Item = impl Display>, program: &str) -> String {
    let commands: Vec<String> = backends.map(|name| format!("{program} undrain backend {name}")).collect();
    commands.join("; ")
}

/// The settings in the specs of `paused` with the latest deadline; `None` if one of them has no deadline.
fn longest(handle: &FleetHandle, paused: &[Drained]) -> Option<DrainConf> {
    let nodes = handle.nodes();
    let conf =
        |(name, _): &Drained| nodes.iter().find_map(|node| node.view.backends.get(name)).map(|found| found.drain);
    let all: Option<Vec<DrainConf>> = paused.iter().map(|backend| conf(backend).filter(has_deadline)).collect();
    all?.into_iter().max_by_key(|conf| limit(*conf))
}

fn has_deadline(conf: &DrainConf) -> bool {
    conf.deadline.is_some()
}

/// Time to wait for a drain with these settings.
fn limit(conf: DrainConf) -> Option<Duration> {
    let flush = if conf.on_deadline == OnDeadline::Flush { FLUSH_LIMIT } else { Duration::ZERO };
    Some(conf.deadline? + flush)
}

/// Waits until every Backend is drained, or until `until`.
async fn wait(
    handle: &FleetHandle,
    paused: &[Drained],
    until: Option<Instant>,
    mut report: impl FnMut(&[BackendDrain]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut updates = handle.subscribe();
    loop {
        let drains = summaries(&handle.nodes(), paused);
        report(&drains)?;
        let now = Instant::now();
        if drains.iter().all(BackendDrain::is_drained) || until.is_some_and(|until| now >= until) {
            return Ok(());
        }
        let next = until.map_or(now + PROGRESS, |until| until.min(now + PROGRESS));
        // An elapsed time is the next line of progress; without the fleet there are no more updates.
        if let Ok(None) = timeout_at(next, updates.next()).await {
            return Ok(());
        }
    }
}

fn summaries(nodes: &[NodeState], paused: &[Drained]) -> Vec<BackendDrain> {
    paused.iter().map(|(name, generation)| BackendDrain::new(nodes, name, *generation)).collect()
}

impl BackendDrain {
    pub fn new(nodes: &[NodeState], name: &Name, generation: i64) -> Self {
        // A derived Backend ends with its last endpoint.
        let is_derived = Origin::parse(name).is_some();
        let is_gone = |node: &&NodeState| is_derived && node.reporting() && !node.view.backends.contains_key(name);
        if !nodes.is_empty() && nodes.iter().all(|node| is_gone(&node)) {
            let nodes = "no pool uses it".to_owned();
            return Self { backend: name.to_string(), drained: Some(true), reason: "Unused", nodes };
        }
        let drains = nodes.iter().filter(|node| !is_gone(node)).map(|node| NodeDrain {
            node: &node.node,
            reports: node.reporting(),
            drain: node.view.drains.get(name),
        });
        let DrainSummary { outcome, text } = DrainSummary::new(drains, generation);
        let (drained, reason) = (outcome.is_drained(), outcome.reason());
        Self { backend: name.to_string(), drained, reason, nodes: text }
    }

    fn is_drained(&self) -> bool {
        self.drained == Some(true)
    }

    /// A line of progress.
    pub fn progress(&self, elapsed: Duration) -> Page {
        let mut page = Page::default();
        page.line(format_args!("{:>4} s  {}  {}", elapsed.as_secs(), self.backend, self.nodes));
        page
    }
}

/// The commands to undo a drain, before the wait.
fn waiting(undo: &str) -> Page {
    let mut page = Page::default();
    let text = format!("waiting for the flows to end; Ctrl-C stops waiting, undo with: {undo}");
    page.styled(Style::Faint, text);
    page
}

/// The printed progress of each Backend.
struct Progress {
    printed: Vec<Option<(String, Instant)>>,
}

impl Progress {
    fn new(backends: usize) -> Self {
        Self { printed: vec![None; backends] }
    }

    /// Prints the drains that have changed, each at most every [`PROGRESS`].
    fn print(
        &mut self,
        drains: &[BackendDrain],
        start: Instant,
        print: &mut dyn FnMut(&Page) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let now = Instant::now();
        for (drain, printed) in drains.iter().zip(&mut self.printed) {
            let is_due = printed.as_ref().is_none_or(|(text, at)| *text != drain.nodes && now >= *at + PROGRESS);
            if is_due && !drain.is_drained() {
                print(&drain.progress(start.elapsed()))?;
                *printed = Some((drain.nodes.clone(), now));
            }
        }
        Ok(())
    }
}

impl Drains {
    /// True if every Backend is drained.
    pub fn is_complete(&self) -> bool {
        self.backends.iter().all(BackendDrain::is_drained)
    }

    #[cfg(test)]
    pub fn for_test(backends: Vec<BackendDrain>, interrupted: bool) -> Self {
        let undo = undo(backends.iter().map(|drain| &drain.backend), "maglevc");
        Self { backends, seconds: 42, undo, interrupted }
    }
}

impl Printable for Drains {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        for BackendDrain { backend, drained, reason, nodes } in &self.backends {
            let (style, state) = match drained {
                Some(true) => (Style::Good, "drained"),
                Some(false) => (Style::Bad, "not drained"),
                None => (Style::Bad, "not known to be drained"),
            };
            page.styled(
                style,
                format_args!("Backend {backend} is {state} after {} s ({reason}): {nodes}", self.seconds),
            );
        }
        let state = if self.interrupted { "interrupted: paused until you undo it with" } else { "undo with" };
        page.styled(Style::Faint, format_args!("{state}: {}", self.undo));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Flags;

    fn flags(line: &str) -> Result<Flags, String> {
        let words = shlex::split(line).unwrap();
        Flags::from_line(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn flush_needs_a_deadline_in_range() {
        assert_eq!(flags("drain backend a --deadline 10m").unwrap().deadline.unwrap().get(), Duration::from_mins(10));
        assert!(flags("drain backend a --flush-at-deadline").unwrap_err().contains("--deadline <TIME>"));
        let error = flags("drain backend a --deadline 0s").unwrap_err();
        assert!(error.contains("0s") && error.contains("from 1s to 24h"), "{error}");
    }

    #[test]
    fn wait_is_longer_if_the_deadline_flushes() {
        let conf = |on_deadline| DrainConf { deadline: Some(Duration::from_secs(60)), on_deadline };
        assert_eq!(limit(conf(OnDeadline::Keep)), Some(Duration::from_secs(60)));
        assert_eq!(limit(conf(OnDeadline::Flush)), Some(Duration::from_secs(90)));
        assert_eq!(limit(DrainConf::default()), None);
    }

    #[test]
    fn result_has_the_state_of_each_node_and_the_commands_to_undo_it() {
        let drain = |backend: &str, drained, reason, nodes: &str| BackendDrain {
            backend: backend.to_owned(),
            drained,
            reason,
            nodes: nodes.to_owned(),
        };
        let left = drain("shop/a", Some(false), "FlowsLeft", "lb-1: 2 tracked flows at most, 3.1 Mbit/s");
        assert_eq!(
            left.progress(Duration::from_secs(7)).to_string(),
            "   7 s  shop/a  lb-1: 2 tracked flows at most, 3.1 Mbit/s\n"
        );
        let drains = vec![
            left,
            drain("shop/b", Some(true), "Quiet", "lb-1: quiet for the flow timeout"),
            drain("shop/c", None, "NodeSilent", "lb-1: does not report"),
        ];
        let drains = Drains::for_test(drains, false);
        assert!(!drains.is_complete());
        let page = anstream::adapter::strip_str(&drains.page(false, Timestamp::UNIX_EPOCH).to_string()).to_string();
        let expected = "\
Backend shop/a is not drained after 42 s (FlowsLeft): lb-1: 2 tracked flows at most, 3.1 Mbit/s
Backend shop/b is drained after 42 s (Quiet): lb-1: quiet for the flow timeout
Backend shop/c is not known to be drained after 42 s (NodeSilent): lb-1: does not report
undo with: maglevc undrain backend shop/a; maglevc undrain backend shop/b; maglevc undrain backend shop/c
";
        assert_eq!(page, expected);
    }
}
