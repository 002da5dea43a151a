//! What an HTTP probe sends, how much of the answer it reads, and what it leaves behind.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use maglev_health::{NetworkProber, ProbeOutcome, Prober, ProbeTarget};
use maglev_model::{config::HttpMethod, health::ProbeCode::*};

use super::{
    checks::{self, http, only, tcp},
    outcome, probe, servers,
};

#[tokio::test]
async fn a_request_says_what_the_health_check_says_and_nothing_follows_a_redirect() {
    let network = NetworkProber::new("1.2.3");
    let elsewhere = servers::silent().await;
    let response = format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\n\r\n", elsewhere.address);
    let server = servers::answers(response.as_bytes()).await;
    let port = server.address.port();
    assert_eq!(probe(&network, server.address, http(port)).await.0, L7Ok);
    assert_eq!(probe(&network, server.address, only(http(port), 200)).await.0, L7Status);
    let full = checks::with_http(http(port), |http| {
        http.host = Some("shop.example".into());
        http.method = HttpMethod::Head;
        http.path = "/healthz?deep=1".into();
        http.headers = vec![("X-Token".into(), "s3cret".into())];
    });
    assert_eq!(probe(&network, server.address, full).await.0, L7Ok);

    let requests = server.requests();
    let head = |text: &str| text.to_ascii_lowercase().lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let host = format!("host: 127.0.0.1:{port}");
    let plain = ["get / http/1.1", &host, "user-agent: maglevd/1.2.3", "connection: close", ""];
    assert_eq!(head(&requests[0]), plain.map(str::to_owned).into());
    let full = [
        "head /healthz?deep=1 http/1.1",
        "host: shop.example",
        "user-agent: maglevd/1.2.3",
        "connection: close",
        "x-token: s3cret",
        "",
    ];
    assert_eq!(head(&requests[2]), full.map(str::to_owned).into());
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_body_counts_as_far_as_its_first_64_kib_and_is_read_no_further() {
    const LIMIT: usize = 64 * 1024;
    let network = NetworkProber::new("1.2.3");
    let with = |before: usize| [b"HTTP/1.1 200 OK\r\n\r\n", "x".repeat(before).as_bytes(), b"needle"].concat();
    let table = [
        (with(0), "needle", L7Ok),
        (with(LIMIT - 6), "needle", L7Ok),
        (with(LIMIT - 5), "needle", L7Response),
        (with(LIMIT), "needle", L7Response),
        // What may not be UTF-8 is matched as bytes.
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\x00OK".to_vec(), r"^(?-u:\xff\x00)OK$", L7Ok),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nnee\r\n3\r\ndle\r\n0\r\n\r\n".to_vec(),
            "^needle$",
            L7Ok,
        ),
    ];
    for (response, expected, code) in table {
        // The connection stays open or goes on for ever: the answer must not wait for its end.
        for server in [servers::answers(&response).await, servers::floods(&response).await] {
            let check = checks::with_body(http(server.address.port()), expected);
            let (got, detail) = probe(&network, server.address, check).await;
            assert_eq!(got, code, "{} bytes, {expected}: {detail}", response.len());
        }
    }
    // Without an expectation, the body may never come.
    let server = servers::stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
    assert_eq!(probe(&network, server.address, http(server.address.port())).await.0, L7Ok);
}

#[tokio::test]
async fn a_probe_leaves_from_its_source_address_and_ends_with_a_reset() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::watches().await;
    let check = Arc::new(tcp(server.address.port()));
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let target = ProbeTarget { address: server.address.ip(), source: Some(source), check: Arc::clone(&check) };
    assert_eq!(network.probe(target).await, ProbeOutcome::completed(L4Ok, "connected"));
    let (peer, end) = server.first_end().await;
    assert_eq!(peer.ip(), source);
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset));

    let elsewhere = Some("192.0.2.55".parse().unwrap());
    let target = ProbeTarget { address: server.address.ip(), source: elsewhere, check };
    let outcome = network.probe(target).await;
    assert!(matches!(outcome, ProbeOutcome::NotProbed { .. }), "an address that this node lacks: {outcome:?}");
}

#[tokio::test]
async fn a_probe_that_cannot_be_sent_says_nothing_about_the_backend_nor_the_value_of_a_header() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::silent().await;
    let port = server.address.port();
    let secret = checks::with_http(http(port), |http| http.headers = vec![("X-Token".into(), "s3cret\n".into())]);
    let ProbeOutcome::NotProbed { detail } = outcome(&network, server.address, secret).await else { panic!("it was sent") };
    assert!(detail.contains("x-token") && !detail.contains("s3cret"), "{detail}");
    assert_eq!(server.connections(), 0);
}
