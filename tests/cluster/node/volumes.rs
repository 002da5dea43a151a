//! Volumes of a sandbox node's pods that cannot be mounted, and the machine's directory of network namespaces.

use std::fs;
use std::path::Path;

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::RUN_FOREVER;
use super::fixture::{Fixture, fixture};
use crate::harness::eventually;

/// Notes of the FailedMount Events of the pod.
async fn failed_mounts(node: &Fixture, pod: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(node.client.clone(), &node.namespace);
    let events = events.list(&ListParams::default()).await.unwrap();
    let regards = |event: &Event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(pod));
    let of_pod =
        events.items.into_iter().filter(|event| regards(event) && event.reason.as_deref() == Some("FailedMount"));
    of_pod.filter_map(|event| event.note).collect()
}

#[tokio::test]
async fn unmountable_volume_is_reported_by_one_event_until_it_can_be_mounted() {
    let node = fixture("failed-mount", 115).await;
    node.binary("main", RUN_FOREVER);
    let volumes = json!([{"name": "data", "hostPath": {"path": "/srv/data", "type": "Directory"}}]);
    node.run(
        "waits",
        json!({"volumeMounts": [{"name": "data", "mountPath": "/srv/data"}]}),
        json!({"volumes": volumes}),
    )
    .await;
    let expected = "MountVolume.SetUp failed: hostPath \"/srv/data\" is not a Directory on this node";
    let notes = eventually("the Event exists", async || {
        let notes = failed_mounts(&node, "waits").await;
        (!notes.is_empty()).then_some(notes)
    })
    .await;
    assert!(notes[0].starts_with(expected), "{notes:?}");
    let described = node.kubectl(&["describe", "pod", "waits"]).await;
    assert!(described.contains("FailedMount") && described.contains("kubelet"), "{described}");
    fs::create_dir_all(node.on_node("/srv/data")).unwrap();
    node.container("waits", "running", |status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
        .await;
    assert_eq!(failed_mounts(&node, "waits").await.len(), 1, "a repeated error is published once");
    node.stop().await;
}

#[tokio::test]
async fn network_namespaces_of_the_machine_can_be_mounted() {
    let node = fixture("netns", 116).await;
    node.binary("main", "echo at $1; while :; do sleep 0.05; done");
    let volumes = json!([{"name": "netns", "hostPath": {"path": "/run/netns", "type": "Directory"}}]);
    let container = json!({
        "args": ["/run/netns/dataplane"],
        "volumeMounts": [{"name": "netns", "mountPath": "/run/netns", "readOnly": true}]
    });
    node.run("enters", container, json!({"volumes": volumes})).await;
    if Path::new("/run/netns").is_dir() {
        node.container("enters", "running", |status| status.started == Some(true)).await;
        let printed = async || Some(node.kubectl(&["logs", "enters"]).await).filter(|log| !log.is_empty());
        assert_eq!(eventually("the argument is printed", printed).await, "at /run/netns/dataplane\n");
    } else {
        let notes = async || failed_mounts(&node, "enters").await.pop();
        let note = eventually("the missing directory is reported", notes).await;
        assert!(note.ends_with("is not a Directory on this node (/run/netns)"), "{note}");
    }
    node.stop().await;
}

/// A volume follows its optional Secret, which the pod does not need in order to start.
#[tokio::test]
async fn files_of_an_optional_secret_follow_the_secret() {
    let node = fixture("secret-files", 117).await;
    // Prints the file whenever it has changed.
    node.binary(
        "main",
        "p=-; while :; do n=$(cat $1 2>/dev/null); [ \"$n\" = \"$p\" ] || echo \"file: $n\"; p=$n; sleep 0.05; done",
    );
    let items = json!([{"key": "tls.crt", "path": "tls.crt"}]);
    let volumes = json!([{"name": "tls", "secret": {"secretName": "agent-tls", "optional": true, "items": items}}]);
    let container = json!({"args": ["/etc/tls/tls.crt"], "volumeMounts": [{"name": "tls", "mountPath": "/etc/tls"}]});
    node.run("follows", container, json!({"volumes": volumes})).await;
    let until_logged = async |lines: &str| {
        eventually(&format!("the container prints {lines:?}"), async || {
            (node.kubectl(&["logs", "follows"]).await == lines).then_some(())
        })
        .await;
    };
    until_logged("file: \n").await;
    node.kubectl(&["create", "secret", "generic", "agent-tls"]).await;
    for (patch, lines) in [
        (r#"{"stringData": {"tls.crt": "one"}}"#, "file: \nfile: one\n"),
        (r#"{"stringData": {"tls.crt": "two"}}"#, "file: \nfile: one\nfile: two\n"),
        (r#"{"data": null}"#, "file: \nfile: one\nfile: two\nfile: \n"),
    ] {
        node.kubectl(&["patch", "secret", "agent-tls", "--type=merge", "-p", patch]).await;
        until_logged(lines).await;
    }
    node.stop().await;
}
