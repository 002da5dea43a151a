//! The probes against real servers on loopback.

mod answer_first;
mod checks;
mod codes;
mod connection_ends;
mod counts;
mod endless_bodies;
mod expected_body;
mod grpc_health;
mod hostile_namespaces;
mod http2;
mod icmp_echo;
mod keep_alive;
mod kept_by_loops;
mod kept_connections;
mod namespace;
mod probe_command;
mod request_form;
mod requests;
mod scheduled;
pub mod servers;
mod tls_faults;
mod tls_names;
mod traffic;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use maglev_health::{NetworkProber, ProbeOutcome, ProbeTarget, Prober};
use maglev_model::{config::HealthCheck, health::ProbeCode};
use tokio::time::timeout;

/// Maximum time for a probe or a condition.
const LIMIT: Duration = Duration::from_secs(30);

async fn outcome(network: &NetworkProber, address: SocketAddr, check: HealthCheck) -> ProbeOutcome {
    let target = ProbeTarget { address: address.ip(), source: None, check: Arc::new(check) };
    timeout(LIMIT, network.probe(target, None)).await.expect("a probe ends by its timeout").outcome
}

async fn probe(network: &NetworkProber, address: SocketAddr, check: HealthCheck) -> (ProbeCode, String) {
    match outcome(network, address, check).await {
        ProbeOutcome::Completed { code, detail } => (code, detail.into_owned()),
        ProbeOutcome::NotProbed { detail } => panic!("not probed: {detail}"),
    }
}

/// Waits for a condition.
async fn until(condition: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(LIMIT, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {LIMIT:?}: {condition}");
}
