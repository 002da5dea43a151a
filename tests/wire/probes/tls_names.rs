//! Probes over TLS: server names, trusted authorities, client certificates, and the negotiated version of HTTP.

use maglev_health::NetworkProber;
use maglev_model::{config::Authorities, health::ProbeCode::*};

use super::{
    checks::{self, http, https, tcp, tls},
    http2::{response, talks_http2},
    probe,
    servers::{self, Authority},
};

#[tokio::test]
async fn tls_sends_the_server_name_and_verifies_certificates() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let authority = Authority::new();
    let with_roots = NetworkProber::with_roots("1.2.3", authority.roots());
    let server = authority.server("web.example", servers::sends(OK)).await;
    let port = server.address.port();
    assert_eq!(probe(&with_roots, server.address, https(port, "web.example")).await.0, L7Ok);
    let by_host = checks::with_http(checks::without_server_name(https(port, "")), |http| {
        http.host = Some(format!("web.example:{port}"));
    });
    assert_eq!(probe(&with_roots, server.address, by_host).await.0, L7Ok);
    let any = checks::insecure(checks::without_server_name(https(port, "")));
    assert_eq!(probe(&with_roots, server.address, any).await.0, L7Ok);
    let name = || Some("web.example".to_owned());
    assert_eq!(server.names(), [name(), name(), None]);

    let without_roots = NetworkProber::new("1.2.3");
    let (code, detail) = probe(&without_roots, server.address, https(port, "web.example")).await;
    assert_eq!(code, L6Response, "{detail}");
    let anyone = checks::insecure(https(port, "api.example"));
    assert_eq!(probe(&without_roots, server.address, anyone).await.0, L7Ok);
}

#[tokio::test]
async fn alpn_selects_http_2_or_http_1() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let ok = || talks_http2(|_| Some(response(200, &[], b"", &[])));

    let new = authority.server_with_protocols("web.example", &[b"h2", b"http/1.1"], ok()).await;
    let port = new.address.port();
    let check = checks::with_http(https(port, "web.example"), |http| {
        http.host = Some("shop.example".into());
        http.path = "/healthz?deep=1".into();
        http.headers = vec![("X-Token".into(), "s3cret".into())];
    });
    let (code, detail) = probe(&network, new.address, check).await;
    assert_eq!(code, L7Ok, "{detail}");
    let request = new.requests().remove(0);
    let lines: Vec<_> = request.lines().collect();
    assert_eq!(lines[0], "GET https://shop.example/healthz?deep=1 HTTP/2.0");
    assert!(lines.contains(&"user-agent: maglevd/1.2.3") && lines.contains(&"x-token: s3cret"), "{request}");
    assert!(!request.contains("connection:") && !request.contains("host:"), "headers of HTTP/1.1 in HTTP/2: {request}");
    let own = checks::insecure(checks::without_server_name(https(port, "")));
    assert_eq!(probe(&network, new.address, own).await.0, L7Ok);
    assert!(new.requests()[1].starts_with(&format!("GET https://127.0.0.1:{port}/ HTTP/2.0")));

    let old = authority.server_with_protocols("web.example", &[b"http/1.1"], servers::sends(OK)).await;
    assert_eq!(probe(&network, old.address, https(old.address.port(), "web.example")).await.0, L7Ok);
    // A server without ALPN uses HTTP/1.1.
    let oldest = authority.server_with_protocols("web.example", &[], servers::sends(OK)).await;
    assert_eq!(probe(&network, oldest.address, https(oldest.address.port(), "web.example")).await.0, L7Ok);

    let neither = authority.server_with_protocols("web.example", &[b"spdy/1"], servers::holds()).await;
    let (code, detail) = probe(&network, neither.address, https(neither.address.port(), "web.example")).await;
    assert_eq!(code, L6Response, "{detail}");
    let (code, detail) = probe(&network, neither.address, tls(tcp(neither.address.port()), "web.example")).await;
    assert_eq!(code, L6Ok, "{detail}");
    assert_eq!(probe(&network, new.address, http(port)).await.0, L7Response, "plain HTTP to a TLS port fails");
}

#[tokio::test]
async fn health_check_trusts_only_its_authorities() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let (own, other) = (Authority::new(), Authority::new());
    let network = NetworkProber::with_roots("1.2.3", other.roots());
    let server = own.server("web.example", servers::sends(OK)).await;
    let check = || https(server.address.port(), "web.example");
    let (code, detail) = probe(&network, server.address, check()).await;
    assert_eq!(code, L6Response, "{detail}");
    let trusting = checks::certified(check(), Some(own.authorities()), None);
    let (code, detail) = probe(&network, server.address, trusting).await;
    assert_eq!(code, L7Ok, "{detail}");
    let wrong = checks::certified(check(), Some(other.authorities()), None);
    assert_eq!(probe(&network, server.address, wrong).await.0, L6Response);
    let both = Authorities {
        certificates: [other.authorities(), own.authorities()]
            .map(|authorities| authorities.certificates[0].clone())
            .into(),
    };
    let both = checks::certified(check(), Some(both), None);
    assert_eq!(probe(&network, server.address, both).await.0, L7Ok);
}

#[tokio::test]
async fn requested_client_certificate_is_sent_and_its_refusal_is_l6() {
    let authority = Authority::new();
    let untrusted = Authority::new().client();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let ok = || talks_http2(|_| Some(response(200, &[], b"", &[])));
    let http1 = || servers::sends(b"HTTP/1.1 200 OK\r\n\r\n");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (protocol, talk) in [(&b"h2"[..], ok()), (b"http/1.1", http1())] {
            let server = authority.server_for_clients(version, ("web.example", protocol), talk).await;
            let with = |client| checks::certified(https(server.address.port(), "web.example"), None, client);
            let text = String::from_utf8_lossy(protocol);
            let (code, detail) = probe(&network, server.address, with(Some(authority.client()))).await;
            assert_eq!(code, L7Ok, "{text} over {version:?}: {detail}");
            for refused in [None, Some(untrusted.clone())] {
                let (code, detail) = probe(&network, server.address, with(refused)).await;
                assert_eq!(code, L6Response, "{text} over {version:?}: {detail}");
                assert!(detail.contains("alert"), "{detail}");
            }
        }
    }
}
