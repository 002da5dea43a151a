//! The metrics, the events and the servers count the same probes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check, HealthCheck, NodeConfig, Revision},
    drain::DrainConf,
    event::Event,
    health::{BackendState, ProbeCode},
};
use maglev_testkit::{EventCollector, objects};
use prometheus::{Registry, TextEncoder};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    LIMIT,
    checks::{http, tcp},
    servers::{self, Server},
};

#[derive(Default)]
struct Counts {
    /// Probes that began, by Backend.
    begun: BTreeMap<Name, usize>,
    /// Probes that ended, by Backend and code.
    ended: BTreeMap<(Name, ProbeCode), usize>,
}

impl Counts {
    fn new(events: Vec<Event>) -> Self {
        let mut counts = Self::default();
        for event in events {
            match event {
                Event::ProbeStart { backend, .. } => *counts.begun.entry(backend).or_default() += 1,
                Event::ProbeDone { backend, code, .. } => *counts.ended.entry((backend, code)).or_default() += 1,
                _ => {}
            }
        }
        counts
    }
}

/// Values of `maglev_probe_total` by backend and code.
fn probe_totals(registry: &Registry) -> BTreeMap<(String, String), usize> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let label = |labels: &str, name: &str| {
        let from = labels.split_once(&format!("{name}=\"")).unwrap().1;
        from.split_once('"').unwrap().0.to_owned()
    };
    let series = |line: &str| {
        let (labels, value) = line.strip_prefix("maglev_probe_total")?.rsplit_once(' ')?;
        Some(((label(labels, "backend"), label(labels, "code")), value.parse().unwrap()))
    };
    text.lines().filter_map(series).collect()
}

/// The value of a counter without labels.
fn counter(registry: &Registry, name: &str) -> usize {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
}

#[tokio::test]
async fn metrics_and_events_match_the_servers_counts() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let brief = Duration::from_millis(100);
    let quick = |check: HealthCheck| HealthCheck {
        interval: brief,
        fast_interval: brief,
        down_interval: brief,
        timeout: brief,
        ..check
    };
    let port = |server: &Server| server.address.port();
    let (fine, broken) = (servers::answers(OK).await, servers::answers(b"HTTP/1.1 503 No\r\n\r\n").await);
    let (mute, plain) = (servers::silent().await, servers::silent().await);
    let checks = [
        ("fine", quick(http(port(&fine))), fine, ProbeCode::L7Ok),
        ("broken", quick(http(port(&broken))), broken, ProbeCode::L7Status),
        ("mute", quick(http(port(&mute))), mute, ProbeCode::L7Timeout),
        ("plain", quick(tcp(port(&plain))), plain, ProbeCode::L4Ok),
    ];
    let config = |admin_state| {
        let mut config = objects::config([], NodeConfig::default());
        for (name, check, server, _) in &checks {
            let name = Name::namespaced("shop", name);
            // Backends with the same address and HealthCheck would share their probes.
            let check = Check::Probe(Arc::new(HealthCheck { name: name.clone(), ..check.clone() }));
            let (revision, address) = (Revision::default(), server.address.ip());
            let backend = Backend {
                name: name.clone(),
                revision,
                address,
                admin_state,
                pause_cause: None,
                drain: DrainConf::default(),
                check,
            };
            config.backends.insert(name, Arc::new(backend));
        }
        config
    };
    let (events, registry, stop) = (Arc::new(EventCollector::default()), Registry::new(), CancellationToken::new());
    events.want_probes(true);
    let options = HealthOptions::new("1.2.3", 7);
    options.metrics.register(&registry).unwrap();
    let config_tx = watch::Sender::new(Some(config(AdminState::Enabled)));
    let probes = ProbeThread::start(None).unwrap();
    let (mut snapshot_rx, thread) = probes.run(options, config_tx.subscribe(), events.handle(), stop.clone()).unwrap();
    super::until("each backend is probed 20 times", || {
        checks.iter().all(|(_, _, server, _)| server.connections() >= 20)
    })
    .await;
    config_tx.send_replace(Some(config(AdminState::Paused)));
    let paused = snapshot_rx.wait_for(|snapshot| snapshot.backends.values().all(|b| b.state == BackendState::Paused));
    timeout(LIMIT, paused).await.expect("the backends are paused in time").unwrap();

    let Counts { begun, ended } = Counts::new(events.events());
    let metric_counts = probe_totals(&registry);
    let event_counts: BTreeMap<_, _> = ended
        .iter()
        .map(|((backend, code), count)| ((backend.to_string(), code.as_str().to_owned()), *count))
        .collect();
    assert_eq!(metric_counts, event_counts);
    // Failures are discarded when the probe thread is starved: such probes have a start event and a counter of their
    // own.
    let discarded = counter(&registry, "maglev_probe_discarded_total");
    for (name, _, server, code) in &checks {
        let name = Name::namespaced("shop", name);
        let (begun, connections) = (begun[&name], server.connections());
        let by_code: Vec<_> = ended.iter().filter(|((backend, _), _)| *backend == name).collect();
        let ended: usize = by_code.iter().map(|(_, count)| **count).sum();
        assert!(ended <= connections && connections <= begun, "{name}: {ended}, {connections}, {begun}");
        let missing = begun - ended;
        assert!(
            missing <= 1 + discarded,
            "{name}: only a probe in flight when the backend was paused may be missing: {ended} of {begun}"
        );
        assert_eq!(by_code.iter().map(|((_, code), _)| *code).collect::<Vec<_>>(), [*code], "{name}");
    }
    stop.cancel();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
}
