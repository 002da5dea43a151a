//! `watch events`: prints the events of all nodes as they happen.
//!
//! One stream per agent. A broken stream is resumed after its last event, so no event is printed twice; missing events
//! are reported.

pub mod line;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::line::EventLine;
use super::{agent_access::Role, command::Watch, flags::Output, session::Session};
use maglev_fleet::{AsOf, NodeState, Updates};
use maglev_rpc::client::{Line, LineBatch, WatchRequest};

/// Maximum number of batches that wait to be printed.
const BUFFER: usize = 256;
/// Delay before a stream is reopened.
const RETRY: Duration = Duration::from_secs(1);

/// Writes a part of the output.
pub type Print<'p> = dyn FnMut(&str) -> std::io::Result<()> + Send + 'p;

/// A message from the stream of one agent.
enum StreamMessage {
    Followed(Arc<str>, LineBatch),
    /// The stream broke or cannot be opened.
    Failed(Arc<str>, String),
}

/// Prints events until `watch.num` is reached, or forever.
///
/// # Errors
/// No agent was found, or printing failed.
pub async fn watch(
    session: &Arc<Session>,
    watch: Watch,
    only: Option<&str>,
    output: Output,
    print: &mut Print<'_>,
) -> anyhow::Result<()> {
    let mut updates = session.fleet().await?.subscribe();
    let (message_tx, mut message_rx) = mpsc::channel(BUFFER);
    let mut streams = Streams { session, watch, message_tx, running: Vec::new(), started: BTreeSet::new() };
    session.nodes(only).await?.iter().for_each(|node| streams.add(node));
    let mut remaining = watch.num;
    loop {
        let message = tokio::select! {
            message = message_rx.recv() => message,
            node = next_node(session, &mut updates, only) => {
                streams.add(&node);
                continue;
            }
        };
        match message {
            Some(StreamMessage::Followed(node, followed)) => {
                for remark in remarks(&followed) {
                    print(&line::remark(&node, remark, output)?)?;
                }
                for line in followed.lines.iter().filter(|line| is_selected(line, watch)) {
                    print(&EventLine::new(&node, line).text(output)?)?;
                    remaining = remaining.map(|remaining| remaining - 1);
                    if remaining == Some(0) {
                        return Ok(());
                    }
                }
            }
            Some(StreamMessage::Failed(node, error)) => print(&line::remark(&node, &error, output)?)?,
            None => return Ok(()),
        }
    }
}

fn is_selected(line: &Line, watch: Watch) -> bool {
    let kind = watch.log
        || (watch.backend && &*line.name == "backend-transition")
        || (watch.frontend && &*line.name == "frontend-transition");
    kind && !line.name.is_empty() && line.level >= watch.level
}

fn remarks(followed: &LineBatch) -> Vec<&'static str> {
    let lost = (followed.dropped > 0).then_some("events lost: they arrived faster than they could be printed");
    let gap =
        followed.resync.then_some("events missing: the agent no longer has the events since the last one printed");
    lost.into_iter().chain(gap).collect()
}

/// Waits for the next update of a node that `only` selects.
async fn next_node(session: &Session, updates: &mut Updates, only: Option<&str>) -> NodeState {
    loop {
        match updates.next().await {
            Some(maglev_fleet::Update::Next(maglev_fleet::FleetUpdate::Node(name))) => {
                let node = session.fleet_if_started().and_then(|handle| handle.node(&name));
                if let Some(node) = node.filter(|node| only.is_none_or(|only| &*node.node == only)) {
                    return node;
                }
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// The running streams.
struct Streams<'s> {
    session: &'s Arc<Session>,
    watch: Watch,
    message_tx: mpsc::Sender<StreamMessage>,
    running: Vec<AbortOnDropHandle<()>>,
    /// Node name and pod UID: a new pod of a node gets a new stream.
    started: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Streams<'_> {
    fn add(&mut self, node: &NodeState) {
        if self.started.insert((Arc::clone(&node.node), Arc::clone(&node.target.uid))) {
            let stream = follow(Arc::clone(self.session), node.clone(), self.watch, self.message_tx.clone());
            self.running.push(AbortOnDropHandle::new(tokio::spawn(stream)));
        }
    }
}

/// The progress of a stream.
#[derive(Default)]
struct StreamPosition {
    /// The last event received; `None` before the first.
    since: Option<AsOf>,
    /// Set once a failure has been reported, until the next event.
    failure_reported: bool,
}

/// Follows one agent until the receiver is dropped or the pod is deleted.
async fn follow(session: Arc<Session>, node: NodeState, watch: Watch, message_tx: mpsc::Sender<StreamMessage>) {
    let mut position = StreamPosition::default();
    loop {
        let error = match stream(&session, &node, watch, &mut position, &message_tx).await {
            Ok(()) => "the agent ended the stream".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let current = session.fleet_if_started().and_then(|handle| handle.node(&node.node));
        if current.is_none_or(|current| current.target.uid != node.target.uid) {
            return;
        }
        let reported = std::mem::replace(&mut position.failure_reported, true);
        if !reported && message_tx.send(StreamMessage::Failed(Arc::clone(&node.node), error)).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn stream(
    session: &Session,
    node: &NodeState,
    watch: Watch,
    position: &mut StreamPosition,
    message_tx: &mpsc::Sender<StreamMessage>,
) -> anyhow::Result<()> {
    let Watch { level, log, backend, frontend, .. } = watch;
    let request = WatchRequest { level, log, backend, frontend, names: Vec::new(), since: position.since };
    let mut stream = session.agent(node, Role::Viewer).await?.watch(request).await?;
    while let Some(followed) = stream.next().await? {
        *position = StreamPosition { since: Some(followed.as_of), failure_reported: false };
        if message_tx.send(StreamMessage::Followed(Arc::clone(&node.node), followed)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
