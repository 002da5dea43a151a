//! The prober of production: prepares each HealthCheck once, and enforces the timeout of every probe.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use futures::{FutureExt, future::LocalBoxFuture};
use rustls::RootCertStore;
use tokio::time::{Instant, timeout};

use maglev_model::{
    config::{HealthCheck, Probe},
    health::ProbeCode,
};

use super::{
    expected_body::ExpectedBody,
    kept_connection::{ConnectionKeeper, KeptConnection},
    pattern_matcher::MatchThreads,
    probe_context::ProbeContext,
    probe_grpc::GrpcProbe,
    probe_http::HttpProbe,
    probe_icmp::IcmpProbe,
    probe_tcp::TcpProbe,
    prober::{ProbeOutcome, ProbeTarget, Probed, Prober},
    progress::{ProbeProgress, ProbeTrace},
    tls,
};

/// A probe that is done again on a new connection may exceed its timeout by this part of it. The starvation monitor accepts
/// a quarter.
const MAX_EXTENSION: u32 = 8;

/// Sends probes over the network, from the calling thread.
#[derive(Debug)]
pub struct NetworkProber {
    context: ProbeContext,
    icmp: Rc<IcmpProbe>,
    match_threads: MatchThreads,
    prepared: RefCell<HashMap<*const HealthCheck, CachedProbe>>,
}

/// A prepared HealthCheck. The weak reference keeps the address of the HealthCheck from being reused, so the address
/// identifies the HealthCheck while the entry exists.
#[derive(Debug)]
struct CachedProbe {
    check: Weak<HealthCheck>,
    prepared: Rc<PreparedProbe>,
}

/// The parts of a probe that are built once per HealthCheck: requests, searches, TLS settings.
#[derive(Debug)]
enum PreparedProbe {
    Icmp(Rc<IcmpProbe>),
    Tcp(TcpProbe),
    Http(Box<HttpProbe>),
    Grpc(Box<GrpcProbe>),
    /// The probe cannot be sent, for this reason.
    Invalid(String),
}

impl NetworkProber {
    /// A prober that trusts the well-known authorities and has the user agent `maglevd/<version>`.
    pub fn new(version: &str) -> Self {
        Self::with_roots(version, tls::well_known_roots())
    }

    /// A prober that trusts only `roots`.
    pub fn with_roots(version: &str, roots: RootCertStore) -> Self {
        let user_agent = format!("maglevd/{version}");
        let keeper = ConnectionKeeper::new(usize::MAX);
        Self {
            context: ProbeContext { user_agent, roots: Arc::new(roots), keeper },
            icmp: Rc::default(),
            match_threads: MatchThreads::default(),
            prepared: RefCell::default(),
        }
    }

    /// Limits the number of kept connections to `limit`; further ones end with their probe.
    #[must_use]
    pub fn with_kept_connections(mut self, limit: usize) -> Self {
        self.context.keeper = ConnectionKeeper::new(limit);
        self
    }

    fn prepared(&self, check: &Arc<HealthCheck>) -> Rc<PreparedProbe> {
        let mut cache = self.prepared.borrow_mut();
        if let Some(entry) = cache.get(&Arc::as_ptr(check)) {
            return Rc::clone(&entry.prepared);
        }
        cache.retain(|_, entry| entry.check.strong_count() > 0);
        let prepared = Rc::new(self.prepare(check));
        cache.insert(Arc::as_ptr(check), CachedProbe { check: Arc::downgrade(check), prepared: Rc::clone(&prepared) });
        prepared
    }

    fn prepare(&self, check: &HealthCheck) -> PreparedProbe {
        match &check.probe {
            Probe::Tcp { port, tls } => TcpProbe::new(*port, tls.as_ref(), &self.context.roots).map(PreparedProbe::Tcp),
            Probe::Http { port, http, tls } => ExpectedBody::new(http, check.name.namespace(), &self.match_threads)
                .and_then(|expected| HttpProbe::new(*port, http, tls.as_ref(), &self.context, expected))
                .map(|http| PreparedProbe::Http(Box::new(http))),
            Probe::Grpc { port, service, connection, tls } => {
                GrpcProbe::new(*port, service, *connection, tls.as_ref(), &self.context)
                    .map(|grpc| PreparedProbe::Grpc(Box::new(grpc)))
            }
            Probe::Icmp => Ok(PreparedProbe::Icmp(Rc::clone(&self.icmp))),
        }
        .unwrap_or_else(PreparedProbe::Invalid)
    }
}

