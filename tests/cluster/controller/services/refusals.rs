//! Services that get nothing, with the reason, and Services of others.

use serde_json::{Value, json};

use super::Scene;

#[tokio::test]
async fn refused_services_name_field_and_reason() {
    let scene = Scene::start("svc-refused", &["203.0.118.0/30"]).await;
    scene.create_asking("outside", "198.51.100.1", &json!({})).await;
    scene.create("sctp", &json!({"ports": [{"name": "s", "port": 80, "protocol": "SCTP"}]})).await;
    let ports: Vec<Value> = (1..=65).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    scene.create("many", &json!({ "ports": ports })).await;
    let mut nat = scene.service("nat", &json!({}));
    nat["metadata"]["annotations"] = json!({"maglev.vpp.io/encap": "NAT"});
    scene.apply(&nat).await;
    for (service, reason, text) in [
        ("outside", "AddressNotAllowed", "maglev.vpp.io/address]: 198.51.100.1 is not allowed"),
        ("sctp", "UnsupportedProtocol", "spec.ports[s].protocol: found SCTP"),
        ("many", "TooManyPorts", "spec.ports: found 65 ports"),
        ("nat", "UnsupportedEncap", "maglev.vpp.io/encap]: found \"NAT\""),
    ] {
        scene.until_state(service, reason).await;
        let message = scene.message(service).await;
        assert!(message.contains(text) && message.contains("has no Frontends"), "{message}");
        scene.until_event(service, reason).await;
    }
    assert!(scene.frontends().await.is_empty());

    // The addresses of a /30 are used up, and one becomes free.
    for (service, address) in [("one", "203.0.118.1"), ("two", "203.0.118.2")] {
        scene.create(service, &json!({})).await;
        scene.until_state(service, &format!("{address} Accepted")).await;
    }
    scene.create("late", &json!({})).await;
    scene.until_state("late", "NoAddressLeft").await;
    scene.cluster.kubectl(&["delete", "svc/one", "-n", &scene.namespace]).await;
    scene.until_state("late", "203.0.118.1 Accepted").await;
    // A bad edit leaves the Frontends as they are.
    let annotations = json!({"metadata": {"annotations": {"maglev.vpp.io/address": "198.51.100.1"}}});
    scene.patch("svc/late", &annotations).await;
    scene.until_state("late", "203.0.118.1 AddressNotAllowed").await;
    let expected = ["late-80-tcp 203.0.118.1 Nodes Cluster", "two-80-tcp 203.0.118.2 Nodes Cluster"];
    scene.until_frontends(&expected).await;
    scene.end().await;
}

#[tokio::test]
async fn services_of_other_implementations_are_untouched() {
    let scene = Scene::start("svc-other", &["203.0.119.0/29"]).await;
    for (service, class) in [("other", json!("example.com/other")), ("none", Value::Null)] {
        scene.create(service, &json!({ "loadBalancerClass": class })).await;
    }
    scene.create("inside", &json!({"type": "ClusterIP", "loadBalancerClass": null})).await;
    let before: Vec<Value> =
        [scene.get("svc/other").await, scene.get("svc/none").await, scene.get("svc/inside").await].into();
    // A Frontend that was made by hand has the name that a Service needs.
    let by_hand = json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Frontend", "metadata": {"name": "taken-80-tcp"},
        "spec": {"address": "203.0.119.1", "protocol": "TCP", "port": 80, "pools": [{"name": "p", "backends": []}]},
    });
    scene.apply(&by_hand).await;
    scene.create("taken", &json!({})).await;
    scene.until_state("taken", "NameTaken").await;
    scene.create("web", &json!({})).await;
    scene.until_state("web", "203.0.119.2 Accepted").await;
    let after: Vec<Value> =
        [scene.get("svc/other").await, scene.get("svc/none").await, scene.get("svc/inside").await].into();
    assert_eq!(after, before);
    assert_eq!(scene.frontends().await, ["taken-80-tcp 203.0.119.1", "web-80-tcp 203.0.119.2 Nodes Cluster"]);
    scene.end().await;
}

#[tokio::test]
async fn class_of_a_service_cannot_change() {
    let scene = Scene::start("svc-class", &["203.0.126.0/29"]).await;
    scene.create("web", &json!({})).await;
    scene.until_state("web", "203.0.126.1 Accepted").await;
    scene.create("other", &json!({"loadBalancerClass": "example.com/other"})).await;
    let before = [scene.get("svc/web").await, scene.get("svc/other").await];
    for (service, class) in [("web", "example.com/other"), ("other", "maglev.vpp.io/vpp")] {
        let patch = json!({"spec": {"loadBalancerClass": class}}).to_string();
        let args = ["patch", "svc", service, "-n", &scene.namespace, "--type=merge", "-p", &patch];
        let output = scene.cluster.kubectl_with(&args, "").await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains("spec.loadBalancerClass"), "{errors}");
    }
    // A later Service shows that the controller has seen everything.
    scene.create("later", &json!({})).await;
    scene.until_state("later", "203.0.126.2 Accepted").await;
    assert_eq!([scene.get("svc/web").await, scene.get("svc/other").await], before);
    scene.end().await;
}
