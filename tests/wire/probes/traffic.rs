//! What probes put on the wire, and what happens when nothing comes back: probes, agent and VPP together, the
//! backends behind a link of their own.

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
    agent::fixture::{Node, backend, config, frontend, node, pool, vip},
    netns::{self, Other},
};

const BRIEF: Duration = Duration::from_millis(100);

/// Probed every 100 ms; falls after two misses.
fn hasty(port: u16) -> HealthCheck {
    HealthCheck { interval: BRIEF, fast_interval: BRIEF, down_interval: BRIEF, timeout: BRIEF, fall: 2, ..tcp(port) }
}

/// Probed every minute, and every 300 ms once it has missed.
fn slow(port: u16) -> HealthCheck {
    let fast_interval = Duration::from_millis(300);
    let interval = Duration::from_secs(60);
    HealthCheck { interval, fast_interval, down_interval: interval, timeout: fast_interval, ..tcp(port) }
}

fn checked(name: &str, address: &str, check: &HealthCheck) -> Backend {
    Backend { check: Check::Probe(Arc::new(check.clone())), ..backend(name, address) }
}

/// Probes for `config_rx` until it is dropped.
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

    async fn until(&self, what: &str, holds: impl FnMut(&HealthSnapshot) -> bool) {
        let mut snapshot_rx = self.snapshot_rx.clone();
        let waited = timeout(LIMIT, snapshot_rx.wait_for(holds)).await.map(drop);
        assert!(waited.is_ok(), "not within {LIMIT:?}: {what}: {:#?}", self.snapshot_rx.borrow());
    }

    async fn until_all(&self, count: usize, state: BackendState) {
        let all = |snapshot: &HealthSnapshot| {
            snapshot.backends.len() == count && snapshot.backends.values().all(|backend| backend.state == state)
        };
        self.until(&format!("{count} are {state}"), all).await;
    }
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_paused_or_disabled_backend_gets_no_packet() {
    if !netns::inside("probes::traffic::a_paused_or_disabled_backend_gets_no_packet", &[]) {
        return;
    }
    let other = Other::linked();
    let (port, connections) = other.server();
    in_runtime(async {
        let probed = checked("a", "10.9.0.11", &hasty(port));
        let mut config = config([], node());
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
            super::until("it is probed", || connections.load(Relaxed) >= before + 5).await;
            set(admin_state);
            probing.until_all(1, state).await;
            // What was under way is over once nothing has come for a while.
            let mut packets = other.packets();
            super::until("the last packet", || packets == std::mem::replace(&mut packets, other.packets())).await;
            tokio::time::sleep(20 * BRIEF).await;
            assert_eq!(other.packets(), packets, "in the time of 20 probes");
        }
    });
}

/// Two Frontends: one whose backends are checked in both ways, one whose are all checked in the second.
fn two_frontends(checks: &[HealthCheck; 2], hasty_ones: usize) -> (Config, [VipKey; 2]) {
    let backends: Vec<Backend> = (0..5)
        .map(|number| {
            let check = &checks[usize::from(number >= hasty_ones)];
            checked(&format!("b{number}"), &format!("10.9.0.{}", 11 + number), check)
        })
        .collect();
    let vips = [vip("203.0.113.1"), vip("203.0.113.2")];
    let of = |range: std::ops::Range<usize>| pool("primary", &backends[range].iter().collect::<Vec<_>>());
    let frontends = [frontend("mixed", vips[0], vec![of(0..3)]), frontend("slow", vips[1], vec![of(3..5)])];
    let mut config = config(frontends, node());
    config.backends = backends.into_iter().map(|backend| (backend.name.clone(), Arc::new(backend))).collect();
    (config, vips)
}

fn full_weights(range: std::ops::Range<u8>) -> BTreeMap<IpAddr, u8> {
    range.map(|last| (IpAddr::from([10, 9, 0, 11 + last]), 10)).collect()
}

/// A node that has probed everything up, and programs it.
async fn programmed(config: Config) -> (Node, Probing) {
    let mut node = Node::new().await;
    node.set_config(config);
    let probing = Probing::start(node.config_rx(), node.events());
    node.follow_health(probing.snapshot_rx.clone());
    probing.until_all(5, BackendState::Up).await;
    node.start_agent();
    (node, probing)
}

