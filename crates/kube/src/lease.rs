//! Leader election by a Lease.
//!
//! Only [`LeaseLoop`] creates a [`Leadership`], and every write requires one. Its deadline is monotonic and counted
//! from *before* the request that acquired or renewed the Lease was sent. So it passes before another replica may
//! acquire the Lease, even if the clocks differ: a replica that was paused finds the deadline passed and starts no
//! write. The deadline counts by CLOCK_BOOTTIME, too, because the monotonic clock stops while a machine is suspended. As
//! in client-go, a Lease is free once a replica has seen the same record for the Lease's duration on the
//! replica's own clock.

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
use maglev_net::{LogThrottle, boot_time, error_chain};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::whoami;

/// Time for the leader's task to end after its cancellation; then the task is aborted.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct LeaseOptions {
    pub namespace: String,
    pub name: String,
    /// Identity of this replica; unique for every process that ever runs.
    pub identity: String,
    /// Validity of the Lease after a renewal (`leaseDurationSeconds`).
    pub duration: Duration,
    /// Safety margin: this replica steps down this long before another one may acquire the Lease.
    pub margin: Duration,
    /// Interval between renewals.
    pub renew: Duration,
    /// Interval between attempts to acquire the Lease, and delay before a failed renewal is retried.
    pub retry: Duration,
    /// Clock that goes on while the machine is suspended.
    pub boot_clock: fn() -> Duration,
}

impl LeaseOptions {
    /// The Lease `namespace/name` for `identity`. A leader that died is replaced within 17 s.
    pub fn new(namespace: &str, name: &str, identity: String) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity,
            duration: Duration::from_secs(15),
            margin: Duration::from_secs(3),
            renew: Duration::from_secs(4),
            retry: Duration::from_secs(2),
            boot_clock: boot_time,
        }
    }

    fn moment(&self) -> Moment {
        Moment { monotonic: Instant::now(), boot: (self.boot_clock)() }
    }

    /// End of the leadership that a request of the time `sent` acquires or renews.
    fn deadline(&self, sent: Moment) -> Moment {
        let valid = self.duration.saturating_sub(self.margin);
        Moment { monotonic: sent.monotonic + valid, boot: sent.boot + valid }
    }
}

/// A time by both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    monotonic: Instant,
    boot: Duration,
}

