//! maglevd against a real API server, a simulated VPP and live backends: it keeps VPP's state during an API server
//! outage, after deleted CRDs, and for objects that do not decode.

pub mod node;

use self::node::{Node, VIP};
use maglev_sandbox::demo_backend::Mode;
use maglev_vpp_simulator::{Prefix, VipSettings};

use crate::harness::{allow_nat, eventually, refuse_nat, root};

const BOTH_UP: [(&str, u8); 2] = [("127.0.3.1", 10), ("127.0.3.2", 10)];

#[tokio::test]
async fn probing_and_repair_continue_during_an_api_server_outage() {
    let mut node = Node::start("outage", 1, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;

    node.cluster.plane().stop_api_server().await;
    node.set_backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    node.simulator.restart().await.unwrap();
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    node.set_backend("one", Mode::Ok);
    node.until_weights(&BOTH_UP).await;

    node.cluster.plane().start_api_server().await.unwrap();
    let weight =
        r#"{"spec": {"pools": [{"name": "primary", "backends": [{"name": "one", "weight": 33}, {"name": "two"}]}]}}"#;
    let patch = ["patch", "mfe", "web", "--type=merge", "-p", weight];
    eventually("the API server accepts the change", async || {
        node.cluster.kubectl_with(&patch, "").await.status.success().then_some(())
    })
    .await;
    node.until_weights(&[("127.0.3.1", 33), ("127.0.3.2", 10)]).await;
    assert_eq!(node.log_count("vpp-lb-sync-vip-removed"), 0);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn agent_restarted_during_an_api_server_outage_writes_nothing() {
    let mut node = Node::start("away", 2, "interval: 60s").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
    node.until_ready().await;

    node.cluster.plane().stop_api_server().await;
    node.stop_maglevd().await;
    let mark = node.simulator.mark();
    let dumps = node.dump_count();
    node.start_maglevd().await;
    node.until("maglevd reads VPP's state", |node| node.dump_count() > dumps).await;
    node.until("maglevd logs the failed watch", |node| node.log_count("watch failed") > 0).await;
    assert_eq!(
        node.readiness().await,
        Err("waiting for the first complete list of every kind from the API server".into())
    );
    assert_eq!(node.simulator.writes_since(mark), []);

    node.cluster.plane().start_api_server().await.unwrap();
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), [], "the configuration is unchanged");
    node.until_weights(&BOTH_UP).await;
    node.stop_maglevd().await;
}

