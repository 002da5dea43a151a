//! The prober that really sends something: prepares each HealthCheck once, and times every probe.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
};

use futures::{FutureExt, future::LocalBoxFuture};
use rustls::RootCertStore;
use tokio::time::timeout;

use maglev_model::{
    config::{HealthCheck, Probe},
    health::ProbeCode,
};

use super::{
    probe_grpc::GrpcProbe,
    probe_http::HttpProbe,
    probe_icmp::IcmpProbe,
    probe_tcp::TcpProbe,
    prober::{Outcome, Prober, Target},
    progress::{Narrator, Progress},
    tls,
};

/// Probes over the network, from the thread that it is called on.
#[derive(Debug)]
pub struct Network {
    user_agent: String,
    roots: Arc<RootCertStore>,
    icmp: Rc<IcmpProbe>,
    prepared: RefCell<HashMap<*const HealthCheck, Entry>>,
}

/// A HealthCheck made ready. The weak reference keeps the address from being used again, so the
/// address tells one HealthCheck from another for as long as the entry lives.
#[derive(Debug)]
struct Entry {
    of: Weak<HealthCheck>,
    prepared: Rc<Prepared>,
}

/// What can be made once per HealthCheck: requests, regular expressions, TLS settings.
#[derive(Debug)]
enum Prepared {
    Icmp(Rc<IcmpProbe>),
    Tcp(TcpProbe),
    Http(Box<HttpProbe>),
    Grpc(Box<GrpcProbe>),
    /// It cannot be sent, and why.
    Impossible(String),
}

impl Network {
    /// Trusts the well-known authorities, and calls itself `maglevd/<version>`.
    pub fn new(version: &str) -> Self {
        Self::with_roots(version, tls::well_known_roots())
    }

    /// Trusts `roots` only.
    pub fn with_roots(version: &str, roots: RootCertStore) -> Self {
        let user_agent = format!("maglevd/{version}");
        Self { user_agent, roots: Arc::new(roots), icmp: Rc::default(), prepared: RefCell::default() }
    }

    fn prepared(&self, check: &Arc<HealthCheck>) -> Rc<Prepared> {
        let mut cache = self.prepared.borrow_mut();
        if let Some(entry) = cache.get(&Arc::as_ptr(check)) {
            return Rc::clone(&entry.prepared);
        }
        cache.retain(|_, entry| entry.of.strong_count() > 0);
        let prepared = Rc::new(self.prepare(check));
        cache.insert(Arc::as_ptr(check), Entry { of: Arc::downgrade(check), prepared: Rc::clone(&prepared) });
        prepared
    }

    fn prepare(&self, check: &HealthCheck) -> Prepared {
        match &check.probe {
            Probe::Tcp { port, tls } => TcpProbe::new(*port, tls.as_ref(), &self.roots).map(Prepared::Tcp),
            Probe::Http { port, http, tls } => HttpProbe::new(*port, http, tls.as_ref(), &self.roots, &self.user_agent)
                .map(|http| Prepared::Http(Box::new(http))),
            Probe::Grpc { port, service, tls } => {
                GrpcProbe::new(*port, service, tls.as_ref(), &self.roots, &self.user_agent)
                    .map(|grpc| Prepared::Grpc(Box::new(grpc)))
            }
            Probe::Icmp => Ok(Prepared::Icmp(Rc::clone(&self.icmp))),
        }
        .unwrap_or_else(Prepared::Impossible)
    }
}

impl Prober for Network {
    fn probe(&self, target: Target) -> LocalBoxFuture<'static, Outcome> {
        let prepared = self.prepared(&target.check);
        async move { prepared.run_in_time(&target, None).await }.boxed_local()
    }
}

impl Network {
    /// Sends one probe and has `narrator` told of each step.
    pub async fn explain(&self, target: Target, narrator: &Narrator) -> Outcome {
        self.prepared(&target.check).run_in_time(&target, Some(narrator)).await
    }
}

impl Prepared {
    async fn run_in_time(&self, target: &Target, narrator: Option<&Narrator>) -> Outcome {
        let progress = Progress::new(narrator);
        match timeout(target.check.timeout, self.run(target, &progress)).await {
            Ok(Ok(outcome) | Err(outcome)) => outcome,
            Err(_) => timed_out(progress.timeout_code(), target),
        }
    }

    async fn run(&self, target: &Target, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
        match self {
            Self::Icmp(icmp) => icmp.run(target, progress).await,
            Self::Tcp(tcp) => tcp.run(target, progress).await,
            Self::Http(http) => http.run(target, progress).await,
            Self::Grpc(grpc) => grpc.run(target, progress).await,
            Self::Impossible(why) => Err(Outcome::not_probed(why.clone())),
        }
    }
}

fn timed_out(code: ProbeCode, target: &Target) -> Outcome {
    let missing = match code {
        ProbeCode::L4Timeout if target.check.probe == Probe::Icmp => "no echo reply",
        ProbeCode::L4Timeout => "no connection",
        ProbeCode::L6Timeout => "TLS handshake not finished",
        _ => "no complete response",
    };
    Outcome::answer(code, format!("{missing} within {:?}", target.check.timeout))
}
