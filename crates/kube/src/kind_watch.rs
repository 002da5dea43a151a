//! The watch of one kind: lists, watches, starts over, and delivers updates. Run by `watches` and `cluster_watch`, one
//! for each kind.

use std::{collections::BTreeSet, pin::pin, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::{
    Api, Client,
    runtime::watcher::{self, Event},
};
use maglev_net::{Backoff, LogThrottle, error_chain, sleep_until_some};
use tokio::{
    sync::{mpsc, watch},
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
use maglev_model::{Name, config::Kind};

/// An update of one kind. To be applied in the order of the fields.
pub struct RawUpdate {
    pub kind: Kind,
    /// The Services whose EndpointSlices the watch delivers; `None` for all other kinds.
    pub services: Option<Arc<BTreeSet<Name>>>,
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
    /// The Services whose EndpointSlices are delivered; `None` for objects of all other kinds.
    services: Option<Arc<BTreeSet<Name>>>,
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
    /// Set once the first list was delivered.
    listed: Option<watch::Sender<bool>>,
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
            services: None,
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
            listed: None,
        }
    }

    /// Delivers only the EndpointSlices of `services`.
    pub fn of_services(self, services: Arc<BTreeSet<Name>>) -> Self {
        Self { services: Some(services), ..self }
    }

    /// Sets `listed` once the first list was delivered.
    pub fn with_listed(self, listed: watch::Sender<bool>) -> Self {
        Self { listed: Some(listed), ..self }
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
            Ok(Event::InitApply(object)) if !self.is_wanted(&object) => {}
            Ok(Event::InitApply(object)) => self.tracker.add_listed(object),
            Ok(Event::InitDone) => self.tracker.complete_list(),
            Ok(Event::Apply(object)) if !self.is_wanted(&object) => self.tracker.delete(object.name()),
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

    /// False for an EndpointSlice of a Service that no pool follows.
    fn is_wanted(&self, object: &RawObject) -> bool {
        let Some(services) = &self.services else { return true };
        object.service().is_some_and(|service| services.contains(&service))
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
        let services = self.services.clone();
        self.updates.send(RawUpdate { kind: self.kind, services, first, deleted, objects, count }).await.ok()?;
        if let Some(listed) = self.listed.as_ref().filter(|_| first) {
            listed.send_replace(true);
        }
        Some(())
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
