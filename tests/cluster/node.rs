//! The sandbox's node against a real API server: the parts of a kubelet that users and the chart rely on.

mod access;
mod daemon_set;
mod fixture;
mod volumes;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, LogParams};
use maglev_sandbox::node::Node as SandboxNode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::harness::eventually;
use fixture::{config_map, fixture, runs};

/// Shell script that prints its pid and runs until it gets a signal.
const RUN_FOREVER: &str = "echo pid $$; while :; do sleep 0.05; done";

#[tokio::test]
async fn node_registers_itself_and_renews_its_lease() {
    let node = fixture("lease", 101).await;
    let nodes: Api<Node> = Api::all(node.client.clone());
    let status = nodes.get("node-101").await.unwrap().status.unwrap();
    let port = status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port;
    assert_eq!(port, i32::from(node.node.endpoint().port()));
    assert_eq!(status.addresses.unwrap()[0].address, "127.0.1.101");
    let table = node.kubectl(&["get", "node", "node-101", "--no-headers"]).await;
    assert!(table.contains(" Ready ") && table.contains("v1.37.2+maglev-sandbox"), "{table}");
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), "kube-node-lease");
    let renewed = async || Some(leases.get("node-101").await.ok()?.spec?.renew_time?.0);
    let first = eventually("the Lease exists", renewed).await;
    eventually("the Lease is renewed", async || renewed().await.filter(|time| *time > first)).await;
    nodes.delete("node-101", &DeleteParams::default()).await.unwrap();
    eventually("the node registers again", async || nodes.get("node-101").await.ok()).await;
    node.stop().await;
}

#[tokio::test]
async fn pod_gets_its_environment_arguments_and_volumes_and_its_log_can_be_followed() {
    let node = fixture("run", 102).await;
    node.binary("main", r#"echo "args $*"; echo "env $SOCKET $WHERE $LABEL $COLOR"; while [ ! -e "$1" ]; do sleep 0.05; done; echo bye"#);
    config_map(&node.client, &node.namespace, "colors", &[("color", "green")]).await;
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let container = json!({
        "args": ["/run/vpp/stop", "--listen=$(POD_IP):1", "$$(POD_IP)", "/scratch", "$(UNDEFINED)"],
        "env": [
            field("POD_IP", "status.podIP"),
            field("NODE", "spec.nodeName"),
            field("HOST_IP", "status.hostIP"),
            field("LABEL", "metadata.labels['app']"),
            {"name": "SOCKET", "value": "unix:/run/vpp/api.sock"},
            {"name": "WHERE", "value": "$(NODE)/$(HOST_IP)"},
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "colors", "key": "color"}}},
        ],
        "volumeMounts": [{"name": "vpp", "mountPath": "/run/vpp"}, {"name": "tmp", "mountPath": "/scratch"}],
    });
    let volumes = json!([{"name": "vpp", "hostPath": {"path": "/run/vpp"}}, {"name": "tmp", "emptyDir": {}}]);
    node.run("web", container, json!({"restartPolicy": "Never", "volumes": volumes})).await;
    node.condition("web", "Ready", "True").await;

    let mut follow = node.cluster.tool(maglev_sandbox::assets::Tool::Kubectl);
    let follow = follow.args(["logs", "-f", "web", "-n", &node.namespace]).stdout(std::process::Stdio::piped()).spawn();
    let vpp = node.on_node("/run/vpp");
    let args = node.line("web", "args ").await;
    let ip = node.address("web").await;
    let scratch = args.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(args, format!("{0}/stop --listen={ip}:1 $(POD_IP) {scratch} $(UNDEFINED)", vpp.display()));
    assert!(std::path::Path::new(&scratch).is_dir(), "{scratch}");
    let env = node.line("web", "env ").await;
    assert_eq!(env, format!("unix:{}/api.sock node-102/127.0.1.102  green", vpp.display()));

    std::fs::write(vpp.join("stop"), "").unwrap();
    let followed = tokio::time::timeout(super::harness::LIMIT, follow.unwrap().wait_with_output());
    let followed =
        String::from_utf8(followed.await.expect("kubectl logs -f ends with the container").unwrap().stdout).unwrap();
    assert_eq!(followed, format!("args {args}\nenv {env}\nbye\n"));
    node.container("web", "terminated", |c| c.state.as_ref().is_some_and(|s| s.terminated.is_some())).await;
    let pod = node.pods().get("web").await.unwrap().status.unwrap();
    assert_eq!(pod.phase.as_deref(), Some("Succeeded"));
    assert_eq!(node.kubectl(&["logs", "web", "--tail=1"]).await, "bye\n");
    let stamped = node.kubectl(&["logs", "web", "--tail=1", "--timestamps"]).await;
    assert!(stamped.split_once(' ').unwrap().0.parse::<Timestamp>().unwrap() <= Timestamp::now(), "{stamped}");
    assert_eq!(node.kubectl(&["logs", "web", "--since=1h", "--limit-bytes=4"]).await, "args");
    node.pods().delete("web", &DeleteParams::default()).await.unwrap();
    node.until_removed("web").await;
    assert!(!std::path::Path::new(&scratch).exists(), "an emptyDir is removed with its pod");
    node.stop().await;
}

