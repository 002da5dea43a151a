//! The probes against real servers on loopback: each way to fail has one code, and what is sent is
//! what the HealthCheck says.

mod checks;
mod servers;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use maglev::{
    health::{self, HealthOptions, Network, Outcome, Prober, Target},
    model::{
        config::{Backend, Check, Config, HealthCheck, HttpMethod, Listed, NodeConfig, Revision},
        event::Events,
        health::{
            BackendState,
            ProbeCode::{self, *},
        },
        name::Name,
    },
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use checks::{http, https, only, tcp, tls};
use servers::{Authority, Server};

/// No probe or condition takes longer.
const LIMIT: Duration = Duration::from_secs(30);

async fn outcome(network: &Network, address: SocketAddr, check: HealthCheck) -> Outcome {
    let target = Target { address: address.ip(), source: None, check: Arc::new(check) };
    timeout(LIMIT, network.probe(target)).await.expect("a probe ends by its own timeout")
}

async fn probe(network: &Network, address: SocketAddr, check: HealthCheck) -> (ProbeCode, String) {
    match outcome(network, address, check).await {
        Outcome::Answer { code, detail } => (code, detail.into_owned()),
        Outcome::NotProbed { detail } => panic!("not probed: {detail}"),
    }
}

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

    add("nobody listens", servers::closed(), tcp, L4Connection, "refused");
    add(
        "nobody answers the SYN",
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
        "TLS asked of plain HTTP",
        servers::answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        |port| tls(tcp(port), "web.example"),
        L6Response,
        "handshake failed",
    );
    add(
        "TLS asked of a resetter",
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
    add("HTTP asked of a resetter", servers::resets().await, http, L7Response, "no valid HTTP response");
    add("HTTP that is closed at once", servers::answers(b"").await, http, L7Response, "no valid HTTP response");
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
        "a head that drips",
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
        "a body that never ends its time",
        servers::stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nread").await,
        |port| quick(checks::with_body(http(port), "ready")),
        L7Timeout,
        "no complete response",
    );
    cases
}

#[tokio::test]
async fn every_way_to_fail_has_its_code() {
    let authority = Authority::new();
    let network = Network::with_roots("1.2.3", authority.roots());
    // All at once: those that time out need to be waited for together only.
    let seen = join_all(cases(&authority).await.into_iter().map(async |case| {
        let Case { about, server, check, code, detail } = case;
        let (got, text) = probe(&network, server.address, check).await;
        assert_eq!(got, code, "{about}: {text}");
        assert!(text.contains(detail), "{about}: {text}");
        got
    }))
    .await;
    let seen: BTreeSet<_> = seen.into_iter().collect();
    let all = [L4Ok, L4Timeout, L4Connection, L6Ok, L6Timeout, L6Response, L7Ok, L7Timeout, L7Response, L7Status];
    assert_eq!(seen, BTreeSet::from(all));
}

#[tokio::test]
async fn a_request_says_what_the_health_check_says_and_nothing_follows_a_redirect() {
    let network = Network::new("1.2.3");
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
    let network = Network::new("1.2.3");
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
async fn tls_sends_its_name_offers_http_1_and_trusts_only_whom_it_should() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let authority = Authority::new();
    let trusting = Network::with_roots("1.2.3", authority.roots());
    let server = authority.server("web.example", servers::sends(OK)).await;
    let port = server.address.port();
    assert_eq!(probe(&trusting, server.address, https(port, "web.example")).await.0, L7Ok);
    let by_host = checks::with_http(checks::without_server_name(https(port, "")), |http| {
        http.host = Some(format!("web.example:{port}"));
    });
    assert_eq!(probe(&trusting, server.address, by_host).await.0, L7Ok);
    let any = checks::insecure(checks::without_server_name(https(port, "")));
    assert_eq!(probe(&trusting, server.address, any).await.0, L7Ok);
    let name = || Some("web.example".to_owned());
    assert_eq!(server.names(), [name(), name(), None]);

    let wary = Network::new("1.2.3");
    let (code, detail) = probe(&wary, server.address, https(port, "web.example")).await;
    assert_eq!(code, L6Response, "{detail}");
    let anyone = checks::insecure(https(port, "api.example"));
    assert_eq!(probe(&wary, server.address, anyone).await.0, L7Ok);

    let other = authority.server_of("web.example", &[b"h2"], servers::sends(OK)).await;
    let (code, detail) = probe(&trusting, other.address, https(other.address.port(), "web.example")).await;
    assert_eq!(code, L6Response, "{detail}");
    let (code, detail) = probe(&trusting, other.address, tls(tcp(other.address.port()), "web.example")).await;
    assert_eq!(code, L6Ok, "{detail}");
}

