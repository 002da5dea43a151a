//! Pools that follow a Service, on a real API server: EndpointSlices move the weights in VPP without a controller, and
//! EndpointSlices that cannot be read concern only the Frontends that need them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use maglev_kube::{ChangeRequest, operator_change::write_change};
use maglev_model::{
    Name,
    config::{AdminState, Standing},
    operator_change::OperatorChange,
    vip::{Protocol, Service, VipKey},
};

use super::{
    agent::node::{Node, VIP},
    harness::{cluster, delete_cluster_scoped, eventually},
    watches::{Agent, namespace_with_node},
};

/// An endpoint: address, Node, and the conditions ready, serving and terminating.
pub type Row<'a> = (&'a str, &'a str, [bool; 3]);

pub const READY: [bool; 3] = [true, true, false];
const DRAINING: [bool; 3] = [false, true, true];
const NOT_READY: [bool; 3] = [false, false, false];

/// The manifest of a slice of the Service `service`.
pub fn slice(name: &str, service: &str, endpoints: &[Row<'_>]) -> String {
    let endpoint = |(address, node, [ready, serving, terminating]): &Row<'_>| {
        let node = if node.is_empty() { String::new() } else { format!("    nodeName: {node}\n") };
        format!(
            "  - addresses: [{address}]\n{node}    conditions: {{ready: {ready}, serving: {serving}, \
             terminating: {terminating}}}\n"
        )
    };
    let endpoints: String = endpoints.iter().map(endpoint).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  labels: \
         {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\nports: [{{name: http, port: 8080, protocol: \
         TCP}}]\nendpoints:\n{endpoints}"
    )
}

async fn apply_slice(node: &Node, name: &str, service: &str, endpoints: &[Row<'_>]) {
    node.cluster.apply("default", &slice(name, service, endpoints)).await.unwrap();
}

/// Creates a Node with an InternalIP.
pub async fn create_node(node: &Node, name: &str, address: &str) {
    let manifest = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n");
    node.cluster.apply("default", &manifest).await.unwrap();
    let status = format!(r#"{{"status": {{"addresses": [{{"type": "InternalIP", "address": "{address}"}}]}}}}"#);
    node.cluster.kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status]).await;
}