/// All probe traffic stops at `block` and goes on at `unblock`; VPP restarts in between.
async fn blocked(other: &Other, hasty_ones: usize, block: impl FnOnce(), unblock: impl FnOnce()) {
    let (port, _) = other.server();
    let (config, vips) = two_frontends(&[hasty(port), slow(port)], hasty_ones);
    let (node, probing) = programmed(config).await;
    let weights = [full_weights(0..3), full_weights(3..5)];
    let is_full = |node: &Node| vips.iter().zip(&weights).all(|(vip, weights)| node.weights(*vip) == *weights);
    node.until("all have their weights", is_full).await;
    node.until_programmed().await;

    let mark = node.simulator.mark();
    block();
    probing.until("the path is suspect", |snapshot| snapshot.suspect_v4).await;
    probing.until_all(5, BackendState::Down).await;
    node.sync_now(None).await.unwrap();
    assert_eq!(node.simulator.writes_since(mark), [], "hasty ones: {hasty_ones}");

    node.simulator.restart().await.unwrap();
    node.until("the VIPs are back as if all were up", is_full).await;
    node.until_programmed().await;
    let mark = node.simulator.mark();
    unblock();
    probing.until_all(5, BackendState::Up).await;
    probing.until("the path works", |snapshot| !snapshot.suspect_v4).await;
    node.sync_now(None).await.unwrap();
    assert_eq!(node.simulator.writes_since(mark), [], "hasty ones: {hasty_ones}");
    let log = node.log();
    let suspicions: Vec<_> = log.iter().filter(|line| line.starts_with("probe-path-suspect")).collect();
    assert_eq!(
        suspicions,
        ["probe-path-suspect family=ipv4 active=true", "probe-path-suspect family=ipv4 active=false"]
    );
    // A server that is added is flushed of an earlier life's flows; none was lowered, flushed or removed.
    let moved = ["vpp-lb-sync-as-weight-updated", "vpp-lb-sync-as-removed", "vpp-lb-sync-vip-removed"];
    assert!(log.iter().all(|line| !moved.iter().any(|name| line.starts_with(name))), "{log:#?}");
}

#[test]
fn nothing_moves_while_no_probe_of_the_node_gets_through() {
    if !netns::inside("probes::traffic::nothing_moves_while_no_probe_of_the_node_gets_through", &[]) {
        return;
    }
    let other = Other::linked();
    for hasty_ones in [2, 1] {
        let route = |how: &'static str| move || netns::ip(&format!("route {how} 10.9.0.0/25"));
        in_runtime(blocked(&other, hasty_ones, route("add unreachable"), route("delete")));
        in_runtime(blocked(&other, hasty_ones, route("add blackhole"), route("delete")));
        // Packets get lost on the far side: nothing refuses, nothing answers.
        let far = |how: &'static str| {
            let other = &other;
            move || other.run(move || netns::ip(how))
        };
        let (lost, found) = (far("route add blackhole 10.9.0.0/25"), far("route delete 10.9.0.0/25"));
        in_runtime(blocked(&other, hasty_ones, lost, found));
    }
}

#[test]
#[ignore = "it takes more than a minute: make soak"]
fn soak_nothing_moves_while_no_probe_gets_through_for_a_minute() {
    let test = "probes::traffic::soak_nothing_moves_while_no_probe_gets_through_for_a_minute";
    if !netns::inside(test, &[]) {
        return;
    }
    let other = Other::linked();
    in_runtime(async {
        let (port, _) = other.server();
        let [often, seldom] = [2, 60].map(Duration::from_secs);
        let timeout = Duration::from_secs(1);
        let every = |interval| HealthCheck { interval, timeout, fast_interval: often, ..tcp(port) };
        let (config, vips) = two_frontends(&[every(often), every(seldom)], 2);
        let (node, probing) = programmed(config).await;
        let weights = [full_weights(0..3), full_weights(3..5)];
        let is_full = |node: &Node| vips.iter().zip(&weights).all(|(vip, weights)| node.weights(*vip) == *weights);
        node.until("all have their weights", is_full).await;
        let mark = node.simulator.mark();
        other.run(|| netns::ip("route add blackhole 10.9.0.0/25"));
        probing.until("the path is suspect", |snapshot| snapshot.suspect_v4).await;
        // So long the path is blocked: that nothing happens has no moment to wait for.
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(node.simulator.writes_since(mark), []);
        node.simulator.restart().await.unwrap();
        node.until("the VIPs are back as if all were up", is_full).await;
        let mark = node.simulator.mark();
        other.run(|| netns::ip("route delete blackhole 10.9.0.0/25"));
        probing.until("the path works", |snapshot| !snapshot.suspect_v4).await;
        // Those checked every 2 s are probed some times more; again nothing is to happen.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(node.simulator.writes_since(mark), []);
    });
}
