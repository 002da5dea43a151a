//! Chaos test: after random faults and changes, the agent reaches exactly the desired state, has published its changes
//! and nothing else, and leaks nothing. A gRPC client's mirror equals VPP's state in the end.
//!
//! The seed is fixed: the requested changes are the same in every run (their timing is not). The test runs in its own
//! process, because it counts the descriptors of the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use maglev_model::{
    actual::VppVip,
    config::{AdminState, Backend, Config, Frontend, MemberTarget, NodeConfig, Pool, SyncConf},
    event::Event,
    health::BackendState,
    vip::{Dscp, Encap, Protocol, Service, TableLength, VipKey, Weight},
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool};
use maglev_vpp_simulator::{Mark, Prefix, Write};

use super::{fixture::Node, mirror::Follower};

const SEED: u64 = 20_261_123;
const ROUNDS: usize = 2;
const STEPS: usize = 40;
const FRONTENDS: u8 = 11;
const BACKENDS: u8 = 6;

#[test]
fn desired_state_is_reached_and_nothing_leaks_after_random_faults() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["agent::chaos::in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"]);
    let output = child.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the test above"]
fn in_a_process_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // A first agent creates everything that is created once per process, before the count.
        let mut first = Node::following(config([], node_config())).await;
        first.until_ready().await;
        first.stop_agent().await;
        drop(first);
        until_as_before(|| true).await;
        let before = open();
        chaos().await;
        until_as_before(|| open() == before).await;
        assert_eq!(open(), before);
    });
}

/// Descriptors of the process, and tasks of the runtime.
fn open() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (descriptors, tokio::runtime::Handle::current().metrics().num_alive_tasks())
}

/// Waits until no task is left and `as_before` holds.
async fn until_as_before(as_before: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while open().1 > 0 || !as_before() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("descriptors and tasks are left: {:?}", open()));
}

async fn chaos() {
    let mut rng = Rng::with_seed(SEED);
    let conf = node_config();
    let sync =
        SyncConf { interval: Duration::from_secs(2), mass_removal_hold: Duration::from_secs(2), ..conf.sync.clone() };
    let mut node = Node::new().await;
    let mut desired = DesiredState::default();
    desired.start_with(&node, NodeConfig { sync, ..conf });
    let follower = Follower::new(&node).await;
    node.start_agent();
    for round in 0..ROUNDS {
        let mark = begin(&node);
        for _ in 0..STEPS {
            desired.inject_fault(&mut rng, &node).await;
            tokio::time::sleep(Duration::from_millis(rng.u64(0..60))).await;
        }
        node.simulator.start_again().await.unwrap();
        node.simulator.heal();
        settle(&node, &desired).await;
        follower.until_in_sync(&node).await;
        assert_no_event_without_a_write(&node, mark, round);
        // With no reply lost, VPP's journal and the events are the same.
        let mark = begin(&node);
        for _ in 0..STEPS {
            desired.change_something(&mut rng, &node);
            tokio::time::sleep(Duration::from_millis(rng.u64(0..40))).await;
        }
        settle(&node, &desired).await;
        follower.until_in_sync(&node).await;
        // A session that timed out on a busy machine may have lost replies.
        if node.log().iter().any(|line| line.starts_with("vpp-disconnect")) {
            assert_no_event_without_a_write(&node, mark, round);
        } else {
            assert_eq!(published(&node), written(&node, mark, &recreated(&node)), "round {round}");
        }
        assert_eq!(node.simulator.connections(), 1);
    }
    node.stop_agent().await;
    follower.stop().await;
}

/// Every change that an event reports is in VPP's journal at least as often.
fn assert_no_event_without_a_write(node: &Node, mark: Mark, round: usize) {
    let written = written(node, mark, &recreated(node));
    for (change, reported) in &published(node) {
        let done = written.get(change).copied().unwrap_or_default();
        assert!(*reported <= done, "round {round}: {change} was reported {reported} times and done {done} times");
    }
}

fn begin(node: &Node) -> Mark {
    node.clear_log();
    node.simulator.mark()
}

/// Waits until VPP has the desired state, and for two further passes without a change.
async fn settle(node: &Node, desired: &DesiredState) {
    node.until("VPP has the desired state", |node| desired.is_in(node)).await;
    let passes = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count();
    let before = passes(node);
    node.until("two passes went by", |node| passes(node) >= before + 2).await;
    node.until("VPP still has the desired state", |node| desired.is_in(node)).await;
}

/// The desired state of the test, and the state of the backends.
#[derive(Default)]
struct DesiredState {
    frontends: BTreeMap<u8, Frontend>,
    states: BTreeMap<u8, BackendState>,
    admin: BTreeMap<u8, AdminState>,
    conf: NodeConfig,
    generation: i64,
}

impl DesiredState {
    fn start_with(&mut self, node: &Node, conf: NodeConfig) {
        self.conf = conf;
        for n in 1..=BACKENDS {
            self.states.insert(n, BackendState::Up);
            self.admin.insert(n, AdminState::Enabled);
            node.set_state(&server(n), BackendState::Up);
        }
        node.set_config(self.config());
    }

