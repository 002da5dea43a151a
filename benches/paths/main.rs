//! The cost of probing the paths of VIPs, beside TCP health checks of the same number and interval.
//!
//! * **paths**: 250 Frontends with 4 backends each, that is 1,000 paths, with the default interval of 10 s: a SYN through a
//!   tunnel and a reset for each probe, and a large SYN for every second one. The packets pass tun devices between network
//!   namespaces, and a real TCP server answers.
//! * **tcp**: 1,000 TCP health checks with an interval of 10 s, of a listener on loopback.
//!
//! Both run one after the other, each on a probe thread of its own, whose CPU time is measured: the decapsulation and the
//! servers run on other threads. `cargo bench --bench paths` takes about two minutes, and needs root for the namespaces.
#![expect(clippy::print_stdout, reason = "prints the results")]

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use maglev_health::{HealthOptions, NetworkNamespace, ProbeThread};
use maglev_model::{
    change::Change,
    config::{Backend, Check, Config, Frontend, HealthCheck, NodeConfig, Probe},
    health::{BackendState, HealthSnapshot},
    path::{PathKey, PathProbe, PathState},
    vip::{Encap, Protocol, Service, VipKey},
};
use maglev_sandbox::{
    demo_backend::{DemoBackends, DemoOptions},
    packets::{self, Namespace, Network, Packets, PacketsOptions, backend_ipv4},
};
use maglev_testkit::{EventCollector, objects};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

const FRONTENDS: u8 = 250;
const BACKENDS: u8 = 4;
const PATHS: u16 = FRONTENDS as u16 * BACKENDS as u16;
const INTERVAL: Duration = Duration::from_secs(10);
/// Time before the measurement, until the state of every path is known.
const WARM_UP: Duration = Duration::from_secs(12);
const DURATION: Duration = Duration::from_secs(40);
/// Share of a core, in percent.
const GOAL: f64 = 1.0;

fn main() -> anyhow::Result<()> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"paths".contains(filter.as_str()) {
        return Ok(());
    }
    if let Some(reason) = packets::missing() {
        println!("paths: not run: {reason}");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (paths, checks) = runtime.block_on(async { anyhow::Ok((paths().await?, tcp_checks().await?)) })?;
    println!("{PATHS} paths and {PATHS} TCP health checks, interval {INTERVAL:?}, CPU time of the probe thread");
    println!("paths    {paths:.2} % of a core (goal: at most {GOAL} %)");
    println!("tcp      {checks:.2} % of a core, ratio {:.2}", paths / checks);
    Ok(())
}

/// The share of a core that probing takes, in percent.
async fn share(thread: &str) -> anyhow::Result<f64> {
    sleep(WARM_UP).await;
    let (start, before) = (Instant::now(), cpu_time(thread)?);
    sleep(DURATION).await;
    let used = cpu_time(thread)?.saturating_sub(before);
    Ok(100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64())
}