/// Lets the Frontend web follow the Service web.
async fn follow(node: &Node, targets: &str) {
    let pools = format!(r#"[{{"name": "primary", "service": {{"name": "web", "targets": "{targets}"}}}}]"#);
    let patch = format!(r#"{{"spec": {{"pools": {pools}}}}}"#);
    node.cluster.kubectl(&["patch", "mfe", "web", "--type=merge", "-p", &patch]).await;
}

/// A node with Nodes `w1` to `w3`, which are not probed.
async fn start(test: &str, number: u8) -> Node {
    let mut node = Node::start(test, number, "interval: 200ms, timeout: 200ms").await;
    for number in 1..=3 {
        create_node(&node, &format!("w{number}"), &format!("192.0.2.{number}")).await;
    }
    let unprobed = r#"{"spec": {"services": {"nodeHealthCheck": {"type": "None"}}}}"#;
    node.cluster.kubectl(&["patch", "mlbc", "quick", "--type=merge", "-p", unprobed]).await;
    node.add_flag("--services");
    node
}

#[tokio::test]
async fn endpoint_slices_move_weights_without_a_controller() {
    let mut node = start("services", 14).await;
    let rows = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", READY), ("10.0.0.3", "w2", READY)];
    apply_slice(&node, "web-1", "web", &rows).await;
    apply_slice(&node, "other-1", "other", &[("10.0.0.9", "w3", READY)]).await;
    follow(&node, "Nodes").await;
    node.start_maglevd().await;
    node.until_weights(&[("192.0.2.1", 20), ("192.0.2.2", 10)]).await;
    node.until_ready().await;
    let metrics = node.http_get("/metrics").await.unwrap();
    assert!(metrics.contains("backend=\"node:w1\"") && !metrics.contains("node:w3"), "{metrics}");

    // A rollout: a pod on w3 appears in a second slice, and that on w2 terminates.
    let mark = node.simulator.mark();
    apply_slice(&node, "web-2", "web", &[("10.0.0.4", "w3", READY)]).await;
    node.until_weights(&[("192.0.2.1", 20), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    let rows = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", READY), ("10.0.0.3", "w2", DRAINING)];
    apply_slice(&node, "web-1", "web", &rows).await;
    node.until_weights(&[("192.0.2.1", 20), ("192.0.2.2", 0), ("192.0.2.3", 10)]).await;
    let writes = format!("{:?}", node.simulator.writes_since(mark));
    assert!(!writes.contains("flush: true"), "flows of a terminating pod stay: {writes}");
    apply_slice(&node, "web-1", "web", &rows[..2]).await;
    node.until_weights(&[("192.0.2.1", 20), ("192.0.2.3", 10)]).await;

    // No endpoint is ready.
    apply_slice(&node, "web-2", "web", &[("10.0.0.4", "w3", NOT_READY)]).await;
    node.until_weights(&[("192.0.2.1", 20)]).await;
    apply_slice(&node, "web-1", "web", &[("10.0.0.1", "w1", NOT_READY), ("10.0.0.2", "w1", NOT_READY)]).await;
    node.until_weights(&[("192.0.2.1", 0), ("192.0.2.3", 0)]).await;
    apply_slice(&node, "web-1", "web", &[("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", NOT_READY)]).await;
    node.until_weights(&[("192.0.2.1", 10)]).await;
    assert_eq!(node.log_count("vpp-lb-sync-vip-removed"), 0);

    // A restarted agent changes nothing.
    node.stop_maglevd().await;
    let mark = node.simulator.mark();
    node.start_maglevd().await;
    node.until_ready().await;
    node.until_weights(&[("192.0.2.1", 10)]).await;
    assert_eq!(node.simulator.writes_since(mark), []);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn endpoints_of_a_service_are_backends() {
    let mut node = start("endpoints", 15).await;
    follow(&node, "Endpoints").await;
    apply_slice(&node, "web-1", "web", &[("192.0.2.31", "w1", READY), ("192.0.2.32", "w2", READY)]).await;
    node.start_maglevd().await;
    node.until_weights(&[("192.0.2.31", 10), ("192.0.2.32", 10)]).await;
    apply_slice(&node, "web-1", "web", &[("192.0.2.31", "w1", READY), ("192.0.2.32", "w2", DRAINING)]).await;
    node.until_weights(&[("192.0.2.31", 10), ("192.0.2.32", 0)]).await;
    let metrics = node.http_get("/metrics").await.unwrap();
    assert!(metrics.contains("backend=\"default/web@192.0.2.32\""), "{metrics}");
    // Without a slice the Service has no endpoints.
    node.cluster.kubectl(&["delete", "endpointslice", "web-1"]).await;
    node.until_weights(&[]).await;
    assert_eq!(node.log_count("vpp-lb-sync-vip-removed"), 0, "the VIP stays");
    node.stop_maglevd().await;
}

/// VIP of the Frontend hosts.
const HOSTS_VIP: VipKey = VipKey {
    address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 82)),
    service: Service::Port { protocol: Protocol::Tcp, port: std::num::NonZeroU16::new(80).expect("80 is not 0") },
};

/// A Frontend whose servers are endpoints in the network of the Nodes.
const HOSTS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: hosts}
spec:
  address: 203.0.113.82
  protocol: TCP
  port: 80
  pools: [{name: primary, service: {name: hosts, targets: Endpoints}}]
";

/// Waits until both VIPs have exactly these weights at 192.0.2.1, .2 and so on.
async fn until_weights_of_both(node: &Node, weights: &[u8]) {
    let expected: BTreeMap<IpAddr, u8> =
        (1..).zip(weights).map(|(last, weight)| (IpAddr::from([192, 0, 2, last]), *weight)).collect();
    node.until(&format!("both VIPs have the weights {expected:?}"), |node| {
        let state = node.simulator.snapshot();
        state.weights(VIP) == expected && state.weights(HOSTS_VIP) == expected
    })
    .await;
}

/// Drains a Node, or ends its drain, as maglevc does.
async fn set_drain(node: &Node, name: &str, state: AdminState) {
    let change = OperatorChange::AdminState { backend: Name::from(&*format!("node:{name}")), state };
    let request = ChangeRequest { change, by: "ada".to_owned(), reason: Some("kernel".to_owned()), force: false };
    let outcome = write_change(&node.cluster.client().await, &request, &|_| Vec::new()).await.unwrap();
    assert!(outcome.written && outcome.event_failed.is_none(), "{outcome:?}");
}

#[tokio::test]
async fn drained_node_gets_weight_0_in_every_pool_of_a_service() {
    let mut node = start("drains", 17).await;
    apply_slice(&node, "web-1", "web", &[("10.0.0.1", "w1", READY), ("10.0.0.2", "w2", READY)]).await;
    apply_slice(&node, "hosts-1", "hosts", &[("192.0.2.1", "w1", READY), ("192.0.2.2", "w2", READY)]).await;
    node.cluster.apply("default", HOSTS).await.unwrap();
    follow(&node, "Nodes").await;
    node.start_maglevd().await;
    until_weights_of_both(&node, &[10, 10]).await;
    node.until_ready().await;

    // A cordon alone does nothing: the drain of w2 is later in the same watch.
    let mark = node.simulator.mark();
    node.cluster.kubectl(&["cordon", "w1"]).await;
    set_drain(&node, "w2", AdminState::Paused).await;
    until_weights_of_both(&node, &[10, 0]).await;
    let annotations = node.cluster.kubectl(&["get", "node", "w2", "-o", "jsonpath={.metadata.annotations}"]).await;
    assert!(annotations.contains(r#""maglev.vpp.io/drain":"true""#) && annotations.contains("kernel"), "{annotations}");
    let drain_on = r#"{"spec": {"services": {"drainOn": ["Unschedulable"]}}}"#;
    node.cluster.kubectl(&["patch", "mlbc", "quick", "--type=merge", "-p", drain_on]).await;
    until_weights_of_both(&node, &[0, 0]).await;
    let writes = format!("{:?}", node.simulator.writes_since(mark));
    assert!(!writes.contains("flush: true"), "flows of a drained Node stay: {writes}");

    // A restarted agent changes nothing.
    node.stop_maglevd().await;
    let mark = node.simulator.mark();
    node.start_maglevd().await;
    node.until_ready().await;
    until_weights_of_both(&node, &[0, 0]).await;
    assert_eq!(node.simulator.writes_since(mark), []);

    node.cluster.kubectl(&["uncordon", "w1"]).await;
    until_weights_of_both(&node, &[10, 0]).await;
    set_drain(&node, "w2", AdminState::Enabled).await;
    until_weights_of_both(&node, &[10, 10]).await;
    let annotations = node.cluster.kubectl(&["get", "node", "w2", "-o", "jsonpath={.metadata.annotations}"]).await;
    assert!(!annotations.contains("maglev.vpp.io/drain"), "{annotations}");
    assert_eq!(node.log_count("vpp-lb-sync-vip-removed"), 0);
    node.stop_maglevd().await;
}

#[tokio::test]
async fn agent_without_services_holds_only_frontends_that_follow_one() {
    let mut node = Node::start("unserved", 16, "interval: 200ms, timeout: 200ms").await;
    node.start_maglevd().await;
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    node.until_ready().await;
    let mark = node.simulator.mark();
    follow(&node, "Nodes").await;
    node.until("the Frontend is held", |node| node.log_count("reason=ServicesDisabled") > 0).await;
    assert_eq!(node.simulator.writes_since(mark), [], "VPP is left as it is");
    node.stop_maglevd().await;
}

const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME}
rules:
- {apiGroups: [maglev.vpp.io], resources: ['*'], verbs: [list, watch]}
- {apiGroups: [''], resources: [nodes, namespaces], verbs: [list, watch]}
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME-slices}
rules:
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAME}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAME}
subjects: [{kind: ServiceAccount, name: agent, namespace: NAME}]
";

