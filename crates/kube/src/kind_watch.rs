//! The watch of one kind: lists, watches, starts over, and hands on what may count. Run by
//! `watches`, one for each kind.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::{
    Api, Client,
    runtime::watcher::{self, Event},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    causes::{Causes, describe},
    crd_guard::{Crd, CrdGuard},
    follow::is_expired,
    guard::Raw,
    kinds,
    ledger::{Change, Ledger},
    retry::Retry,
};
use maglev_model::{Name, config::Kind};

/// What a watch hands on. To be applied in the order of the fields.
pub struct Update {
    pub kind: Kind,
    /// `objects` is the first complete list of the kind.
    pub first: bool,
    pub gone: Vec<Name>,
    pub objects: Vec<Raw>,
    /// How many objects of the kind are there, all in all.
    pub count: usize,
}

/// How long a watch waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// After so long the API server is asked to end a watch, which is then taken up where it was.
    /// A connection that silently died is noticed 5 s later: within three minutes.
    pub watch: Duration,
    /// Objects that are gone within so long of the first are judged together.
    pub coalesce: Duration,
    /// Before the first retry of a failed request; doubles with each further failure.
    pub retry_min: Duration,
    /// The longest delay before a retry.
    pub retry_max: Duration,
    /// Until a Secret or ConfigMap with certificates is read again.
    pub certificates: Duration,
    /// The same where it could not be used.
    pub certificates_missing: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(170),
            coalesce: Duration::from_millis(150),
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(15),
            certificates: Duration::from_mins(1),
            certificates_missing: Duration::from_secs(10),
        }
    }
}

/// The watch of one kind.
pub struct KindWatch {
    kind: Kind,
    api: Api<Raw>,
    config: watcher::Config,
    /// `None` for a kind that Kubernetes itself serves.
    guard: Option<CrdGuard>,
    /// The CRD that stood when the kind was listed.
    crd_uid: Option<String>,
    ledger: Ledger,
    delays: Delays,
    stream_retry: Retry,
    word_retry: Retry,
    causes: Arc<Causes>,
    updates: mpsc::Sender<Update>,
}

/// Why a watch starts over.
struct StartOver;

impl KindWatch {
    pub fn new(
        client: Client,
        (kind, node_name): (Kind, Option<&str>),
        delays: Delays,
        causes: Arc<Causes>,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        Self {
            kind,
            api: Api::all_with(client.clone(), &kinds::resource(kind)),
            config: kinds::watch_config(kind, node_name, delays.watch),
            guard: CrdGuard::new(client, kind),
            crd_uid: None,
            ledger: Ledger::default(),
            delays,
            stream_retry: Retry::new(delays),
            word_retry: Retry::new(delays),
            causes,
            updates,
        }
    }

    /// Watches for ever, or until nobody takes updates any more.
    pub fn run(mut self) -> BoxFuture<'static, ()> {
        async move {
            loop {
                self.until_served().await;
                let Some(StartOver) = self.watch().await else { return };
            }
        }
        .boxed()
    }

    /// Waits until the CRD is there, and notes which one it is.
    async fn until_served(&mut self) {
        let Some(guard) = &self.guard else { return };
        loop {
            match guard.ask().await {
                Crd::Present { uid } => {
                    self.crd_uid = Some(uid);
                    return;
                }
                Crd::Absent { why } => self.warn_not_served(why),
                Crd::Unknown { error } => self.warn("crd-unknown", &error),
            }
            sleep(self.word_retry.next()).await;
        }
    }

    /// Lists and watches; `None` when nobody takes updates any more.
    async fn watch(&mut self) -> Option<StartOver> {
        let mut events = pin!(watcher::watcher(self.api.clone(), self.config.clone()));
        let mut resume_at: Option<Instant> = None;
        let mut word_at: Option<Instant> = None;
        loop {
            tokio::select! {
                event = events.next(), if resume_at.is_none() => {
                    resume_at = self.take(event?);
                    // What came together is told together.
                    while resume_at.is_none() && let Some(event) = events.next().now_or_never() {
                        resume_at = self.take(event?);
                    }
                }
                () = until(resume_at) => resume_at = None,
                () = until(word_at) => {
                    word_at = match self.seek_word().await? {
                        Word::Heard => None,
                        Word::AskAgain => Some(Instant::now() + self.word_retry.next()),
                        Word::NotServed => return Some(StartOver),
                    };
                }
            }
            if let Some(change) = self.ledger.ready() {
                self.hand_on(change).await?;
            }
            word_at = match (self.ledger.needs_word(), word_at) {
                (false, _) => None,
                (true, None) => Some(Instant::now() + self.delays.coalesce),
                (true, at) => at,
            };
        }
    }

    /// Books an event; the time to go on at after an error.
    fn take(&mut self, event: watcher::Result<Event<Raw>>) -> Option<Instant> {
        match event {
            Ok(Event::Init) => self.ledger.list_begins(),
            Ok(Event::InitApply(object)) => self.ledger.list_has(object),
            Ok(Event::InitDone) => self.ledger.list_ends(),
            Ok(Event::Apply(object)) => self.ledger.applied(object),
            Ok(Event::Delete(object)) => self.ledger.deleted(object.name()),
            Err(error) => {
                if !is_expired(&error) {
                    self.warn("watch-failed", &describe(&error));
                }
                return Some(Instant::now() + self.stream_retry.next());
            }
        }
        None
    }

    /// Asks whether the kind is served, and acts on the answer. `None` when nobody takes updates.
    async fn seek_word(&mut self) -> Option<Word> {
        let crd = match &self.guard {
            Some(guard) => guard.ask().await,
            None => Crd::Present { uid: String::new() },
        };
        match crd {
            Crd::Present { uid } if self.guard.is_none() || self.crd_uid.as_ref() == Some(&uid) => {
                let change = self.ledger.word_given();
                self.hand_on(change).await?;
                Some(Word::Heard)
            }
            Crd::Present { .. } => {
                self.warn_not_served("it was deleted and created again");
                self.ledger.not_served();
                Some(Word::NotServed)
            }
            Crd::Absent { why } => {
                self.warn_not_served(why);
                self.ledger.not_served();
                Some(Word::NotServed)
            }
            Crd::Unknown { error } => {
                self.warn("crd-unknown", &error);
                self.ledger.word_missing();
                Some(Word::AskAgain)
            }
        }
    }

    async fn hand_on(&self, change: Change) -> Option<()> {
        let Change { first, gone, objects } = change;
        let update = Update { kind: self.kind, first, gone, objects, count: self.ledger.known() };
        self.updates.send(update).await.ok()
    }

    fn warn(&self, what: &'static str, err: &str) {
        if self.causes.is_news(err) {
            let (kind, gone) = (self.kind.as_str(), self.ledger.gone());
            tracing::warn!(kind, kept = self.ledger.known(), gone, err, "{what}");
        }
    }

    fn warn_not_served(&self, why: &'static str) {
        let name = self.guard.as_ref().map_or("", CrdGuard::name);
        self.warn("crd-not-served", &format!("CustomResourceDefinition {name}: {why}; its objects stay as last seen"));
    }
}

enum Word {
    Heard,
    AskAgain,
    NotServed,
}

/// Waits until `at`; for ever without one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
