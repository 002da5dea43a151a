//! `maglevc accept`: real holds of both agents are released through the MaglevNodes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{
    harness::{eventually, run},
    sandbox::Sandbox,
};
use super::{maglevc, maglevc_output};
use maglev_testkit::binary;

const MORE_FRONTENDS: u8 = 6;

/// Holds by node.
async fn holds(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let nodes: Value =
        serde_json::from_str(&maglevc_output(sandbox, &["show", "nodes", "--output", "json"]).await).unwrap();
    let hold = |node: &Value| {
        let id = node["holds"].get(0)?["id"].as_str()?;
        Some((node["node"].as_str()?.to_owned(), id.to_owned()))
    };
    nodes["nodes"].as_array().or(nodes.as_array()).unwrap().iter().filter_map(hold).collect()
}

async fn vips(sandbox: &Sandbox, node: &str) -> String {
    sandbox.kubectl(&["get", "mnode", node, "-o", "jsonpath={.status.vips}"]).await
}

/// Deletes most Frontends at once, and accepts the removals of one node, then of the other.
pub async fn releases_real_holds(sandbox: &Sandbox) {
    let frontend = |n: u8| {
        json!({
            "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Frontend", "metadata": { "name": format!("held-{n}") },
            "spec": {
                "address": format!("203.0.113.{}", 100 + n), "protocol": "TCP", "port": 80,
                "pools": [{ "name": "primary", "backends": [{ "name": "web-1" }] }],
            },
        })
    };
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "items": (1..=MORE_FRONTENDS).map(frontend).collect::<Vec<_>>() });
    let mut apply = sandbox.command("kubectl", &["apply", "-f", "-"]);
    let applied = run(&mut apply, &list.to_string()).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    for node in ["node-a", "node-b"] {
        eventually("the VIPs are programmed", async || (vips(sandbox, node).await == "7").then_some(())).await;
    }
    let names: Vec<String> = (1..=MORE_FRONTENDS).map(|n| format!("mfe/held-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sandbox.kubectl(&[&["delete"], &names[..]].concat()).await;
    let held = eventually("both agents hold the removals", async || {
        let held = holds(sandbox).await;
        (held.len() == 2).then_some(held)
    })
    .await;

    let shown = maglevc_output(sandbox, &["show", "nodes"]).await;
    assert!(shown.contains(&format!("maglevc accept {}", held["node-a"])), "{shown}");
    let accepted = maglevc_output(sandbox, &["accept", &held["node-a"], "--output", "json"]).await;
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    let expected = json!({ "hold": held["node-a"], "nodes": { "node-a": { "removals": 6, "subject": "6 removals", "released": true } } });
    assert_eq!(accepted, expected);
    eventually("the VIPs of one node are removed", async || (vips(sandbox, "node-a").await == "1").then_some(())).await;
    assert_eq!(vips(sandbox, "node-b").await, "7", "the other node still holds them");
    spec_survives_status_writes(sandbox, &held["node-a"]).await;
    until_released_by_accept(sandbox).await;

    let output = maglevc_output(sandbox, &["accept", &held["node-b"]]).await;
    let line = output.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(line, format!("node-b {} 6 removals released", held["node-b"]));
    eventually("the other VIPs are removed", async || (vips(sandbox, "node-b").await == "1").then_some(())).await;

    let again = maglevc(sandbox, &binary("maglevc"), &["accept", &held["node-b"]], "").await;
    assert_eq!(again.status.code(), Some(1));
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("not found on any node") && error.contains("may have ended"), "{error}");
}

/// The status describes the new generation, and the spec is as `maglevc` wrote it.
async fn spec_survives_status_writes(sandbox: &Sandbox, hold: &str) {
    eventually("the controller has written the status of the new generation", async || {
        let node: Value =
            serde_json::from_str(&sandbox.kubectl(&["get", "mnode", "node-a", "-o", "json"]).await).unwrap();
        assert_eq!(node["spec"]["acceptRemovals"], json!([hold]));
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let held = conditions.iter().any(|condition| condition["type"] == "RemovalHeld");
        (node["status"]["observedGeneration"] == node["metadata"]["generation"] && !held).then_some(())
    })
    .await;
}