const SLICES_BINDING: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAME-slices}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAME-slices}
subjects: [{kind: ServiceAccount, name: agent, namespace: NAME}]
";

/// A Backend, a Frontend that names it, and one that follows a Service, on the addresses 203.0.113.204 and 205.
const OBJECTS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: plain}
spec: {address: 192.0.2.77}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: plain}
spec: {address: 203.0.113.204, protocol: TCP, port: 80, pools: [{name: primary, backends: [{name: plain}]}]}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: follower}
spec:
  address: 203.0.113.205
  protocol: TCP
  port: 80
  pools: [{name: primary, service: {name: web, targets: Endpoints}}]
";

/// The standing and the members of a Frontend.
fn frontend(agent: &Agent, namespace: &str, name: &str) -> Option<(String, BTreeMap<String, u8>)> {
    let config = agent.config_rx.borrow();
    let frontend = config.as_ref()?.frontends.get(&Name::namespaced(namespace, name))?;
    let standing = match &frontend.standing {
        Standing::Serving => "serving".to_owned(),
        Standing::Held(problem) | Standing::Withdrawn(problem) => problem.reason.to_string(),
    };
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    Some((standing, members.map(|member| (member.backend.name().to_owned(), member.weight.get())).collect()))
}

async fn until(agent: &Agent, namespace: &str, name: &str, standing: &str, members: &[(&str, u8)]) {
    let members = members.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
    let expected = Some((standing.to_owned(), members));
    let condition = format!("Frontend {name} is {expected:?}");
    eventually(&condition, async || (frontend(agent, namespace, name) == expected).then_some(())).await;
}