    /// The configuration with the current states of the backends.
    fn config(&self) -> Config {
        let mut frontends: Vec<Frontend> = self.frontends.values().cloned().collect();
        for member in frontends.iter_mut().flat_map(|frontend| &mut frontend.pools).flat_map(|pool| &mut pool.members) {
            if let MemberTarget::Backend(backend) = &mut member.target {
                Arc::make_mut(backend).admin_state = self.admin[&number(backend.address)];
            }
        }
        config(frontends, self.conf.clone())
    }

    /// Injects a random fault or change.
    async fn inject_fault(&mut self, rng: &mut Rng, node: &Node) {
        let simulator = &node.simulator;
        match rng.u8(0..14) {
            0 => simulator.restart().await.unwrap(),
            1 => simulator.kill_after(rng.u64(1..40)),
            2 => simulator.swallow_next_reply("lb_add_del_as_v2"),
            3 => simulator.swallow_next_reply("lb_add_del_vip_v2"),
            4 => simulator.swallow_next_reply(rng.choice(["lb_as_set_weight", "lb_vip_dump", "cli_inband"]).unwrap()),
            5 => simulator.hang(Duration::from_millis(rng.u64(50..1500))),
            6 => simulator.delay_replies(Duration::from_millis(rng.u64(0..30))),
            7 if !simulator.is_running().await => simulator.start_again().await.unwrap(),
            _ => self.change_something(rng, node),
        }
    }

    /// Makes a random change that a healthy VPP follows.
    fn change_something(&mut self, rng: &mut Rng, node: &Node) {
        self.generation += 1;
        match rng.u8(0..12) {
            0..=3 => {
                let n = rng.u8(1..=FRONTENDS);
                self.frontends.insert(n, any_frontend(rng, n, self.generation));
                node.set_config(self.config());
            }
            4 => {
                self.frontends.remove(&rng.u8(1..=FRONTENDS));
                node.set_config(self.config());
            }
            5 if rng.bool() => {
                self.frontends.retain(|_, _| rng.u8(0..4) == 0);
                node.set_config(self.config());
            }
            6 => {
                let state = [AdminState::Enabled, AdminState::Enabled, AdminState::Paused, AdminState::Disabled];
                self.admin.insert(rng.u8(1..=BACKENDS), rng.choice(state).unwrap());
                node.set_config(self.config());
            }
            7 => self.cause_drift(rng, node),
            _ => {
                let n = rng.u8(1..=BACKENDS);
                let state = rng.choice([BackendState::Up, BackendState::Up, BackendState::Down]).unwrap();
                self.states.insert(n, state);
                node.set_state(&server(n), state);
            }
        }
    }

    /// Drift by another client; absent objects are not changed.
    fn cause_drift(&self, rng: &mut Rng, node: &Node) {
        let (key, address) = (key(rng.u8(1..=FRONTENDS)), server(rng.u8(1..=BACKENDS)).address);
        let Service::Port { port, .. } = key.service else { return };
        node.simulator.edit(|lb| {
            let _ = match rng.u8(0..3) {
                0 => lb.set_weight(key.into(), address, rng.u8(..)),
                1 => lb.remove_as(key.into(), address),
                _ => lb.remove_vip(Prefix::host(key.address), 6, port.get()),
            };
        });
    }

    /// True if VPP has exactly the desired state.
    fn is_in(&self, node: &Node) -> bool {
        let vips = node.simulator.snapshot().vips;
        let keys: BTreeSet<VppVip> = self.frontends.values().map(|frontend| frontend.vip.into()).collect();
        keys == vips.keys().copied().collect()
            && self.frontends.values().all(|frontend| {
                let have = &vips[&frontend.vip.into()];
                let (kind, dscp) = match frontend.encap {
                    Some(Encap::L3dsr(dscp)) => (2, dscp.get()),
                    _ => (0, 0),
                };
                let weights: BTreeMap<IpAddr, u8> =
                    have.ases.iter().map(|(address, server)| (*address, server.weight)).collect();
                (have.settings.encap, have.settings.dscp) == (kind, dscp)
                    && have.settings.src_ip_sticky == frontend.sticky
                    && have.settings.table_length == u32::from(frontend.table_length.get())
                    && weights == self.weights(frontend)
            })
    }

    /// The desired weights: the first pool with a serving member is active.
    fn weights(&self, frontend: &Frontend) -> BTreeMap<IpAddr, u8> {
        let up = |n: u8| self.states[&n] == BackendState::Up && self.admin[&n] == AdminState::Enabled;
        let mut active = true;
        let mut weights = BTreeMap::new();
        for pool in &frontend.pools {
            let members = pool.members.iter().map(|member| {
                let address = member.target.address().unwrap();
                (address, if up(number(address)) { member.weight.get() } else { 0 })
            });
            let members: BTreeMap<IpAddr, u8> = members.collect();
            let serves = members.values().any(|weight| *weight > 0);
            weights.extend(members.into_iter().map(|(address, weight)| (address, if active { weight } else { 0 })));
            active &= !serves;
        }
        weights
    }
}

