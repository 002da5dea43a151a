//! The prober that really sends something: prepares each HealthCheck once, and times every probe.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
};

use futures::{FutureExt, future::LocalBoxFuture};
use rustls::RootCertStore;
use tokio::time::timeout;

use crate::model::{
    config::{HealthCheck, Probe},
    health::ProbeCode,
};

use super::{
    probe_http::HttpProbe,
    probe_tcp::TcpProbe,
    prober::{Outcome, Prober, Target},
    tls,
};

/// Probes over the network, from the thread that it is called on.
#[derive(Debug)]
pub struct Network {
    user_agent: String,
    roots: Arc<RootCertStore>,
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
    Tcp(TcpProbe),
    Http(Box<HttpProbe>),
    /// It cannot be sent, and why.
    Impossible(String),
}

/// How far a probe is: the code it has if its time is up now.
#[derive(Debug)]
pub(super) struct Stage(Cell<ProbeCode>);

impl Stage {
    /// The probe goes on with what times out as `code`.
    pub(super) fn enter(&self, code: ProbeCode) {
        self.0.set(code);
    }
}

impl Network {
    /// Trusts the well-known authorities, and calls itself `maglevd/<version>`.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Self::with_roots(version, tls::well_known_roots())
    }

    /// Trusts `roots` only.
    #[must_use]
    pub fn with_roots(version: &str, roots: RootCertStore) -> Self {
        Self { user_agent: format!("maglevd/{version}"), roots: Arc::new(roots), prepared: RefCell::default() }
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
            Probe::Icmp | Probe::Grpc { .. } => Err(format!("{} is not probed by this build", check.probe.type_name())),
        }
        .unwrap_or_else(Prepared::Impossible)
    }
}

impl Prober for Network {
    fn probe(&self, target: Target) -> LocalBoxFuture<'static, Outcome> {
        let prepared = self.prepared(&target.check);
        async move {
            let stage = Stage(Cell::new(ProbeCode::L4Timeout));
            match timeout(target.check.timeout, prepared.run(&target, &stage)).await {
                Ok(Ok(outcome) | Err(outcome)) => outcome,
                Err(_) => timed_out(stage.0.get(), &target),
            }
        }
        .boxed_local()
    }
}

impl Prepared {
    async fn run(&self, target: &Target, stage: &Stage) -> Result<Outcome, Outcome> {
        match self {
            Self::Tcp(tcp) => tcp.run(target, stage).await,
            Self::Http(http) => http.run(target, stage).await,
            Self::Impossible(why) => Err(Outcome::not_probed(why.clone())),
        }
    }
}

fn timed_out(code: ProbeCode, target: &Target) -> Outcome {
    let missing = match code {
        ProbeCode::L4Timeout => "no connection",
        ProbeCode::L6Timeout => "TLS handshake not finished",
        _ => "no complete response",
    };
    Outcome::answer(code, format!("{missing} within {:?}", target.check.timeout))
}
