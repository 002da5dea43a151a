//! The client against the simulator's segment.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use etherparse::PacketBuilder;
use maglev_model::actual::VppVip;
use maglev_vpp::stats::{StatsClient, StatsError};
use maglev_vpp_simulator::{Prefix, Simulator, SimulatorOptions, Traffic, Verdict, VipSettings, vip::identity};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::everything;

const PATIENCE: Duration = Duration::from_secs(30);
const KINDS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// A simulated VPP with a stats socket.
pub struct Vpp {
    pub simulator: Simulator,
    pub directory: TempDir,
}

impl Vpp {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join("run").join(name);
        let options =
            SimulatorOptions { stats_socket: Some(path("stats.sock")), ..SimulatorOptions::new(path("api.sock")) };
        Self { simulator: Simulator::start(options).await.unwrap(), directory }
    }

    /// Adds a VIP with one server of weight 1; returns the VIP and its pool index.
    pub fn add(&self, last: u8) -> (VppVip, u32) {
        let (prefix, vip) = named(last);
        let index = self.simulator.edit(|lb| {
            let index = lb.add_vip(prefix, 6, 80, VipSettings::default()).unwrap();
            lb.add_as(vip, server(), 1).unwrap();
            index
        });
        (vip, index)
    }

    /// The VIP added by [`Self::add`].
    pub fn vip(&self, last: u8) -> VppVip {
        named(last).1
    }

    /// Opens the segment as the agent does, outside of the runtime that serves it.
    async fn client(&self) -> Result<StatsClient, StatsError> {
        let path = self.directory.path().join("run/stats.sock");
        tokio::task::spawn_blocking(move || StatsClient::open(&path, PATIENCE)).await.unwrap()
    }
}

fn named(last: u8) -> (Prefix, VppVip) {
    let prefix = Prefix::host([198, 51, 100, last].into());
    (prefix, identity(prefix, 6, 80))
}

fn server() -> IpAddr {
    [192, 0, 2, 9].into()
}

/// The four counters of a VIP.
fn counters(client: &StatsClient, index: u32) -> Option<[u64; 4]> {
    let read = client.read(|view| {
        let entries = view.find(KINDS);
        let mut sums = [0; 4];
        for (sum, entry) in sums.iter_mut().zip(entries) {
            let Some(entry) = entry else { return Ok(None) };
            let Some(value) = view.simple_counters(entry, "a kind")?.sum(index) else { return Ok(None) };
            *sum = value;
        }
        Ok(Some(sums))
    });
    match read {
        // The simulator was preempted during a change, which happens on a busy machine.
        Err(StatsError::Busy) => None,
        read => read.unwrap(),
    }
}

async fn entries(client: &StatsClient) -> usize {
    until("the directory is at rest", || client.read(|view| Ok(view.len())).ok()).await
}

