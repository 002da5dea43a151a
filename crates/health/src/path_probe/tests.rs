//! The checker with a scripted network and virtual time.

mod nodes;
mod requests;
mod required;

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use etherparse::{SlicedPacket, TransportSlice};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::LocalSet,
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    PathChecker, PathMetrics, PathProber,
    network::{PathNetwork, SendError},
    packet::{Answer, Flow, Reply},
};
use maglev_model::{
    config::{AdminState, Backend, Config, Frontend, NodeConfig, Standing},
    event::Event,
    health::HealthSnapshot,
    path::{PathKey, PathProbe, PathState},
    problem::{Problem, Reason},
    vip::{Family, Protocol, Service, VipKey},
};
use maglev_testkit::{EventCollector, objects};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// The answer of a backend to SYNs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    Accepts,
    Refuses,
    Silent,
    /// Packets of more than 1000 bytes are lost.
    LosesLarge,
    NotSent,
}

/// A packet that the checker sent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sent {
    at: Duration,
    flow: Flow,
    sequence: u32,
    is_reset: bool,
    length: usize,
}

struct State {
    start: Instant,
    scripts: HashMap<IpAddr, Script>,
    sent: Vec<Sent>,
    replies: VecDeque<(IpAddr, Reply)>,
    waker: Option<Waker>,
}

#[derive(Clone)]
struct FakeNetwork(Rc<RefCell<State>>);

