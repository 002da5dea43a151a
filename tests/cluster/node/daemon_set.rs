//! Sandbox nodes under a control plane with the real controllers and the real scheduler.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use maglev_sandbox::node::{Node, NodeOptions};
use maglev_sandbox::processes::Processes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::RUN_FOREVER;
use super::fixture::runs;
use crate::harness::{Cluster, eventually, own_control_plane};

async fn start_node(cluster: &Cluster, processes: &Processes, number: u8, shutdown: &CancellationToken) -> Node {
    let name = format!("node-{number}");
    let mut options = NodeOptions::new(cluster.plane(), cluster.dir(), processes, &name, number).await.unwrap();
    options.binaries = cluster.dir().to_owned();
    Node::start(options, shutdown.clone()).await.unwrap()
}

#[tokio::test]
async fn daemon_set_runs_on_every_node_and_survives_an_api_server_outage() {
    let cluster = own_control_plane("daemons", true).await;
    let main = cluster.dir().join("main");
    std::fs::write(&main, format!("#!/bin/sh\n{RUN_FOREVER}\n")).unwrap();
    std::fs::set_permissions(&main, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (processes, shutdown) = (Processes::start().unwrap(), CancellationToken::new());
    let nodes = [
        start_node(&cluster, &processes, 121, &shutdown).await,
        start_node(&cluster, &processes, 122, &shutdown).await,
    ];

    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = json!({"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 1});
    let container = json!({"name": "main", "image": "none", "command": ["main"], "readinessProbe": probe});
    let labels = json!({"app": "stay"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let set =
        json!({"metadata": {"name": "stay"}, "spec": {"selector": {"matchLabels": labels}, "template": template}});
    let sets: Api<DaemonSet> = Api::namespaced(cluster.client().await, "default");
    sets.create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    let ready = async || Some(sets.get("stay").await.ok()?.status?.number_ready);
    eventually("both pods are ready", async || ready().await.filter(|count| *count == 2)).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client().await, "default");
    let before = pods.list(&ListParams::default()).await.unwrap();
    let mut node_names: Vec<_> =
        before.iter().map(|pod| pod.spec.as_ref().unwrap().node_name.clone().unwrap()).collect();
    node_names.sort();
    assert_eq!(node_names, ["node-121", "node-122"]);
    let printed = cluster.kubectl(&["logs", &format!("pod/{}", before.items[0].name_any())]).await;
    let pid = printed.trim().strip_prefix("pid ").unwrap().to_owned();

    cluster.plane().stop_api_server().await;
    drop(listener);
    assert!(runs(&pid), "the pod keeps running without the API server");
    cluster.plane().start_api_server().await.unwrap();
    eventually("both pods are reported as not ready", async || ready().await.filter(|count| *count == 0)).await;
    assert!(runs(&pid), "the container was not restarted");
    let after = pods.list(&ListParams::default()).await.unwrap();
    let uids = |list: &kube::core::ObjectList<Pod>| list.iter().map(ResourceExt::uid).collect::<Vec<_>>();
    assert_eq!(uids(&after), uids(&before));

    shutdown.cancel();
    for node in nodes {
        node.stopped().await;
    }
    assert!(!runs(&pid));
}
