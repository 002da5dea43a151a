//! One term of leadership: the loop that takes news in and has writes sent.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Controller, ControllerMetrics,
    links::LinkNews,
    notes::{self, Note},
    queue::{PACE, Queue},
    status::Class,
    world::{Action, Key, Now, World},
};
use maglev_crd::BackendState;
use maglev_kube::{
    ClusterNews, ClusterWatch, Leadership, Notice, Notices, StatusWriter, StoredStatus, WriteError,
    status_writer::Written,
};

/// Between two looks at what was touched.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at numbers that nobody tells of one by one.
const NUMBERS_EVERY: Duration = Duration::from_secs(30);
/// Writes under way at once.
const AT_ONCE: usize = 16;
/// Events that may wait; the oldest go.
const NOTICES: usize = 500;
/// A loop that has not come round for so long does not any more.
const STALLED_AFTER: Duration = Duration::from_mins(1);
/// News taken in before anything else has its turn.
const NEWS: usize = 32;

/// How far a term is, for whoever asks from outside.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the loop of the present term last looked; `None` where there is no term.
    looked: Arc<watch::Sender<Option<Instant>>>,
    /// What the present term waits for; `None` once it writes, or where there is no term.
    waits_for: Arc<watch::Sender<Option<WaitsFor>>>,
}

impl Progress {
    /// Whether the loop of the present term, if there is one, has come round within the last minute.
    pub fn alive(&self) -> bool {
        self.looked.borrow().is_none_or(|at| at.elapsed() < STALLED_AFTER)
    }

    /// What the present term waits for before it writes anything.
    pub fn waits_for(&self) -> Option<WaitsFor> {
        *self.waits_for.borrow()
    }
}

/// What a term waits for before it writes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The first complete list of every kind.
    Lists,
    /// So many agents, which were not heard yet.
    Agents(usize),
}

/// A write that has ended.
struct Outcome {
    key: Key,
    action: Action,
    result: Result<Option<StoredStatus>, WriteError>,
}

/// Runs a term until `end`, or until the Lease is not ours any more.
pub async fn run(controller: Controller, leadership: Arc<Leadership>, end: CancellationToken) {
    let Controller { client, options, links, metrics, progress, runtime: _ } = controller;
    metrics.leader.set(1);
    let stop = end.child_token();
    let _stop = stop.clone().drop_guard();
    let (watch, news) = ClusterWatch::new(client.clone(), &options.namespace, options.delays);
    let links_rx = links.follow(stop.clone());
    let term = Term {
        world: World::new(options.allow_loopback),
        queue: Queue::default(),
        writer: StatusWriter::new(client.clone(), Arc::clone(&leadership)),
        notices: Notices::new(client, &options.identity, leadership),
        to_tell: VecDeque::new(),
        writes: JoinSet::new(),
        telling: JoinSet::new(),
        under_way: HashSet::new(),
        listens_until: Some(Instant::now() + options.listen_for),
        metrics: metrics.clone(),
        progress: progress.clone(),
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = watch.run(stop) => {}
        () = term.run(news, links_rx) => {}
    }
    progress.waits_for.send_replace(None);
    progress.looked.send_replace(None);
    metrics.leader.set(0);
    metrics.waiting.reset();
    metrics.links.reset();
}

struct Term {
    world: World,
    queue: Queue,
    writer: StatusWriter,
    notices: Notices,
    to_tell: VecDeque<Notice>,
    /// Tasks of their own, for this loop may have more to take in than it has time.
    writes: JoinSet<Outcome>,
    /// At most one.
    telling: JoinSet<Result<(), WriteError>>,
    under_way: HashSet<Key>,
    /// Nothing is written before; `None` once that is over.
    listens_until: Option<Instant>,
    metrics: ControllerMetrics,
    progress: Progress,
}

fn now() -> Now {
    Now { monotonic: Instant::now(), wall: Timestamp::now() }
}

