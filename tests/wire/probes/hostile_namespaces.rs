//! Probes of one namespace that last or cost as much as possible, beside those of another namespace.
#![expect(clippy::print_stderr, reason = "prints the measured figures")]

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use maglev_health::{HealthOptions, ProbeMetrics, ProbeThread};
use maglev_model::{
    body_pattern::BodyPattern,
    config::{Backend, Check, Config, HealthCheck, NodeConfig},
    event::Events,
    health::{BackendState, HealthSnapshot},
    name::Name,
};
use maglev_testkit::objects;
use prometheus::Registry;
use socket2::{Domain, Socket, Type};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    LIMIT,
    checks::{http, tcp, with_body},
    servers,
};

/// Time for probes of the hostile namespace before the other namespace is measured.
const WARM_UP: Duration = Duration::from_secs(10);

fn every(interval: Duration, timeout: Duration, check: HealthCheck) -> HealthCheck {
    HealthCheck { interval, fast_interval: interval, down_interval: interval, timeout, ..check }
}

fn backend(name: Name, address: Ipv4Addr, check: HealthCheck) -> Backend {
    let check = HealthCheck { name: name.sibling("check"), ..check };
    Backend { name, check: Check::Probe(Arc::new(check)), ..objects::backend("any/name", &address.to_string()) }
}

/// Bounds in seconds from 0.1 ms to a minute, each 5 % above the last one.
fn delay_buckets() -> Vec<f64> {
    std::iter::successors(Some(0.0001), |bound| Some(bound * 1.05)).take_while(|bound| *bound < 60.0).collect()
}

/// Start delays in seconds, rounded up by 5 % at most.
#[derive(Clone, Copy)]
struct StartDelays {
    probes: u64,
    p50: f64,
    p99: f64,
    longest: f64,
}

impl fmt::Display for StartDelays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, longest] = [self.p50, self.p99, self.longest].map(|seconds| seconds * 1000.0);
        write!(f, "{} probes, start delay p50 {p50:.2} ms, p99 {p99:.2} ms, max {longest:.2} ms", self.probes)
    }
}

/// The health crate, running.
struct Running {
    config_tx: watch::Sender<Option<Config>>,
    snapshot_rx: watch::Receiver<HealthSnapshot>,
    registry: Registry,
    shutdown: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    fn start(backends: impl IntoIterator<Item = Backend>) -> Self {
        let registry = Registry::new();
        let metrics = ProbeMetrics::with_delay_buckets(delay_buckets());
        let options = HealthOptions { metrics, ..HealthOptions::new("1.2.3", 7) };
        options.metrics.register(&registry).unwrap();
        options.beat.register(&registry).unwrap();
        let (config_tx, config_rx) = watch::channel(None);
        let shutdown = CancellationToken::new();
        let probes = ProbeThread::start(None).unwrap();
        let (snapshot_rx, thread) = probes.run(options, config_rx, Events::discard(), shutdown.clone()).unwrap();
        let running = Self { config_tx, snapshot_rx, registry, shutdown, thread };
        running.apply(backends);
        running
    }

    fn apply(&self, backends: impl IntoIterator<Item = Backend>) {
        let mut config = objects::config([], NodeConfig::default());
        config.backends = backends.into_iter().map(|backend| (backend.name.clone(), Arc::new(backend))).collect();
        self.config_tx.send_replace(Some(config));
    }

    /// Waits for `state`, and returns the time it took.
    async fn until(&mut self, name: &Name, state: BackendState) -> Duration {
        let begin = Instant::now();
        let is_state = |snapshot: &HealthSnapshot| snapshot.backends.get(name).is_some_and(|b| b.state == state);
        let _ = timeout(LIMIT, self.snapshot_rx.wait_for(is_state)).await.expect("the state is reached").unwrap();
        begin.elapsed()
    }

    /// The start delays of `namespace`.
    fn start_delays(&self, namespace: &str) -> StartDelays {
        let families = self.registry.gather();
        let family = families.iter().find(|f| f.name() == "maglev_probe_namespace_start_delay_seconds").unwrap();
        let is_label = |label: &prometheus::proto::LabelPair| label.value() == namespace;
        let metric = family.get_metric().iter().find(|metric| metric.get_label().iter().any(is_label)).unwrap();
        let (histogram, probes) = (metric.get_histogram(), metric.get_histogram().get_sample_count());
        let at_rank = |rank: u64| {
            let bucket = histogram.get_bucket().iter().find(|bucket| bucket.cumulative_count() >= rank);
            bucket.map_or(f64::INFINITY, prometheus::proto::Bucket::upper_bound)
        };
        StartDelays { probes, p50: at_rank(probes / 2), p99: at_rank(probes * 99 / 100), longest: at_rank(probes) }
    }

    fn gauge(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        families.iter().find(|family| family.name() == name).unwrap().get_metric()[0].get_gauge().get_value()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap().unwrap();
    }
}

