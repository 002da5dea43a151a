//! The file of owned VIPs on a full or read-only file system, and the lock whose file disappears.

use std::{fs, path::Path, process::Command, time::Duration};

use maglev_agent::{AgentLock, AgentOptions, VppConnector, WithdrawError, withdraw};
use maglev_model::{
    config::{Config, NodeConfig, SyncConf},
    vip::{VipKey, Weight},
};
use maglev_testkit::objects::{backend, config, frontend, node_config, pool, vip};
use maglev_vpp_simulator::Write;

use super::fixture::Node;
use crate::netns::inside_mount_namespace;

const VIPS: u8 = 6;

fn key(n: u8) -> VipKey {
    vip(&format!("203.0.113.{n}"))
}

/// Frontends `f1` to `fN`, and a full sync every 300 ms.
fn frontends(count: u8) -> Config {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let frontends = (1..=count).map(|n| frontend(&format!("f{n}"), key(n), vec![pool("primary", &[&a, &b])]));
    let sync = SyncConf { interval: Duration::from_millis(300), ..node_config().sync };
    config(frontends, NodeConfig { sync, ..node_config() })
}

fn count(node: &Node, start: &str) -> usize {
    node.log().iter().filter(|line| line.starts_with(start)).count()
}

fn vips(node: &Node) -> usize {
    node.simulator.snapshot().vips.len()
}

/// Waits until `number` more full syncs have ended.
async fn until_synced(node: &Node, number: u64) {
    let dumps = |node: &Node| node.simulator.requests()["lb_vip_dump"];
    let before = dumps(node);
    node.until("full syncs have ended", |node| dumps(node) >= before + number).await;
}

/// Mounts the directory of the socket again with these options.
fn mount(directory: &Path, options: &str) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(directory).status();
    assert!(status.unwrap().success(), "mount -o {options}");
}

/// A node whose socket directory is a tmpfs of one page, which the lock file fills.
async fn node_with_full_directory() -> Node {
    let mut node = Node::new().await;
    let directory = node.socket.parent().unwrap().to_owned();
    node.simulator.stop().await.unwrap();
    mount(&directory, "size=4k");
    node.simulator.start_again().await.unwrap();
    node.set_config(frontends(VIPS));
    node.all_up();
    node.start_agent();
    node
}

const NOT_WRITABLE: &str = "generation=1 result=Failed reason=StateNotWritable";
const RECORD_ERROR: &str = "vpp-lb-sync-error step=record-vips error=cannot write the list of owned VIPs";

#[tokio::test]
async fn vips_that_cannot_be_recorded_are_not_added_until_there_is_space() {
    let name = "agent::state_file::vips_that_cannot_be_recorded_are_not_added_until_there_is_space";
    if !inside_mount_namespace(name) {
        return;
    }
    let node = node_with_full_directory().await;
    node.until("every Frontend has failed", |node| {
        (1..=VIPS).all(|n| node.log().contains(&format!("frontend-programmed name=default/f{n} {NOT_WRITABLE}")))
    })
    .await;
    until_synced(&node, 8).await;
    let writes = node.simulator.writes_since(node.start);
    assert!(writes.iter().all(|written| matches!(written.write, Write::Conf(_))), "nothing is added: {writes:?}");
    assert_eq!(vips(&node), 0);
    assert_eq!(count(&node, RECORD_ERROR), 1, "one line a minute: {:#?}", node.log());

    let directory = node.socket.parent().unwrap();
    mount(directory, "remount,size=64k");
    node.until_programmed().await;
    assert_eq!(vips(&node), usize::from(VIPS));
    let recorded = fs::read_to_string(node.socket.with_file_name("maglevd.vips.json")).unwrap();
    assert_eq!(recorded.matches("\"address\"").count(), usize::from(VIPS), "{recorded}");
}

#[tokio::test]
async fn agent_in_a_read_only_directory_writes_nothing_to_vpp() {
    let name = "agent::state_file::agent_in_a_read_only_directory_writes_nothing_to_vpp";
    if !inside_mount_namespace(name) {
        return;
    }
    let mut node = Node::new().await;
    let directory = node.socket.parent().unwrap().to_owned();
    node.simulator.stop().await.unwrap();
    mount(&directory, "size=64k");
    node.simulator.start_again().await.unwrap();
    mount(&directory, "remount,ro");
    node.set_config(frontends(VIPS));
    node.all_up();
    node.start_agent();
    let refused = |line: &String| line.starts_with("vpp-connect-failed error=cannot lock");
    node.until("the lock was refused", |node| node.log().iter().any(refused)).await;
    assert_eq!((vips(&node), node.simulator.writes_since(node.start).len()), (0, 0));
    mount(&directory, "remount,rw");
    node.until_programmed().await;
    assert_eq!(vips(&node), usize::from(VIPS));
}