impl Term {
    async fn run(mut self, mut news: ClusterNews, mut links: mpsc::Receiver<LinkNews>) {
        let (mut look, mut numbers) = (interval(LOOK_EVERY), interval(NUMBERS_EVERY));
        let mut tell = interval(PACE);
        for ticks in [&mut look, &mut numbers, &mut tell] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let (mut kinds, mut linked) = (Vec::new(), Vec::new());
        let mut links_open = true;
        loop {
            let ready_at = self.queue.ready_at().filter(|_| self.may_write());
            tokio::select! {
                // What agents say comes last: there may always be more of it.
                biased;
                Some(Ok(outcome)) = self.writes.join_next() => self.take_outcome(outcome),
                Some(told) = self.telling.join_next() => self.told(matches!(told, Ok(Ok(())))),
                _ = look.tick() => self.look(),
                count = news.kinds.recv_many(&mut kinds, NEWS) => {
                    if count == 0 {
                        return;
                    }
                    self.world.take_kinds(std::mem::take(&mut kinds));
                }
                Ok(()) = news.nodes.changed() => {
                    let nodes = news.nodes.borrow_and_update().clone();
                    nodes.into_iter().for_each(|nodes| self.world.take_nodes(nodes, now()));
                }
                Ok(()) = news.pods.changed() => {
                    let pods = news.pods.borrow_and_update().clone();
                    pods.iter().for_each(|pods| self.world.take_pods(pods, now()));
                }
                Ok(()) = news.maglev_nodes.changed() => {
                    let found = news.maglev_nodes.borrow_and_update().clone();
                    found.iter().for_each(|found| self.world.take_maglev_nodes(found, now()));
                }
                _ = numbers.tick() => self.world.touch_nodes(),
                _ = tell.tick(), if self.telling.is_empty() && !self.to_tell.is_empty() => self.tell_next(),
                () = until(ready_at), if ready_at.is_some_and(|at| at > Instant::now()) => {}
                count = links.recv_many(&mut linked, NEWS), if links_open => {
                    links_open = count > 0;
                    linked.drain(..).for_each(|news| self.world.take_link(news));
                }
            }
            self.start_writes();
        }
    }

    /// Whether the time to listen is over.
    fn may_write(&self) -> bool {
        self.listens_until.is_none()
    }