#[tokio::test]
async fn readiness_follows_its_probe_and_failed_liveness_restarts_the_container() {
    let node = fixture("probes", 103).await;
    node.binary("main", RUN_FOREVER);
    // A port that is free on every address at the time of the call.
    let free = async || TcpListener::bind("0.0.0.0:0").await.unwrap().local_addr().unwrap().port();
    let ready = free().await;
    let alive = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let probe = |port: u16| json!({"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 1});
    let liveness = probe(alive.local_addr().unwrap().port());
    node.run("web", json!({"readinessProbe": probe(ready), "livenessProbe": liveness}), json!({})).await;
    let ip = node.address("web").await;
    node.condition("web", "Ready", "False").await;
    let listener = TcpListener::bind((ip, ready)).await.unwrap();
    node.condition("web", "Ready", "True").await;
    drop(listener);
    node.condition("web", "Ready", "False").await;
    assert_eq!(node.container("web", "reported", |_| true).await.restart_count, 0);

    drop(alive);
    let status = node.container("web", "restarted", |c| c.restart_count >= 1).await;
    let ended = status.last_state.unwrap().terminated.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (143, Some("Error")));
    node.stop().await;
}

#[tokio::test]
async fn crashing_container_is_restarted_with_exponential_backoff() {
    let node = fixture("crash", 104).await;
    node.binary("main", "echo run; exit 3");
    node.run("web", json!({}), json!({})).await;
    let reason = |c: &k8s_openapi::api::core::v1::ContainerStatus| {
        c.state.as_ref().and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.clone())
    };
    let waiting = |c: &k8s_openapi::api::core::v1::ContainerStatus| reason(c).as_deref() == Some("CrashLoopBackOff");
    let status = node.container("web", "waiting for its third restart", |c| waiting(c) && c.restart_count >= 2).await;
    assert_eq!(status.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 3);
    assert!(!status.ready);
    let message = status.state.unwrap().waiting.unwrap().message.unwrap();
    // No delay for the first restart, then 300 ms, doubled each time.
    let pause = Duration::from_millis(300) * 2_u32.pow(status.restart_count.unsigned_abs() - 1);
    let expected = format!("back-off {pause:?} restarting failed container=main pod=web_");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(node.kubectl(&["logs", "web", "--previous"]).await, "run\n");
    assert_eq!(node.pods().get("web").await.unwrap().status.unwrap().phase.as_deref(), Some("Running"));
    node.pods().delete("web", &DeleteParams::default()).await.unwrap();
    node.until_removed("web").await;
    node.stop().await;
}