impl FakeNetwork {
    fn reply(&self, from: IpAddr, reply: Reply) {
        let mut state = self.0.borrow_mut();
        state.replies.push_back((from, reply));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl PathNetwork for FakeNetwork {
    fn flow(&mut self, backend: IpAddr, vip: SocketAddr, _: &dyn Fn(Family) -> Option<IpAddr>) -> Result<Flow, String> {
        match self.0.borrow().scripts.get(&backend) {
            Some(Script::NotSent) => Err("no raw socket: this needs the capability NET_RAW".to_owned()),
            _ => Ok(Flow { backend, source: "192.0.2.254:40000".parse().unwrap(), vip }),
        }
    }

    fn send(&mut self, flow: &Flow, packet: &[u8]) -> Result<(), SendError> {
        let sliced = SlicedPacket::from_ip(&packet[4..]).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("{packet:?}") };
        let sequence = tcp.sequence_number();
        let mut state = self.0.borrow_mut();
        let (at, length) = (state.start.elapsed(), packet.len() - 4);
        state.sent.push(Sent { at, flow: *flow, sequence, is_reset: tcp.rst(), length });
        let script = state.scripts.get(&flow.backend).copied().unwrap_or(Script::Accepts);
        drop(state);
        let answer = match script {
            _ if tcp.rst() => return Ok(()),
            Script::LosesLarge if length > 1000 => return Ok(()),
            Script::Silent | Script::NotSent => return Ok(()),
            Script::Refuses => Answer::Refused,
            Script::Accepts | Script::LosesLarge => Answer::Accepted { mss: Some(1460) },
        };
        let acknowledged = sequence.wrapping_add(1);
        let reply = Reply { vip_port: flow.vip.port(), port: flow.source.port(), acknowledged, answer };
        self.reply(flow.vip.ip(), reply);
        Ok(())
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<(IpAddr, Reply)> {
        let mut state = self.0.borrow_mut();
        match state.replies.pop_front() {
            Some(reply) => Poll::Ready(reply),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

struct Fixture {
    network: FakeNetwork,
    events: Arc<EventCollector>,
    config: Config,
    config_tx: watch::Sender<Option<Config>>,
    snapshot_rx: watch::Receiver<HealthSnapshot>,
    prober: PathProber,
    _shutdown: DropGuard,
}

impl Fixture {
    /// A checker for one Frontend with the backends `10.0.0.1` to `10.0.0.COUNT`. Must run inside a `LocalSet`.
    fn start(count: u8, scripts: &[(u8, Script)]) -> Self {
        let scripts = scripts.iter().map(|(number, script)| (address(*number), *script)).collect();
        let state = State { start: Instant::now(), scripts, sent: Vec::new(), replies: VecDeque::new(), waker: None };
        let network = FakeNetwork(Rc::new(RefCell::new(state)));
        let events = Arc::new(EventCollector::default());
        let config = objects::config([frontend(count)], NodeConfig::default());
        let (config_tx, config_rx) = watch::channel(Some(config.clone()));
        let random = (7, (|| Timestamp::UNIX_EPOCH) as fn() -> Timestamp);
        let (snapshot_tx, snapshot_rx) = watch::channel(HealthSnapshot::default());
        let (events_handle, metrics) = (events.handle(), PathMetrics::default());
        let prober = PathProber::default();
        let checker = PathChecker::new(network.clone(), config_rx, snapshot_tx, events_handle, metrics, random);
        let checker = checker.with_prober(&prober);
        let shutdown = CancellationToken::new();
        tokio::task::spawn_local(checker.run(shutdown.clone()));
        Self { network, events, config, config_tx, snapshot_rx, prober, _shutdown: shutdown.drop_guard() }
    }

    fn script(&self, number: u8, script: Script) {
        self.network.0.borrow_mut().scripts.insert(address(number), script);
    }

    fn edit(&mut self, change: impl FnOnce(&mut Frontend)) {
        let mut frontend = Frontend::clone(self.config.frontends.values().next().unwrap());
        change(&mut frontend);
        self.config.frontends.insert(frontend.name.clone(), Arc::new(frontend));
        self.config_tx.send_replace(Some(self.config.clone()));
    }

    fn sent(&self) -> Vec<Sent> {
        self.network.0.borrow().sent.clone()
    }

    fn syns_to(&self, number: u8) -> Vec<Sent> {
        let is_syn = |sent: &Sent| sent.flow.backend == address(number) && !sent.is_reset;
        self.sent().into_iter().filter(is_syn).collect()
    }

    /// The transitions of a path.
    fn states(&self, number: u8) -> Vec<PathState> {
        let events = self.events.events();
        let states = events.into_iter().filter_map(|event| match event {
            Event::PathTransition { path, health, .. } if path == key(number) => Some(health.state),
            _ => None,
        });
        states.collect()
    }
}

fn address(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

fn backend(number: u8) -> Backend {
    objects::backend(&format!("shop/web-{number}"), &address(number).to_string())
}

fn key(number: u8) -> PathKey {
    PathKey { frontend: objects::name("shop/web"), backend: backend(number).name }
}

fn frontend(count: u8) -> Frontend {
    let service = Service::Port { protocol: Protocol::Tcp, port: 443.try_into().unwrap() };
    let vip = VipKey { address: "203.0.113.10".parse().unwrap(), service };
    let backends: Vec<Backend> = (1..=count).map(backend).collect();
    let pool = objects::pool("primary", &backends.iter().collect::<Vec<_>>());
    Frontend { path_probe: Some(PathProbe::default()), ..objects::frontend("shop/web", vip, vec![pool]) }
}

/// Runs a test with virtual time.
fn simulate(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

#[test]
fn each_outcome_is_reported_after_one_probe() {
    simulate(async {
        let scripts = [
            (1, Script::Accepts),
            (2, Script::Silent),
            (3, Script::Refuses),
            (4, Script::LosesLarge),
            (5, Script::NotSent),
        ];
        let fixture = Fixture::start(5, &scripts);
        sleep(5 * SEC).await;
        for (number, state) in [
            (1, PathState::Ok),
            (2, PathState::Timeout),
            (3, PathState::Refused),
            (4, PathState::MtuTooSmall),
            (5, PathState::Unable),
        ] {
            assert_eq!(fixture.states(number), [state], "backend {number}");
        }
    });
}

#[test]
fn changed_path_is_reported_within_three_intervals() {
    for (script, state) in [
        (Script::Silent, PathState::Timeout),
        (Script::Refuses, PathState::Refused),
        (Script::LosesLarge, PathState::MtuTooSmall),
    ] {
        simulate(async move {
            let fixture = Fixture::start(1, &[]);
            sleep(25 * SEC).await;
            assert_eq!(fixture.states(1), [PathState::Ok]);
            fixture.script(1, script);
            sleep(30 * SEC).await;
            assert_eq!(fixture.states(1), [PathState::Ok, state]);
            fixture.script(1, Script::Accepts);
            sleep(30 * SEC).await;
            assert_eq!(fixture.states(1), [PathState::Ok, state, PathState::Ok]);
        });
    }
}

#[test]
fn at_most_one_syn_a_second_is_sent_to_a_backend() {
    simulate(async {
        let scripts = [(1, Script::Accepts), (2, Script::Silent), (3, Script::Refuses), (4, Script::LosesLarge)];
        let fixture = Fixture::start(4, &scripts);
        sleep(120 * SEC).await;
        for number in 1..=4 {
            let times: Vec<Duration> = fixture.syns_to(number).iter().map(|syn| syn.at).collect();
            assert!(times.len() >= 10, "{times:?}");
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SEC), "{times:?}");
        }
    });
}

#[test]
fn every_connection_is_closed_by_a_reset() {
    simulate(async {
        let fixture = Fixture::start(2, &[(2, Script::Refuses)]);
        sleep(60 * SEC).await;
        let (syns, sent) = (fixture.syns_to(1), fixture.sent());
        let resets: Vec<u32> = sent.iter().filter(|sent| sent.is_reset).map(|reset| reset.sequence).collect();
        assert_eq!(resets, syns.iter().map(|syn| syn.sequence.wrapping_add(1)).collect::<Vec<_>>());

        // A repeated SYN-ACK is answered again.
        let (last, flow) = (resets.last().copied().unwrap(), syns[0].flow);
        let answer = Answer::Accepted { mss: None };
        let reply = Reply { vip_port: 443, port: 40000, acknowledged: last, answer };
        fixture.network.reply(flow.vip.ip(), reply);
        sleep(MS).await;
        let sent = fixture.sent();
        assert_eq!(sent.iter().filter(|sent| sent.is_reset && sent.sequence == last).count(), 2);
    });
}

#[test]
fn foreign_answers_are_ignored() {
    simulate(async {
        let fixture = Fixture::start(1, &[(1, Script::Silent)]);
        sleep(100 * MS).await;
        let syn = fixture.syns_to(1)[0];
        let answer = Answer::Accepted { mss: None };
        let acknowledged = syn.sequence.wrapping_add(1);
        let good = Reply { vip_port: 443, port: 40000, acknowledged, answer };
        let vip = syn.flow.vip.ip();
        fixture.network.reply(address(9), good);
        fixture.network.reply(vip, Reply { vip_port: 80, ..good });
        fixture.network.reply(vip, Reply { port: 1, ..good });
        fixture.network.reply(vip, Reply { acknowledged: acknowledged.wrapping_add(7), ..good });
        sleep(100 * MS).await;
        assert_eq!(fixture.sent().len(), 1, "no reset");
        sleep(SEC).await;
        assert_eq!(fixture.states(1), [PathState::Timeout]);
    });
}

#[test]
fn only_enabled_backends_of_probed_frontends_are_probed() {
    simulate(async {
        let mut fixture = Fixture::start(2, &[]);
        sleep(3 * SEC).await;
        let quiet_after = async |fixture: &Fixture| {
            let before = fixture.sent().len();
            sleep(60 * SEC).await;
            assert_eq!(fixture.sent().len(), before);
        };
        fixture.edit(|frontend| {
            let mut paused = backend(1);
            paused.admin_state = AdminState::Paused;
            frontend.pools = vec![objects::pool("primary", &[&paused])];
        });
        sleep(MS).await;
        quiet_after(&fixture).await;
        for stop in [(|frontend: &mut Frontend| frontend.path_probe = None) as fn(&mut Frontend), |frontend| {
            frontend.standing = Standing::Withdrawn(Problem::new(Reason::Conflicted, "", ""));
        }] {
            fixture.edit(|frontend| *frontend = self::frontend(2));
            sleep(3 * SEC).await;
            let before = fixture.sent().len();
            sleep(30 * SEC).await;
            assert!(fixture.sent().len() > before, "probed");
            fixture.edit(stop);
            sleep(MS).await;
            quiet_after(&fixture).await;
        }
    });
}

#[test]
fn unchanged_paths_go_on_when_the_configuration_changes() {
    simulate(async {
        let mut fixture = Fixture::start(2, &[]);
        sleep(5 * SEC).await;
        fixture.edit(|frontend| {
            let mut moved = backend(2);
            moved.address = address(3);
            frontend.pools = vec![objects::pool("primary", &[&backend(1), &moved])];
        });
        sleep(SEC).await;
        assert_eq!(fixture.syns_to(1).len(), 2, "the first probe, small and large");
        assert_eq!(fixture.syns_to(3).len(), 1);
        assert_eq!(fixture.states(1), [PathState::Ok]);
    });
}

#[test]
fn many_paths_start_in_small_bursts() {
    simulate(async {
        let fixture = Fixture::start(200, &[]);
        sleep(900 * MS).await;
        let syns: Vec<Duration> = fixture.sent().iter().filter(|sent| !sent.is_reset).map(|syn| syn.at).collect();
        assert_eq!(syns.len(), 200);
        let most = syns.iter().map(|at| syns.iter().filter(|other| *other == at).count()).max();
        assert!(most <= Some(super::BURST), "{most:?}");
    });
}
