//! Shares of the backends, from bodies, headers, banners and datagrams.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    PATIENT, run,
    servers::{VipServer, response},
};

/// One flow of three goes to web-1, the others to web-2.
fn backend(flow: usize) -> &'static str {
    if flow.is_multiple_of(3) { "web-1" } else { "web-2" }
}

const PACE: [&str; 4] = ["--rate=300", "--count=300", "--output=json", PATIENT];

#[tokio::test]
async fn shares_are_those_of_the_answers_and_every_flow_has_a_port_of_its_own() {
    let vip = VipServer::http(|flow| response(&format!("{} client=a vip=b\n", backend(flow)))).await;
    let finished =
        run(&[&PACE[..], &["--expect=web-1=10,web-2=20", "--tolerance=0.01%", &vip.url("http")]].concat()).await;
    assert_eq!(finished.status, 0, "{}{}", finished.stdout, finished.stderr);
    let expected = json!([
        {"name": "web-1", "flows": 100, "failed": 0, "share_percent": 33.33},
        {"name": "web-2", "flows": 200, "failed": 0, "share_percent": 66.67},
    ]);
    assert_eq!(finished.result()["backends"], expected);
    let ports: BTreeSet<u16> = vip.peers().iter().map(std::net::SocketAddr::port).collect();
    assert_eq!((vip.peers().len(), ports.len()), (300, 300));
}

#[tokio::test]
async fn other_shares_than_expected_fail_the_test() {
    let vip = VipServer::http(|flow| response(backend(flow))).await;
    let finished = run(&[&PACE[..], &["--expect=web-1=1,web-2=1", &vip.url("http")]].concat()).await;
    assert_eq!(finished.status, 1);
    let problems = finished.result()["problems"].to_string();
    assert!(problems.contains("web-1 answered 33.3 % of 300 flows, expected 50.0 % ± 5"), "{problems}");
}

#[tokio::test]
async fn names_come_from_headers_banners_and_datagrams() {
    let with_header = |flow| {
        let head = format!("HTTP/1.1 200 OK\r\nX-Served-By: {}\r\nContent-Length: 2\r\n\r\nok", backend(flow));
        Some(head.into_bytes())
    };
    let header = VipServer::http(with_header).await;
    let banner = VipServer::banner(|flow| Some(format!("220 {}.example ESMTP", backend(flow)).into_bytes())).await;
    let datagram = VipServer::udp(|flow| Some(format!("{} maglev-tester\n", backend(flow)).into_bytes()), false).await;
    for (flag, url) in [
        ("--backend-header=x-served-by", header.url("http")),
        ("--backend-pattern=^220 ([a-z0-9-]+)", banner.url("tcp")),
        ("--insecure", datagram.url("udp")),
    ] {
        let pace = ["--rate=300", "--count=30", "--output=json"];
        let finished = run(&[&pace[..], &[flag, "--timeout=20s", "--expect=web-1=1,web-2=2", &url]].concat()).await;
        assert_eq!(finished.status, 0, "{url}: {}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.result()["backends"][0]["flows"], 10, "{url}");
    }
}

#[tokio::test]
async fn connection_without_an_answer_is_a_success_of_tcp() {
    let silent = VipServer::banner(|_| None).await;
    let url = silent.url("tcp");
    let finished = run(&["--rate=100", "--count=5", "--output=json", PATIENT, &url]).await;
    assert_eq!((finished.status, &finished.result()["unnamed"]), (0, &json!(5)), "{}", finished.stdout);
    let finished = run(&["--rate=100", "--count=5", "--output=json", "--timeout=300ms", "--send=a", &url]).await;
    assert_eq!(finished.status, 1);
    assert_eq!(finished.result()["errors"][0]["error"], "no answer within 300ms");
}

#[tokio::test]
async fn control_characters_of_answers_do_not_reach_the_output() {
    let vip = VipServer::http(|_| response("web\u{1b}[2J\u{202e}\u{9b}1")).await;
    for output in ["--output=json", "--output=table"] {
        let finished = run(&["--count=1", PATIENT, "--backend-pattern=(.*)", output, &vip.url("http")]).await;
        assert_eq!(finished.status, 0, "{}", finished.stderr);
        let is_escaped =
            ["web\\u001b[2J\\u202e", "web\\u{1b}[2J\\u{202e}"].iter().any(|text| finished.stdout.contains(text));
        assert!(is_escaped && !finished.stdout.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{}", finished.stdout);
    }
}
