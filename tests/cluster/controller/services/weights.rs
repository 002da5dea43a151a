//! Services from their class to the weights in VPP: the controller, an agent that follows the EndpointSlices, and a simulated
//! VPP.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU16, time::Duration};

use maglev_controller::ControllerOptions;
use maglev_model::vip::{Protocol, Service, VipKey};
use serde_json::{Value, json};

use super::super::{Agents, Replica, install_controller_rights};
use crate::{
    agent::node::Node,
    services::{READY, create_node, slice},
};

fn vip(address: &str) -> VipKey {
    let service = Service::Port { protocol: Protocol::Tcp, port: NonZeroU16::new(80).unwrap() };
    VipKey { address: address.parse().unwrap(), service }
}

/// Waits until `address` has exactly these servers in VPP.
async fn until_servers(node: &Node, address: &str, servers: &[(&str, u8)]) {
    let expected: BTreeMap<IpAddr, u8> =
        servers.iter().map(|(server, weight)| (server.parse().unwrap(), *weight)).collect();
    let condition = format!("{address} has the servers {expected:?}");
    node.until(&condition, |node| node.simulator.snapshot().weights(vip(address)) == expected).await;
}

fn service(name: &str, spec: &Value) -> Value {
    let mut merged = json!({
        "type": "LoadBalancer", "loadBalancerClass": "maglev.vpp.io/vpp", "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    });
    merged.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": merged})
}

#[tokio::test]
async fn services_reach_vpp_from_their_class_to_the_weights() {
    let mut node = Node::start("svc-weights", 18, "interval: 200ms, timeout: 200ms").await;
    node.cluster.kubectl(&["delete", "mfe", "web"]).await;
    for last in 1..=3 {
        create_node(&node, &format!("w{last}"), &format!("192.0.2.{last}")).await;
    }
    // Most servers leave with a Service of this test.
    let settings =
        r#"{"spec": {"services": {"nodeHealthCheck": {"type": "None"}}, "sync": {"massRemovalHold": "0s"}}}"#;
    node.cluster.kubectl(&["patch", "mlbc", "quick", "--type=merge", "-p", settings]).await;
    let namespace = install_controller_rights(&node.cluster, "svc-weights").await;
    let policy = json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "AddressPolicy", "metadata": {"name": "services"},
        "spec": {
            "frontends": {"addresses": ["203.0.123.0/29", "2001:db8:123::/64"], "assign": "Auto"},
            "backends": {"addresses": ["0.0.0.0/0", "::/0"]},
        },
    });
    let apply = async |node: &Node, manifest: &str| node.cluster.apply(&namespace, manifest).await.unwrap();
    apply(&node, &policy.to_string()).await;
    node.add_flag("--services");
    node.start_maglevd().await;
    let options = ControllerOptions {
        services: true,
        collect_for: Duration::from_secs(1),
        ..ControllerOptions::new(&namespace, "only")
    };
    let replica = Replica::start_with(&node.cluster, options, &Agents::default()).await;

    // Policy Local, both families: the Nodes of the pods.
    let local = json!({"externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack"});
    apply(&node, &service("local", &local).to_string()).await;
    let rows = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", READY), ("10.0.0.3", "w2", READY)];
    apply(&node, &slice("local-1", "local", &rows)).await;
    let addresses = ["203.0.123.1", "2001:db8:123::1"];
    for address in addresses {
        until_servers(&node, address, &[("192.0.2.1", 20), ("192.0.2.2", 10)]).await;
    }
    // Policy Cluster: every Node with an address.
    let cluster = json!({"spec": {"externalTrafficPolicy": "Cluster"}}).to_string();
    node.cluster.kubectl(&["patch", "svc", "local", "-n", &namespace, "--type=merge", "-p", &cluster]).await;
    for address in addresses {
        until_servers(&node, address, &[("192.0.2.1", 10), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    }

    // A Service without selector, with slices made by hand.
    let mut outside = service("outside", &json!({}));
    outside["spec"].as_object_mut().unwrap().remove("selector");
    apply(&node, &outside.to_string()).await;
    apply(&node, &slice("outside-1", "outside", &[("192.0.2.31", "", READY), ("192.0.2.32", "", READY)])).await;
    until_servers(&node, "203.0.123.2", &[("192.0.2.31", 10), ("192.0.2.32", 10)]).await;

    // The port is renamed: VPP is left as it is until the slices have the new name.
    let ports = json!({"spec": {"ports": [{"name": "web", "port": 80, "targetPort": 8080}]}}).to_string();
    node.cluster.kubectl(&["patch", "svc", "outside", "-n", &namespace, "--type=merge", "-p", &ports]).await;
    node.until("the Frontend is held", |node| node.log_count("reason=ServicePortNotFound") > 0).await;
    until_servers(&node, "203.0.123.2", &[("192.0.2.31", 10), ("192.0.2.32", 10)]).await;
    let renamed = slice("outside-1", "outside", &[("192.0.2.31", "", READY)]).replace("name: http", "name: web");
    apply(&node, &renamed).await;
    until_servers(&node, "203.0.123.2", &[("192.0.2.31", 10)]).await;

    // The type changes away: the VIPs go.
    let inside = json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null, "externalTrafficPolicy": null}});
    node.cluster.kubectl(&["patch", "svc", "local", "-n", &namespace, "--type=merge", "-p", &inside.to_string()]).await;
    node.until("the VIPs of the Service are gone", |node| {
        let state = node.simulator.snapshot();
        addresses.iter().all(|address| state.weights(vip(address)).is_empty())
    })
    .await;
    until_servers(&node, "203.0.123.2", &[("192.0.2.31", 10)]).await;
    replica.stop().await;
    node.stop_maglevd().await;
}