#[tokio::test]
async fn vips_of_before_follow_their_frontends_while_new_ones_cannot_be_recorded() {
    let node = Node::following(frontends(2)).await;
    node.until_programmed().await;
    // The new content is first written to this file.
    let new_file = node.socket.with_file_name("maglevd.vips.json.new");
    fs::create_dir(&new_file).unwrap();
    node.set_config(frontends(4));
    node.all_up();
    node.until("the new Frontends have failed", |node| {
        [3, 4].iter().all(|n| node.log().contains(&format!("frontend-programmed name=default/f{n} {NOT_WRITABLE}")))
    })
    .await;
    node.edit("f1", |f1| f1.pools[0].members[0].weight = Weight::new(77).unwrap());
    node.until("an existing VIP follows its Frontend", |node| {
        node.weights(key(1)).values().any(|weight| *weight == 77)
    })
    .await;
    assert_eq!((vips(&node), count(&node, RECORD_ERROR)), (2, 1));
    fs::remove_dir(&new_file).unwrap();
    node.until_programmed().await;
    assert_eq!(vips(&node), 4);
}

#[tokio::test]
async fn agent_takes_a_removed_lock_again_before_it_writes() {
    let node = Node::following(frontends(2)).await;
    node.until_programmed().await;
    let lock = node.socket.with_file_name("maglevd.lock");
    node.clear_log();
    fs::remove_file(&lock).unwrap();
    let lost = |line: &String| line.starts_with("vpp-disconnect reason=the lock file") && line.contains("was removed");
    node.until("the session has ended", |node| node.log().iter().any(lost)).await;
    node.until("there is a new session", |node| count(node, "vpp-connect ") == 1).await;
    assert!(lock.exists());
    assert!(AgentLock::try_take(&node.socket, "another agent").is_err(), "the new file is locked");
    node.edit("f1", |f1| f1.pools[0].members[0].weight = Weight::new(77).unwrap());
    node.until("the agent writes again", |node| node.weights(key(1)).values().any(|weight| *weight == 77)).await;
}

#[tokio::test]
async fn agent_whose_lock_another_agent_has_taken_stops_writing() {
    let node = Node::following(frontends(2)).await;
    node.until_programmed().await;
    fs::remove_file(node.socket.with_file_name("maglevd.lock")).unwrap();
    let other = AgentLock::try_take(&node.socket, "another agent").unwrap();
    node.until("the session has ended", |node| count(node, "vpp-disconnect reason=the lock file") == 1).await;
    let mark = node.simulator.mark();
    node.edit("f1", |f1| f1.pools[0].members[0].weight = Weight::new(77).unwrap());
    node.until("the agent waits for the lock", |node| node.ready().is_err()).await;
    node.until("the connection is closed", |node| node.simulator.connections() == 0).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 0);
    drop(other);
    node.until("the agent continues", |node| node.weights(key(1)).values().any(|weight| *weight == 77)).await;
}

#[tokio::test]
async fn withdrawal_stops_when_its_lock_is_removed() {
    let mut node = Node::following(frontends(60)).await;
    node.until_programmed().await;
    node.stop_agent().await;
    node.simulator.delay_replies(Duration::from_millis(20));
    let mark = node.simulator.mark();
    let (options, events) = (AgentOptions::new("node-a", &node.socket), node.events());
    let connector = VppConnector::new(&node.socket, events.clone());
    let withdrawal = withdraw(&options, &connector, events);
    let remove = async {
        node.until("the withdrawal has begun", |node| !node.simulator.writes_since(mark).is_empty()).await;
        fs::remove_file(node.socket.with_file_name("maglevd.lock")).unwrap();
    };
    let (result, ()) = tokio::join!(withdrawal, remove);
    assert!(matches!(result, Err(WithdrawError::LockLost(_))), "{result:?}");
    assert!(vips(&node) > 0, "not every VIP was removed");
    let recorded = fs::read_to_string(node.socket.with_file_name("maglevd.vips.json")).unwrap();
    assert_eq!(recorded.matches("\"address\"").count(), 60, "the file, which another agent may use, is unchanged");
}
