//! The end of a connection, as the server sees it.

use std::{io::ErrorKind::ConnectionReset, time::Duration};

use maglev_health::NetworkProber;
use maglev_model::health::ProbeCode::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    checks::{http, tcp, tls},
    probe,
    servers::{self, Authority, Server, talk},
};

/// Sends `greeting` after a pause, and reads to the end.
async fn greets(greeting: &[u8], pause: Duration) -> Server {
    let greeting = greeting.to_vec();
    servers::plain(talk(move |mut stream, _| {
        let greeting = greeting.clone();
        async move {
            tokio::time::sleep(pause).await;
            stream.write_all(&greeting).await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
    }))
    .await
}

#[tokio::test]
async fn tcp_check_of_a_server_with_a_greeting_ends_with_fin() {
    let network = NetworkProber::new("1.2.3");
    let large = vec![b'x'; 8000];
    for (greeting, pause) in [(&b"J\0\0\0\x0a8.4.0"[..], 0), (b"220 mail.example ESMTP\r\n", 20), (&large, 0)] {
        let server = greets(greeting, Duration::from_millis(pause)).await;
        let (code, detail) = probe(&network, server.address, tcp(server.address.port())).await;
        assert_eq!((code, detail.as_str()), (L4Ok, "connected"));
        assert_eq!(server.first_end().await.1, None, "a greeting of {} bytes after {pause} ms", greeting.len());
    }
}

#[tokio::test]
async fn tcp_check_of_a_silent_server_ends_with_a_reset() {
    let network = NetworkProber::new("1.2.3");
    let server = servers::reads_to_end().await;
    assert_eq!(probe(&network, server.address, tcp(server.address.port())).await.0, L4Ok);
    assert_eq!(server.first_end().await.1, Some(ConnectionReset));
}

#[tokio::test]
async fn http_check_ends_with_a_reset_and_tls_with_fin() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let answer = || {
        talk(|mut stream, _| async move {
            stream.read_u8().await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            stream.flush().await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        })
    };
    let server = servers::plain(answer()).await;
    assert_eq!(probe(&network, server.address, http(server.address.port())).await.0, L7Ok);
    assert_eq!(server.first_end().await.1, Some(ConnectionReset));

    let read = || talk(|mut stream, _| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) });
    let server = authority.server("web.example", read()).await;
    let check = tls(tcp(server.address.port()), "web.example");
    assert_eq!(probe(&network, server.address, check).await.0, L6Ok);
    assert_eq!(server.first_end().await.1, None);
}
