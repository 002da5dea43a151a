//! The demo's Service of type LoadBalancer: real pods and EndpointSlices, weights in both VPPs that follow them, and flows that
//! stay with a pod that ends. All but the first steps run without a controller.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use maglev_model::actual::VppVip;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::clients::Running;
use crate::harness::{LIMIT, eventually};
use crate::sandbox::{Sandbox, vpp_state};

/// The address that the demo's Service asks for.
const VIP: VppVip =
    VppVip { address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 90)), length: 32, protocol: 6, port: 80 };
const URL: &str = "http://203.0.113.90/";
const NODES: [&str; 2] = ["node-a", "node-b"];

/// A pod that is not terminating.
#[derive(Clone, Debug)]
struct Pod {
    name: String,
    node: String,
    is_ready: bool,
}

async fn pods(sandbox: &Sandbox) -> Vec<Pod> {
    let listed = sandbox.kubectl(&["get", "pods", "-l", "app=shop", "-o", "json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let running =
        listed["items"].as_array().unwrap().iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let pod = |pod: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        Pod { name: text(&pod["metadata"]["name"]), node: text(&pod["spec"]["nodeName"]), is_ready }
    };
    running.map(pod).collect()
}

fn node_address(node: &str) -> IpAddr {
    let number = NODES.iter().position(|name| *name == node).expect("the node exists") + 1;
    [127, 0, 1, u8::try_from(number).unwrap()].into()
}

/// The weights of the nodes in both VPPs; `None` for a VPP without the VIP.
async fn weights(sandbox: &Sandbox) -> Vec<Option<BTreeMap<IpAddr, u8>>> {
    let vpps = join_all(NODES.map(|node| vpp_state(sandbox, node))).await;
    let weights = |vpp: &BTreeMap<VppVip, maglev_model::actual::ActualVip>| {
        Some(vpp.get(&VIP)?.ases.iter().map(|(address, server)| (*address, server.weight)).collect())
    };
    vpps.iter().map(weights).collect()
}

async fn until_weights(sandbox: &Sandbox, expected: &[(&str, u8)]) {
    let expected: BTreeMap<IpAddr, u8> = expected.iter().map(|(node, weight)| (node_address(node), *weight)).collect();
    let both = [Some(expected.clone()), Some(expected.clone())];
    let mut last = Vec::new();
    let reached = timeout(LIMIT, async {
        while last != both {
            sleep(Duration::from_millis(50)).await;
            last = weights(sandbox).await;
        }
    });
    let reached = reached.await.is_ok();
    assert!(reached, "not within {LIMIT:?}: both VPPs have the weights {expected:?}, there are {last:?}");
}

/// Scales the Deployment, and waits until it has this number of pods, all of them ready.
async fn scale(sandbox: &Sandbox, replicas: usize) -> Vec<Pod> {
    sandbox.kubectl(&["scale", "deployment/shop", &format!("--replicas={replicas}")]).await;
    eventually(&format!("{replicas} pods are ready"), async || {
        let pods = pods(sandbox).await;
        (pods.len() == replicas && pods.iter().all(|pod| pod.is_ready)).then_some(pods)
    })
    .await
}

/// Waits until the weights are those of the pods.
async fn until_weights_of(sandbox: &Sandbox, pods: &[Pod]) {
    let mut expected: BTreeMap<&str, u8> = BTreeMap::new();
    for pod in pods {
        *expected.entry(&pod.node).or_default() += 10;
    }
    until_weights(sandbox, &expected.into_iter().collect::<Vec<_>>()).await;
}

/// The names of the pods that answer new connections; `None` if one fails.
async fn answering(sandbox: &Sandbox) -> Option<BTreeSet<String>> {
    let args = ["curl", "-sS", "--max-time", "5", "-H", "Connection: close"];
    let output = sandbox.tool("client", &[&args[..], &[URL; 24]].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().map(|line| {
        assert!(line.contains(" client=198.51.100.1:"), "the pod sees the address of the client: {line}");
        line.split_whitespace().next().unwrap_or_default().to_owned()
    });
    let names = names.collect();
    output.status.success().then_some(names)
}

async fn until_answering(sandbox: &Sandbox, pods: &[Pod]) {
    let expected: BTreeSet<String> = pods.iter().map(|pod| pod.name.clone()).collect();
    let reached = async || (answering(sandbox).await? == expected).then_some(());
    eventually(&format!("new connections reach exactly {expected:?}"), reached).await;
}

/// A stream through the VIP.
struct Stream {
    running: Running,
    /// The pod that answers.
    pod: String,
}

impl Stream {
    async fn open(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command("client", &["curl", "-sSN", "http://203.0.113.90/stream"]);
        command.stderr(Stdio::null());
        let mut running = Running::start(command);
        let line = running.line().await.expect("the stream begins");
        let pod = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        Self { running, pod }
    }

    /// The stream goes on for `count` lines, one each second.
    async fn assert_lines(&mut self, count: usize) {
        for _ in 0..count {
            let line = self.running.line().await.expect("the stream goes on");
            assert_eq!(line.split_whitespace().nth(1), Some(self.pod.as_str()), "{line}");
        }
    }

    async fn close(self) {
        self.running.interrupt_any().await;
    }
}

/// The Service has its address and Frontend, and packets reach its pods.
async fn service_is_served(sandbox: &Sandbox) {
    let ingress = r"jsonpath={.status.loadBalancer.ingress[*].ip} {.status.loadBalancer.ingress[*].ipMode}";
    eventually("the Service has its address", async || {
        (sandbox.kubectl(&["get", "service", "shop", "-o", ingress]).await == "203.0.113.90 VIP").then_some(())
    })
    .await;
    let pods = scale(sandbox, 2).await;
    assert_eq!(pods.iter().map(|pod| pod.node.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(NODES));
    until_weights(sandbox, &NODES.map(|node| (node, 10))).await;
    sandbox.kubectl(&["wait", "--for=condition=Programmed", "mfe/shop-80-tcp", "--timeout=60s"]).await;
    until_answering(sandbox, &pods).await;
    let reason = r#"jsonpath={.status.conditions[?(@.type=="PathReady")].reason}"#;
    eventually("the path to the nodes works", async || {
        (sandbox.kubectl(&["get", "mfe", "shop-80-tcp", "-o", reason]).await == "PathOK").then_some(())
    })
    .await;
}

async fn stop_controller(sandbox: &Sandbox) {
    sandbox.kubectl(&["scale", "deployment/maglev-controller", "--replicas=0"]).await;
    let selector = "app.kubernetes.io/component=controller";
    eventually("no controller runs", async || {
        sandbox.kubectl(&["get", "pods", "-l", selector, "-o", "name"]).await.is_empty().then_some(())
    })
    .await;
}

/// Waits until the endpoint of a pod that ends is no longer serving: its server accepts no connection, and its flows go on.
async fn until_closed(sandbox: &Sandbox, pod: &Pod) {
    let selector = "kubernetes.io/service-name=shop";
    let is_closed = |endpoint: &Value| {
        endpoint["targetRef"]["name"] == *pod.name
            && endpoint["conditions"]["terminating"] == true
            && endpoint["conditions"]["serving"] == false
    };
    eventually(&format!("{} is terminating and no longer serving", pod.name), async || {
        let listed = sandbox.kubectl(&["get", "endpointslices", "-l", selector, "-o", "json"]).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let slices = listed["items"].as_array().unwrap();
        let mut endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        endpoints.any(is_closed).then_some(())
    })
    .await;
}

/// The weights follow from five pods to one. A pod that ends keeps a flow, and its node has weight 0 until the flow ends.
async fn scaled(sandbox: &Sandbox) -> Pod {
    let pods = scale(sandbox, 5).await;
    until_weights_of(sandbox, &pods).await;
    until_answering(sandbox, &pods).await;
    let mut stream = Stream::open(sandbox).await;
    let ending = pods.iter().find(|pod| pod.name == stream.pod).expect("a pod answers");
    let staying = pods.iter().find(|pod| pod.node != ending.node).expect("both nodes have pods").clone();
    // The pods with the lowest cost are deleted first.
    let cost = "controller.kubernetes.io/pod-deletion-cost=1000";
    sandbox.kubectl(&["annotate", "pod", &staying.name, cost]).await;
    let left = scale(sandbox, 1).await;
    assert_eq!(left[0].name, staying.name);
    until_weights(sandbox, &[(&staying.node, 10), (&ending.node, 0)]).await;
    until_closed(sandbox, ending).await;
    stream.assert_lines(5).await;
    until_answering(sandbox, &left).await;
    until_weights(sandbox, &[(&staying.node, 10), (&ending.node, 0)]).await;
    stream.close().await;
    until_weights(sandbox, &[(&staying.node, 10)]).await;
    staying
}

/// A rollout replaces the pod, which keeps its flow; new connections reach the new pod.
async fn rolled_out(sandbox: &Sandbox, old: &Pod) {
    let mut stream = Stream::open(sandbox).await;
    assert_eq!(stream.pod, old.name);
    sandbox.kubectl(&["rollout", "restart", "deployment/shop"]).await;
    sandbox.kubectl(&["rollout", "status", "deployment/shop", "--timeout=60s"]).await;
    let new = eventually("one pod is left", async || {
        pods(sandbox).await.into_iter().filter(|pod| pod.name != old.name).collect::<Vec<_>>().try_into().ok()
    });
    let new: [Pod; 1] = new.await;
    until_answering(sandbox, &new).await;
    let mut expected = BTreeMap::from([(old.node.as_str(), 0)]);
    expected.insert(&new[0].node, 10);
    until_weights(sandbox, &expected.into_iter().collect::<Vec<_>>()).await;
    stream.assert_lines(3).await;
    stream.close().await;
    until_weights_of(sandbox, &new).await;
}

pub async fn follow_pods(sandbox: &Sandbox) {
    service_is_served(sandbox).await;
    stop_controller(sandbox).await;
    let pod = scaled(sandbox).await;
    rolled_out(sandbox, &pod).await;
    // Without a pod the VIP stays.
    scale(sandbox, 0).await;
    until_weights(sandbox, &[]).await;
    let pods = scale(sandbox, 1).await;
    until_weights_of(sandbox, &pods).await;
    until_answering(sandbox, &pods).await;
}
