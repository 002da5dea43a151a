//! `watch events`: what happens on every node, as it happens.
//!
//! One stream per agent. A stream that breaks is opened again where it ended, so nothing is shown twice, and what could
//! not be had is said.

mod line;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::line::Shown;
use super::{command::Watch, flags::Output, session::Session};
use maglev_fleet::{AsOf, NodeState, Updates};
use maglev_rpc::client::{Followed, Line, WatchRequest};

/// Batches that may wait to be printed.
const WAITING: usize = 256;
/// Before a stream is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where the text goes.
pub type Print<'p> = dyn FnMut(&str) -> std::io::Result<()> + Send + 'p;

/// What one agent's stream brought.
enum News {
    Followed(Arc<str>, Followed),
    /// It broke, or cannot be opened.
    Trouble(Arc<str>, String),
}

/// Prints events until `watch.num` is reached; else for ever.
///
/// # Errors
/// If there is no agent, or nothing can be printed.
pub async fn watch(
    session: &Arc<Session>,
    watch: Watch,
    only: Option<&str>,
    output: Output,
    print: &mut Print<'_>,
) -> anyhow::Result<()> {
    let mut updates = session.fleet().await?.subscribe();
    let (news_tx, mut news_rx) = mpsc::channel(WAITING);
    let mut streams = Streams { session, watch, news_tx, running: Vec::new(), known: BTreeSet::new() };
    session.nodes(only).await?.iter().for_each(|node| streams.add(node));
    let mut left = watch.num;
    loop {
        let news = tokio::select! {
            news = news_rx.recv() => news,
            node = newcomer(session, &mut updates, only) => {
                streams.add(&node);
                continue;
            }
        };
        match news {
            Some(News::Followed(node, followed)) => {
                for remark in remarks(&followed) {
                    print(&line::remark(&node, remark, output))?;
                }
                for line in followed.lines.iter().filter(|line| is_wanted(line, watch)) {
                    print(&Shown::new(&node, line).text(output)?)?;
                    left = left.map(|left| left - 1);
                    if left == Some(0) {
                        return Ok(());
                    }
                }
            }
            Some(News::Trouble(node, error)) => print(&line::remark(&node, &error, output))?,
            None => return Ok(()),
        }
    }
}

fn is_wanted(line: &Line, watch: Watch) -> bool {
    let kind = watch.log
        || (watch.backend && &*line.name == "backend-transition")
        || (watch.frontend && &*line.name == "frontend-transition");
    kind && !line.name.is_empty() && line.level >= watch.level
}

fn remarks(followed: &Followed) -> Vec<&'static str> {
    let lost = (followed.dropped > 0).then_some("some events were lost: they came faster than they could be shown");
    let gap = followed.resync.then_some("what happened in between is not known");
    lost.into_iter().chain(gap).collect()
}

/// The next node that appears, if that is of interest.
async fn newcomer(session: &Session, updates: &mut Updates, only: Option<&str>) -> NodeState {
    loop {
        match updates.next().await {
            Some(maglev_fleet::Update::Next(maglev_fleet::FleetUpdate::Node(name))) => {
                let node = session.known().and_then(|handle| handle.node(&name));
                if let Some(node) = node.filter(|node| only.is_none_or(|only| &*node.node == only)) {
                    return node;
                }
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// The streams that run.
struct Streams<'s> {
    session: &'s Arc<Session>,
    watch: Watch,
    news_tx: mpsc::Sender<News>,
    running: Vec<AbortOnDropHandle<()>>,
    /// By node and pod: another pod of a node is another stream.
    known: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Streams<'_> {
    fn add(&mut self, node: &NodeState) {
        if self.known.insert((Arc::clone(&node.node), Arc::clone(&node.target.uid))) {
            let stream = follow(Arc::clone(self.session), node.clone(), self.watch, self.news_tx.clone());
            self.running.push(AbortOnDropHandle::new(tokio::spawn(stream)));
        }
    }
}

/// How far a stream is.
#[derive(Default)]
struct Position {
    /// After this event; `None` before the first answer.
    since: Option<AsOf>,
    /// That it broke was told, and it has brought nothing since.
    told: bool,
}

/// Follows one agent until nobody listens, or its pod is gone.
async fn follow(session: Arc<Session>, node: NodeState, watch: Watch, news_tx: mpsc::Sender<News>) {
    let mut at = Position::default();
    loop {
        let error = match stream(&session, &node, watch, &mut at, &news_tx).await {
            Ok(()) => "the agent ended the stream".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let current = session.known().and_then(|handle| handle.node(&node.node));
        if current.is_none_or(|current| current.target.uid != node.target.uid) {
            return;
        }
        // Once, not with every try.
        let told = std::mem::replace(&mut at.told, true);
        if !told && news_tx.send(News::Trouble(Arc::clone(&node.node), error)).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn stream(
    session: &Session,
    node: &NodeState,
    watch: Watch,
    at: &mut Position,
    news_tx: &mpsc::Sender<News>,
) -> anyhow::Result<()> {
    let Watch { level, log, backend, frontend, .. } = watch;
    let request = WatchRequest { level, log, backend, frontend, names: Vec::new(), since: at.since };
    let mut stream = session.agent(node).await?.watch(request).await?;
    while let Some(followed) = stream.next().await? {
        *at = Position { since: Some(followed.as_of), told: false };
        if news_tx.send(News::Followed(Arc::clone(&node.node), followed)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