/// The CPU time of this process's threads of that name.
fn cpu_time(thread: &str) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread may end meanwhile.
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        if name.trim_end() == thread {
            let text = fs::read_to_string(path.join("schedstat")).context("the kernel has no schedstat")?;
            let first = text.split_whitespace().next().context("schedstat has no fields")?;
            nanoseconds += first.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn backend(number: u8) -> Backend {
    let address = IpAddr::from(backend_ipv4(usize::from(number)));
    Backend { check: Check::None, ..objects::backend(&format!("shop/web-{number}"), &address.to_string()) }
}

fn vip(number: u8) -> VipKey {
    let port = 80.try_into().expect("not zero");
    VipKey { address: [203, 0, 113, number].into(), service: Service::Port { protocol: Protocol::Tcp, port } }
}

async fn paths() -> anyhow::Result<f64> {
    let (dir, shutdown) = (tempfile::tempdir()?, CancellationToken::new());
    let _stop = shutdown.clone().drop_guard();
    let named = (0..BACKENDS).map(|number| (format!("web-{number}"), SocketAddr::from(([127, 1, 0, number + 1], 0))));
    let options = DemoOptions { backends: named.collect(), ..DemoOptions::standard(dir.path()) };
    let names: Vec<String> = options.backends.iter().map(|(name, _)| name.clone()).collect();
    let network = Network::create(dir.path(), &names, &[]).await?;
    let client = NetworkNamespace::from(network.client().name());
    let servers = DemoBackends::start(options, shutdown.clone()).await?;
    for name in &names {
        let namespace = Namespace::backend(dir.path(), name);
        // Every VIP is local to each backend, and one server listens on all of them.
        namespace.configure("route add local 203.0.113.0/24 dev lo\n")?;
        let listener = namespace.run(|| std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))).await?;
        tokio::spawn(discard_connections(listener, shutdown.clone()));
    }
    let packets = Packets::start(network, &PacketsOptions::new(Vec::new()), &servers);

    let backends: Vec<Backend> = (0..BACKENDS).map(backend).collect();
    let frontends = (0..FRONTENDS).map(|number| {
        let pool = objects::pool("primary", &backends.iter().collect::<Vec<_>>());
        let frontend = objects::frontend(&format!("shop/web-{number}"), vip(number), vec![pool]);
        Frontend { encap: Some(Encap::Gre4), path_probe: Some(PathProbe::default()), ..frontend }
    });
    let config = objects::config(frontends, NodeConfig::default());
    let (_config_tx, config_rx) = watch::channel(Some(config));
    let (events, options) = (Arc::new(EventCollector::default()), HealthOptions::new("bench", 7));
    let thread = ProbeThread::start(Some(client))?;
    let (_health_rx, thread) = thread.run(options, config_rx, events.handle(), shutdown.clone())?;
    let share = share("health").await?;

    let mut states: HashMap<PathKey, PathState> = HashMap::new();
    for published in events.published() {
        if let Some(Change::Path(key, Some(health))) = published.change {
            states.insert(key, health.state);
        }
    }
    let working = states.values().filter(|state| **state == PathState::Ok).count();
    ensure!(working == usize::from(PATHS), "{working} of {PATHS} paths work");
    shutdown.cancel();
    ensure!(thread.join().is_ok(), "the probe thread panicked");
    packets.stop().await;
    Ok(share)
}

async fn discard_connections(listener: std::net::TcpListener, shutdown: CancellationToken) {
    let _ = listener.set_nonblocking(true);
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let accept = async { while listener.accept().await.is_ok() {} };
    shutdown.run_until_cancelled(accept).await;
}

async fn tcp_checks() -> anyhow::Result<f64> {
    let shutdown = CancellationToken::new();
    let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port().try_into()?;
    tokio::spawn(discard_connections(listener, shutdown.clone()));
    let check =
        HealthCheck { interval: INTERVAL, probe: Probe::Tcp { port, tls: None }, ..objects::health_check("shop/tcp") };
    let check = Arc::new(check);
    let mut config: Config = objects::config([], NodeConfig::default());
    config.health_checks.insert(check.name.clone(), Arc::clone(&check));
    for number in 0..PATHS {
        let [high, low] = number.to_be_bytes();
        let address = IpAddr::from([127, 1, high, low]);
        let backend = objects::backend(&format!("shop/b{number}"), &address.to_string());
        let backend = Backend { check: Check::Probe(Arc::clone(&check)), ..backend };
        config.backends.insert(backend.name.clone(), Arc::new(backend));
    }
    let (_config_tx, config_rx) = watch::channel(Some(config));
    let (events, options) = (Arc::new(EventCollector::default()), HealthOptions::new("bench", 7));
    let thread = ProbeThread::start(None)?;
    let (health_rx, thread) = thread.run(options, config_rx, events.handle(), shutdown.clone())?;
    let share = share("health").await?;
    let is_up = |snapshot: &HealthSnapshot| {
        snapshot.backends.values().filter(|backend| backend.state == BackendState::Up).count()
    };
    let up = is_up(&health_rx.borrow());
    ensure!(up == usize::from(PATHS), "{up} of {PATHS} backends are up");
    shutdown.cancel();
    ensure!(thread.join().is_ok(), "the probe thread panicked");
    Ok(share)
}
