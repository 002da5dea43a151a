//! Drift is repaired, but a VIP is recreated only for a certain mismatch and never twice for the same one.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use maglev_model::{
    config::Config,
    vip::{Dscp, Encap, TableLength},
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, VipSettings, Write};

use super::fixture::Node;

fn two() -> Config {
    let a = backend("a", "192.0.2.1");
    let sticky = |text, key| {
        let mut frontend = frontend(text, key, vec![pool("primary", &[&a])]);
        frontend.sticky = true;
        frontend
    };
    config([sticky("web", vip("203.0.113.1")), sticky("other", vip("203.0.113.2"))], node_config())
}

async fn following() -> Node {
    let node = Node::following(two()).await;
    node.until_programmed().await;
    node.until_ready().await;
    node.clear_log();
    node
}

/// Requests a pass and waits for its end.
async fn pass(node: &Node) {
    let passes = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count();
    let before = passes(node);
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| passes(node) > before).await;
}

/// Recreates the VIP of Frontend web with other settings, as drift.
fn remake(node: &Node, settings: VipSettings) {
    let prefix = Prefix::host(ip("203.0.113.1"));
    node.simulator.edit(|lb| {
        lb.remove_vip(prefix, 6, 80).unwrap();
        lb.add_vip(prefix, 6, 80, settings).unwrap();
    });
}

fn vips_written(node: &Node, mark: maglev_vpp_simulator::Mark) -> usize {
    let writes = node.simulator.writes_since(mark);
    writes.iter().filter(|written| matches!(written.write, Write::AddVip(..) | Write::RemoveVip(_))).count()
}

#[tokio::test]
async fn vip_with_other_settings_is_recreated_once() {
    let right = VipSettings { src_ip_sticky: true, ..VipSettings::default() };
    for (settings, reason) in [
        (VipSettings { encap: 2, dscp: 7, ..right }, "encap"),
        (VipSettings { src_ip_sticky: false, ..right }, "session-affinity"),
        (VipSettings { table_length: 4096, ..right }, "table-length"),
        (VipSettings { table_length: 65536, ..right }, "table-length"),
    ] {
        let node = following().await;
        let untouched = node.simulator.snapshot().vips[&vip("203.0.113.2").into()].clone();
        remake(&node, settings);
        let mark = node.simulator.mark();
        pass(&node).await;
        node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
        node.until("the change is published", |node| !node.changes().is_empty()).await;
        pass(&node).await;
        let changes = node.changes();
        assert!(changes.len() == 1 && changes[0].ends_with(&format!("reason={reason}")), "{changes:?}");
        assert_eq!(vips_written(&node, mark), 2);
        let now = node.simulator.snapshot();
        let settings = now.vips[&vip("203.0.113.1").into()].settings;
        assert_eq!((settings.encap, settings.src_ip_sticky, settings.table_length), (0, true, 1024));
        assert_eq!(now.vips[&vip("203.0.113.2").into()], untouched);
    }
}

#[tokio::test]
async fn deleted_vip_or_server_is_added_again_before_garbage_collection() {
    let node = following().await;
    node.simulator.edit(|lb| {
        lb.remove_vip(Prefix::host(ip("203.0.113.1")), 6, 80).unwrap();
        lb.remove_as(vip("203.0.113.2").into(), ip("192.0.2.1")).unwrap();
    });
    assert_eq!(node.simulator.snapshot().deleted_vips, 1);
    pass(&node).await;
    for key in [vip("203.0.113.1"), vip("203.0.113.2")] {
        node.until_weights(key, &[("192.0.2.1", 10)]).await;
    }
    node.until("the change is published", |node| node.changes().len() == 3).await;
    let mark = node.simulator.mark();
    pass(&node).await;
    assert_eq!(node.simulator.writes_since(mark), [], "removed objects are ignored");
}

#[tokio::test]
async fn owned_vip_without_a_frontend_is_removed() {
    let mut node = following().await;
    node.stop_agent().await;
    node.remove("other");
    node.start_agent();
    node.until("the orphan is gone", |node| node.simulator.snapshot().vips.len() == 1).await;
    assert_eq!(node.simulator.snapshot().vips.keys().next(), Some(&vip("203.0.113.1").into()));
}

#[tokio::test]
async fn vip_in_sync_becomes_owned_without_a_write() {
    let mut node = following().await;
    node.stop_agent().await;
    std::fs::remove_file(node.socket.with_file_name("maglevd.vips.json")).unwrap();
    let mark = node.simulator.mark();
    node.clear_log();
    node.start_agent();
    node.until_programmed().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    node.remove("other");
    node.until("it is removed", |node| node.simulator.snapshot().vips.len() == 1).await;
    node.until("the change is published", |node| node.changes().len() == 2).await;
    assert!(
        node.changes()[0].contains(" backend=default/a "),
        "a restarted agent names the backend: {:?}",
        node.changes()
    );
}

#[tokio::test]
async fn ineffective_recreate_is_not_repeated_until_the_spec_changes() {
    let node = following().await;
    node.simulator.forget_sticky(true);
    remake(&node, VipSettings::default());
    let mark = node.simulator.mark();
    pass(&node).await;
    let report =
        |generation: u32, rest: &str| format!("frontend-programmed name=default/web generation={generation} {rest}");
    let failed = report(1, "result=Failed reason=RecreateIneffective");
    node.until("the mismatch is reported", |node| node.log().contains(&failed)).await;
    pass(&node).await;
    assert_eq!(vips_written(&node, mark), 2, "recreated once");
    // A new session with the same VPP does not repeat it either.
    node.simulator.hang(Duration::from_secs(60));
    node.sync_now().await.unwrap();
    node.until("the session has ended", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    node.clear_log();
    node.simulator.wake();
    node.until("a pass went by", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
    assert_eq!(vips_written(&node, mark), 2, "still once");
    // Its weights follow health all the same, and a new spec is tried.
    node.set_state(&backend("a", "192.0.2.1"), maglev_model::health::BackendState::Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0)]).await;
    node.edit("web", |web| web.table_length = TableLength::new(2048).unwrap());
    node.until("the recreate is published", |node| {
        node.log().iter().any(|line| line.starts_with("vpp-lb-sync-vip-recreate "))
    })
    .await;
    node.simulator.forget_sticky(false);
    node.edit("web", |web| web.encap = Some(Encap::L3dsr(Dscp::new(7).unwrap())));
    node.until_one_programmed("web").await;
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn unparsable_cli_recreates_nothing_and_is_reported_once_per_session() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let warnings = || {
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let warnings = text.lines().filter(|line| line.contains("VPP did not report")).map(str::to_owned);
        warnings.collect::<Vec<_>>()
    };
    let node = following().await;
    assert_eq!(warnings(), Vec::<String>::new());
    let mark = node.simulator.mark();
    node.simulator.garble_cli(true);
    pass(&node).await;
    pass(&node).await;
    assert_eq!(warnings().len(), 1, "{:?}", warnings());
    assert!(warnings()[0].contains("session-affinity") && warnings()[0].contains("203.0.113.1/32 tcp 80"));
    assert_eq!(node.simulator.writes_since(mark), []);
    node.simulator.hang(Duration::from_secs(60));
    node.sync_now().await.unwrap();
    node.until("the session has ended", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    node.simulator.wake();
    node.until("the next session warns too", |_| warnings().len() == 2).await;
    assert_eq!(node.simulator.writes_since(mark), []);
}
