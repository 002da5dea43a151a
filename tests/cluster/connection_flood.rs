//! Floods of silent and half-open connections to every port of the three daemons, from another network namespace.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use maglev_testkit::netns::{OtherNamespace, inside};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    process::{Child, Command},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{agent::node::Node, harness::eventually};

const IDLE: usize = 1_000;
const HALF_OPEN: usize = 10_000;
/// Addresses that a flood comes from: 10.9.0.`number`.
const PEERS: RangeInclusive<u8> = 11..=110;
/// Address of the daemons, from which the kubelet checks them.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CLOSED_WITHIN: Duration = Duration::from_secs(15);
const HEALTHZ_WITHIN: Duration = Duration::from_secs(1);
const MAX_RSS_KIB: u64 = 200 << 10;
/// Interval of the probes of each backend.
const INTERVAL: Duration = Duration::from_millis(200);

struct Daemon {
    name: &'static str,
    child: Child,
    health: SocketAddr,
}

impl Daemon {
    fn start(name: &'static str, dir: &Path, health: SocketAddr, arguments: &[String]) -> Self {
        let log = fs::File::create(dir.join(format!("{name}.log"))).unwrap();
        let child = Command::new(maglev_testkit::binary(name))
            .args(arguments)
            .arg(format!("--metrics-addr={health}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { name, child, health }
    }
}

fn peak_rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap()
}

/// The time that a request of `/healthz` takes on a connection of its own.
async fn healthz(address: SocketAddr) -> Option<Duration> {
    let begin = Instant::now();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.ok()?;
        response.starts_with("HTTP/1.1 200").then(|| begin.elapsed())
    };
    timeout(Duration::from_secs(30), exchange).await.ok().flatten()
}

/// The slowest request of `/healthz` of each daemon until `end`. Sent from a thread of its own, which the tasks of the
/// floods do not delay.
fn slowest_healthz(daemons: [(&str, SocketAddr); 3], end: &CancellationToken) -> [Duration; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut slowest = [Duration::ZERO; 3];
        while !end.is_cancelled() {
            for (slowest, (_, address)) in slowest.iter_mut().zip(daemons) {
                *slowest = (*slowest).max(healthz(address).await.unwrap_or(Duration::MAX));
            }
            sleep(Duration::from_millis(20)).await;
        }
        slowest
    })
}

#[derive(Debug, Default)]
struct Flood {
    refused: usize,
    /// The longest time between a connection's begin and its end.
    longest: Duration,
}

/// Opens the connections of a flood and waits until the server has closed all of them.
fn flood(address: SocketAddr, half: &'static [u8]) -> Flood {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(open_and_wait(address, half))
}

async fn open_and_wait(address: SocketAddr, half: &'static [u8]) -> Flood {
    let (connecting, mut tasks) = (Arc::new(Semaphore::new(500)), JoinSet::new());
    for number in 0..IDLE + HALF_OPEN {
        let connecting = Arc::clone(&connecting);
        tasks.spawn(async move {
            let permit = connecting.acquire_owned().await.unwrap();
            let socket = TcpSocket::new_v4().unwrap();
            let host = Ipv4Addr::new(10, 9, 0, PEERS.start() + u8::try_from(number % PEERS.len()).unwrap());
            socket.bind((IpAddr::from(host), 0).into()).unwrap();
            let begin = Instant::now();
            let Ok(mut stream) = socket.connect(address).await else { return None };
            drop(permit);
            if number >= IDLE && stream.write_all(half).await.is_err() {
                return None;
            }
            let closed = async { while matches!(stream.read(&mut [0; 256]).await, Ok(1..)) {} };
            let closed = timeout(Duration::from_secs(60), closed).await;
            Some(if closed.is_ok() { begin.elapsed() } else { Duration::MAX })
        });
    }
    let mut result = Flood::default();
    while let Some(ended) = tasks.join_next().await {
        match ended.unwrap() {
            None => result.refused += 1,
            Some(open) => result.longest = result.longest.max(open),
        }
    }
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by make soak"]
async fn soak_flood_of_connections_disturbs_no_probe_and_no_other_client() {
    if !inside("connection_flood::soak_flood_of_connections_disturbs_no_probe_and_no_other_client", &[]) {
        return;
    }
    let strangers = Arc::new(OtherNamespace::linked_with(PEERS));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(20_000), hard).unwrap();
    let mut node = Node::start("soak-flood", 12, "interval: 200ms, timeout: 100ms").await;
    node.set_host(HOST);
    node.start_maglevd().await;
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    node.until_ready().await;
    let at = |port: u16| SocketAddr::from((HOST, port));
    let (grpc, directory) = (node.grpc_address().parse::<SocketAddr>().unwrap(), tempfile::tempdir().unwrap());
    let kubeconfig = format!("--kubeconfig={}", node.cluster.plane().kubeconfig().display());
    let controller = Daemon::start("maglev-controller", directory.path(), at(19401), &[kubeconfig]);
    let arguments = [format!("--server={grpc}"), format!("--http-addr={}", at(19403))];
    let dashboard = Daemon::start("maglev-frontend", directory.path(), at(19402), &arguments);
    let agent_health: SocketAddr = node.metrics_address().parse().unwrap();
    let health = [("maglevd", agent_health), (controller.name, controller.health), (dashboard.name, dashboard.health)];
    for (name, address) in health {
        eventually(&format!("{name} serves /healthz"), async || healthz(address).await).await;
    }

    let end = CancellationToken::new();
    let watching = tokio::task::spawn_blocking({
        let end = end.clone();
        move || slowest_healthz(health, &end)
    });
    let (before, begin) = (node.answered_requests(), Instant::now());
    let http = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half";
    let ports = [
        ("maglevd gRPC", grpc, &b"PRI * HTTP/2.0\r\n\r\nSM\r\n"[..]),
        ("maglevd /metrics", agent_health, http),
        ("controller /metrics", controller.health, http),
        ("dashboard", at(19403), http),
        ("dashboard /metrics", dashboard.health, http),
    ];
    let mut floods = Vec::new();
    for (name, address, half) in ports {
        let strangers = Arc::clone(&strangers);
        let flood = tokio::task::spawn_blocking(move || strangers.run(move || flood(address, half))).await.unwrap();
        println!("{name}: all closed after {:?} at most, {} refused at once", flood.longest, flood.refused);
        floods.push((name, flood));
    }
    let took = begin.elapsed();
    end.cancel();
    let slowest = watching.await.unwrap();
    let probed: Vec<_> = node.answered_requests().iter().zip(&before).map(|(now, before)| now - before).collect();
    let due = took.as_millis() / INTERVAL.as_millis();
    println!("slowest /healthz {slowest:?}; {probed:?} probes of {due} in {took:?}");
    let pids = [node.pid(), controller.child.id().unwrap(), dashboard.child.id().unwrap()];
    let rss = pids.map(peak_rss_kib);
    println!("peak RSS in MiB {:?}", rss.map(|kib| kib >> 10));

    for (name, flood) in floods {
        assert!(flood.longest < CLOSED_WITHIN, "{name}: {:?}", flood.longest);
    }
    assert!(slowest.iter().all(|slowest| *slowest < HEALTHZ_WITHIN), "{slowest:?}");
    assert!(probed.iter().all(|probed| u128::from(*probed) * 10 >= due * 9), "{probed:?} of {due}");
    assert_eq!(node.log_count("to=down"), 0, "{}", node.log());
    assert!(rss.iter().all(|rss| *rss < MAX_RSS_KIB), "{rss:?}");
    node.stop_maglevd().await;
}
