//! `connection: Reuse`: which probes share a connection, and that its end is no failure.

use std::{io::ErrorKind::ConnectionReset, net::IpAddr, sync::Arc, time::Duration};

use maglev_health::{KeptConnection, NetworkProber, ProbeOutcome, ProbeTarget, Prober as _};
use maglev_model::{
    config::{ConnectionMode, HealthCheck, HttpMethod},
    health::ProbeCode::{self, *},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    LIMIT,
    checks::{grpc, http, https, reuse, tls, with_body, with_http},
    http2::{health_service, response, talks_http2},
    keep_alive::{
        Reaction::{self, Close, Respond, RespondAndClose, Silence},
        health_service_for_one_request, reacts,
    },
    servers::{self, Authority, Server, Talk},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";
const KEPT: &str = ", on the kept connection";

/// The probes of one backend, one after the other.
struct Probes {
    network: NetworkProber,
    target: ProbeTarget,
    kept: Option<KeptConnection>,
}

impl Probes {
    fn new(network: NetworkProber, server: &Server, check: HealthCheck) -> Self {
        let target = ProbeTarget { address: server.address.ip(), source: None, check: Arc::new(check) };
        Self { network, target, kept: None }
    }

    async fn next(&mut self) -> (ProbeCode, String) {
        let probe = self.network.probe(self.target.clone(), self.kept.take());
        let probed = timeout(LIMIT, probe).await.expect("a probe ends by its timeout");
        self.kept = probed.connection;
        match probed.outcome {
            ProbeOutcome::Completed { code, detail } => (code, detail.into_owned()),
            ProbeOutcome::NotProbed { detail } => panic!("not probed: {detail}"),
        }
    }

    /// Sends `count` probes, which must succeed. Returns the number of those on a kept connection.
    async fn succeed(&mut self, count: usize) -> usize {
        let mut kept = 0;
        for number in 1..=count {
            let (code, detail) = self.next().await;
            assert_eq!(code, L7Ok, "probe {number}: {detail}");
            kept += usize::from(detail.ends_with(KEPT));
        }
        kept
    }
}

fn prober() -> NetworkProber {
    NetworkProber::new("1.2.3")
}

fn always(response: &'static [u8]) -> Talk {
    reacts(move |_| Respond(response))
}

/// Probes a plain HTTP server that reacts to the requests of each connection.
async fn plain(reaction: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> (Server, Probes) {
    let server = servers::plain(reacts(reaction)).await;
    let probes = Probes::new(prober(), &server, reuse(http(server.address.port())));
    (server, probes)
}

#[tokio::test]
async fn every_tenth_probe_opens_a_connection() {
    let authority = Authority::new();
    let h2 = || talks_http2(|_| Some(response(200, &[], &[b'x'; 20_000], &[])));
    let name = "web.example";
    type Change = fn(HealthCheck) -> HealthCheck;
    let same: Change = |check| check;
    let plain_table: [(&str, Talk, Change); 5] = [
        ("a body that is not read", always(OK), same),
        ("chunks", always(CHUNKED), same),
        ("a body that is searched", always(OK), |check| with_body(check, "^ok$")),
        ("chunks that are searched in part", always(CHUNKED), |check| with_body(check, "o")),
        ("HEAD", always(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), |check| {
            with_http(check, |http| http.method = HttpMethod::Head)
        }),
    ];
    let mut cases = vec![];
    for (about, talk, change) in plain_table {
        let server = servers::plain(talk).await;
        cases.push((about, change(http(server.address.port())), server));
    }
    let server = authority.server(name, always(OK)).await;
    cases.push(("HTTPS", https(server.address.port(), name), server));
    let server = authority.server_with_protocols(name, &[b"h2"], h2()).await;
    cases.push(("HTTPS, HTTP/2", https(server.address.port(), name), server));
    let server = authority.server_with_protocols(name, &[b"h2"], h2()).await;
    cases.push(("HTTPS, HTTP/2, a body that is searched", with_body(https(server.address.port(), name), "x$"), server));
    let server = servers::plain(health_service()).await;
    cases.push(("gRPC", grpc(server.address.port(), ""), server));
    let server = authority.server_with_protocols(name, &[b"h2"], health_service()).await;
    cases.push(("gRPC over TLS", tls(grpc(server.address.port(), ""), name), server));
    for (about, check, server) in cases {
        let mut probes = Probes::new(NetworkProber::with_roots("1.2.3", authority.roots()), &server, reuse(check));
        assert_eq!(probes.succeed(25).await, 22, "{about}: all but the 1st, 11th and 21st use a kept connection");
        assert_eq!((server.connections(), server.requests().len()), (3, 25), "{about}");
    }
}

#[tokio::test]
async fn only_the_last_request_of_a_connection_announces_its_end() {
    let (server, mut probes) = plain(|_| Respond(OK)).await;
    probes.succeed(20).await;
    let announces: Vec<_> = server.requests().iter().map(|head| head.contains("Connection: close\r\n")).collect();
    let expected: Vec<_> = (1..=20).map(|number| number % 10 == 0).collect();
    assert_eq!(announces, expected);
    assert!(!server.requests().concat().contains("keep-alive"), "HTTP/1.1 keeps connections by default");
    assert_eq!(server.first_end().await.1, Some(ConnectionReset), "no socket stays in TIME_WAIT");
}

#[tokio::test]
async fn each_probe_opens_a_connection_by_default() {
    let server = servers::plain(always(OK)).await;
    let check = http(server.address.port());
    assert_eq!(check.probe.connection(), Some(ConnectionMode::New));
    let mut probes = Probes::new(prober(), &server, check);
    assert_eq!(probes.succeed(5).await, 0);
    assert_eq!(server.connections(), 5);
    assert!(probes.kept.is_none());
}

#[tokio::test]
async fn connection_is_not_kept_after_a_response_that_does_not_allow_it() {
    let table: [(&str, &[u8]); 7] = [
        ("Connection: close", b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        ("a body up to the end of the connection", b"HTTP/1.1 200 OK\r\n\r\nok"),
        ("more than the response", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n"),
        ("a body that is missing", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"),
        ("trailers", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\n\r\n"),
        ("a body that is too long to be read", b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nok"),
    ];
    for (about, response) in table {
        let (server, mut probes) = plain(move |_| Respond(response)).await;
        assert_eq!(probes.succeed(4).await, 0, "{about}");
        assert_eq!((server.connections(), server.requests().len()), (4, 4), "{about}");
    }
}

#[tokio::test]
async fn connection_that_the_server_closed_is_no_failure() {
    // The server closes after each response, which it does not announce. The end arrives before, with or after the next
    // request.
    for _ in 0..10 {
        let (server, mut probes) = plain(|_| RespondAndClose(OK)).await;
        assert_eq!(probes.succeed(20).await, 0);
        assert_eq!(server.connections(), 20);
    }
    let authority = Authority::new();
    let server = authority.server("web.example", reacts(|_| RespondAndClose(OK))).await;
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let mut probes = Probes::new(network, &server, reuse(https(server.address.port(), "web.example")));
    assert_eq!(probes.succeed(20).await, 0);
    assert_eq!(server.connections(), 20);
    for with_goaway in [true, false] {
        let server = servers::plain(health_service_for_one_request(with_goaway)).await;
        let mut probes = Probes::new(prober(), &server, reuse(grpc(server.address.port(), "")));
        assert_eq!(probes.succeed(20).await, 0, "with GOAWAY: {with_goaway}");
        assert_eq!(server.connections(), 20, "with GOAWAY: {with_goaway}");
    }
}

#[tokio::test]
async fn connection_that_was_reset_is_no_failure() {
    let server = servers::serve(|mut stream, record| async move {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).await?;
        record.add_request(String::from_utf8_lossy(&request[..length]).into_owned());
        stream.write_all(OK).await?;
        // Half of the connections are reset while they are idle, the others by the next request.
        if record.requests() % 2 == 0 {
            stream.read_u8().await?;
        }
        stream.set_zero_linger()
    })
    .await;
    let mut probes = Probes::new(prober(), &server, reuse(http(server.address.port())));
    assert_eq!(probes.succeed(40).await, 0);
    assert_eq!(server.connections(), 40);
}

/// The server closes the kept connection just as the request arrives, or answers it with the error of an idle connection.
#[tokio::test]
async fn failure_on_a_kept_connection_is_repeated_on_a_new_one() {
    let table = [
        Close,
        RespondAndClose(b"HTTP/1.1 200 OK\r\ncont"),
        RespondAndClose(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
        Respond(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        Respond(b"220 mail.example ESMTP\r\n"),
    ];
    for second in table {
        let (server, mut probes) = plain(move |number| if number == 1 { Respond(OK) } else { second }).await;
        assert_eq!(probes.succeed(10).await, 0, "{second:?}: the result is that of a new connection");
        assert_eq!((server.connections(), server.requests().len()), (10, 19), "{second:?}");
    }
    let (server, mut probes) = plain(|number| if number == 1 { Respond(OK) } else { Close }).await;
    probes.target.check = Arc::new(with_body(HealthCheck::clone(&probes.target.check), "^ok$"));
    assert_eq!(probes.succeed(10).await, 0);
    assert_eq!(server.connections(), 10);
}

#[tokio::test]
async fn failure_counts_if_a_new_connection_fails_too() {
    let (server, mut probes) = plain(|number| if number < 3 { Respond(OK) } else { Close }).await;
    assert_eq!(probes.succeed(2).await, 1);
    let address = server.address;
    drop(server);
    // The end of the server resets the kept connection, at once or with the next request.
    assert_eq!(probes.next().await.0, L4Connection, "{address}");
    assert!(probes.kept.is_none());

    let unwell = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let (server, mut probes) = plain(|_| Respond(unwell)).await;
    for connections in 1..=3 {
        let (code, detail) = probes.next().await;
        assert_eq!((code, detail.as_str()), (L7Status, "status 503, expected 200-399"));
        assert_eq!(server.connections(), connections, "no connection is kept after a failure");
    }
}

#[tokio::test]
async fn kept_connection_without_a_response_fails_by_the_timeout_once() {
    let (server, mut probes) = plain(|number| if number == 1 { Respond(OK) } else { Silence }).await;
    let check = HealthCheck::clone(&probes.target.check);
    probes.target.check = Arc::new(HealthCheck { timeout: Duration::from_millis(500), ..check });
    for round in 1..=3 {
        let (code, detail) = probes.next().await;
        assert_eq!((code, detail.as_str()), (L7Ok, "status 200"), "round {round}");
        let (code, detail) = probes.next().await;
        assert_eq!(code, L7Timeout, "{detail}");
        assert!(detail.starts_with("no complete response within 500ms") && detail.ends_with(KEPT), "{detail}");
        assert!(probes.kept.is_none());
        assert_eq!(server.connections(), round, "the probe after a timeout opens a connection");
    }
}

#[tokio::test]
async fn change_of_the_source_address_opens_a_connection() {
    let server = servers::serve(|mut stream, record| async move {
        let peer = stream.peer_addr()?.ip().to_string();
        let mut request = [0; 1024];
        while stream.read(&mut request).await? > 0 {
            record.add_request(peer.clone());
            stream.write_all(OK).await?;
        }
        Ok(())
    })
    .await;
    let mut probes = Probes::new(prober(), &server, reuse(http(server.address.port())));
    let sources: [Option<IpAddr>; 3] = [None, Some([127, 0, 0, 9].into()), Some([127, 0, 0, 8].into())];
    for source in sources {
        probes.target.source = source;
        assert_eq!(probes.succeed(2).await, 1);
    }
    assert_eq!(server.requests(), ["127.0.0.1", "127.0.0.1", "127.0.0.9", "127.0.0.9", "127.0.0.8", "127.0.0.8"]);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn number_of_kept_connections_is_limited() {
    let server = servers::plain(always(OK)).await;
    let check = reuse(http(server.address.port()));
    let mut first = Probes::new(prober().with_kept_connections(1), &server, check.clone());
    first.succeed(1).await;
    assert!(first.kept.is_some());
    let second = first.network.probe(first.target.clone(), None).await;
    assert!(second.connection.is_none(), "the first one is kept");
    first.kept = None;
    let third = first.network.probe(first.target.clone(), None).await;
    assert!(third.connection.is_some());
    let mut none = Probes::new(prober().with_kept_connections(0), &server, check);
    assert_eq!(none.succeed(3).await, 0);
}