    /// Looks at everything that was touched.
    fn look(&mut self) {
        let now = now();
        self.progress.looked.send_replace(Some(now.monotonic));
        self.world.look_at_nodes(now);
        if !self.listened(now.monotonic) {
            return;
        }
        let timer = self.metrics.reconcile.start_timer();
        for (what, name) in self.queue.due(now.monotonic) {
            self.world.touch(what, name);
        }
        // What is being written is looked at when that is over.
        let touched = self.world.take_touched();
        let keys: Vec<Key> = touched.into_iter().filter(|key| !self.under_way.contains(key)).collect();
        let actions = self.world.actions(&keys, now);
        for (key, action) in keys.into_iter().zip(actions) {
            self.queue.set(key, action.map(|action| action.class()), now.monotonic);
        }
        timer.observe_duration();
        for class in [Class::Answer, Class::Condition, Class::State, Class::Numbers] {
            let waiting = self.queue.waiting().get(&class).copied().unwrap_or(0);
            self.metrics.waiting.with_label_values(&[class.as_str()]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        }
        let (wanted, connected) = (self.world.heard().0, self.world.connected());
        for (state, count) in [("up", connected), ("down", wanted.saturating_sub(connected))] {
            self.metrics.links.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Whether enough was heard to write.
    fn listened(&mut self, now: Instant) -> bool {
        let Some(until) = self.listens_until else { return true };
        let (wanted, silent) = self.world.heard();
        let waits_for = if !self.world.is_listed() {
            Some(WaitsFor::Lists)
        } else if silent > 0 && now < until {
            Some(WaitsFor::Agents(silent))
        } else {
            None
        };
        if waits_for.is_none() {
            self.listens_until = None;
            tracing::info!(nodes = wanted, silent, "controller-writes");
        }
        self.progress.waits_for.send_replace(waits_for);
        self.listens_until.is_none()
    }

    fn start_writes(&mut self) {
        if !self.may_write() {
            return;
        }
        while self.writes.len() < AT_ONCE {
            let now = now();
            let Some(key) = self.queue.pop(now.monotonic) else { return };
            // It may have changed since it was put into the queue.
            let Some(action) = self.world.action(&key, now) else { continue };
            if action.class() != Class::Answer {
                self.queue.rationed(now.monotonic);
            }
            self.under_way.insert(key.clone());
            self.writes.spawn(write(self.writer.clone(), key, action));
        }
    }

    fn take_outcome(&mut self, Outcome { key, action, result }: Outcome) {
        let (what, now) = (key.0, now());
        self.under_way.remove(&key);
        match result {
            Ok(written) => {
                self.metrics.wrote(what.as_str(), action.class());
                self.queue.done(&key, action.class(), now.monotonic);
                if let Some(written) = written {
                    self.note(&key, &action);
                    self.world.take_written(key, written);
                } else {
                    self.world.touch(key.0, key.1);
                }
            }
            Err(error) => {
                self.metrics.failed(what.as_str(), &error);
                match &error {
                    WriteError::Gone => self.queue.forget(&key),
                    // The watch brings what is stored now; asking again before that gives the same.
                    WriteError::Conflict => self.queue.look_again(key, now.monotonic + LOOK_EVERY),
                    WriteError::NotLeading => {}
                    WriteError::Timeout | WriteError::Refused(_) => {
                        let name = key.1.as_str();
                        tracing::warn!(kind = what.as_str(), name, err = %error, "status-write-failed");
                        self.queue.failed(&key, now.monotonic);
                    }
                }
            }
        }
    }

    /// Tells what a written status is worth telling.
    fn note(&mut self, (what, name): &Key, action: &Action) {
        let Action::Write { from, old, status, .. } = action else { return };
        let state: Option<BackendState> = match &**status {
            super::status::Status::Backend(status) => status.state,
            _ => None,
        };
        let sentence = self.world.sentence(name, state);
        for Note { warning, reason, text } in notes::between(*what, old, status, sentence.as_deref()) {
            // Only the last word counts of what has not been told yet.
            self.to_tell.retain(|of| (of.what, &of.name, &of.reason) != (*what, name, &reason));
            let notice =
                Notice { what: *what, name: name.clone(), uid: Arc::clone(&from.uid), warning, reason, note: text };
            self.to_tell.push_back(notice);
        }
        while self.to_tell.len() > NOTICES {
            self.to_tell.pop_front();
            self.metrics.events.with_label_values(&["dropped"]).inc();
        }
    }

    /// Tells the next thing that is to be told.
    fn tell_next(&mut self) {
        let Some(notice) = self.to_tell.pop_front() else { return };
        let notices = self.notices.clone();
        self.telling.spawn(async move {
            let result = notices.publish(&notice).await;
            if let Err(error) = &result {
                let (kind, name) = (notice.what.as_str(), notice.name.as_str());
                tracing::warn!(kind, name, err = %error, "kubernetes-event-failed");
            }
            result
        });
    }

    fn told(&self, well: bool) {
        self.metrics.events.with_label_values(&[if well { "published" } else { "failed" }]).inc();
    }
}

fn write(writer: StatusWriter, key: Key, action: Action) -> BoxFuture<'static, Outcome> {
    async move {
        let (what, name) = (key.0, &key.1);
        let result = match &action {
            Action::Write { from, status, .. } => writer.write((what, name), from, &status.value()).await.map(Some),
            Action::Make { node_uid } => writer.make_maglev_node(name.as_str(), node_uid).await.map(Some),
            Action::Remove { from } => writer.remove_maglev_node(name.as_str(), from).await.map(|()| None),
        };
        debug_assert!(what != Written::MaglevNode || name.namespace().is_empty());
        Outcome { key, action, result }
    }
    .boxed()
}

/// Waits until `at`; for ever without one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
