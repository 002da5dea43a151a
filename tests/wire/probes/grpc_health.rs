//! gRPC probes: their requests, and the codes of the answers.

use maglev_health::NetworkProber;
use maglev_model::health::ProbeCode::{self, *};

use super::{
    checks::{self, grpc},
    http2::{self, grpc_error, health_service, response, talks_http2},
    probe,
    servers::{self, Authority},
};

#[tokio::test]
async fn request_names_the_service_or_the_whole_server() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::plain(health_service()).await;
    let table = [
        ("", L7Ok, "serving status SERVING"),
        ("shop.v1.Cart", L7Ok, "serving status SERVING"),
        ("shop.v1.Pay", L7Status, "serving status NOT_SERVING, expected SERVING"),
        ("shop.v1.Lost", L7Status, "gRPC status 5 (NOT_FOUND: unknown service): \"unknown service\""),
    ];
    for (service, code, detail) in table {
        let (got, text) = probe(&network, server.address, grpc(server.address.port(), service)).await;
        assert_eq!(got, code, "{service}: {text}");
        assert!(text.contains(detail), "{service}: {text}");
    }
    let request = server.requests().remove(0);
    let address = server.address;
    let first = format!("POST http://{address}/grpc.health.v1.Health/Check HTTP/2.0");
    for line in [first.as_str(), "content-type: application/grpc", "te: trailers", "user-agent: maglevd/1.2.3"] {
        assert!(request.lines().any(|sent| sent == line), "{line} is not in\n{request}");
    }
}

#[tokio::test]
async fn authority_over_tls_is_the_server_name() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let server = authority.server_with_protocols("grpc.example", &[b"h2"], health_service()).await;
    let port = server.address.port();
    let check = || checks::tls(grpc(port, ""), "grpc.example");
    let (code, text) = probe(&network, server.address, check()).await;
    assert_eq!(code, L7Ok, "{text}");
    assert_eq!(server.names(), [Some("grpc.example".to_owned())]);
    let request = server.requests().remove(0);
    assert!(request.starts_with(&format!("POST https://grpc.example:{port}/grpc")), "{request}");

    let wrong = checks::tls(grpc(port, ""), "other.example");
    assert_eq!(probe(&network, server.address, wrong).await.0, L6Response);
    let old = authority.server_with_protocols("grpc.example", &[b"http/1.1"], servers::holds()).await;
    let check = checks::tls(grpc(old.address.port(), ""), "grpc.example");
    assert_eq!(probe(&network, old.address, check).await.0, L6Response, "the server does not offer HTTP/2");
}

#[tokio::test]
async fn invalid_health_answers_have_their_codes() {
    let grpc_type = ("content-type", "application/grpc+proto");
    type Answer = fn() -> http2::Answer;
    let table: [(&str, Answer, ProbeCode, &str); 9] = [
        ("not implemented", || grpc_error("12", ""), L7Status, "gRPC status 12 (UNIMPLEMENTED"),
        ("an error after a message", || http2::grpc(&[8, 1], "14"), L7Status, "gRPC status 14 (UNAVAILABLE)"),
        ("an undefined status", || grpc_error("99", ""), L7Status, "gRPC status 99,"),
        ("a status that is not a number", || grpc_error("no", ""), L7Response, "grpc-status \"no\""),
        ("an HTTP error", || response(404, &[], b"", &[]), L7Status, "HTTP status 404"),
        ("an HTML page", || response(200, &[("content-type", "text/html")], b"<p>", &[]), L7Response, "text/html"),
        (
            "no status",
            || response(200, &[("content-type", "application/grpc")], b"", &[]),
            L7Response,
            "no grpc-status",
        ),
        ("a message too short", || http2::grpc(&[8], "0"), L7Response, "cut short"),
        ("a message too long", || http2::grpc(&[0; 5000], "0"), L7Response, "larger than a health response"),
    ];
    let network = NetworkProber::new("1.2.3");
    for (about, answer, code, detail) in table {
        let server = servers::plain(talks_http2(move |_| Some(answer()))).await;
        let (got, text) = probe(&network, server.address, grpc(server.address.port(), "")).await;
        assert_eq!(got, code, "{about}: {text}");
        assert!(text.contains(detail), "{about}: {text}");
    }
    let server = servers::plain(talks_http2(move |_| {
        Some(response(200, &[grpc_type], &[0, 0, 0, 0, 2, 8, 1], &[("grpc-status", "0")]))
    }))
    .await;
    assert_eq!(probe(&network, server.address, grpc(server.address.port(), "")).await.0, L7Ok);
}