/// A socket on all addresses whose backlog is full: connections to it never establish.
fn black_hole() -> (SocketAddr, Vec<Socket>) {
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().as_socket().unwrap().port()));
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address.into());
        sockets.push(client);
    }
    (address, sockets)
}

#[tokio::test]
#[ignore = "it probes 8,192 backends: make soak"]
async fn soak_black_holes_of_a_namespace_do_not_delay_another() {
    let (hole, _sockets) = black_hole();
    for (interval, limit) in [(1000, 1000), (60_000, 60_000), (200, 200)] {
        let (interval, limit) = (Duration::from_millis(interval), Duration::from_millis(limit));
        let (server, healthy) = (servers::silent().await, servers::silent().await);
        let brief = Duration::from_millis(500);
        let own = |name: &str, port| {
            backend(objects::name(name), Ipv4Addr::LOCALHOST, every(brief, Duration::from_millis(300), tcp(port)))
        };
        let shop = [own("shop/web", server.address.port()), own("shop/healthy", healthy.address.port())];
        let bad = (0..8192_u16).map(|number| {
            let [high, low] = number.to_be_bytes();
            let check = every(interval, limit, tcp(hole.port()));
            backend(Name::namespaced("bad", &number.to_string()), Ipv4Addr::new(127, 1, high, low), check)
        });
        let mut running = Running::start(bad.chain(shop));
        let up = running.until(&objects::name("shop/web"), BackendState::Up).await;
        tokio::time::sleep(WARM_UP).await;
        drop(server);
        let failover = running.until(&objects::name("shop/web"), BackendState::Down).await;
        eprintln!("8,192 black holes with timeout {limit:?}: up after {up:.2?}, failover after {failover:.2?}");
        let (own, other) = (running.start_delays("shop"), running.start_delays("bad"));
        eprintln!("  shop: {own}\n  bad: {other}");
        eprintln!("  lag of the probe loop {:.3} s", running.gauge("maglev_probe_loop_lag_seconds"));
        assert!(own.p99 <= 0.5 && failover < Duration::from_secs(3), "shop: {own}, failover {failover:?}");
        running.stop().await;
    }
}

/// Expressions that take the longest to match, of those that are allowed.
fn expensive() -> Vec<String> {
    let candidates = [(".*a", 100), ("[ab]*a", 160), ("[ab]{0,50}a", 8), (".{0,20}a", 8), ("a?", 200), ("(a|b)?", 160)];
    let longest = |(part, most): (&str, usize)| {
        let mut patterns = (1..=most).rev().map(|count| format!("{}c", part.repeat(count)));
        patterns.find(|pattern| BodyPattern::new(pattern).compiled().is_ok())
    };
    candidates.into_iter().filter_map(longest).collect()
}

/// Probes two backends of the namespace `shop` beside those of `bad`, of which one of `shop` fails.
async fn beside(bad: Vec<Backend>) -> (StartDelays, f64) {
    let (server, healthy) = (servers::silent().await, servers::silent().await);
    let brief = Duration::from_millis(200);
    let own = |name: &str, port| {
        backend(objects::name(name), Ipv4Addr::LOCALHOST, every(brief, Duration::from_millis(100), tcp(port)))
    };
    let shop = [own("shop/web", server.address.port()), own("shop/healthy", healthy.address.port())];
    let mut running = Running::start(bad.into_iter().chain(shop));
    running.until(&objects::name("shop/web"), BackendState::Up).await;
    tokio::time::sleep(WARM_UP).await;
    drop(server);
    let failover = running.until(&objects::name("shop/web"), BackendState::Down).await;
    let (delays, lag) = (running.start_delays("shop"), running.gauge("maglev_probe_loop_lag_seconds"));
    eprintln!("  shop: {delays}; lag of the probe loop {lag:.3} s, failover after {failover:.2?}");
    running.stop().await;
    (delays, lag)
}

#[tokio::test]
#[ignore = "it loads all cores: make soak"]
async fn soak_expensive_patterns_of_a_namespace_do_not_delay_another() {
    let body = vec![b'a'; BodyPattern::BODY_LIMIT];
    let hostile = servers::answers(&[b"HTTP/1.1 200 OK\r\n\r\n", body.as_slice()].concat()).await;
    eprintln!("without patterns");
    beside(Vec::new()).await;
    for pattern in expensive() {
        let compiled = BodyPattern::new(&pattern);
        let begin = Instant::now();
        assert!(!compiled.compiled().unwrap().matches(&body, true));
        eprintln!("{:?} for {pattern:.20}… ({} characters)", begin.elapsed(), pattern.len());
        // More matches than a thread can do.
        let bad = (0..50).map(|number| {
            let interval = Duration::from_millis(500);
            let check = every(interval, interval, with_body(http(hostile.address.port()), &pattern));
            backend(Name::namespaced("bad", &number.to_string()), Ipv4Addr::LOCALHOST, check)
        });
        let (delays, lag) = beside(bad.collect()).await;
        // A longer lag is that of a machine with other load: no match runs on the loop.
        assert!(delays.p99 <= 0.05_f64.max(2.0 * lag), "{delays}");
    }
}
