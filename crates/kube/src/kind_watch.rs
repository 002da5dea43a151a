//! The watch of one kind: lists, watches, starts over, and delivers updates. Run by `watches` and `cluster_watch`, one
//! for each kind.

use std::{pin::pin, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::{
    Api, Client,
    runtime::watcher::{self, Event},
};
use maglev_net::{Backoff, LogThrottle, error_chain, sleep_until_some};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    Delays,
    crd_guard::{CrdGuard, CrdState},
    kinds,
    object_tracker::{ObjectTracker, TrackerUpdate},
    raw_object::RawObject,
    watch_loop::is_expired,
};
use maglev_index::Index;
use maglev_model::{Name, config::Kind};

/// An update of one kind. To be applied in the order of the fields.
pub struct RawUpdate {
    pub kind: Kind,
    /// True if `objects` is the first complete list of the kind.
    pub first: bool,
    pub deleted: Vec<Name>,
    pub objects: Vec<RawObject>,
    /// Number of objects of the kind after this update.
    pub count: usize,
}

/// The watch of one kind before it runs.
pub struct KindWatch {
    kind: Kind,
    api: Api<RawObject>,
    config: watcher::Config,
    /// `None` for a built-in kind.
    guard: Option<CrdGuard>,
    /// The CRD's `metadata.uid` when the kind was listed.
    crd_uid: Option<String>,
    tracker: ObjectTracker,
    delays: Delays,
    stream_retry: Backoff,
    confirmation_retry: Backoff,
    throttle: Arc<LogThrottle>,
    updates: mpsc::Sender<RawUpdate>,
}

