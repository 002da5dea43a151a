//! A table of the results of probes and their codes.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use maglev_health::NetworkProber;
use maglev_model::{
    config::HealthCheck,
    health::ProbeCode::{self, *},
};

use super::{
    checks::{self, grpc, http, https, tcp, tls},
    http2::{grpc_error, health_service, response, talks_http2},
    probe,
    servers::{self, Authority, Server, Talk},
};

struct Case {
    about: &'static str,
    server: Server,
    check: HealthCheck,
    code: ProbeCode,
    detail: &'static str,
}

fn quick(check: HealthCheck) -> HealthCheck {
    HealthCheck { timeout: Duration::from_secs(2), ..check }
}

async fn cases(authority: &Authority) -> Vec<Case> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut cases = Vec::new();
    let mut add = |about, server: Server, check: fn(u16) -> HealthCheck, code, detail| {
        let check = check(server.address.port());
        cases.push(Case { about, server, check, code, detail });
    };

    add("a closed port", servers::closed(), tcp, L4Connection, "refused");
    add(
        "no answer to the SYN",
        servers::black_hole().await,
        |port| quick(tcp(port)),
        L4Timeout,
        "no connection within 2s",
    );
    add("a listener", servers::silent().await, tcp, L4Ok, "connected");

    add(
        "TLS",
        authority.server("web.example", servers::holds()).await,
        |port| tls(tcp(port), "web.example"),
        L6Ok,
        "done",
    );
    add(
        "TLS that never begins",
        servers::silent().await,
        |port| quick(tls(tcp(port), "web.example")),
        L6Timeout,
        "handshake",
    );
    add(
        "TLS to a server of plain HTTP",
        servers::answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        |port| tls(tcp(port), "web.example"),
        L6Response,
        "handshake failed",
    );
    add(
        "TLS to a server that resets",
        servers::resets().await,
        |port| tls(tcp(port), "web.example"),
        L6Response,
        "handshake failed",
    );
    add(
        "a certificate for another name",
        authority.server("web.example", servers::holds()).await,
        |port| tls(tcp(port), "api.example"),
        L6Response,
        "certificate",
    );
    add(
        "HTTPS with a wrong name",
        authority.server("web.example", servers::sends(OK)).await,
        |port| https(port, "api.example"),
        L6Response,
        "certificate",
    );

    add("HTTP", servers::answers(OK).await, http, L7Ok, "status 200");
    add(
        "HTTPS",
        authority.server("web.example", servers::sends(OK)).await,
        |port| https(port, "web.example"),
        L7Ok,
        "status 200",
    );
    add("HTTP to a server that resets", servers::resets().await, http, L7Response, "no valid HTTP response");
    add("HTTP to a server that closes", servers::answers(b"").await, http, L7Response, "no valid HTTP response");
    add(
        "garbage",
        servers::answers(b"\x00\x01\x02 220 mail ready\r\n\r\n").await,
        http,
        L7Response,
        "no valid HTTP response",
    );
    add(
        "HTTP that never answers",
        servers::silent().await,
        |port| quick(http(port)),
        L7Timeout,
        "no complete response",
    );
    add(
        "HTTPS that never answers",
        authority.server("web.example", servers::holds()).await,
        |port| quick(https(port, "web.example")),
        L7Timeout,
        "no complete response",
    );
    add(
        "endless headers",
        servers::drips(b"HTTP/1.1 200 OK\r\n").await,
        |port| quick(http(port)),
        L7Timeout,
        "no complete response",
    );
    add(
        "a wrong status",
        servers::answers(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await,
        http,
        L7Status,
        "status 503, expected 200-399",
    );
    add(
        "a wrong status over TLS",
        authority.server("web.example", servers::sends(b"HTTP/1.1 500 Oh\r\n\r\n")).await,
        |port| https(port, "web.example"),
        L7Status,
        "status 500",
    );
    add(
        "a body that is wrong",
        servers::answers(OK).await,
        |port| checks::with_body(http(port), "^ready$"),
        L7Response,
        "expectedBody not found",
    );
    add(
        "a body that never ends",
        servers::stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nread").await,
        |port| quick(checks::with_body(http(port), "ready")),
        L7Timeout,
        "no complete response",
    );
    add(
        "HTTP/2",
        authority.server_with_protocols("web.example", &[b"h2"], over_http2(200, b"ok")).await,
        |port| checks::with_body(https(port, "web.example"), "^ok$"),
        L7Ok,
        "status 200",
    );
    add(
        "a wrong status over HTTP/2",
        authority.server_with_protocols("web.example", &[b"h2"], over_http2(503, b"")).await,
        |port| https(port, "web.example"),
        L7Status,
        "status 503",
    );
    add(
        "HTTP/2 that never answers",
        authority.server_with_protocols("web.example", &[b"h2"], talks_http2(|_| None)).await,
        |port| quick(https(port, "web.example")),
        L7Timeout,
        "no complete response",
    );
    add(
        "invalid HTTP/2",
        authority.server_with_protocols("web.example", &[b"h2"], servers::sends(OK)).await,
        |port| https(port, "web.example"),
        L7Response,
        "no valid HTTP response",
    );
    cases
}