async fn until<T>(condition: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let waited = timeout(PATIENCE, async {
        loop {
            if let Some(value) = poll() {
                return value;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("timeout waiting until {condition}"))
}

#[tokio::test]
async fn counters_appear_with_the_first_vip_and_follow_its_traffic() {
    let vpp = Vpp::start().await;
    let client = vpp.client().await.unwrap();
    let before = client.read(everything).unwrap();
    assert!(!before.contains_key(KINDS[0]), "no vip, no counters");
    assert!(before["/sys/boottime"].as_u64().unwrap() > 1_700_000_000);

    let (vip, index) = vpp.add(1);
    vpp.simulator.set_traffic(vip, Traffic { existing: 70, first: 20, untracked: 10, packet_bytes: 64 });
    vpp.simulator.advance(Duration::from_secs(100));
    let got = until("packets are counted", || counters(&client, index).filter(|kinds| kinds[0] >= 7000)).await;
    assert!((2000..2500).contains(&got[1]) && (1000..1250).contains(&got[2]) && got[3] == 0, "{got:?}");
    let route = client.read(|view| {
        let routes = view.combined_counters(view.find(["/net/route/to"])[0].unwrap(), "/net/route/to")?;
        Ok((0..64).find_map(|index| routes.sum(index).filter(|route| route.packets > 0)))
    });
    let all = route.unwrap().unwrap();
    assert!(all.packets >= 10_000 && all.bytes == all.packets * 64, "{all:?}");

    vpp.simulator.edit(|lb| lb.set_weight(vip, server(), 0)).unwrap();
    vpp.simulator.advance(Duration::from_secs(100));
    let after = until("packets find no server", || counters(&client, index).filter(|kinds| kinds[3] >= 10_000)).await;
    assert!(after[0] < 8000, "none of them is counted as served: {after:?}");
}

#[tokio::test]
async fn forwarded_packets_are_counted_in_the_segment() {
    let vpp = Vpp::start().await;
    let client = vpp.client().await.unwrap();
    let mut forwarder = vpp.simulator.forwarder();
    let (_, index) = vpp.add(1);
    // Port 81 has no VIP.
    for port in [80, 80, 80, 81] {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([203, 0, 113, 7], [198, 51, 100, 1], 64)
            .tcp(4000, port, 1, 1024)
            .write(&mut packet, &[7; 60])
            .unwrap();
        let verdict = forwarder.forward(&packet, &mut |_| ());
        assert_eq!(verdict, if port == 80 { Verdict::Forwarded(server()) } else { Verdict::NoPort });
    }
    let got = until("packets are counted", || counters(&client, index).filter(|kinds| kinds[0] >= 2)).await;
    assert_eq!(got, [2, 1, 0, 0]);
    assert_eq!(counters(&client, 0), Some([0, 0, 0, 1]), "VPP counts packets without a VIP on index 0");
    let server_route = vpp.simulator.edit(|lb| lb.dpo(server())).unwrap();
    let routes = client.read(|view| {
        let [to, via] = view.find(["/net/route/to", "/net/route/via"]);
        let to = view.combined_counters(to.unwrap(), "/net/route/to")?;
        let via = view.combined_counters(via.unwrap(), "/net/route/via")?;
        let to_vip = (0..64).find_map(|index| to.sum(index).filter(|route| route.packets > 0));
        Ok([to_vip.unwrap(), via.sum(server_route).unwrap()].map(|route| (route.packets, route.bytes)))
    });
    assert_eq!(routes.unwrap(), [(4, 400), (3, 372)], "inner bytes to the VIP, outer bytes to the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growing_vectors_are_never_read_partially() {
    let vpp = Vpp::start().await;
    let client = vpp.client().await.unwrap();
    let empty = entries(&client).await;
    for last in 1..=60 {
        vpp.simulator.set_traffic(named(last).1, Traffic { existing: 1000, ..Traffic::default() });
        let (_, index) = vpp.add(last);
        // Each reading must be complete, with or without the new VIP.
        until("the vip is counted", || {
            match client.read(everything) {
                Ok(all) => assert!(all.contains_key("/net/route/to"), "{all:?}"),
                Err(error) => assert_eq!(error.reason(), "Busy", "{error}"),
            }
            counters(&client, index).filter(|kinds| kinds[0] > 0)
        })
        .await;
    }
    assert_eq!(entries(&client).await, empty + 4, "the four counters came with the first vip");
}

#[tokio::test]
async fn restart_creates_a_new_segment_and_the_old_one_stays_unchanged() {
    let vpp = Vpp::start().await;
    let old = vpp.client().await.unwrap();
    let (vip, index) = vpp.add(1);
    vpp.simulator.set_traffic(vip, Traffic { existing: 1000, ..Traffic::default() });
    until("packets are counted", || counters(&old, index).filter(|kinds| kinds[0] > 0)).await;

    vpp.simulator.stop().await.unwrap();
    let still: BTreeMap<String, Json> = old.read(everything).unwrap();
    assert_eq!(vpp.client().await.unwrap_err().reason(), "ConnectFailed");
    vpp.simulator.start_again().await.unwrap();
    let new = vpp.client().await.unwrap();
    assert_eq!(old.read(everything).unwrap(), still);
    assert_eq!(counters(&new, index), None, "the new segment has no vip");
}

#[tokio::test]
async fn vip_with_a_reused_index_counts_from_zero() {
    let vpp = Vpp::start().await;
    let client = vpp.client().await.unwrap();
    let (first, index) = vpp.add(1);
    vpp.simulator.set_traffic(first, Traffic { existing: 1000, ..Traffic::default() });
    until("packets are counted", || counters(&client, index).filter(|kinds| kinds[0] > 0)).await;
    vpp.simulator.edit(|lb| lb.remove_vip(named(1).0, 6, 80)).unwrap();
    // The first garbage collection removes the server, the second one the VIP.
    vpp.simulator.advance(Duration::from_secs(200));
    assert_eq!(vpp.add(2).1, index, "the index is used again");
    until("the new vip counts nothing", || counters(&client, index).filter(|kinds| *kinds == [0; 4])).await;
}

#[tokio::test]
async fn opening_a_silent_socket_times_out() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stats.sock");
    let silent = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&silent, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&silent, 1).unwrap();
    let opened = tokio::task::spawn_blocking(move || StatsClient::open(&path, Duration::from_millis(50)));
    let error = opened.await.unwrap().unwrap_err();
    assert_eq!(error.reason(), "ConnectFailed", "{error:?}");
}
