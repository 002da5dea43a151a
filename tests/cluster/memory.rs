//! The memory of maglevd is bounded, and a maglevd that the kernel kills for lack of memory takes nothing with it.

mod cgroup;
mod limited_node;
mod stalled;
mod vpp_process;

use std::{
    io::{Write as _, stderr},
    net::Ipv4Addr,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::{
    cgroup::MemoryCgroup,
    limited_node::{LimitedNode, get, serve},
};

const MIB: u64 = 1 << 20;

/// A cgroup for the test; `None`, with a message, if this machine allows none.
fn cgroup(test: &str) -> Option<MemoryCgroup> {
    let cgroup = MemoryCgroup::create(test);
    cgroup
        .inspect_err(|reason| {
            // Written directly, since the test harness captures the output of `eprintln!`.
            let message = format!("{test} is NOT RUN: cannot create a memory cgroup ({reason})\n");
            stderr().write_all(message.as_bytes()).unwrap();
        })
        .ok()
}

/// Specs of Frontends: `backends` servers of each, with consecutive numbers.
fn frontends(count: u32, backends: u32) -> impl Iterator<Item = (String, Value)> {
    (0..count).map(move |number| {
        let members = (number * backends..(number + 1) * backends)
            .map(|number| json!({ "name": format!("b-{number}"), "weight": 1 }));
        let pools = json!([{ "name": "primary", "backends": members.collect::<Vec<_>>() }]);
        let address = Ipv4Addr::from_bits(0xcb00_7100 + number);
        let spec = json!({ "address": address, "protocol": "TCP", "port": 80, "tableLength": 1024, "pools": pools });
        (format!("f-{number}"), spec)
    })
}

/// Specs of Backends on loopback addresses of their own.
fn backends(prefix: &'static str, count: u32, check: impl Fn(u32) -> String) -> impl Iterator<Item = (String, Value)> {
    (0..count).map(move |number| {
        let address = Ipv4Addr::from_bits(0x7f40_0001 + number);
        let spec = json!({ "address": address, "healthCheckRef": { "name": check(number) } });
        (format!("{prefix}-{number}"), spec)
    })
}

fn check(port: u16, interval: &str) -> Value {
    json!({ "type": "HTTP", "port": port, "interval": interval, "fastInterval": interval, "timeout": "1s", "rise": 1 })
}

/// Kills the maglevd that has programmed VPP, and checks that VPP and the next maglevd are not affected. Returns the number
/// of Backends that maglevd had no memory for.
async fn kill_and_start_again(
    node: &mut LimitedNode,
    [vips, servers]: [usize; 2],
    limit: u64,
    patience: Duration,
) -> u32 {
    let (pid, before, writes) = (node.vpp.pid(), node.vpp.vips().await, node.vpp.writes().await);
    node.cgroup.limit_growth(MIB / 2);
    let created = node.grow_until_killed("more").await;
    assert_eq!(node.vpp.vips().await, before);

    node.cgroup.set_limit(limit);
    node.start_maglevd();
    node.until_programmed(vips, servers, patience).await;
    assert_eq!((node.vpp.pid(), node.vpp.vips().await), (pid, before));
    assert_eq!(node.vpp.writes().await, writes, "the next maglevd writes nothing: {}", node.log());

    // It writes if something is to be changed.
    node.patch("mbe/b-0", &json!({ "spec": { "adminState": "Disabled" } })).await;
    node.until_programmed(vips, servers - 1, patience).await;
    assert!(node.vpp.writes().await > writes);
    assert_eq!(node.vpp.pid(), pid);
    created
}

#[tokio::test]
async fn maglevd_killed_for_lack_of_memory_leaves_vpp_unchanged() {
    let Some(cgroup) = cgroup("maglevd_killed_for_lack_of_memory_leaves_vpp_unchanged") else { return };
    let (limit, patience) = (512 * MIB, Duration::from_secs(30));
    cgroup.set_limit(limit);
    let mut node = LimitedNode::start("killed", 1, 0, cgroup).await;
    let port = serve(b"", false).await;
    node.create("HealthCheck", [("check".to_owned(), check(port, "1s"))].into_iter()).await;
    node.create("Backend", backends("b", 4, |_| "check".to_owned())).await;
    node.create("Frontend", frontends(2, 2)).await;
    node.start_maglevd();
    node.until_programmed(2, 4, patience).await;
    let created = kill_and_start_again(&mut node, [2, 4], limit, patience).await;
    println!("killed after {created} more Backends");
    node.stop_maglevd().await;
}

/// Backends of the big node, in Frontends of 100 each, and of the hostile tenant.
const BACKENDS: u32 = 10_000;
const HOSTILE: u32 = 100;
const STALLED: usize = 512;
/// The simulator, built for development, takes too long to update the counters of a million.
const ROUTES: u32 = 100_000;
/// The limit that the chart sets.
const LIMIT: u64 = 256 * MIB;
/// Time under load.
const LOAD: Duration = Duration::from_mins(1);

/// A body without an end that an expensive pattern does not match.
const HOSTILE_BODY: &[u8] = &[b'a'; 64 << 10];

/// Creates the objects of the big node.
async fn fill(node: &LimitedNode) {
    let (port, hostile) = (serve(b"", false).await, serve(HOSTILE_BODY, true).await);
    let expensive = |number: u32| {
        let mut spec = check(hostile, "1s");
        let pattern = format!("{}c{number}", ".*a".repeat(40));
        spec["http"] = json!({ "expectedBody": pattern });
        (format!("hostile-{number}"), spec)
    };
    let checks = [("check".to_owned(), check(port, "10s"))].into_iter().chain((0..HOSTILE).map(expensive));
    node.create("HealthCheck", checks).await;
    node.create("Backend", backends("b", BACKENDS, |_| "check".to_owned())).await;
    node.create("Backend", backends("hostile", HOSTILE, |number| format!("hostile-{number}"))).await;
    node.create("Frontend", frontends(BACKENDS / 100, 100)).await;
    let members: Vec<_> =
        (0..HOSTILE).map(|number| json!({ "name": format!("hostile-{number}"), "weight": 1 })).collect();
    let pools = json!([{ "name": "primary", "backends": members }]);
    let spec = json!({ "address": "198.51.100.1", "protocol": "TCP", "port": 80, "tableLength": 1024, "pools": pools });
    node.create("Frontend", [("hostile".to_owned(), spec)].into_iter()).await;
}

/// The 10,000 Backends of one big node in the memory that the chart allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run by make soak"]
async fn soak_maglevd_with_10000_backends_lives_in_its_memory_limit() {
    let Some(cgroup) = cgroup("soak_maglevd_with_10000_backends_lives_in_its_memory_limit") else { return };
    cgroup.set_limit(LIMIT);
    let mut node = LimitedNode::start("big", 2, ROUTES, cgroup).await;
    fill(&node).await;
    let (vips, servers, patience) = (BACKENDS as usize / 100 + 1, BACKENDS as usize, Duration::from_mins(10));
    node.start_maglevd();
    node.until_programmed(vips, servers, patience).await;
    let mib = |kib: [u64; 2]| kib.map(|kib| kib >> 10);
    println!("programmed: RSS now and at most {:?} MiB", mib(node.rss_kib()));

    let stalled = stalled::clients(node.grpc_address(), STALLED);
    let (end, mut slowest) = (Instant::now() + LOAD, Duration::ZERO);
    while Instant::now() < end {
        let begin = Instant::now();
        assert_eq!(get(node.metrics_address(), "/healthz").await.as_deref(), Some("200"), "{}", node.log());
        slowest = slowest.max(begin.elapsed());
        assert!(get(node.metrics_address(), "/metrics").await.is_some());
        sleep(Duration::from_millis(200)).await;
    }
    drop(stalled);
    let peak = node.cgroup.peak() / MIB;
    println!("under load: RSS now and at most {:?} MiB, cgroup {peak} MiB, /healthz {slowest:?}", mib(node.rss_kib()));
    assert!(node.exit_status().is_none(), "{}", node.log());
    let log = node.log();
    let fallen = log.lines().filter(|line| line.contains("to=down") && !line.contains("hostile")).count();
    assert_eq!((node.cgroup.kills(), fallen), (0, 0), "{log}");

    let created = kill_and_start_again(&mut node, [vips, servers], LIMIT, patience).await;
    println!("killed after {created} more Backends");
    node.stop_maglevd().await;
    // A limit that is too low for the objects: maglevd is killed before it has read all of them.
    let (before, writes) = (node.vpp.vips().await, node.vpp.writes().await);
    node.cgroup.set_limit(64 * MIB);
    node.start_maglevd();
    let killed = async {
        while node.exit_status().is_none() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(patience, killed).await.expect("10,000 Backends do not fit into 64 MiB");
    assert!(node.cgroup.kills() >= 2, "{}", node.log());
    assert_eq!((node.vpp.vips().await, node.vpp.writes().await), (before, writes));
}
