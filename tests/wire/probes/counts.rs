//! Metrics, events and the backends' own counts tell of the same probes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check, Config, HealthCheck, Listed, NodeConfig, Revision},
    event::{Event, EventSink, Events},
    health::{BackendState, ProbeCode},
};
use prometheus::{Registry, TextEncoder};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    LIMIT,
    checks::{http, tcp},
    servers::{self, Server},
};

/// How many probes of each backend began, and how many ended with each code.
#[derive(Default)]
struct Told(Mutex<Counts>);

#[derive(Clone, Default)]
struct Counts {
    begun: BTreeMap<Name, usize>,
    ended: BTreeMap<(Name, ProbeCode), usize>,
}

impl EventSink for Told {
    fn wants_probes(&self) -> bool {
        true
    }

    fn publish(&self, event: Event) {
        let Counts { begun, ended } = &mut *self.0.lock().unwrap();
        match event {
            Event::ProbeStart { backend, .. } => *begun.entry(backend).or_default() += 1,
            Event::ProbeDone { backend, code, .. } => *ended.entry((backend, code)).or_default() += 1,
            _ => {}
        }
    }
}

/// `maglev_probe_total` by backend and code.
fn counted(registry: &Registry) -> BTreeMap<(String, String), usize> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let label = |labels: &str, name: &str| {
        let from = labels.split_once(&format!("{name}=\"")).unwrap().1;
        from.split_once('"').unwrap().0.to_owned()
    };
    let of = |line: &str| {
        let (labels, value) = line.strip_prefix("maglev_probe_total")?.rsplit_once(' ')?;
        Some(((label(labels, "backend"), label(labels, "code")), value.parse().unwrap()))
    };
    text.lines().filter_map(of).collect()
}

/// A counter without labels.
fn of_all(registry: &Registry, name: &str) -> usize {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
}

#[tokio::test]
async fn metrics_and_events_agree_with_what_the_backends_counted() {
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
        let mut config = Config::new(Listed::when(|_| true).unwrap(), Arc::new(NodeConfig::default()));
        for (name, check, server, _) in &checks {
            let name = Name::namespaced("shop", name);
            let check = Check::Probe(Arc::new(check.clone()));
            let (revision, address) = (Revision::default(), server.address.ip());
            let backend = Backend { name: name.clone(), revision, address, admin_state, check };
            config.backends.insert(name, Arc::new(backend));
        }
        config
    };
    let (told, registry, stop) = (Arc::new(Told::default()), Registry::new(), CancellationToken::new());
    let options = HealthOptions::new("1.2.3", 7);
    options.metrics.register(&registry).unwrap();
    let config_tx = watch::Sender::new(Some(config(AdminState::Enabled)));
    let probes = ProbeThread::start(None).unwrap();
    let (mut snapshot_rx, thread) =
        probes.run(options, config_tx.subscribe(), Events::new(told.clone()), stop.clone()).unwrap();
    super::until("each was probed 20 times", || checks.iter().all(|(_, _, server, _)| server.connections() >= 20))
        .await;
    config_tx.send_replace(Some(config(AdminState::Paused)));
    let paused = snapshot_rx.wait_for(|seen| seen.backends.values().all(|b| b.state == BackendState::Paused));
    timeout(LIMIT, paused).await.expect("they are paused").unwrap();

    let Counts { begun, ended } = told.0.lock().unwrap().clone();
    let of_metrics = counted(&registry);
    let of_events: BTreeMap<_, _> = ended
        .iter()
        .map(|((backend, code), count)| ((backend.to_string(), code.as_str().to_owned()), *count))
        .collect();
    assert_eq!(of_metrics, of_events);
    // Where this test gets too little time, failures are discarded: told as begun, and counted apart.
    let discarded = of_all(&registry, "maglev_probe_discarded_total");
    for (name, _, server, code) in &checks {
        let name = Name::namespaced("shop", name);
        let (begun, connections) = (begun[&name], server.connections());
        let by_code: Vec<_> = ended.iter().filter(|((of, _), _)| *of == name).collect();
        let ended: usize = by_code.iter().map(|(_, count)| **count).sum();
        assert!(ended <= connections && connections <= begun, "{name}: {ended}, {connections}, {begun}");
        let missing = begun - ended;
        assert!(missing <= 1 + discarded, "{name}: one was under way when it was paused: {ended} of {begun}");
        assert_eq!(by_code.iter().map(|((_, code), _)| *code).collect::<Vec<_>>(), [*code], "{name}");
    }
    stop.cancel();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
}