fn server(n: u8) -> Backend {
    backend(&format!("b{n}"), &format!("192.0.2.{n}"))
}

/// The number of the backend with this address.
fn number(address: IpAddr) -> u8 {
    (1..=BACKENDS).find(|n| server(*n).address == address).unwrap()
}

/// Two VIPs on each address, and one alone on the last.
fn key(n: u8) -> VipKey {
    let port = if n.is_multiple_of(2) { 81 } else { 80 }.try_into().unwrap();
    VipKey {
        address: ip(&format!("203.0.113.{}", n.div_ceil(2))),
        service: Service::Port { protocol: Protocol::Tcp, port },
    }
}

fn any_frontend(rng: &mut Rng, n: u8, generation: i64) -> Frontend {
    let mut servers: Vec<Backend> = (1..=BACKENDS).map(server).collect();
    rng.shuffle(&mut servers);
    let (primary, standby) = servers[..rng.usize(1..=servers.len())].split_at(rng.usize(0..=1).min(servers.len() - 1));
    let mut pools: Vec<Pool> = [("primary", primary), ("standby", standby)]
        .into_iter()
        .filter(|(_, members)| !members.is_empty())
        .map(|(name, members)| pool(name, &members.iter().collect::<Vec<_>>()))
        .collect();
    for member in pools.iter_mut().flat_map(|pool| &mut pool.members) {
        member.weight = Weight::new(rng.choice([0, 1, 10, 10, 50, 100]).unwrap()).unwrap();
    }
    let mut frontend = frontend(&format!("f{n}"), key(n), pools);
    let l3dsr = Encap::L3dsr(Dscp::new(rng.choice([7, 8]).unwrap()).unwrap());
    frontend.encap = match n {
        1..=6 => Some(Encap::Gre4),
        7..FRONTENDS => Some(l3dsr),
        _ => rng.choice([Some(Encap::Gre4), Some(l3dsr)]).unwrap(),
    };
    frontend.revision.generation = generation;
    frontend.sticky = rng.u8(0..4) == 0;
    frontend.table_length = TableLength::new(rng.choice([1024, 1024, 2048]).unwrap()).unwrap();
    frontend
}

/// The recreated VIPs: a recreate is published as one event, without events of the servers.
fn recreated(node: &Node) -> BTreeSet<VppVip> {
    let events = node.published();
    events
        .iter()
        .filter_map(|event| if let Event::VipRecreate { vip, .. } = event { Some(vip.vip) } else { None })
        .collect()
}

type ChangeCounts = BTreeMap<String, usize>;

fn count(changes: impl IntoIterator<Item = String>) -> ChangeCounts {
    changes.into_iter().fold(ChangeCounts::new(), |mut counts, change| {
        *counts.entry(change).or_default() += 1;
        counts
    })
}

/// The changes in the published events.
fn published(node: &Node) -> ChangeCounts {
    let recreated = recreated(node);
    count(node.published().iter().flat_map(|event| match event {
        Event::VipAdded { vip, .. } => vec![format!("add {}", vip.vip)],
        Event::VipRemoved { vip, .. } => vec![format!("remove {}", vip.vip)],
        Event::VipRecreate { vip, .. } => vec![format!("add {}", vip.vip), format!("remove {}", vip.vip)],
        Event::AsAdded { server, weight, .. } if !recreated.contains(&server.vip.vip) => {
            vec![format!("add {} {} at {weight}", server.vip.vip, server.address)]
        }
        Event::AsRemoved { server, flush, .. } if !recreated.contains(&server.vip.vip) => {
            vec![format!("remove {} {} flush {flush}", server.vip.vip, server.address)]
        }
        Event::AsWeightUpdated { server, to, flush, .. } => {
            vec![format!("weigh {} {} at {to} flush {flush}", server.vip.vip, server.address)]
        }
        _ => Vec::new(),
    }))
}

/// The changes in the simulator's journal.
fn written(node: &Node, mark: Mark, recreated: &BTreeSet<VppVip>) -> ChangeCounts {
    let done = node.simulator.writes_since(mark).into_iter().filter(|written| written.retval == 0);
    count(done.filter_map(|written| match written.write {
        Write::AddVip(vip, _) => Some(format!("add {vip}")),
        Write::RemoveVip(vip) => Some(format!("remove {vip}")),
        Write::AddAs(vip, address, weight) if !recreated.contains(&vip) => {
            Some(format!("add {vip} {address} at {weight}"))
        }
        Write::RemoveAs { vip, address, flush } if !recreated.contains(&vip) => {
            Some(format!("remove {vip} {address} flush {flush}"))
        }
        Write::SetWeight { vip, address, weight, flush } => {
            Some(format!("weigh {vip} {address} at {weight} flush {flush}"))
        }
        _ => None,
    }))
}
