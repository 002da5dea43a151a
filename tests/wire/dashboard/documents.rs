//! The JSON documents of the dashboard, and the equality of replicas.

use maglev_model::health::BackendState;
use serde_json::{Value, json};

use maglev_testkit::within;

use super::{
    browser::{Stream, get},
    site::{Node, Site, web_1},
};

/// Requests a document until it fulfils `matches`.
async fn until(site: &Site, path: &str, matches: impl Fn(&Value) -> bool) -> Value {
    within(async {
        loop {
            let answer = get(site.address, path, &[]).await;
            if answer.status == 200 && matches(&answer.json()) {
                return answer.json();
            }
        }
    })
    .await
}

fn without_now(mut document: Value) -> Value {
    document.as_object_mut().expect("a document").remove("now");
    document
}

#[tokio::test]
async fn documents_reflect_the_nodes_state() {
    let (a, b) = (Node::start("node-a", 1).await, Node::start("node-b", 2).await);
    a.configure();
    b.configure();
    let site = Site::start(&[&a, &b], 0xabc).await;
    let has_both_nodes =
        |summary: &Value| summary["rows"]["shop/web"]["cells"].as_object().is_some_and(|cells| cells.len() == 2);
    let summary =
        until(&site, "/view/api/summary", |summary| has_both_nodes(summary) && summary["totals"]["reporting"] == 2)
            .await;
    assert_eq!(summary["totals"], json!({"vips": 1, "backends": 2, "nodes": 2, "reporting": 2}));
    assert_eq!((&summary["controller"], &summary["kubernetes"]), (&json!("absent"), &json!("none")));
    let row = &summary["rows"]["shop/web"];
    assert_eq!(row["vip"], json!({"address": "203.0.113.1", "protocol": "tcp", "port": 80}));
    assert_eq!((&row["up"], &row["total"]), (&json!(2), &json!(2)));
    // Nodes without VPP count as silent.
    assert_eq!(summary["strip"]["silent"], 2);

    b.health(&web_1(), BackendState::Up, BackendState::Down);
    let down = |node: &Value| node["backends"]["shop/web-1"]["state"] == "down";
    let node = until(&site, "/view/api/state/node-b", down).await;
    assert_eq!(node["frontends"]["shop/web"]["pools"]["primary"]["members"]["shop/web-1"]["effective"], 0);
    assert_eq!(node["as_of"]["epoch"], "2");
    let page = until(&site, "/view/api/frontend/shop/web", |page| down(&page["nodes"]["node-b"])).await;
    assert_eq!(page["nodes"]["node-a"]["backends"]["shop/web-1"]["state"], "up");
    assert_eq!(page["nodes"]["node-a"]["health_checks"], json!({}), "no HealthCheck is configured");
    let has_one_transition = |summary: &Value| summary["transitions"].as_object().is_some_and(|list| list.len() == 1);
    let summary = until(&site, "/view/api/summary", has_one_transition).await;
    let transition = summary["transitions"].as_object().expect("waited for").values().next().expect("waited for");
    assert_eq!((&transition["name"], &transition["nodes"]), (&json!("shop/web-1"), &json!(["node-b"])));

    let everything = get(site.address, "/view/api/state", &[]).await.json();
    assert_eq!(without_now(everything["nodes"]["node-b"].clone()), without_now(node));
    let maglevds = get(site.address, "/view/api/maglevds", &[]).await.json();
    let names: Vec<_> =
        maglevds["maglevds"].as_array().expect("a list").iter().map(|entry| entry["node"].clone()).collect();
    assert_eq!(names, ["node-a", "node-b"]);
    let version = get(site.address, "/view/api/version", &[]).await.json();
    assert_eq!(
        (&version["version"], &version["replica"], &version["admin"]),
        (&json!("1.2.3"), &json!("abc"), &json!(false))
    );
    for unknown in ["state/node-c", "frontend/shop/api", "object/Frontend/shop/web", "object/Odd/x", "else"] {
        let answer = get(site.address, &format!("/view/api/{unknown}"), &[]).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (404, &json!("NotFound")), "{unknown}");
    }
    site.stop().await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn documents_are_compressed_on_request() {
    let node = Node::start("node-a", 1).await;
    node.configure();
    let site = Site::start(&[&node], 0xabc).await;
    until(&site, "/view/api/summary", |summary| summary["totals"]["vips"] == 1).await;
    let plain = get(site.address, "/view/api/summary", &[]).await;
    let packed = get(site.address, "/view/api/summary", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert_eq!((packed.header("cache-control"), packed.header("content-type")), ("no-store", "application/json"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len());
    site.stop().await;
    node.stop().await;
}

/// The answers to this many requests of the summary, one after the other.
async fn summaries(site: &Site, count: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(get(site.address, "/view/api/summary", &[]).await.json());
    }
    answers
}

#[tokio::test]
async fn document_is_made_once_for_many_requests_and_again_after_a_second() {
    let node = Node::start("node-a", 1).await;
    node.configure();
    let site = Site::start(&[&node], 0xabc).await;
    until(&site, "/view/api/summary", |summary| summary["totals"]["vips"] == 1).await;
    // Each document has the millisecond in which it was made, and a request takes a part of one.
    let made_once = async { while !summaries(&site, 10).await.windows(2).all(|pair| pair[0] == pair[1]) {} };
    within(made_once).await;
    let made_again = async {
        loop {
            let first = summaries(&site, 1).await.remove(0);
            let newer = until(&site, "/view/api/summary", |summary| summary["now"] != first["now"]).await;
            if without_now(newer) == without_now(first) {
                return;
            }
        }
    };
    within(made_again).await;
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn replicas_serve_equal_documents_at_equal_positions() {
    let (a, b) = (Node::start("node-a", 1).await, Node::start("node-b", 2).await);
    let first = Site::start(&[&a, &b], 1).await;
    a.configure();
    b.configure();
    for state in [BackendState::Down, BackendState::Up, BackendState::Down] {
        a.health(&web_1(), BackendState::Up, state);
        b.health(&web_1(), BackendState::Up, state);
    }
    // The second replica starts after all changes.
    let second = Site::start(&[&a, &b], 2).await;
    let positions = json!({"node-a": {"epoch": "1", "seq": 7}, "node-b": {"epoch": "2", "seq": 7}});
    for path in ["/view/api/state/node-a", "/view/api/state/node-b"] {
        let is_current = |document: &Value| document["as_of"]["seq"] == 7;
        let [one, other] =
            [until(&first, path, is_current).await, until(&second, path, is_current).await].map(without_now);
        assert_eq!(one, other);
    }
    let is_current = |summary: &Value| summary["as_of"] == positions && summary["totals"]["reporting"] == 2;
    let summaries =
        [until(&first, "/view/api/summary", is_current).await, until(&second, "/view/api/summary", is_current).await];
    for part in ["rows", "strip", "totals", "problems"] {
        assert_eq!(summaries[0][part], summaries[1][part], "{part}");
    }
    let mut stream = Stream::open(second.address, "", &[("Last-Event-ID", "1-1")]).await;
    let hello = stream.next().await.expect("the stream begins");
    assert_eq!(hello.data["nodes"], positions, "the positions show a page of the other replica that it is up to date");
    first.stop().await;
    second.stop().await;
    a.stop().await;
    b.stop().await;
}
