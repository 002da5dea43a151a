//! Servers that take several requests on one connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use futures::FutureExt as _;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use super::{
    http2::grpc,
    servers::{Stream, Talk, talk},
};

/// The reaction to one request.
#[derive(Clone, Copy, Debug)]
pub enum Reaction {
    Respond(&'static [u8]),
    RespondAndClose(&'static [u8]),
    Close,
    Silence,
}

/// Handler that reacts to each request of a connection. Ends with the error of the connection, if it has one.
pub fn reacts(reaction: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> Talk {
    let reaction = Arc::new(reaction);
    talk(move |mut stream, record| {
        let reaction = Arc::clone(&reaction);
        async move {
            let mut number = 0;
            while let Some(request) = next_request(&mut stream).await? {
                number += 1;
                record.add_request(request);
                match reaction(number) {
                    Reaction::Respond(response) => stream.write_all(response).await?,
                    Reaction::RespondAndClose(response) => {
                        stream.write_all(response).await?;
                        return stream.shutdown().await;
                    }
                    Reaction::Close => return stream.shutdown().await,
                    Reaction::Silence => {
                        return stream.read_to_end(&mut Vec::new()).await.map(drop);
                    }
                }
                stream.flush().await?;
            }
            Ok(())
        }
    })
}

/// The head of the next request; `None` at the end of the connection.
async fn next_request(stream: &mut Box<dyn Stream>) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// A health service that ends each connection after its first response, with GOAWAY or by closing it, and resets the
/// stream of a request that arrives meanwhile.
pub fn health_service_for_one_request(with_goaway: bool) -> Talk {
    talk(move |stream, record| async move {
        let answered = Notify::new();
        let is_first = AtomicBool::new(true);
        let service = service_fn(|request: http::Request<Incoming>| {
            record.add_request(request.uri().to_string());
            answered.notify_one();
            let is_first = is_first.swap(false, Relaxed);
            async move { if is_first { Ok(grpc(&[8, 1], "0")) } else { Err(io::Error::other("the connection ends")) } }
        });
        let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            served = &mut connection => return served.map_err(io::Error::other),
            () = answered.notified() => {}
        }
        if with_goaway {
            connection.as_mut().graceful_shutdown();
            return connection.await.map_err(io::Error::other);
        }
        // Sends the response, then closes.
        for _ in 0..100 {
            if (&mut connection).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}
