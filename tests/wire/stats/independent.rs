//! `vpp_papi.vpp_stats.VPPStats`, VPP's own Python client, reads the same values from the simulator's segment as this
//! client.

use std::{collections::BTreeMap, path::Path, time::Duration};

use maglev_testkit::python::{PAPI, interpreter, run};
use maglev_vpp::stats::StatsClient;
use maglev_vpp_simulator::Traffic;
use serde_json::Value as Json;

use super::{everything, simulated::Vpp};
use crate::simulator_papi::{REPLAY, papi_directory};

const EXISTING: &str = "packet from existing sessions";

#[tokio::test]
async fn independent_client_lists_and_dumps_the_same_values() {
    let python = interpreter(&PAPI).await.unwrap();
    let vpp = Vpp::start().await;
    for last in 1..=3 {
        let (vip, _) = vpp.add(last);
        let rate = u32::from(last) * 1000;
        vpp.simulator.set_traffic(vip, Traffic { existing: rate, first: 7, untracked: 1, packet_bytes: 64 });
    }
    vpp.simulator.advance(Duration::from_secs(10));
    // From here on, no counter changes.
    for last in 1..=3 {
        vpp.simulator.set_traffic(vpp.vip(last), Traffic::default());
    }
    let socket = vpp.directory.path().join("run/stats.sock");
    let script = papi_directory().join("stats.py");
    let (success, text) = run(&python, &[&script, &socket], REPLAY).await.unwrap();
    assert!(success, "{text}");
    let mut read_by_papi: BTreeMap<String, Json> = serde_json::from_str(&text).unwrap();
    let mut read_by_this_client = read_by_this_client(&socket).await;
    // The heartbeat may have changed meanwhile.
    for values in [&mut read_by_this_client, &mut read_by_papi] {
        assert!(values.remove("/sys/heartbeat").is_some_and(|beats| beats.is_u64()));
    }
    assert_eq!(read_by_this_client, read_by_papi);
    let (main, worker) = (&read_by_this_client[EXISTING][0][3], &read_by_this_client[EXISTING][1][3]);
    let (main, worker) = (main.as_u64().unwrap(), worker.as_u64().unwrap());
    assert!(main + worker >= 30_000 && main > 0 && worker > main, "{main} and {worker}");
}

async fn read_by_this_client(socket: &Path) -> BTreeMap<String, Json> {
    let socket = socket.to_owned();
    let open = move || StatsClient::open(&socket, Duration::from_secs(30));
    tokio::task::spawn_blocking(open).await.unwrap().unwrap().read(everything).unwrap()
}
