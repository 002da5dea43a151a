//! Names in `Host`, requests of other sites, and clients behind proxies.

use serde_json::json;

use super::{
    browser::{Stream, get, send},
    site::{Node, Site},
};

const SUMMARY: &str = "/view/api/summary";

#[tokio::test]
async fn requests_for_other_hosts_are_refused() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    for path in ["/view/", SUMMARY, "/lb/view/api/events", "/view/api/session", "/"] {
        let answer = send(site.address, "GET", path, &[("Host", "evil.example:8080")], "").await;
        assert_eq!((answer.status, &answer.json()["reason"]), (421, &json!("HostNotAllowed")), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let two = send(site.address, "GET", SUMMARY, &[("Host", "lb.example"), ("Host", "evil.example")], "").await;
    assert!([400, 421].contains(&two.status), "{two:?}");
    for host in ["lb.example", "LB.example:443", "127.0.0.1", "[2001:db8::1]:8080", "localhost:8080"] {
        let answer = send(site.address, "GET", SUMMARY, &[("Host", host)], "").await;
        assert_eq!(answer.status, 200, "{host}");
    }
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn documents_are_refused_to_other_sites_and_links_to_the_page_work() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    let cross_site = [("Sec-Fetch-Site", "cross-site")];
    for path in [SUMMARY, "/lb/view/api/events"] {
        let answer = get(site.address, path, &cross_site).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("CrossSite")), "{path}");
    }
    let page = get(site.address, "/view/", &cross_site).await;
    assert_eq!((page.status, page.header("cross-origin-resource-policy")), (200, "same-origin"));
    assert_eq!(get(site.address, SUMMARY, &[("Sec-Fetch-Site", "same-origin")]).await.status, 200);
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn event_streams_are_limited_per_client_behind_a_trusted_proxy() {
    let node = Node::start("node-a", 1).await;
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let site = Site::start_with(&[&node], 0xabc, |options| options.trusted_proxies = proxies).await;
    let client = |address| [("X-Forwarded-For", address)];
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(Stream::open(site.address, "", &client("203.0.113.9, 198.51.100.1")).await);
    }
    let refused = get(site.address, "/view/api/events", &client("203.0.113.8, 198.51.100.1")).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (503, &json!("Busy")));
    assert_eq!(refused.header("retry-after"), "5");
    streams.push(Stream::open(site.address, "", &client("198.51.100.2")).await);
    streams.remove(0);
    site.until_metric("maglev_dashboard_clients", |clients| clients == 16.0).await;
    streams.push(Stream::open(site.address, "", &client("198.51.100.1")).await);
    drop(streams);
    site.stop().await;
    node.stop().await;
}
