//! The requests of HTTP probes, the limit of the body, source addresses, and the end of connections.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use maglev_health::{NetworkProber, ProbeOutcome, ProbeTarget, Prober};
use maglev_model::{
    body_pattern::BodyPattern,
    config::{Http, HttpMethod},
    health::ProbeCode::*,
};

use super::{
    checks::{self, http, tcp, with_status},
    outcome, probe, servers,
};

#[tokio::test]
async fn request_matches_the_health_check_and_redirects_are_not_followed() {
    let network = NetworkProber::new("1.2.3");
    let elsewhere = servers::silent().await;
    let response = format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\n\r\n", elsewhere.address);
    let server = servers::answers(response.as_bytes()).await;
    let port = server.address.port();
    assert_eq!(probe(&network, server.address, http(port)).await.0, L7Ok);
    assert_eq!(probe(&network, server.address, with_status(http(port), 200)).await.0, L7Status);
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
async fn only_the_first_part_of_a_body_is_read() {
    const LIMIT: usize = BodyPattern::BODY_LIMIT;
    const TEXT_LIMIT: usize = 64 * 1024;
    let network = NetworkProber::new("1.2.3");
    let with = |before: usize| [b"HTTP/1.1 200 OK\r\n\r\n", "x".repeat(before).as_bytes(), b"needle"].concat();
    let table = [
        (with(0), "needle", L7Ok),
        (with(LIMIT - 6), "needle", L7Ok),
        (with(LIMIT - 5), "needle", L7Response),
        (with(LIMIT), "needle", L7Response),
        // The body is matched as bytes, since it may not be UTF-8.
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\x00OK".to_vec(), r"^.\x00OK$", L7Ok),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nnee\r\n3\r\ndle\r\n0\r\n\r\n".to_vec(),
            "^needle$",
            L7Ok,
        ),
    ];
    for (response, expected, code) in table {
        // The server keeps the connection open or sends without end; the probe must not wait for the end.
        for server in [servers::answers(&response).await, servers::floods(&response).await] {
            let check = checks::with_body(http(server.address.port()), expected);
            let (got, detail) = probe(&network, server.address, check).await;
            assert_eq!(got, code, "{} bytes, {expected}: {detail}", response.len());
        }
    }
    for (before, code) in [(TEXT_LIMIT - 6, L7Ok), (TEXT_LIMIT - 5, L7Response)] {
        let server = servers::floods(&with(before)).await;
        let expects_text = |http: &mut Http| http.expected_text = Some("needle".into());
        let check = checks::with_http(http(server.address.port()), expects_text);
        let (got, detail) = probe(&network, server.address, check).await;
        assert_eq!(got, code, "expectedText after {before} bytes: {detail}");
    }
    // Without an expected body the probe does not wait for the body.
    let server = servers::stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
    assert_eq!(probe(&network, server.address, http(server.address.port())).await.0, L7Ok);
}

#[tokio::test]
async fn probe_uses_its_source_address_and_ends_with_a_reset() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::reads_to_end().await;
    let check = Arc::new(tcp(server.address.port()));
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let target = ProbeTarget { address: server.address.ip(), source: Some(source), check: Arc::clone(&check) };
    assert_eq!(network.probe(target, None).await.outcome, ProbeOutcome::completed(L4Ok, "connected"));
    let (peer, end) = server.first_end().await;
    assert_eq!(peer.ip(), source);
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset));

    let elsewhere = Some("192.0.2.55".parse().unwrap());
    let target = ProbeTarget { address: server.address.ip(), source: elsewhere, check };
    let outcome = network.probe(target, None).await.outcome;
    assert!(matches!(outcome, ProbeOutcome::NotProbed { .. }), "an address that this node lacks: {outcome:?}");
}

#[tokio::test]
async fn probe_that_cannot_be_sent_has_no_result_and_hides_header_values() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::silent().await;
    let port = server.address.port();
    let secret = checks::with_http(http(port), |http| http.headers = vec![("X-Token".into(), "s3cret\n".into())]);
    let ProbeOutcome::NotProbed { detail } = outcome(&network, server.address, secret).await else {
        panic!("a probe was sent")
    };
    assert!(detail.contains("X-Token") && !detail.contains("s3cret"), "{detail}");
    assert_eq!(server.connections(), 0);
}
