//! The packets of probes, and a blocked probe path: probes, agent and VPP together, with the backends behind a link in
//! another network namespace.

use maglev_testkit::objects::{backend, config, frontend, node_config, pool, vip};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::Duration,
};

use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    config::{AdminState, Backend, Check, Config, HealthCheck},
    health::{BackendState, HealthSnapshot},
    vip::VipKey,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{LIMIT, checks::tcp};
use crate::{
    agent::fixture::Node,
    netns::{self, OtherNamespace},
};

const BRIEF: Duration = Duration::from_millis(100);

/// A check every 100 ms that falls after two failures.
fn fast(port: u16) -> HealthCheck {
    HealthCheck { interval: BRIEF, fast_interval: BRIEF, down_interval: BRIEF, timeout: BRIEF, fall: 2, ..tcp(port) }
}

/// A check every minute, and every 300 ms after a failure.
fn slow(port: u16) -> HealthCheck {
    let fast_interval = Duration::from_millis(300);
    let interval = Duration::from_secs(60);
    HealthCheck { interval, fast_interval, down_interval: interval, timeout: fast_interval, ..tcp(port) }
}

fn backend_with_check(name: &str, address: &str, check: &HealthCheck) -> Backend {
    Backend { check: Check::Probe(Arc::new(check.clone())), ..backend(name, address) }
}

/// Probes of the configurations of `config_rx`, until dropped.
struct Probing {
    snapshot_rx: watch::Receiver<HealthSnapshot>,
    _thread: JoinHandle<()>,
    _stop: DropGuard,
}

impl Probing {
    fn start(config_rx: watch::Receiver<Option<Config>>, events: maglev_model::event::Events) -> Self {
        let stop = CancellationToken::new();
        let options = HealthOptions::new("1.2.3", 7);
        let thread = ProbeThread::start(None).unwrap();
        let (snapshot_rx, thread) = thread.run(options, config_rx, events, stop.clone()).unwrap();
        Self { snapshot_rx, _thread: thread, _stop: stop.drop_guard() }
    }

    async fn until(&self, condition: &str, holds: impl FnMut(&HealthSnapshot) -> bool) {
        let mut snapshot_rx = self.snapshot_rx.clone();
        let waited = timeout(LIMIT, snapshot_rx.wait_for(holds)).await.map(drop);
        assert!(waited.is_ok(), "not within {LIMIT:?}: {condition}: {:#?}", self.snapshot_rx.borrow());
    }

