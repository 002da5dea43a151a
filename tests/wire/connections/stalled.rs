//! Clients that request large responses and do not read them.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use maglev_net::ConnectionLimits;
use maglev_testkit::within;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinHandle};

use super::{
    client::connect,
    running::{HIGH, Kind, Running},
};

const STALLED: u8 = 20;

/// A client that waits for the response and does not read it.
enum Stalled {
    Http { _stream: TcpStream },
    Grpc { _call: JoinHandle<()> },
}

impl Stalled {
    async fn start(server: &Running, host: u8) -> Self {
        let mut stream = connect(server.address, host).await;
        let path = server.large_path();
        if server.kind == Kind::Grpc {
            return Self::Grpc { _call: tokio::spawn(call(stream, server.address, path)) };
        }
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await.unwrap();
        Self::Http { _stream: stream }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        if let Self::Grpc { _call } = self {
            _call.abort();
        }
    }
}

async fn call(stream: TcpStream, address: SocketAddr, path: &str) {
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    let empty = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
    let request = http::Request::post(format!("http://{address}{path}")).header("te", "trailers");
    let request = request.header("content-type", "application/grpc").body(empty).unwrap();
    let requested = async {
        let _unread = sender.send_request(request).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = requested => {}
        _ = connection => {}
    }
}

#[tokio::test]
async fn clients_that_do_not_read_large_responses_are_disconnected_and_others_are_served() {
    for kind in Kind::ALL {
        let server = Running::start(kind, HIGH).await;
        server.enlarge().await;
        let stalled = join_all((2..2 + STALLED).map(|host| Stalled::start(&server, host))).await;
        within(async { while server.large_response().await.is_none() {} }).await;
        server.until_counted("closed", "WriteTimeout", 4).await;
        drop(stalled);
        server.stop().await;
    }
}

#[tokio::test]
#[ignore = "measures memory; run by make soak"]
async fn soak_memory_of_stalled_large_calls_is_bounded() {
    for kind in Kind::ALL {
        let server = Running::start(kind, ConnectionLimits { write_timeout: Duration::from_secs(30), ..HIGH }).await;
        server.enlarge().await;
        let before = rss_kib();
        let (mut stalled, mut peak) = (Vec::new(), before);
        for host in 2..2 + STALLED {
            // Several calls of each peer.
            for _ in 0..5 {
                stalled.push(Stalled::start(&server, host).await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            peak = peak.max(rss_kib());
        }
        let growth = peak.saturating_sub(before);
        println!("{kind:?}: {} stalled calls, RSS {before} KiB, growth {growth} KiB", stalled.len());
        assert!(growth < 64 << 10, "{kind:?}: {growth} KiB");
        drop(stalled);
        server.stop().await;
    }
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap()
}