/// Watches `kind` while `wanted` holds a number; another number starts over with a list.
pub async fn watch_while_wanted(watch: impl Fn() -> KindWatch, mut wanted: tokio::sync::watch::Receiver<Option<u64>>) {
    loop {
        let is_wanted = wanted.borrow_and_update().is_some();
        let current = async {
            match is_wanted {
                true => watch().run().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = current => return,
            // Without a sender, the last state stays in force.
            Ok(()) = wanted.changed() => {}
        }
    }
}

/// The number of the current watch of Namespaces, while they have to be watched.
#[derive(Debug, Default)]
pub struct NamespaceDemand {
    current: Option<u64>,
    last: u64,
}

impl NamespaceDemand {
    /// Sets whether `index` needs Namespaces, and forgets them when it no longer does. Returns the number to watch with,
    /// if it has changed.
    pub fn update(&mut self, index: &mut Index) -> Option<Option<u64>> {
        let is_needed = index.needs_namespaces();
        if is_needed == self.current.is_some() {
            return None;
        }
        if is_needed {
            self.last += 1;
            self.current = Some(self.last);
        } else {
            self.current = None;
            index.unlist(Kind::Namespace);
        }
        Some(self.current)
    }
}

/// Result of a watch that must be started over.
struct Restart;

impl KindWatch {
    pub fn new(
        client: Client,
        kind: Kind,
        delays: Delays,
        throttle: Arc<LogThrottle>,
        updates: mpsc::Sender<RawUpdate>,
    ) -> Self {
        Self {
            kind,
            api: Api::all_with(client.clone(), &kinds::resource(kind)),
            config: kinds::watch_all(delays.watch),
            guard: CrdGuard::new(client, kind),
            crd_uid: None,
            tracker: ObjectTracker::default(),
            delays,
            stream_retry: delays.backoff(),
            confirmation_retry: delays.backoff(),
            throttle,
            updates,
        }
    }

    /// Watches until the receiver of updates is dropped.
    pub fn run(mut self) -> BoxFuture<'static, ()> {
        async move {
            loop {
                self.wait_until_served().await;
                let Some(Restart) = self.watch().await else { return };
            }
        }
        .boxed()
    }

    /// Waits until the CRD exists, and remembers its uid.
    async fn wait_until_served(&mut self) {
        let Some(guard) = &self.guard else { return };
        loop {
            match guard.read().await {
                CrdState::Present { uid } => {
                    self.crd_uid = Some(uid);
                    return;
                }
                CrdState::Absent { why } => self.warn_not_served(why),
                CrdState::Unknown { error } => self.warn("cannot read crd", &error),
            }
            sleep(self.confirmation_retry.next_delay()).await;
        }
    }

    /// Lists and watches. Returns `None` once the receiver of updates is dropped.
    async fn watch(&mut self) -> Option<Restart> {
        let mut events = pin!(watcher::watcher(self.api.clone(), self.config.clone()));
        let mut resume_at: Option<Instant> = None;
        let mut confirm_at: Option<Instant> = None;
        loop {
            tokio::select! {
                event = events.next(), if resume_at.is_none() => {
                    resume_at = self.apply_event(event?);
                    // Events that are ready together become one update.
                    while resume_at.is_none() && let Some(event) = events.next().now_or_never() {
                        resume_at = self.apply_event(event?);
                    }
                }
                () = sleep_until_some(resume_at) => resume_at = None,
                () = sleep_until_some(confirm_at) => {
                    confirm_at = match self.request_confirmation().await? {
                        Confirmation::Served => None,
                        Confirmation::Unavailable => Some(Instant::now() + self.confirmation_retry.next_delay()),
                        Confirmation::NotServed => return Some(Restart),
                    };
                }
            }
            if let Some(update) = self.tracker.take_ready() {
                self.deliver(update).await?;
            }
            confirm_at = match (self.tracker.needs_confirmation(), confirm_at) {
                (false, _) => None,
                (true, None) => Some(Instant::now() + self.delays.coalesce),
                (true, at) => at,
            };
        }
    }

    /// Applies a watch event. Returns when to retry after an error.
    fn apply_event(&mut self, event: watcher::Result<Event<RawObject>>) -> Option<Instant> {
        match event {
            Ok(Event::Init) => self.tracker.begin_list(),
            Ok(Event::InitApply(object)) => self.tracker.add_listed(object),
            Ok(Event::InitDone) => self.tracker.complete_list(),
            Ok(Event::Apply(object)) => self.tracker.apply(object),
            Ok(Event::Delete(object)) => self.tracker.delete(object.name()),
            Err(error) => {
                if !is_expired(&error) {
                    self.warn("watch failed", &error_chain(&error));
                }
                return Some(Instant::now() + self.stream_retry.next_delay());
            }
        }
        None
    }

    /// Reads the CRD and acts on its state. Returns `None` once the receiver of updates is dropped.
    async fn request_confirmation(&mut self) -> Option<Confirmation> {
        let crd = match &self.guard {
            Some(guard) => guard.read().await,
            None => CrdState::Present { uid: String::new() },
        };
        match crd {
            CrdState::Present { uid } if self.guard.is_none() || self.crd_uid.as_ref() == Some(&uid) => {
                let update = self.tracker.confirm();
                self.deliver(update).await?;
                Some(Confirmation::Served)
            }
            CrdState::Present { .. } => {
                self.warn_not_served("was deleted and created again");
                self.tracker.mark_not_served();
                Some(Confirmation::NotServed)
            }
            CrdState::Absent { why } => {
                self.warn_not_served(why);
                self.tracker.mark_not_served();
                Some(Confirmation::NotServed)
            }
            CrdState::Unknown { error } => {
                self.warn("cannot read crd", &error);
                self.tracker.miss_confirmation();
                Some(Confirmation::Unavailable)
            }
        }
    }

    async fn deliver(&self, update: TrackerUpdate) -> Option<()> {
        let TrackerUpdate { first, deleted, objects } = update;
        let count = self.tracker.delivered_count();
        self.updates.send(RawUpdate { kind: self.kind, first, deleted, objects, count }).await.ok()
    }

    fn warn(&self, message: &'static str, error: &str) {
        if self.throttle.admit(error).is_some() {
            let (objects, pending_deletions) = (self.tracker.delivered_count(), self.tracker.pending_deletions());
            tracing::warn!(kind = self.kind.as_str(), objects, pending_deletions, error, "{message}");
        }
    }

    fn warn_not_served(&self, why: &'static str) {
        let name = self.guard.as_ref().map_or("", CrdGuard::name);
        let error = format!("CustomResourceDefinition {name} {why}; the last state of its objects stays in force");
        self.warn("crd is not served", &error);
    }
}

/// Result of a request to confirm that the kind is served.
enum Confirmation {
    Served,
    NotServed,
    /// The API server did not answer.
    Unavailable,
}