async fn grpc_cases(authority: &Authority) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |about, server: Server, check: fn(u16) -> HealthCheck, code, detail| {
        let check = check(server.address.port());
        cases.push(Case { about, server, check, code, detail });
    };
    let check = |port| grpc(port, "");
    let quick_check = |port| quick(grpc(port, ""));
    add("gRPC", servers::plain(health_service()).await, check, L7Ok, "SERVING");
    add("gRPC to a closed port", servers::closed(), check, L4Connection, "refused");
    add("gRPC without an answer to the SYN", servers::black_hole().await, quick_check, L4Timeout, "no connection");
    add("gRPC to a silent server", servers::silent().await, quick_check, L7Timeout, "no complete response");
    add(
        "gRPC that never answers",
        servers::plain(talks_http2(|_| None)).await,
        quick_check,
        L7Timeout,
        "no complete response",
    );
    add("gRPC to a server that resets", servers::resets().await, check, L7Response, "no valid HTTP response");
    add(
        "gRPC to a server of HTTP/1.1",
        servers::answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        check,
        L7Response,
        "no valid HTTP response",
    );
    add(
        "gRPC over TLS that never begins",
        servers::silent().await,
        |port| quick(tls(grpc(port, ""), "web.example")),
        L6Timeout,
        "handshake",
    );
    add(
        "gRPC over TLS without a health service",
        authority.server_with_protocols("web.example", &[b"h2"], talks_http2(|_| Some(grpc_error("12", "")))).await,
        |port| tls(grpc(port, ""), "web.example"),
        L7Status,
        "UNIMPLEMENTED",
    );
    cases
}

fn over_http2(status: u16, body: &'static [u8]) -> Talk {
    talks_http2(move |_| Some(response(status, &[], body, &[])))
}

#[tokio::test]
async fn every_result_has_its_code() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    // All cases run at the same time, so that their timeouts overlap.
    let cases = cases(&authority).await.into_iter().chain(grpc_cases(&authority).await);
    let codes = join_all(cases.map(async |case| {
        let Case { about, server, check, code, detail } = case;
        let (got, text) = probe(&network, server.address, check).await;
        assert_eq!(got, code, "{about}: {text}");
        assert!(text.contains(detail), "{about}: {text}");
        got
    }))
    .await;
    let codes: BTreeSet<_> = codes.into_iter().collect();
    let all = [L4Ok, L4Timeout, L4Connection, L6Ok, L6Timeout, L6Response, L7Ok, L7Timeout, L7Response, L7Status];
    assert_eq!(codes, BTreeSet::from(all));
}
