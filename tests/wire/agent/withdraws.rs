//! `maglevd withdraw`: takes out what is ours, and nothing while an agent runs.

use std::{path::Path, time::Duration};

use maglev_agent::{AgentOptions, VppConnector, WithdrawError, Withdrawn, withdraw};
use maglev_vpp_simulator::{Prefix, VipSettings, Write};

use super::fixture::{Node, backend, config, frontend, ip, node, pool, vip};

/// Runs `maglevd withdraw` itself; returns whether it succeeded, and its log.
async fn run(socket: &Path) -> (bool, String) {
    let mut command = tokio::process::Command::new(maglev_testkit::binary("maglevd"));
    command.arg("withdraw").arg("--vpp-api-socket").arg(socket).env("MAGLEVD_NODE_NAME", "node-a");
    let output = command.kill_on_drop(true).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A node with six VIPs of ours and one of somebody else's.
async fn seven() -> Node {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let frontends =
        (1..=6).map(|n| frontend(&format!("f{n}"), vip(&format!("203.0.113.{n}")), vec![pool("primary", &[&a, &b])]));
    let node = Node::following(config(frontends, node())).await;
    node.until_programmed().await;
    let prefix = Prefix::host(ip("198.51.100.7"));
    node.simulator.edit(|lb| lb.add_vip(prefix, 17, 53, VipSettings::default()).unwrap());
    node
}

#[tokio::test]
async fn it_removes_ours_with_their_flows_and_leaves_the_others() {
    let mut node = seven().await;
    node.stop_agent().await;
    // One is gone already.
    node.simulator.edit(|lb| lb.remove_vip(Prefix::host(ip("203.0.113.6")), 6, 80).unwrap());
    let mark = node.simulator.mark();
    let (ok, log) = run(&node.socket).await;
    assert!(ok, "{log}");
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!((lines("INFO vpp-lb-sync-as-removed"), lines("INFO vpp-lb-sync-vip-removed")), (10, 5), "{log}");
    assert!(log.contains("frontend=default/f1 vip=203.0.113.1 protocol=tcp port=80"), "{log}");
    assert!(log.contains("maglevd-withdrawn vips=5 application_servers=10 absent=1"), "{log}");
    let left = node.simulator.snapshot().vips;
    assert_eq!(left.keys().map(|vip| vip.address).collect::<Vec<_>>(), [ip("198.51.100.7")]);
    let writes = node.simulator.writes_since(mark);
    assert!(writes.iter().all(|written| !matches!(written.write, Write::RemoveAs { flush: false, .. })));
    assert_eq!(std::fs::read_to_string(node.socket.with_file_name("maglevd.vips.json")).unwrap(), "[]");
    let (ok, log) = run(&node.socket).await;
    assert!(ok && log.contains("maglevd-withdrawn vips=0"), "and again: {log}");
}

#[tokio::test]
async fn while_an_agent_runs_it_fails_at_once_and_names_it() {
    let node = seven().await;
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
async fn what_could_not_be_removed_is_said_and_still_ours() {
    let mut node = seven().await;
    node.stop_agent().await;
    let connect = VppConnector::new(&node.socket, node.events());
    node.simulator.swallow_next_reply("lb_add_del_vip_v2");
    let error = withdraw(&options(&node), &connect, node.events()).await.unwrap_err();
    assert!(matches!(error, WithdrawError::Incomplete { failed: 1, steps: 18 }), "{error}");
    assert!(node.log().iter().any(|line| line.starts_with("vpp-lb-sync-error frontend=default/f")));
    // VPP had done it without a word.
    let done = withdraw(&options(&node), &connect, node.events()).await.unwrap();
    assert_eq!(done, Withdrawn { absent: 1, ..Withdrawn::default() });
}

#[tokio::test]
async fn without_a_vpp_or_a_readable_list_it_says_so() {
    let mut node = seven().await;
    node.stop_agent().await;
    node.simulator.stop().await.unwrap();
    let connect = VppConnector::new(&node.socket, node.events());
    let error = withdraw(&options(&node), &connect, node.events()).await.unwrap_err();
    assert_eq!(error.reason(), "VppUnreachable");
    node.simulator.start_again().await.unwrap();
    std::fs::write(node.socket.with_file_name("maglevd.vips.json"), "{").unwrap();
    let error = withdraw(&options(&node), &connect, node.events()).await.unwrap_err();
    assert_eq!(error.reason(), "OwnedVipsUnreadable");
}
