//! The real maglevd against a real API server, a simulated VPP and live backends: what it keeps when
//! the API server is away, lies or forgets.

pub mod node;

use self::node::{Node, VIP};
use maglev_sandbox::demo_backend::Mode;

use crate::harness::{eventually, root};

const BOTH: [(&str, u8); 2] = [("127.0.3.1", 10), ("127.0.3.2", 10)];

#[tokio::test]
async fn without_the_api_server_probing_and_repair_go_on_and_changes_arrive_afterwards() {
    let mut node = Node::start("outage", 1, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH).await;

    node.cluster.plane().stop_api_server().await;
    node.backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    node.simulator.restart().await.unwrap();
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    node.backend("one", Mode::Ok);
    node.until_weights(&BOTH).await;

    node.cluster.plane().start_api_server().await.unwrap();
    let weight =
        r#"{"spec": {"pools": [{"name": "primary", "backends": [{"name": "one", "weight": 33}, {"name": "two"}]}]}}"#;
    let patch = ["patch", "mfe", "web", "--type=merge", "-p", weight];
    eventually("the API server takes the change", async || {
        node.cluster.kubectl_with(&patch, "").await.status.success().then_some(())
    })
    .await;
    node.until_weights(&[("127.0.3.1", 33), ("127.0.3.2", 10)]).await;
    assert_eq!(node.log_count("vpp-lb-sync-vip-removed"), 0);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn restarted_while_the_api_server_is_away_it_writes_nothing_and_loses_no_weight_afterwards() {
    let mut node = Node::start("away", 2, "interval: 60s").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH).await;
    node.until_ready().await;

    node.cluster.plane().stop_api_server().await;
    node.stop_maglevd().await;
    let mark = node.simulator.mark();
    let reads = node.reads();
    node.start_maglevd().await;
    node.until("VPP was read", |node| node.reads() > reads).await;
    node.until("it says what it waits for", |node| node.log_count("watch-failed") > 0).await;
    assert_eq!(node.ready().await, Err("waiting for the first complete list of every kind from the API server".into()));
    assert_eq!(node.simulator.writes_since(mark), []);

    node.cluster.plane().start_api_server().await.unwrap();
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), [], "nothing had changed");
    node.until_weights(&BOTH).await;
    node.stop_maglevd().await;
}

#[tokio::test]
async fn a_deleted_crd_removes_nothing_even_after_a_restart() {
    let mut node = Node::start("crds", 3, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH).await;
    for kind in ["backends", "healthchecks", "frontends"] {
        node.cluster.kubectl(&["delete", "crd", &format!("{kind}.maglev.vpp.io"), "--timeout=30s"]).await;
    }
    let mark = node.simulator.mark();
    node.until("it says that they are gone", |node| node.log_count("crd-not-served") >= 3).await;
    // Probing goes on with what was last seen.
    node.backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 1, "only the weight");

    node.stop_maglevd().await;
    let mark = node.simulator.mark();
    let reads = node.reads();
    node.start_maglevd().await;
    node.until("VPP was read", |node| node.reads() > reads).await;
    node.until("it says what is missing", |node| node.log_count("crd-not-served") >= 6).await;
    node.until("it has listed what there is", |node| node.log_count("config-applied kind=Node") >= 2).await;
    assert!(node.ready().await.is_err());
    assert_eq!(node.simulator.writes_since(mark), []);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn a_frontend_that_does_not_decode_is_held_even_after_a_restart() {
    let mut node = Node::start("unreadable", 4, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH).await;
    let mark = node.simulator.mark();
    let anything = r#"[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]"#;
    node.cluster.kubectl(&["patch", "crd", "frontends.maglev.vpp.io", "--type=json", "-p", anything]).await;
    let odd = ["patch", "mfe", "web", "--type=merge", "-p", r#"{"spec": {"tableLength": "long"}}"#];
    eventually("the odd object is stored", async || {
        node.cluster.kubectl_with(&odd, "").await.status.success().then_some(())
    })
    .await;
    let narrow = root().join("crds/frontends.yaml");
    node.cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", narrow.to_str().unwrap()]).await;
    let told = "config-rejected kind=Frontend name=default/web generation=2";
    node.until("it is told", |node| node.log_count(told) > 0).await;
    node.until("it is held", |node| node.log_count("generation=2 result=Held reason=Unreadable") > 0).await;

    node.stop_maglevd().await;
    node.start_maglevd().await;
    node.until("it is told again", |node| node.log_count(told) > 1).await;
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    assert!(node.simulator.snapshot().vips.contains_key(&VIP.into()));
    node.stop_maglevd().await;
}

#[tokio::test]
async fn editing_any_field_of_a_shared_health_check_on_healthy_backends_moves_no_weight() {
    let mut node = Node::start("edits", 5, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH).await;
    node.until_ready().await;
    let mark = node.simulator.mark();
    let edits = [
        r#"{"interval": "300ms"}"#,
        r#"{"fastInterval": "150ms"}"#,
        r#"{"downInterval": "1s"}"#,
        r#"{"timeout": "250ms"}"#,
        r#"{"rise": 5}"#,
        r#"{"fall": 7}"#,
        r#"{"http": {"path": "/"}}"#,
        r#"{"http": {"method": "HEAD"}}"#,
        r#"{"http": {"expectedStatuses": ["200"]}}"#,
        r#"{"http": {"host": "example.com"}}"#,
        r#"{"http": {"headers": [{"name": "X-Probe", "value": "1"}]}}"#,
        r#"{"type": "TCP", "http": null}"#,
    ];
    for edit in edits {
        let answered = node.answered();
        let spec = format!(r#"{{"spec": {edit}}}"#);
        node.cluster.kubectl(&["patch", "mhc", "check", "--type=merge", "-p", &spec]).await;
        // Probed by the new check, unless that asks for no answer.
        if !edit.contains("TCP") {
            node.until("both are probed again", |node| {
                node.answered().iter().zip(&answered).all(|(now, before)| now > &(before + 1))
            })
            .await;
        }
    }
    let taken = format!("config-applied kind=HealthCheck name=default/check generation={}", edits.len() + 1);
    node.until("the last edit was taken", |node| node.log_count(&taken) > 0).await;
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    assert_eq!(node.log_count("backend-transition name=default/one from=up"), 0);
    node.stop_maglevd().await;
}
