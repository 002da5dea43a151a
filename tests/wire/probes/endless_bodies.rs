//! Servers whose responses arrive in pieces or never end.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    http2::talks_http2,
    servers::{self, Server, Stream, Talk, talk},
};

async fn read_request(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

/// Reads a request, sends the pieces with a pause before each, and closes.
pub async fn pieces(pieces: &[&[u8]]) -> Server {
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
    servers::plain(talk(move |mut stream, _| {
        let pieces = pieces.clone();
        async move {
            read_request(&mut stream).await?;
            for piece in pieces {
                tokio::time::sleep(Duration::from_millis(30)).await;
                stream.write_all(&piece).await?;
            }
            stream.shutdown().await
        }
    }))
    .await
}

/// Reads a request, sends `response` and resets the connection some time later.
pub async fn resets_after(response: &[u8]) -> Server {
    let response = response.to_vec();
    servers::serve(move |stream, _| {
        let response = response.clone();
        async move {
            stream.set_zero_linger()?;
            let mut stream: Box<dyn Stream> = Box::new(stream);
            read_request(&mut stream).await?;
            stream.write_all(&response).await
        }
    })
    .await
}

/// Reads a request, sends `response`, and then one byte after the other without end.
pub async fn drips_body(response: &[u8]) -> Server {
    let response = response.to_vec();
    servers::plain(talk(move |mut stream, _| {
        let response = response.clone();
        async move {
            read_request(&mut stream).await?;
            for byte in response.iter().chain(std::iter::repeat(&b'.')) {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        }
    }))
    .await
}

/// Sends `body` over HTTP/2, and neither more nor the end.
pub fn talks_endless_http2(body: &'static [u8]) -> Talk {
    talks_http2(move |_| {
        let frames = stream::iter([Ok(Frame::data(Bytes::from_static(body)))]).chain(stream::pending());
        Some(Response::new(BodyExt::boxed(StreamBody::new(frames))))
    })
}