#[tokio::test]
async fn a_probe_leaves_from_its_source_address_and_ends_with_a_reset() {
    let network = Network::new("1.2.3");
    let server = servers::watches().await;
    let check = Arc::new(tcp(server.address.port()));
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let target = Target { address: server.address.ip(), source: Some(source), check: Arc::clone(&check) };
    assert_eq!(network.probe(target).await, Outcome::answer(L4Ok, "connected"));
    let (peer, end) = server.first_end().await;
    assert_eq!(peer.ip(), source);
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset));

    let elsewhere = Some("192.0.2.55".parse().unwrap());
    let target = Target { address: server.address.ip(), source: elsewhere, check };
    let outcome = network.probe(target).await;
    assert!(matches!(outcome, Outcome::NotProbed { .. }), "an address that this node lacks: {outcome:?}");
}

#[tokio::test]
async fn a_probe_that_cannot_be_sent_says_nothing_about_the_backend_nor_the_value_of_a_header() {
    let network = Network::new("1.2.3");
    let server = servers::silent().await;
    let port = server.address.port();
    let secret = checks::with_http(http(port), |http| http.headers = vec![("X-Token".into(), "s3cret\n".into())]);
    let Outcome::NotProbed { detail } = outcome(&network, server.address, secret).await else { panic!("it was sent") };
    assert!(detail.contains("x-token") && !detail.contains("s3cret"), "{detail}");
    let icmp = HealthCheck { probe: maglev::model::config::Probe::Icmp, ..tcp(port) };
    assert!(matches!(outcome(&network, server.address, icmp).await, Outcome::NotProbed { .. }));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_backend_goes_up_and_down_with_its_server() {
    let server = servers::silent().await;
    let brief = Duration::from_millis(100);
    let check =
        HealthCheck { interval: brief, fast_interval: brief, down_interval: brief, ..tcp(server.address.port()) };
    let name = Name::namespaced("shop", "web");
    let backend = Backend {
        name: name.clone(),
        revision: Revision::default(),
        address: server.address.ip(),
        admin_state: maglev::model::config::AdminState::Enabled,
        check: Check::Probe(Arc::new(check)),
    };
    let listed = Listed::when(|_| true).unwrap();
    let mut config = Config::new(listed, Arc::new(NodeConfig::default()));
    config.backends.insert(name.clone(), Arc::new(backend));
    let (config_tx, config_rx) = watch::channel(None);
    let shutdown = CancellationToken::new();
    let options = HealthOptions::new("1.2.3", 7);
    let (mut snapshot_rx, thread) = health::start(options, config_rx, Events::discard(), shutdown.clone()).unwrap();
    config_tx.send_replace(Some(config));
    // A sender that is gone takes nothing back.
    drop(config_tx);

    let mut until = async |state| {
        let reached =
            snapshot_rx.wait_for(|seen| seen.backends.get(&name).is_some_and(|backend| backend.state == state));
        timeout(LIMIT, reached).await.expect("it happens in time").unwrap().backends[&name].clone()
    };
    until(BackendState::Up).await;
    drop(server);
    let down = until(BackendState::Down).await;
    let codes: Vec<_> = down.history.iter().map(|seen| (seen.from, seen.to, seen.code)).collect();
    let expected = [
        (BackendState::Unknown, BackendState::Up, Some(L4Ok)),
        (BackendState::Up, BackendState::Down, Some(L4Connection)),
    ];
    assert_eq!(codes, expected);
    shutdown.cancel();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
}