    async fn until_all(&self, count: usize, state: BackendState) {
        let all = |snapshot: &HealthSnapshot| {
            snapshot.backends.len() == count && snapshot.backends.values().all(|backend| backend.state == state)
        };
        self.until(&format!("{count} backends are {state}"), all).await;
    }
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

#[test]
fn paused_or_disabled_backend_gets_no_packets() {
    if !netns::inside("probes::traffic::paused_or_disabled_backend_gets_no_packets", &[]) {
        return;
    }
    let other = OtherNamespace::linked();
    let (port, connections) = other.server();
    in_runtime(async {
        let probed = backend_with_check("a", "10.9.0.11", &fast(port));
        let mut config = config([], node_config());
        config.backends.insert(probed.name.clone(), Arc::new(probed.clone()));
        let config_tx = watch::Sender::new(Some(config));
        let set = |admin_state| {
            config_tx.send_modify(|config| {
                let backend = Backend { admin_state, ..probed.clone() };
                config.as_mut().unwrap().backends.insert(probed.name.clone(), Arc::new(backend));
            });
        };
        let probing = Probing::start(config_tx.subscribe(), maglev_model::event::Events::discard());
        for (admin_state, state) in
            [(AdminState::Paused, BackendState::Paused), (AdminState::Disabled, BackendState::Disabled)]
        {
            set(AdminState::Enabled);
            probing.until_all(1, BackendState::Up).await;
            let before = connections.load(Relaxed);
            super::until("the backend is probed", || connections.load(Relaxed) >= before + 5).await;
            set(admin_state);
            probing.until_all(1, state).await;
            // Probes in flight have ended once no packet has arrived for a while.
            let mut packets = other.received_packets();
            super::until("the last packet", || packets == std::mem::replace(&mut packets, other.received_packets()))
                .await;
            tokio::time::sleep(20 * BRIEF).await;
            assert_eq!(other.received_packets(), packets, "no packet in the time of 20 probes");
        }
    });
}

/// Two Frontends with five Backends, of which the first `fast_count` have the first check and the others the second.
fn two_frontends(checks: &[HealthCheck; 2], fast_count: usize) -> (Config, [VipKey; 2]) {
    let backends: Vec<Backend> = (0..5)
        .map(|number| {
            let check = &checks[usize::from(number >= fast_count)];
            backend_with_check(&format!("b{number}"), &format!("10.9.0.{}", 11 + number), check)
        })
        .collect();
    let vips = [vip("203.0.113.1"), vip("203.0.113.2")];
    let primary = |range: std::ops::Range<usize>| pool("primary", &backends[range].iter().collect::<Vec<_>>());
    let frontends = [frontend("mixed", vips[0], vec![primary(0..3)]), frontend("slow", vips[1], vec![primary(3..5)])];
    let mut config = config(frontends, node_config());
    config.backends = backends.into_iter().map(|backend| (backend.name.clone(), Arc::new(backend))).collect();
    (config, vips)
}

fn full_weights(range: std::ops::Range<u8>) -> BTreeMap<IpAddr, u8> {
    range.map(|last| (IpAddr::from([10, 9, 0, 11 + last]), 10)).collect()
}

/// Starts a node whose Backends are all up.
async fn start_node(config: Config) -> (Node, Probing) {
    let mut node = Node::new().await;
    node.set_config(config);
    let probing = Probing::start(node.config_rx(), node.events());
    node.follow_health(probing.snapshot_rx.clone());
    probing.until_all(5, BackendState::Up).await;
    node.start_agent();
    (node, probing)
}

/// Blocks all probe traffic with `block`, restarts VPP, and unblocks it with `unblock`. VPP's state must not change.
async fn assert_stable_while_blocked(
    other: &OtherNamespace,
    fast_count: usize,
    block: impl FnOnce(),
    unblock: impl FnOnce(),
) {
    let (port, _) = other.server();
    let (config, vips) = two_frontends(&[fast(port), slow(port)], fast_count);
    let (node, probing) = start_node(config).await;
    let weights = [full_weights(0..3), full_weights(3..5)];
    let is_full = |node: &Node| vips.iter().zip(&weights).all(|(vip, weights)| node.weights(*vip) == *weights);
    node.until("all servers have their weights", is_full).await;
    node.until_programmed().await;

    let (mark, logged) = (node.simulator.mark(), node.log().len());
    block();
    probing.until("the path is suspect", |snapshot| snapshot.suspect_v4).await;
    probing.until_all(5, BackendState::Down).await;
    node.sync_now().await.unwrap();
    assert_eq!(node.simulator.writes_since(mark), [], "fast checks: {fast_count}");

    node.simulator.restart().await.unwrap();
    node.until("the restarted VPP has the VIPs with full weights", is_full).await;
    node.until_programmed().await;
    let mark = node.simulator.mark();
    unblock();
    probing.until_all(5, BackendState::Up).await;
    probing.until("the path works", |snapshot| !snapshot.suspect_v4).await;
    node.sync_now().await.unwrap();
    assert_eq!(node.simulator.writes_since(mark), [], "fast checks: {fast_count}");
    let log = node.log().split_off(logged);
    let suspicions: Vec<_> = log.iter().filter(|line| line.starts_with("probe-path-suspect")).collect();
    assert_eq!(
        suspicions,
        ["probe-path-suspect family=ipv4 active=true", "probe-path-suspect family=ipv4 active=false"]
    );
    // The restart flushes the flows of added servers; no weight was changed and nothing was removed.
    let unexpected = ["vpp-lb-sync-as-weight-updated", "vpp-lb-sync-as-removed", "vpp-lb-sync-vip-removed"];
    assert!(log.iter().all(|line| !unexpected.iter().any(|name| line.starts_with(name))), "{log:#?}");
}

#[test]
fn blocked_probe_path_changes_nothing_in_vpp() {
    if !netns::inside("probes::traffic::blocked_probe_path_changes_nothing_in_vpp", &[]) {
        return;
    }
    let other = OtherNamespace::linked();
    for fast_count in [2, 1] {
        let route = |how: &'static str| move || netns::ip(&format!("route {how} 10.9.0.0/25"));
        in_runtime(assert_stable_while_blocked(&other, fast_count, route("add unreachable"), route("delete")));
        in_runtime(assert_stable_while_blocked(&other, fast_count, route("add blackhole"), route("delete")));
        // The packets are lost on the far side, without any answer.
        let far = |how: &'static str| {
            let other = &other;
            move || other.run(move || netns::ip(how))
        };
        let (block, unblock) = (far("route add blackhole 10.9.0.0/25"), far("route delete 10.9.0.0/25"));
        in_runtime(assert_stable_while_blocked(&other, fast_count, block, unblock));
    }
}

#[test]
#[ignore = "takes more than a minute; run by make soak"]
fn soak_probe_path_blocked_for_a_minute_changes_nothing_in_vpp() {
    let test = "probes::traffic::soak_probe_path_blocked_for_a_minute_changes_nothing_in_vpp";
    if !netns::inside(test, &[]) {
        return;
    }
    let other = OtherNamespace::linked();
    in_runtime(async {
        let (port, _) = other.server();
        let [short, long] = [2, 60].map(Duration::from_secs);
        let timeout = Duration::from_secs(1);
        let every = |interval| HealthCheck { interval, timeout, fast_interval: short, ..tcp(port) };
        let (config, vips) = two_frontends(&[every(short), every(long)], 2);
        let (node, probing) = start_node(config).await;
        let weights = [full_weights(0..3), full_weights(3..5)];
        let is_full = |node: &Node| vips.iter().zip(&weights).all(|(vip, weights)| node.weights(*vip) == *weights);
        node.until("all servers have their weights", is_full).await;
        let mark = node.simulator.mark();
        other.run(|| netns::ip("route add blackhole 10.9.0.0/25"));
        probing.until("the path is suspect", |snapshot| snapshot.suspect_v4).await;
        // The absence of changes has no condition to wait for.
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(node.simulator.writes_since(mark), []);
        node.simulator.restart().await.unwrap();
        node.until("the restarted VPP has the VIPs with full weights", is_full).await;
        let mark = node.simulator.mark();
        other.run(|| netns::ip("route delete blackhole 10.9.0.0/25"));
        probing.until("the path works", |snapshot| !snapshot.suspect_v4).await;
        // Time for several probes every 2 s, which must not change anything.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(node.simulator.writes_since(mark), []);
    });
}
