//! `maglevd withdraw`: removes the owned VIPs, but nothing while an agent is running.

use std::{path::Path, time::Duration};

use maglev_agent::{AgentOptions, VppConnector, WithdrawError, Withdrawn, withdraw};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, VipSettings, Write};

use super::fixture::Node;

/// Runs `maglevd withdraw`; returns true if it succeeded, and its log.
async fn run(socket: &Path) -> (bool, String) {
    let mut command = tokio::process::Command::new(maglev_testkit::binary("maglevd"));
    command.arg("withdraw").arg("--vpp-api-socket").arg(socket).env("MAGLEVD_NODE_NAME", "node-a");
    let output = command.kill_on_drop(true).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A node with six owned VIPs and one foreign VIP.
async fn node_with_seven_vips() -> Node {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let frontends =
        (1..=6).map(|n| frontend(&format!("f{n}"), vip(&format!("203.0.113.{n}")), vec![pool("primary", &[&a, &b])]));
    let node = Node::following(config(frontends, node_config())).await;
    node.until_programmed().await;
    let prefix = Prefix::host(ip("198.51.100.7"));
    node.simulator.edit(|lb| lb.add_vip(prefix, 17, 53, VipSettings::default()).unwrap());
    node
}

#[tokio::test]
async fn withdraw_removes_owned_vips_with_their_flows_and_keeps_foreign_vips() {
    let mut node = node_with_seven_vips().await;
    node.stop_agent().await;
    // One VIP is already absent.
    node.simulator.edit(|lb| lb.remove_vip(Prefix::host(ip("203.0.113.6")), 6, 80).unwrap());
    let mark = node.simulator.mark();
    let (ok, log) = run(&node.socket).await;
    assert!(ok, "{log}");
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("INFO vpp-lb-sync-as-removed"), lines("INFO vpp-lb-sync-vip-removed")), (10, 5), "{log}");
    assert!(log.contains("frontend=default/f1 vip=203.0.113.1 protocol=tcp port=80"), "{log}");
    assert!(log.contains("maglevd-withdrawn vips=5 application_servers=10 absent=1"), "{log}");
    let left = node.simulator.snapshot().vips;
    assert_eq!(left.keys().map(|vip| vip.address).collect::<Vec<_>>(), [ip("198.51.100.7")]);
    let writes = node.simulator.writes_since(mark);
    assert!(writes.iter().all(|written| !matches!(written.write, Write::RemoveAs { flush: false, .. })));
    assert_eq!(std::fs::read_to_string(node.socket.with_file_name("maglevd.vips.json")).unwrap(), "[]");
    let (ok, log) = run(&node.socket).await;
    assert!(ok && log.contains("maglevd-withdrawn vips=0"), "a second run: {log}");
}

#[tokio::test]
async fn withdraw_fails_while_an_agent_is_running_and_names_it() {
    let node = node_with_seven_vips().await;
    let mark = node.simulator.mark();
    let (ok, log) = run(&node.socket).await;
    assert!(!ok);
    assert!(log.contains(&format!("maglevd of node node-a, process {}", std::process::id())), "{log}");
    assert_eq!(node.simulator.writes_since(mark), []);
}

fn options(node: &Node) -> AgentOptions {
    AgentOptions { deadline: Duration::from_secs(1), ..AgentOptions::new("node-a", &node.socket) }
}

#[tokio::test]
async fn refused_removals_are_reported_and_stay_owned() {
    let mut node = node_with_seven_vips().await;
    node.stop_agent().await;
    let connector = VppConnector::new(&node.socket, node.events());
    node.simulator.swallow_next_reply("lb_add_del_vip_v2");
    let error = withdraw(&options(&node), &connector, node.events()).await.unwrap_err();
    assert!(matches!(error, WithdrawError::Incomplete { failed: 1, steps: 18 }), "{error}");
    assert!(node.log().iter().any(|line| line.starts_with("vpp-lb-sync-error frontend=default/f")));
    // VPP executed the step, but its reply was lost.
    let done = withdraw(&options(&node), &connector, node.events()).await.unwrap();
    assert_eq!(done, Withdrawn { absent: 1, ..Withdrawn::default() });
}

#[tokio::test]
async fn missing_vpp_and_unreadable_list_are_reported() {
    let mut node = node_with_seven_vips().await;
    node.stop_agent().await;
    node.simulator.stop().await.unwrap();
    let connector = VppConnector::new(&node.socket, node.events());
    let error = withdraw(&options(&node), &connector, node.events()).await.unwrap_err();
    assert_eq!(error.reason(), "VppUnreachable");
    node.simulator.start_again().await.unwrap();
    std::fs::write(node.socket.with_file_name("maglevd.vips.json"), "{").unwrap();
    let error = withdraw(&options(&node), &connector, node.events()).await.unwrap_err();
    assert_eq!(error.reason(), "OwnedVipsUnreadable");
}
