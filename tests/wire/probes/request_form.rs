//! The form of a request: the spelling of header names, and the name of the host.

use maglev_health::NetworkProber;
use maglev_model::{config::HealthCheck, health::ProbeCode::*};

use super::{
    checks::{self, grpc, http, https, tls},
    http2::{health_service, response, talks_http2},
    probe,
    servers::{self, Authority, Server},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

async fn request(network: &NetworkProber, server: &Server, check: HealthCheck) -> String {
    let (code, detail) = probe(network, server.address, check).await;
    assert_eq!(code, L7Ok, "{detail}");
    server.requests().pop().unwrap()
}

#[tokio::test]
async fn header_names_are_sent_in_title_case() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::answers(OK).await;
    let check = checks::with_http(http(server.address.port()), |http| {
        http.host = Some("shop.example".into());
        let headers = [("x-token", "a"), ("X-API-Key", "b"), ("accept", "*/*")];
        http.headers = headers.map(|(name, value)| (name.to_owned(), value.into())).into();
    });
    let expected = "GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: maglevd/1.2.3\r\nX-Token: a\r\nX-API-Key: b\r\n\
                    Accept: */*\r\nConnection: close\r\n\r\n";
    assert_eq!(request(&network, &server, check).await, expected);
}

#[tokio::test]
async fn host_follows_the_server_name() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let server = authority.server("web.example", servers::sends(OK)).await;
    let port = server.address.port();
    let host = async |server_name: &str, host: Option<&str>| {
        let check = checks::with_http(https(port, server_name), |http| http.host = host.map(str::to_owned));
        let head = request(&network, &server, check).await;
        head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap().to_owned()
    };
    assert_eq!(host("web.example", None).await, format!("web.example:{port}"));
    assert_eq!(host("web.example.", None).await, format!("web.example.:{port}"));
    assert_eq!(host("web.example:1234", None).await, "web.example:1234");
    assert_eq!(host("web.example", Some("shop_1.example.:8443")).await, "shop_1.example.:8443");
    assert_eq!(host("web.example", Some("2001:db8::1")).await, "[2001:db8::1]");
    assert_eq!(host("web.example", Some("[2001:db8::1]:80")).await, "[2001:db8::1]:80");
    assert!(server.names().iter().all(|name| name.as_deref() == Some("web.example")), "{:?}", server.names());

    let new = authority
        .server_with_protocols("web.example", &[b"h2"], talks_http2(|_| Some(response(200, &[], b"", &[]))))
        .await;
    let head = request(&network, &new, https(new.address.port(), "web.example")).await;
    assert!(head.starts_with(&format!("GET https://web.example:{}/ HTTP/2.0", new.address.port())), "{head}");
}

#[tokio::test]
async fn name_with_an_underscore_is_verified() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let server = authority.server("web_1.example", servers::sends(OK)).await;
    let (code, detail) = probe(&network, server.address, https(server.address.port(), "web_1.example")).await;
    assert_eq!(code, L7Ok, "{detail}");
}

#[tokio::test]
async fn certificate_of_the_address_is_verified_without_a_server_name() {
    let authority = Authority::new();
    let network = NetworkProber::new("1.2.3");
    let unnamed = |check| checks::certified(checks::without_server_name(check), Some(authority.authorities()), None);
    let server = authority.server("127.0.0.1", servers::sends(OK)).await;
    let port = server.address.port();
    let head = request(&network, &server, unnamed(https(port, ""))).await;
    assert!(head.contains(&format!("Host: 127.0.0.1:{port}\r\n")), "{head}");
    let (code, detail) = probe(
        &network,
        server.address,
        checks::certified(https(port, "127.0.0.1"), Some(authority.authorities()), None),
    )
    .await;
    assert_eq!(code, L7Ok, "{detail}");

    let other = authority.server("127.0.0.2", servers::sends(OK)).await;
    let (code, detail) = probe(&network, other.address, unnamed(https(other.address.port(), ""))).await;
    assert!(code == L6Response && detail.contains("127.0.0.2, not for \"127.0.0.1\""), "{detail}");

    let health = authority.server_with_protocols("127.0.0.1", &[b"h2"], health_service()).await;
    let check = unnamed(tls(grpc(health.address.port(), ""), ""));
    assert_eq!(
        request(&network, &health, check).await.lines().next().unwrap(),
        format!("POST https://{}/grpc.health.v1.Health/Check HTTP/2.0", health.address)
    );
}
