//! The mode Require of a path probe, on packets.

use futures::future::join_all;
use maglev_model::actual::VppVip;
use maglev_sandbox::packets::Namespace;
use serde_json::Value;
use tokio::process::Command;

use super::{PRIMARY, all_but, until_only};
use crate::harness::{eventually, run};
use crate::sandbox::{Sandbox, vpp_state};

/// The demo's VIP.
const VIP: VppVip = VppVip {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 10)),
    length: 32,
    protocol: 6,
    port: 80,
};

/// Sets the mode of the Frontend's path probe.
async fn set_mode(sandbox: &Sandbox, mode: &str) {
    let patch = format!(r#"{{"spec": {{"pathProbe": {{"mode": "{mode}", "interval": "2s"}}}}}}"#);
    sandbox.kubectl(&["patch", "mfe", "web", "--type=merge", "-p", &patch]).await;
}

/// Adds the VIP to the loopback interface of web-3, or deletes it there.
async fn change_vip(sandbox: &Sandbox, action: &str) {
    let namespace = Namespace::backend(&sandbox.dir.canonicalize().unwrap(), "web-3");
    let args = ["-n", namespace.name(), "address", action, "203.0.113.10/32", "dev", "lo"];
    assert!(run(Command::new("ip").args(args), "").await.status.success(), "{args:?}");
}

async fn until_path_ready_is(sandbox: &Sandbox, expected: &str) {
    let reason = r#"jsonpath={.status.conditions[?(@.type=="PathReady")].reason}"#;
    let has_reason = async || (sandbox.kubectl(&["get", "mfe", "web", "-o", reason]).await == expected).then_some(());
    eventually(&format!("PathReady is {expected}"), has_reason).await;
}

/// The weights of web-3 in the VPPs of both nodes.
async fn weights(sandbox: &Sandbox) -> Vec<Option<u8>> {
    let address = sandbox.kubectl(&["get", "mbe", "web-3", "-o", "jsonpath={.spec.address}"]).await.parse().unwrap();
    let vpps = join_all(["node-a", "node-b"].map(|node| vpp_state(sandbox, node))).await;
    vpps.iter().map(|vpp| Some(vpp.get(&VIP)?.ases.get(&address)?.weight)).collect()
}

async fn maglevc(sandbox: &Sandbox, args: &[&str]) -> String {
    String::from_utf8(sandbox.tool("maglevc", args).await.stdout).unwrap()
}

/// Without the VIP on its loopback interface a backend gets no packets. In mode Report its weight stays; in mode Require it
/// goes, and comes back with the VIP.
pub async fn required_path(sandbox: &Sandbox) {
    set_mode(sandbox, "Report").await;
    change_vip(sandbox, "del").await;
    until_path_ready_is(sandbox, "PathTimeout").await;
    assert_eq!(weights(sandbox).await, [Some(10); 2], "reported only");

    set_mode(sandbox, "Require").await;
    until_only(sandbox, &all_but(&PRIMARY, "web-3")).await;
    assert_eq!(weights(sandbox).await, [Some(0); 2]);
    let why = maglevc(sandbox, &["why", "backend", "web-3"]).await;
    assert!(why.contains("packets of the VIP do not reach the server"), "{why}");
    let doctor = maglevc(sandbox, &["doctor", "backend", "web-3", "-o", "json"]).await;
    let doctor: Value = serde_json::from_str(&doctor).unwrap();
    let paths = doctor["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 2, "{doctor}");
    for path in paths {
        assert_eq!((&path["probedNow"], &path["state"]), (&true.into(), &"PathTimeout".into()), "{doctor}");
    }

    change_vip(sandbox, "add").await;
    until_path_ready_is(sandbox, "PathOK").await;
    eventually("the weights are back", async || (weights(sandbox).await == [Some(10); 2]).then_some(())).await;
    set_mode(sandbox, "Report").await;
}
