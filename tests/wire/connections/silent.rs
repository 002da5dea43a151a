//! Peers that connect and send nothing, half a header, or too slowly.

use std::time::Duration;

use futures::future::join_all;
use maglev_net::ConnectionLimits;
use maglev_testkit::within;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    client::{PREFACE, closed, connect, drip},
    running::{HIGH, Kind, Running},
};

/// The begin of a TLS handshake: a record of 512 bytes with a ClientHello.
const CLIENT_HELLO: [u8; 22] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn silent_connections_are_closed_while_others_are_served() {
    for kind in Kind::WITH_TLS {
        let server = Running::start(kind, ConnectionLimits { header_timeout: SHORT, ..HIGH }).await;
        let mut silent = join_all((0..50).map(|_| connect(server.address, 2))).await;
        server.serves().await;
        for stream in &mut silent {
            closed(stream).await;
        }
        server.until_counted("closed", "HeaderTimeout", 50).await;
        server.serves().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn header_that_arrives_byte_by_byte_does_not_extend_its_deadline() {
    for kind in Kind::WITH_TLS {
        let server = Running::start(kind, ConnectionLimits { header_timeout: SHORT, ..HIGH }).await;
        let header: &[u8] = match kind {
            Kind::Grpc => &PREFACE[..22],
            Kind::GrpcTls => &CLIENT_HELLO,
            Kind::Metrics | Kind::Dashboard => b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: a",
        };
        drip(connect(server.address, 2).await, header).await;
        server.until_counted("closed", "HeaderTimeout", 1).await;
        server.serves().await;
        server.stop().await;
    }
}

/// A client of HTTP/2 that completes the preface but never sends a request.
#[tokio::test]
async fn preface_without_a_request_is_not_enough() {
    let server = Running::start(Kind::Grpc, ConnectionLimits { header_timeout: SHORT, ..HIGH }).await;
    let mut stream = connect(server.address, 2).await;
    stream.write_all(PREFACE).await.unwrap();
    closed(&mut stream).await;
    server.until_counted("closed", "HeaderTimeout", 1).await;
    server.stop().await;
}

/// The second header has its own deadline, and the time between two requests is longer.
#[tokio::test]
async fn kept_connection_is_closed_when_idle_and_while_it_sends_half_a_header() {
    for kind in [Kind::Metrics, Kind::Dashboard] {
        let limits = ConnectionLimits { header_timeout: SHORT, idle_timeout: SHORT * 5, ..HIGH };
        let server = Running::start(kind, limits).await;
        let mut idle = answered(connect(server.address, 2).await).await;
        let half = answered(connect(server.address, 3).await).await;
        drip(half, b"GET /healthz HTTP/1.1\r\nX").await;
        assert_eq!((server.count("closed", "HeaderTimeout"), server.count("closed", "IdleTimeout")), (1, 0));
        closed(&mut idle).await;
        server.until_counted("closed", "IdleTimeout", 1).await;
        server.stop().await;
    }
}

/// Requests do not keep a connection open beyond its maximum age.
#[tokio::test]
async fn connection_ends_at_its_maximum_age() {
    for kind in Kind::ALL {
        let server = Running::start(kind, ConnectionLimits { max_age: SHORT, age_grace: SHORT, ..HIGH }).await;
        let mut stream = connect(server.address, 2).await;
        if kind == Kind::Grpc {
            stream.write_all(PREFACE).await.unwrap();
        } else {
            stream = answered(stream).await;
        }
        closed(&mut stream).await;
        server.serves().await;
        server.stop().await;
    }
}

/// Sends a request and reads the status line.
async fn answered(mut stream: TcpStream) -> TcpStream {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
    within(stream.readable()).await.unwrap();
    stream
}

#[tokio::test]
async fn one_peer_that_takes_all_connections_does_not_exclude_others() {
    for kind in Kind::WITH_TLS {
        let limits = ConnectionLimits { max_connections: 16, local_reserve: 4, max_per_peer: 8, ..HIGH };
        let server = Running::start(kind, limits).await;
        let silent = join_all((0..100).map(|_| connect(server.address, 2))).await;
        server.until_counted("closed", "Displaced", 92).await;
        server.serves().await;
        // Many peers that take all connections together do not, either.
        let others = join_all((3..43).map(|host| connect(server.address, host))).await;
        server.serves().await;
        drop((silent, others));
        server.stop().await;
    }
}
