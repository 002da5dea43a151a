//! One leader among replicas, by a Lease.
//!
//! [`LeaseLoop`] alone makes a [`Leadership`], and only with one in hand is anything written. Its deadline is
//! monotonic and counted from *before* the request that took or renewed the Lease left, so it ends before any other
//! replica may take the Lease, whatever either clock says: a replica that was paused finds it past and writes nothing
//! that it had not begun. How others judge a Lease is client-go's rule: it is free once the same record has stood for
//! its duration on *their* clock.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::causes::{Causes, describe};

/// How long whoever leads may take to end once it has to; then it is dropped.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Which Lease, and how it is held.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// The Lease's namespace.
    pub namespace: String,
    pub name: String,
    /// Who we are: different for every process that ever runs.
    pub identity: String,
    /// Others wait so long after a renewal before they take it.
    pub duration: Duration,
    /// So long before others may take it, we stop.
    pub margin: Duration,
    /// Between two renewals.
    pub renew: Duration,
    /// Between two looks at somebody else's, and before a failed renewal is tried again.
    pub retry: Duration,
}

impl LeaseOptions {
    /// The Lease `namespace/name` for `identity`: a leader that died is followed within 17 s.
    pub fn new(namespace: &str, name: &str, identity: String) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity,
            duration: Duration::from_secs(15),
            margin: Duration::from_secs(3),
            renew: Duration::from_secs(4),
            retry: Duration::from_secs(2),
        }
    }
}

/// Where the loop is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody could say yet who leads.
    #[default]
    Unknown,
    /// Somebody else leads.
    Follows(String),
    Leads,
}

/// The right to write. Not `Clone`: it is the loop's to give, and its deadline is the loop's to move.
#[derive(Debug)]
pub struct Leadership {
    until: watch::Receiver<Instant>,
}

impl Leadership {
    /// When it ends unless the Lease is renewed. Nothing may be sent at or after this moment.
    pub fn until(&self) -> Instant {
        *self.until.borrow()
    }

    /// Whether it holds now. To be asked just before each write.
    pub fn holds(&self) -> bool {
        Instant::now() < self.until()
    }
}