/// Exactly one agent has logged the release, with its reason.
async fn until_released_by_accept(sandbox: &Sandbox) {
    eventually("the release is logged", async || {
        let mut released = 0;
        for agent in sandbox.agents().await {
            let log = sandbox.kubectl(&["logs", &agent]).await;
            released += log
                .lines()
                .filter(|line| line.contains("vpp-lb-sync-released") && line.contains("by=accepted"))
                .count();
        }
        assert!(released <= 1, "only one hold was accepted");
        (released == 1).then_some(())
    })
    .await;
}

/// A change beyond the disruption budget is held on both nodes under one id, and one command makes it on both.
pub async fn releases_a_held_change_on_all_nodes(sandbox: &Sandbox) {
    let patch = async |patch: Value| {
        sandbox.kubectl(&["patch", "mfe", "web", "--type=merge", "-p", &patch.to_string()]).await;
    };
    let stored: Value = serde_json::from_str(&sandbox.kubectl(&["get", "mfe", "web", "-o", "json"]).await).unwrap();
    let before = &stored["spec"]["pools"];
    patch(json!({ "spec": { "disruption": { "maxMovedPercent": 10 } } })).await;
    eventually("the budget is in force", async || (programmed(sandbox).await.0 == "True").then_some(())).await;

    let mut pools = before.clone();
    pools[0]["backends"].as_array_mut().unwrap().truncate(1);
    patch(json!({ "spec": { "pools": pools } })).await;
    let held = eventually("both agents hold the change", async || {
        let held = holds(sandbox).await;
        (held.len() == 2).then_some(held)
    })
    .await;
    let id = &held["node-a"];
    assert_eq!(id, &held["node-b"], "one id on all nodes");
    let (_, message) = eventually("the status names the hold", async || {
        let (status, message) = programmed(sandbox).await;
        (status == "False" && message.matches(&format!("maglevc accept {id}")).count() == 2)
            .then_some((status, message))
    })
    .await;
    assert!(
        message.contains("on 2 of 2 nodes") && message.contains("Held (DisruptionHeld): the change moves 7"),
        "{message}"
    );
    let shown = maglevc_output(sandbox, &["show", "nodes"]).await;
    assert!(shown.contains("a change of Frontend default/web that moves 7"), "{shown}");

    let accepted: Value =
        serde_json::from_str(&maglevc_output(sandbox, &["accept", id, "--output", "json"]).await).unwrap();
    for node in ["node-a", "node-b"] {
        assert_eq!(accepted["nodes"][node]["released"], json!(true), "{accepted}");
    }
    eventually("the change is made", async || (programmed(sandbox).await.0 == "True").then_some(())).await;
    // A change without the budget is not held.
    patch(json!({ "spec": { "disruption": null, "pools": before } })).await;
    eventually("the pools are those of before", async || (programmed(sandbox).await.0 == "True").then_some(())).await;
    assert_eq!(holds(sandbox).await, BTreeMap::new());
}

/// Status and message of the condition Programmed of the present generation of the Frontend `web`.
async fn programmed(sandbox: &Sandbox) -> (String, String) {
    let web: Value = serde_json::from_str(&sandbox.kubectl(&["get", "mfe", "web", "-o", "json"]).await).unwrap();
    let conditions = web["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let programmed = conditions.iter().find(|condition| condition["type"] == "Programmed");
    let programmed = programmed.filter(|condition| condition["observedGeneration"] == web["metadata"]["generation"]);
    let text = |field: &str| programmed.and_then(|condition| condition[field].as_str()).unwrap_or_default().to_owned();
    (text("status"), text("message"))
}
