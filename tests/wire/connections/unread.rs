//! Peers that do not read.

use std::time::Duration;

use maglev_net::ConnectionLimits;
use tokio::io::AsyncWriteExt as _;

use super::{
    client::{PREFACE, connect, flood},
    running::{HIGH, Kind, Running},
};

/// A PING frame of HTTP/2.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0abcdefgh";

#[tokio::test]
async fn peer_that_does_not_read_is_disconnected() {
    for kind in Kind::ALL {
        let limits = ConnectionLimits { write_timeout: Duration::from_millis(300), ..HIGH };
        let server = Running::start(kind, limits).await;
        let mut stream = connect(server.address, 2).await;
        if kind == Kind::Grpc {
            stream.write_all(PREFACE).await.unwrap();
            flood(stream, &PING.repeat(1000)).await;
        } else {
            flood(stream, &b"GET /view/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(100)).await;
        }
        server.until_counted("closed", "WriteTimeout", 1).await;
        server.serves().await;
        server.stop().await;
    }
}