/// What is done while we lead; to end soon once the token is cancelled.
pub type Lead = Box<dyn FnMut(Arc<Leadership>, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// The loop before it runs.
pub struct LeaseLoop {
    api: Api<Lease>,
    options: LeaseOptions,
    standing: watch::Sender<Standing>,
    /// Somebody else's record, and since when it has stood so.
    observed: Option<(LeaseSpec, Instant)>,
    causes: Causes,
}

/// A Lease that is ours, and until when.
struct Held {
    lease: Lease,
    until: Instant,
}

impl LeaseLoop {
    /// A loop that asks through `client`.
    pub fn new(client: Client, options: LeaseOptions) -> Self {
        let api = Api::namespaced(client, &options.namespace);
        Self { api, options, standing: watch::Sender::default(), observed: None, causes: Causes::default() }
    }

    /// Where the loop is.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Leads whenever it can until `shutdown`; then gives the Lease back.
    pub fn run(mut self, mut lead: Lead, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            loop {
                let held = tokio::select! {
                    held = self.acquire() => held,
                    () = shutdown.cancelled() => return,
                };
                self.hold(held, &mut lead, &shutdown).await;
                if shutdown.is_cancelled() {
                    return;
                }
            }
        }
        .boxed()
    }

    /// Waits until the Lease is ours.
    async fn acquire(&mut self) -> Held {
        loop {
            let asked = Instant::now();
            match timeout(self.options.retry * 2, self.try_acquire(asked)).await {
                Ok(Ok(Some(held))) => return held,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => self.warn(&describe(&error)),
                Err(_) => self.warn("no answer in time"),
            }
            sleep_until(asked + self.options.retry).await;
        }
    }

    async fn try_acquire(&mut self, asked: Instant) -> kube::Result<Option<Held>> {
        let Some(lease) = self.api.get_opt(&self.options.name).await? else {
            let lease = self.api.create(&PostParams::default(), &self.record(None)).await;
            return self.taken(asked, lease);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && !self.has_expired(&spec) {
            self.standing.send_if_modified(|standing| {
                let now = Standing::Follows(holder.clone());
                std::mem::replace(standing, now.clone()) != now
            });
            return Ok(None);
        }
        let lease = self.api.replace(&self.options.name, &PostParams::default(), &self.record(Some(&lease))).await;
        self.taken(asked, lease)
    }

    /// Another replica may have been faster: no error, but no Lease.
    fn taken(&mut self, asked: Instant, lease: kube::Result<Lease>) -> kube::Result<Option<Held>> {
        match lease {
            Ok(lease) => {
                self.observed = None;
                Ok(Some(Held { lease, until: asked + self.options.duration - self.options.margin }))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody else's record has stood for its whole duration on our clock.
    fn has_expired(&mut self, spec: &LeaseSpec) -> bool {
        let now = Instant::now();
        match &self.observed {
            Some((observed, since)) if observed == spec => {
                let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
                now.duration_since(*since) >= seconds.map_or(self.options.duration, Duration::from_secs)
            }
            _ => {
                self.observed = Some((spec.clone(), now));
                false
            }
        }
    }

    /// The Lease with us as its holder, to replace `before`.
    fn record(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.options.identity);
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(before.is_some() && !ours);
        let metadata = before.map_or_else(
            || ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.options.identity.clone()),
                lease_duration_seconds: i32::try_from(self.options.duration.as_secs()).ok(),
                acquire_time: spec.acquire_time.filter(|_| ours).or(Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..spec
            }),
        }
    }

    /// Leads until the Lease is lost or `shutdown`.
    async fn hold(&mut self, held: Held, lead: &mut Lead, shutdown: &CancellationToken) {
        let (until, until_rx) = watch::channel(held.until);
        let mut lease = held.lease;
        self.standing.send_replace(Standing::Leads);
        tracing::info!(lease = self.options.name, identity = self.options.identity, "lease-taken");
        let end = CancellationToken::new();
        let term = lead(Arc::new(Leadership { until: until_rx }), end.clone());
        let mut term = AbortOnDropHandle::new(tokio::spawn(term));
        let asked = tokio::select! {
            () = self.renew(&mut lease, &until) => false,
            _ = &mut term => false,
            () = shutdown.cancelled() => true,
        };
        if !asked {
            // Nothing begins any more; what had begun may end.
            until.send_replace(Instant::now());
        }
        end.cancel();
        if !term.is_finished() {
            let _ = timeout(END_WITHIN, &mut term).await;
        }
        drop(term);
        until.send_replace(Instant::now());
        self.standing.send_replace(Standing::Unknown);
        if asked {
            self.release(&lease).await;
        } else {
            tracing::warn!(lease = self.options.name, "lease-lost");
        }
    }

    /// Renews the Lease for as long as that goes well.
    async fn renew(&self, lease: &mut Lease, until: &watch::Sender<Instant>) {
        let mut at = Instant::now() + self.options.renew;
        loop {
            let deadline = *until.borrow();
            sleep_until(at.min(deadline)).await;
            let asked = Instant::now();
            // Late by so much: this process was paused, and somebody else may lead.
            if asked >= deadline {
                return;
            }
            let record = self.record(Some(lease));
            let (name, params) = (&self.options.name, PostParams::default());
            let answer = timeout_at(deadline, self.api.replace(name, &params, &record)).await;
            at = asked + self.options.retry;
            match answer {
                Ok(Ok(renewed)) => {
                    *lease = renewed;
                    until.send_replace(asked + self.options.duration - self.options.margin);
                    at = asked + self.options.renew;
                }
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                    // Our own renewal may have gone through although its answer was lost.
                    match timeout_at(deadline, self.api.get_opt(name)).await {
                        Ok(Ok(Some(found))) if self.is_ours(&found) => {
                            *lease = found;
                            at = asked;
                        }
                        Ok(Ok(_)) => return,
                        _ => {}
                    }
                }
                Ok(Err(error)) => self.warn(&describe(&error)),
                Err(_) => return,
            }
        }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(&self.options.identity)
    }

    /// Gives the Lease back, so that the next one need not wait.
    async fn release(&self, lease: &Lease) {
        let mut record = self.record(Some(lease));
        if let Some(spec) = &mut record.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let (name, params) = (&self.options.name, PostParams::default());
        match timeout(END_WITHIN, self.api.replace(name, &params, &record)).await {
            Ok(Ok(_)) => tracing::info!(lease = self.options.name, "lease-released"),
            Ok(Err(error)) => self.warn(&describe(&error)),
            Err(_) => self.warn("no answer in time"),
        }
    }

    fn warn(&self, err: &str) {
        if self.causes.is_news(err) {
            tracing::warn!(lease = self.options.name, err, "lease-failed");
        }
    }
}