impl Prober for NetworkProber {
    fn probe(&self, target: ProbeTarget, kept: Option<KeptConnection>) -> LocalBoxFuture<'static, Probed> {
        let prepared = self.prepared(&target.check);
        match kept {
            None => async move { prepared.over_new(&target, None).await }.boxed_local(),
            Some(kept) => async move { prepared.over_kept(&target, kept).await }.boxed_local(),
        }
    }
}

impl NetworkProber {
    /// Sends one probe and reports each step to `trace`.
    pub async fn probe_with_trace(&self, target: ProbeTarget, trace: &ProbeTrace) -> ProbeOutcome {
        self.prepared(&target.check).over_new(&target, Some(trace)).await.outcome
    }
}

impl PreparedProbe {
    async fn over_new(&self, target: &ProbeTarget, trace: Option<&ProbeTrace>) -> Probed {
        let mut connection = None;
        let outcome = self.run_with_timeout(target, target.check.timeout, &mut connection, trace).await;
        Probed { outcome, connection }
    }

    /// Sends one probe over `kept`. If it fails, other than by its timeout, it is done again on a new connection, and only
    /// that result counts: the server may close a connection just as a request arrives, or send an error that belongs to
    /// an earlier request.
    async fn over_kept(&self, target: &ProbeTarget, mut kept: KeptConnection) -> Probed {
        let started = Instant::now();
        let timeout = target.check.timeout;
        if !kept.is_usable(target) {
            drop(kept);
            return self.over_new(target, None).await;
        }
        let mut connection = Some(kept);
        let outcome = self.run_with_timeout(target, timeout, &mut connection, None).await;
        if !is_repeated(&outcome) {
            return Probed { outcome: outcome.on_kept_connection(), connection };
        }
        // A new connection has all of the usual time, unless the kept one failed late.
        let rest = timeout - started.elapsed().saturating_sub(timeout / MAX_EXTENSION).min(timeout);
        let outcome = self.run_with_timeout(target, rest, &mut connection, None).await;
        Probed { outcome, connection }
    }

    async fn run_with_timeout(
        &self,
        target: &ProbeTarget,
        limit: Duration,
        connection: &mut Option<KeptConnection>,
        trace: Option<&ProbeTrace>,
    ) -> ProbeOutcome {
        let progress = ProbeProgress::new(trace);
        let mut run = pin!(self.run(target, connection, &progress));
        if let Ok(Ok(outcome) | Err(outcome)) = timeout(limit, &mut run).await {
            return outcome;
        }
        // A search in progress still decides on what arrived in time. The backend gets no further time.
        let search = poll_fn(|context| match run.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if progress.is_busy() => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        let limit = target.check.timeout;
        match timeout(limit, search).await {
            Ok(Some(Ok(outcome) | Err(outcome))) => outcome,
            Ok(None) => timed_out(progress.timeout_code(), target),
            Err(_) => ProbeOutcome::not_probed(format!(
                "expectedBody was not matched within {limit:?}: expressions of this namespace need too much CPU time"
            )),
        }
    }

    async fn run(
        &self,
        target: &ProbeTarget,
        connection: &mut Option<KeptConnection>,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        match self {
            Self::Icmp(icmp) => icmp.run(target, progress).await,
            Self::Tcp(tcp) => tcp.run(target, progress).await,
            Self::Http(http) => http.run(target, connection, progress).await,
            Self::Grpc(grpc) => Box::pin(grpc.run(target, connection, progress)).await,
            Self::Invalid(reason) => Err(ProbeOutcome::not_probed(reason.clone())),
        }
    }
}

/// True if a probe with this outcome on a kept connection is done again on a new one.
fn is_repeated(outcome: &ProbeOutcome) -> bool {
    use ProbeCode::{L4Timeout, L6Timeout, L7Timeout};
    match outcome {
        ProbeOutcome::Completed { code, .. } => {
            !code.is_success() && !matches!(code, L4Timeout | L6Timeout | L7Timeout)
        }
        ProbeOutcome::NotProbed { .. } => false,
    }
}

fn timed_out(code: ProbeCode, target: &ProbeTarget) -> ProbeOutcome {
    let missing = match code {
        ProbeCode::L4Timeout if target.check.probe == Probe::Icmp => "no echo reply",
        ProbeCode::L4Timeout => "no connection",
        ProbeCode::L6Timeout => "TLS handshake not finished",
        _ => "no complete response",
    };
    ProbeOutcome::completed(code, format!("{missing} within {:?}", target.check.timeout))
}