#[tokio::test]
async fn forbidden_endpoint_slices_concern_only_frontends_that_follow_a_service() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "slices").await;
    cluster.service_account(&namespace, "agent").await;
    cluster.apply(&namespace, &ROLE.replace("NAME", &namespace)).await.unwrap();
    cluster.apply(&namespace, OBJECTS).await.unwrap();
    let ready = |address: &'static str| slice("web-1", "web", &[(address, "w1", READY)]);
    cluster.apply(&namespace, &ready("192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client_as(&namespace, "agent").await, &namespace);
    until(&agent, &namespace, "plain", "serving", &[("plain", 10)]).await;
    until(&agent, &namespace, "follower", "EndpointsUnknown", &[("web@unknown", 0)]).await;

    let binding = SLICES_BINDING.replace("NAME", &namespace);
    cluster.apply(&namespace, &binding).await.unwrap();
    until(&agent, &namespace, "follower", "serving", &[("web@192.0.2.1", 10)]).await;
    cluster.apply(&namespace, &ready("192.0.2.2")).await.unwrap();
    until(&agent, &namespace, "follower", "serving", &[("web@192.0.2.2", 10)]).await;

    // The rights are gone. A new Service makes the watch start over, and its list is refused: nothing leaves.
    cluster.kubectl(&["delete", "clusterrolebinding", &format!("{namespace}-slices")]).await;
    let account = format!("system:serviceaccount:{namespace}:agent");
    eventually("the agent cannot list EndpointSlices", async || {
        let args = ["auth", "can-i", "list", "endpointslices.discovery.k8s.io", "--as", &account];
        (!cluster.kubectl_with(&args, "").await.status.success()).then_some(())
    })
    .await;
    let other = r#"{"spec": {"pools": [
        {"name": "primary", "service": {"name": "web", "targets": "Endpoints"}},
        {"name": "spare", "service": {"name": "spare", "targets": "Endpoints"}}]}}"#;
    cluster.kubectl(&["patch", "mfe", "follower", "-n", &namespace, "--type=merge", "-p", other]).await;
    let members = [("web@192.0.2.2", 10), ("spare@unknown", 0)];
    until(&agent, &namespace, "follower", "EndpointsUnknown", &members).await;
    cluster.kubectl(&["delete", "endpointslice", "web-1", "-n", &namespace]).await;
    let weight = r#"{"spec": {"pools": [{"name": "primary", "backends": [{"name": "plain", "weight": 33}]}]}}"#;
    cluster.kubectl(&["patch", "mfe", "plain", "-n", &namespace, "--type=merge", "-p", weight]).await;
    until(&agent, &namespace, "plain", "serving", &[("plain", 33)]).await;
    until(&agent, &namespace, "follower", "EndpointsUnknown", &members).await;

    cluster.apply(&namespace, &binding).await.unwrap();
    until(&agent, &namespace, "follower", "serving", &[]).await;
    let slices = [format!("{namespace}-slices"), namespace.clone()];
    let names: Vec<&str> = slices.iter().map(String::as_str).collect();
    delete_cluster_scoped(cluster, &["clusterrolebinding", "clusterrole", "node"], &names).await;
}