impl Moment {
    /// True once either clock has reached `deadline`.
    fn has_reached(self, deadline: Self) -> bool {
        self.monotonic >= deadline.monotonic || self.boot >= deadline.boot
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LeaderState {
    /// The Lease has not been read yet.
    #[default]
    Unknown,
    /// The holder's identity.
    Follows(String),
    Leads,
}

/// The right to write. Not `Clone`: only the loop grants it and moves its deadline.
#[derive(Debug)]
pub struct Leadership {
    deadline_rx: watch::Receiver<Moment>,
    boot_clock: fn() -> Duration,
}

impl Leadership {
    /// End of the leadership unless the Lease is renewed. No request may be sent at or after this time.
    pub fn deadline(&self) -> Instant {
        self.deadline_rx.borrow().monotonic
    }

    /// To be checked just before each write.
    pub fn holds(&self) -> bool {
        let now = Moment { monotonic: Instant::now(), boot: (self.boot_clock)() };
        !now.has_reached(*self.deadline_rx.borrow())
    }
}

/// Starts the leader's task, which must end soon after the token is cancelled.
pub type LeaderTask = Box<dyn FnMut(Arc<Leadership>, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// The loop before it runs.
pub struct LeaseLoop {
    client: Client,
    api: Api<Lease>,
    options: LeaseOptions,
    state: watch::Sender<LeaderState>,
    /// Another holder's record, and the time since which it is unchanged.
    observed: Option<(LeaseSpec, Instant)>,
    throttle: LogThrottle,
}

/// A Lease held by this replica.
struct HeldLease {
    lease: Lease,
    deadline: Moment,
}

impl LeaseLoop {
    pub fn new(client: Client, options: LeaseOptions) -> Self {
        let api = Api::namespaced(client.clone(), &options.namespace);
        Self { client, api, options, state: watch::Sender::default(), observed: None, throttle: LogThrottle::default() }
    }

    pub fn state(&self) -> watch::Receiver<LeaderState> {
        self.state.subscribe()
    }

    /// Runs the leader's task whenever this replica holds the Lease, until `shutdown`; then releases the Lease.
    pub fn run(mut self, mut lead: LeaderTask, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
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

    /// Waits until this replica holds the Lease.
    async fn acquire(&mut self) -> HeldLease {
        loop {
            let sent = self.options.moment();
            match timeout(self.options.retry * 2, self.try_acquire(sent)).await {
                Ok(Ok(Some(held))) => return held,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => self.warn(&error_chain(&error)),
                Err(_) => self.warn("no answer in time"),
            }
            sleep_until(sent.monotonic + self.options.retry).await;
        }
    }

    async fn try_acquire(&mut self, sent: Moment) -> kube::Result<Option<HeldLease>> {
        let Some(lease) = self.api.get_opt(&self.options.name).await? else {
            // Owned by the ServiceAccount, so that the uninstallation deletes the Lease as well.
            let owner = whoami::service_account_owner(&self.client, &self.options.namespace).await?;
            let mut lease = self.record(None);
            lease.metadata.owner_references = owner.map(|owner| vec![owner]);
            let lease = self.api.create(&PostParams::default(), &lease).await;
            return self.acquired(sent, lease);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && !self.has_expired(&spec) {
            self.state.send_if_modified(|state| {
                let new = LeaderState::Follows(holder.clone());
                std::mem::replace(state, new.clone()) != new
            });
            return Ok(None);
        }
        let lease = self.api.replace(&self.options.name, &PostParams::default(), &self.record(Some(&lease))).await;
        self.acquired(sent, lease)
    }

    /// A conflict means that another replica was faster: no error, but no Lease.
    fn acquired(&mut self, sent: Moment, lease: kube::Result<Lease>) -> kube::Result<Option<HeldLease>> {
        match lease {
            Ok(lease) => {
                self.observed = None;
                Ok(Some(HeldLease { lease, deadline: self.options.deadline(sent) }))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// True if another holder's record has been unchanged for its whole duration on the local clock.
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

    /// The Lease with this replica as its holder, to replace `before`.
    fn record(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let is_own = spec.holder_identity.as_deref() == Some(&self.options.identity);
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(before.is_some() && !is_own);
        let metadata = before.map_or_else(
            || ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.options.identity.clone()),
                lease_duration_seconds: i32::try_from(self.options.duration.as_secs()).ok(),
                acquire_time: spec.acquire_time.filter(|_| is_own).or(Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..spec
            }),
        }
    }

    /// Leads until the Lease is lost or `shutdown`.
    async fn hold(&mut self, held: HeldLease, lead: &mut LeaderTask, shutdown: &CancellationToken) {
        let (deadline, deadline_rx) = watch::channel(held.deadline);
        let mut lease = held.lease;
        self.state.send_replace(LeaderState::Leads);
        tracing::info!(lease = self.options.name, identity = self.options.identity, "lease acquired");
        let end = CancellationToken::new();
        let task = lead(Arc::new(Leadership { deadline_rx, boot_clock: self.options.boot_clock }), end.clone());
        let mut task = AbortOnDropHandle::new(tokio::spawn(task));
        let shutting_down = tokio::select! {
            () = self.renew(&mut lease, &deadline) => false,
            _ = &mut task => false,
            () = shutdown.cancelled() => true,
        };
        if !shutting_down {
            // No new write starts; running ones may finish.
            deadline.send_replace(self.options.moment());
        }
        end.cancel();
        if !task.is_finished() {
            let _ = timeout(SHUTDOWN_TIMEOUT, &mut task).await;
        }
        drop(task);
        deadline.send_replace(self.options.moment());
        self.state.send_replace(LeaderState::Unknown);
        if shutting_down {
            self.release(&lease).await;
        } else {
            tracing::warn!(lease = self.options.name, "lease lost");
        }
    }

    /// Renews the Lease until a renewal fails for good.
    async fn renew(&self, lease: &mut Lease, deadline_tx: &watch::Sender<Moment>) {
        let mut at = Instant::now() + self.options.renew;
        loop {
            let until = *deadline_tx.borrow();
            let deadline = until.monotonic;
            sleep_until(at.min(deadline)).await;
            let sent = self.options.moment();
            // After the deadline: this process was paused, and another replica may lead.
            if sent.has_reached(until) {
                return;
            }
            let record = self.record(Some(lease));
            let (name, params) = (&self.options.name, PostParams::default());
            let answer = timeout_at(deadline, self.api.replace(name, &params, &record)).await;
            at = sent.monotonic + self.options.retry;
            match answer {
                Ok(Ok(renewed)) => {
                    *lease = renewed;
                    deadline_tx.send_replace(self.options.deadline(sent));
                    at = sent.monotonic + self.options.renew;
                }
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                    // An earlier renewal may have succeeded although its answer was lost.
                    match timeout_at(deadline, self.api.get_opt(name)).await {
                        Ok(Ok(Some(current))) if self.holds(&current) => {
                            *lease = current;
                            at = sent.monotonic;
                        }
                        Ok(Ok(_)) => return,
                        _ => {}
                    }
                }
                Ok(Err(error)) => self.warn(&error_chain(&error)),
                Err(_) => return,
            }
        }
    }

    fn holds(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(&self.options.identity)
    }

    /// Releases the Lease, so that the next leader need not wait for its expiry.
    async fn release(&self, lease: &Lease) {
        let mut record = self.record(Some(lease));
        if let Some(spec) = &mut record.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let (name, params) = (&self.options.name, PostParams::default());
        match timeout(SHUTDOWN_TIMEOUT, self.api.replace(name, &params, &record)).await {
            Ok(Ok(_)) => tracing::info!(lease = self.options.name, "lease released"),
            Ok(Err(error)) => self.warn(&error_chain(&error)),
            Err(_) => self.warn("no answer in time"),
        }
    }

    fn warn(&self, error: &str) {
        if self.throttle.admit(error).is_some() {
            tracing::warn!(lease = self.options.name, error, "lease request failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use k8s_openapi::jiff::SignedDuration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn term_of_another_replica_lasts_by_the_local_clock_whatever_the_time_of_day() {
        let refuse = |_: http::Request<kube::client::Body>| async { Err::<http::Response<String>, _>("no API server") };
        let client = Client::new(tower::service_fn(refuse), "lb");
        let mut replica = LeaseLoop::new(client, LeaseOptions::new("lb", "lease", "a".to_owned()));
        for hours in [0, 1, -1, 87_660, -87_660] {
            let renewed = Timestamp::now() + SignedDuration::from_hours(hours);
            let spec = LeaseSpec {
                holder_identity: Some("b".to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(renewed)),
                ..LeaseSpec::default()
            };
            assert!(!replica.has_expired(&spec));
            tokio::time::advance(Duration::from_secs(14)).await;
            assert!(!replica.has_expired(&spec), "{hours} h");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(replica.has_expired(&spec), "{hours} h");
        }
    }

    static BOOT_SECONDS: AtomicU64 = AtomicU64::new(100);

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_while_the_machine_is_suspended() {
        let boot_clock = || Duration::from_secs(BOOT_SECONDS.load(Ordering::Relaxed));
        let options = LeaseOptions { boot_clock, ..LeaseOptions::new("lb", "lease", "a".to_owned()) };
        let (deadline, deadline_rx) = watch::channel(options.deadline(options.moment()));
        let leadership = Leadership { deadline_rx, boot_clock };
        assert!(leadership.holds());
        BOOT_SECONDS.fetch_add(11, Ordering::Relaxed);
        assert!(leadership.holds());
        BOOT_SECONDS.fetch_add(1, Ordering::Relaxed);
        assert!(!leadership.holds(), "suspended for 12 s");
        deadline.send_replace(options.deadline(options.moment()));
        assert!(leadership.holds());
        tokio::time::advance(Duration::from_secs(12)).await;
        assert!(!leadership.holds(), "paused for 12 s");
    }
}
