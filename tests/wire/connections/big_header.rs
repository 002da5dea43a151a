//! Headers beyond the limit.

use maglev_testkit::within;
use tokio::io::AsyncWriteExt as _;

use super::{
    client::{closed, connect},
    running::{HIGH, Kind, Running},
};

const KILOBYTES: usize = 400;

#[tokio::test]
async fn header_of_400_kilobytes_is_refused() {
    for kind in [Kind::Metrics, Kind::Dashboard] {
        let server = Running::start(kind, HIGH).await;
        let mut stream = connect(server.address, 2).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ").await.unwrap();
        let mut written = 0;
        while written < KILOBYTES && within(stream.write_all(&[b'a'; 1000])).await.is_ok() {
            written += 1;
        }
        let answer = String::from_utf8(closed(&mut stream).await).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{kind:?} {answer}");
        server.serves().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn metadata_of_400_kilobytes_is_refused_by_grpc() {
    let server = Running::start(Kind::Grpc, HIGH).await;
    let request = http::Request::post(format!("http://{}/", server.address));
    let request = request
        .header("x-big", "a".repeat(KILOBYTES * 1000))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let io = hyper_util::rt::TokioIo::new(connect(server.address, 2).await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = within(hyper::client::conn::http2::handshake(executor, io)).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = within(sender.send_request(request)).await;
    assert!(answer.as_ref().is_ok_and(|answer| answer.status() == 431) || answer.is_err(), "{answer:?}");
    server.serves().await;
    server.stop().await;
    connection.abort();
}