#[tokio::test]
async fn deleted_crd_removes_nothing_even_after_a_restart() {
    let mut node = Node::start("crds", 3, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
    for kind in ["backends", "healthchecks", "frontends"] {
        node.cluster.kubectl(&["delete", "crd", &format!("{kind}.maglev.vpp.io"), "--timeout=30s"]).await;
    }
    let mark = node.simulator.mark();
    node.until("maglevd logs the missing CRDs", |node| node.log_count("crd is not served") >= 3).await;
    // Probing continues with the last configuration.
    node.set_backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 1, "only the weight is written");

    node.stop_maglevd().await;
    let mark = node.simulator.mark();
    let dumps = node.dump_count();
    node.start_maglevd().await;
    node.until("maglevd reads VPP's state", |node| node.dump_count() > dumps).await;
    node.until("the restarted maglevd logs the missing CRDs", |node| node.log_count("crd is not served") >= 6).await;
    node.until("maglevd has listed the Nodes", |node| node.log_count("config-applied kind=Node") >= 2).await;
    assert!(node.readiness().await.is_err());
    assert_eq!(node.simulator.writes_since(mark), []);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn node_that_is_deleted_and_registered_again_writes_nothing_to_vpp() {
    let mut node = Node::start("registered", 10, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
    node.until_ready().await;
    let mark = node.simulator.mark();
    let name = node.node_name();
    node.cluster.kubectl(&["delete", "node", &name]).await;
    let change = async |weight: u8| {
        let backends = format!(r#"[{{"name": "one", "weight": {weight}}}, {{"name": "two"}}]"#);
        let patch = format!(r#"{{"spec": {{"pools": [{{"name": "primary", "backends": {backends}}}]}}}}"#);
        node.cluster.kubectl(&["patch", "mfe", "web", "--type=merge", "-p", &patch]).await;
        node.until_weights(&[("127.0.3.1", weight), ("127.0.3.2", 10)]).await;
    };
    change(33).await;
    node.register().await;
    change(44).await;
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark).len(), 2, "only the two weights are written");
    node.stop_maglevd().await;
}

#[tokio::test]
async fn undecodable_frontend_is_held_even_after_a_restart() {
    let mut node = Node::start("unreadable", 4, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
    let mark = node.simulator.mark();
    let accept_anything = r#"[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]"#;
    node.cluster.kubectl(&["patch", "crd", "frontends.maglev.vpp.io", "--type=json", "-p", accept_anything]).await;
    let set_invalid_field = ["patch", "mfe", "web", "--type=merge", "-p", r#"{"spec": {"tableLength": "long"}}"#];
    eventually("the undecodable object is stored", async || {
        node.cluster.kubectl_with(&set_invalid_field, "").await.status.success().then_some(())
    })
    .await;
    let original_crd = root().join("crds/frontends.yaml");
    node.cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", original_crd.to_str().unwrap()]).await;
    let rejected = "config-rejected kind=Frontend name=default/web generation=2";
    node.until("the rejection is logged", |node| node.log_count(rejected) > 0).await;
    node.until("the Frontend is held", |node| node.log_count("generation=2 result=Held reason=Unreadable") > 0).await;

    node.stop_maglevd().await;
    node.start_maglevd().await;
    node.until("the rejection is logged after the restart", |node| node.log_count(rejected) > 1).await;
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    assert!(node.simulator.snapshot().vips.contains_key(&VIP.into()));
    node.stop_maglevd().await;
}

#[tokio::test]
async fn nat_frontend_stored_by_an_earlier_version_is_held_and_its_vip_is_kept() {
    let mut node = Node::start("nat", 6, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
    node.stop_maglevd().await;

    // The state that version 0.1.0 leaves: a stored object with NAT, and its VIP in VPP.
    allow_nat(&node.cluster).await;
    let set_nat = r#"{"spec": {"encap": {"type": "NAT", "nat": {"targetPort": 8080}}}}"#;
    eventually("the Frontend is stored with NAT", async || {
        let patch = ["patch", "mfe", "web", "--type=merge", "-p", set_nat];
        node.cluster.kubectl_with(&patch, "").await.status.success().then_some(())
    })
    .await;
    node.simulator.edit(|lb| {
        let prefix = Prefix::host(VIP.address);
        lb.remove_vip(prefix, 6, 80).unwrap();
        lb.add_vip(prefix, 6, 80, VipSettings { encap: 3, target_port: 8080, ..VipSettings::default() }).unwrap();
        lb.add_as(VIP.into(), "127.0.3.1".parse().unwrap(), 10).unwrap();
    });
    let in_vpp = node.simulator.snapshot().vips;

    let refusal = refuse_nat(&node.cluster).await;
    assert!(
        refusal.contains("spec.encap.type") && refusal.contains("encap type NAT is not supported: VPP drops"),
        "{refusal}"
    );
    let mark = node.simulator.mark();
    node.start_maglevd().await;
    let rejected = "config-rejected kind=Frontend name=default/web generation=2";
    node.until("the rejection is logged", |node| node.log_count(rejected) > 0).await;
    assert!(node.log().contains("spec.encap.type NAT is not supported, because VPP drops the TCP packets"));
    let held = "generation=2 result=Held reason=EncapUnsupported";
    node.until("the Frontend is held", |node| node.log_count(held) > 0).await;
    node.until_ready().await;
    node.cluster.kubectl(&["delete", "mfe", "web"]).await;
    node.until("the VIP is reported as foreign", |node| node.log_count("vpp-foreign-vip vip=203.0.113.80") > 0).await;
    assert_eq!(node.simulator.writes_since(mark), []);
    assert_eq!(node.simulator.snapshot().vips, in_vpp);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn health_check_edits_change_no_weight_of_healthy_backends() {
    let mut node = Node::start("edits", 5, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
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
        let answered = node.answered_requests();
        let spec = format!(r#"{{"spec": {edit}}}"#);
        node.cluster.kubectl(&["patch", "mhc", "check", "--type=merge", "-p", &spec]).await;
        // The backends count HTTP requests, so TCP probes are not visible to them.
        if !edit.contains("TCP") {
            node.until("both backends are probed again", |node| {
                node.answered_requests().iter().zip(&answered).all(|(now, before)| now > &(before + 1))
            })
            .await;
        }
    }
    let applied = format!("config-applied kind=HealthCheck name=default/check generation={}", edits.len() + 1);
    node.until("the last edit is applied", |node| node.log_count(&applied) > 0).await;
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    assert_eq!(node.log_count("backend-transition name=default/one from=up"), 0);
    node.stop_maglevd().await;
}