#[tokio::test]
async fn deleted_pod_gets_sigterm_and_sigkill_after_its_grace_period() {
    let node = fixture("delete", 105).await;
    node.binary("obedient", &format!("trap 'exit 0' TERM; {RUN_FOREVER}"));
    node.binary("stubborn", &format!("trap '' TERM; {RUN_FOREVER}"));
    for (name, grace) in [("obedient", 30), ("stubborn", 1), ("forced", 30)] {
        let binary = if name == "forced" { "stubborn" } else { name };
        let spec = json!({"terminationGracePeriodSeconds": grace});
        node.run(name, json!({"command": [binary]}), spec).await;
        let pid = node.line(name, "pid ").await;
        assert!(runs(&pid));
        let deleted_at = Instant::now();
        let options = if name == "forced" { DeleteParams::default().grace_period(0) } else { DeleteParams::default() };
        node.pods().delete(name, &options).await.unwrap();
        node.until_removed(name).await;
        match name {
            "obedient" => assert!(deleted_at.elapsed() < Duration::from_secs(25), "SIGTERM ends the process"),
            "stubborn" => assert!(deleted_at.elapsed() >= Duration::from_secs(1), "the grace period is respected"),
            _ => {}
        }
        if name == "forced" {
            eventually("the process ends soon after its pod is removed", async || (!runs(&pid)).then_some(())).await;
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        assert!(!runs(&pid), "the pod {name} is removed only after its process has ended: {stat:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn container_that_cannot_start_reports_why_and_starts_later() {
    let node = fixture("waiting", 106).await;
    node.binary("main", RUN_FOREVER);
    let waiting_message = async |pod: &str, reason: &str| {
        let status = node.container(pod, reason, |c| {
            c.state.as_ref().and_then(|s| s.waiting.as_ref()).is_some_and(|w| w.reason.as_deref() == Some(reason))
        });
        status.await.state.unwrap().waiting.unwrap().message.unwrap()
    };
    node.run("image", json!({"command": ["/bin/nginx"]}), json!({})).await;
    let message = waiting_message("image", "ErrImagePull").await;
    assert!(message.starts_with("no binary \"/bin/nginx\" in "), "{message}");
    node.run("exec", json!({"livenessProbe": {"exec": {"command": ["true"]}}}), json!({})).await;
    assert_eq!(
        waiting_message("exec", "CreateContainerConfigError").await,
        "the sandbox does not support a probe of kind exec"
    );
    let env = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]);
    node.run("late", json!({"env": env}), json!({})).await;
    assert_eq!(waiting_message("late", "CreateContainerConfigError").await, "ConfigMap \"late\" not found");
    config_map(&node.client, &node.namespace, "late", &[("a", "1")]).await;
    node.condition("late", "Ready", "True").await;
    node.stop().await;
}

#[tokio::test]
async fn init_containers_run_first_and_are_retried() {
    let node = fixture("init", 107).await;
    node.binary("first", r#"[ -e "$1" ] || { touch "$1"; exit 1; }"#);
    node.binary("main", &format!(r#"[ -e "$1" ] && echo file exists; {RUN_FOREVER}"#));
    let mounts = json!([{"name": "tmp", "mountPath": "/scratch"}]);
    let init =
        json!({"name": "first", "image": "none", "command": ["first"], "args": ["/scratch/x"], "volumeMounts": mounts});
    let spec = json!({"initContainers": [init], "volumes": [{"name": "tmp", "emptyDir": {}}]});
    node.run("web", json!({"args": ["/scratch/x"], "volumeMounts": mounts}), spec).await;
    node.condition("web", "Ready", "True").await;
    node.line("web", "file exists").await;
    let init = node.pods().get("web").await.unwrap().status.unwrap().init_container_statuses.unwrap().remove(0);
    assert_eq!((init.restart_count, init.state.unwrap().terminated.unwrap().exit_code), (1, 0));
    node.stop().await;
}

#[tokio::test]
async fn stopped_node_leaves_no_process_and_its_successor_restarts_the_pods() {
    let node = fixture("again", 108).await;
    node.binary("main", RUN_FOREVER);
    node.run("web", json!({}), json!({})).await;
    node.condition("web", "Ready", "True").await;
    let (pid, ip) = (node.line("web", "pid ").await, node.address("web").await);
    node.shutdown.cancel();
    node.node.stopped().await;
    assert!(!runs(&pid));
    assert!(node.pods().logs("web", &LogParams::default()).await.is_err(), "a stopped node serves no logs");

    let shutdown = CancellationToken::new();
    let second = SandboxNode::start(node.options.clone(), shutdown.clone()).await.unwrap();
    let status = node.container("web", "restarted", |c| c.restart_count == 1 && c.ready).await;
    assert_eq!(status.last_state.unwrap().terminated.unwrap().reason.as_deref(), Some("ContainerStatusUnknown"));
    assert_ne!(node.line("web", "pid ").await, pid);
    assert_eq!(node.address("web").await, ip);
    shutdown.cancel();
    second.stopped().await;
}
