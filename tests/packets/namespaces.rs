//! Creation and removal of the namespaces.

use std::path::Path;
use std::process::Command;

use maglev_sandbox::packets::{Namespace, Network};
use maglev_testkit::netns;

use crate::lab::{self, GRE4, Lab, TCP, all_servers, on_each_vpp, until};

/// The names of the namespaces of the sandbox in `dir`, without their prefix.
fn namespaces(dir: &Path) -> Vec<String> {
    let client = Namespace::client(dir);
    netns::named(client.name().strip_suffix("client").unwrap())
}

#[tokio::test]
async fn namespaces_appear_and_go_and_the_host_keeps_its_routes() {
    if !lab::is_allowed("namespaces_appear_and_go_and_the_host_keeps_its_routes") {
        return;
    }
    let before = netns::state();
    let lab = Lab::start(1, None).await;
    let vip = "203.0.113.10:80".parse().unwrap();
    lab.add_vip(vip, TCP, GRE4, &all_servers()).await;
    assert_eq!(namespaces(lab.dir()), ["client", "web-1", "web-2", "web-3", "web-4"]);
    assert_eq!(netns::state(), before);
    let Lab { packets, dir, .. } = lab;
    packets.stop().await;
    assert_eq!(namespaces(dir.path()), Vec::<String>::new());
    assert_eq!(netns::state(), before);
}

#[tokio::test]
async fn namespaces_of_a_killed_sandbox_are_removed_by_the_next_one() {
    if !lab::is_allowed("namespaces_of_a_killed_sandbox_are_removed_by_the_next_one") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let backends = ["web-1", "web-2"].map(str::to_owned);
    // Without its destructor, as after SIGKILL.
    std::mem::forget(Network::create(dir.path(), &backends, &["node-a".to_owned()]).await.unwrap());
    assert_eq!(namespaces(dir.path()), ["client", "node-a", "web-1", "web-2"]);
    let shared = format!("/dev/shm/{}-vpe-api", Namespace::node(dir.path(), "node-a").name());
    std::fs::write(&shared, "").unwrap();
    let next = Network::create(dir.path(), &backends[..1], &[]).await.unwrap();
    assert_eq!(namespaces(dir.path()), ["client", "web-1"]);
    assert!(!Path::new(&shared).exists(), "shared memory of a real VPP");
    drop(next);
    assert_eq!(namespaces(dir.path()), Vec::<String>::new());
}

async fn addresses_of_the_backends_follow_the_vips(lab: Lab) {
    let (first, second) = ("203.0.113.10:80".parse().unwrap(), "[2001:db8::10]:443".parse().unwrap());
    lab.add_vip(first, TCP, GRE4, &all_servers()).await;
    lab.add_vip(second, TCP, GRE4, &all_servers()).await;
    let addresses = |lab: &Lab| {
        let namespace = lab.client.name().replace("client", "web-3");
        let output =
            Command::new("ip").args(["-n", &namespace, "-o", "address", "show", "dev", "lo"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(addresses(&lab).contains("203.0.113.10/32") && addresses(&lab).contains("2001:db8::10/128"));
    lab.vpps[0].remove_vip(first, TCP).await;
    until("the address is gone", async || !addresses(&lab).contains("203.0.113.10")).await;
    assert!(addresses(&lab).contains("2001:db8::10/128"));
    lab.get(second).await.unwrap();
    lab.get(first).await.unwrap_err();
}

on_each_vpp! {
    1 => addresses_of_the_backends_follow_the_vips,
}
