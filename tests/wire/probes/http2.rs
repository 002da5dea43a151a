//! Servers of HTTP/2, such as gRPC servers with a health service.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::servers::{Talk, talk};

pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Answers every request with the result of `answer` for its body; for `None` it never answers.
pub fn talks_http2(answer: impl Fn(&[u8]) -> Option<Answer> + Send + Sync + 'static) -> Talk {
    let answer = Arc::new(answer);
    talk(move |stream, record| {
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request: Request<Incoming>| {
            let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
            async move {
                let (head, body) = request.into_parts();
                let mut text = format!("{} {} {:?}\r\n", head.method, head.uri, head.version);
                for (name, value) in &head.headers {
                    text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
                }
                record.add_request(text);
                let body = body.collect().await.unwrap().to_bytes();
                match answer(&body) {
                    Some(response) => Ok::<_, Infallible>(response),
                    None => std::future::pending().await,
                }
            }
        });
        async move {
            let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            served.await.map_err(std::io::Error::other)
        }
    })
}

/// A response with these parts, without trailers if the list is empty.
pub fn response(status: u16, headers: &[(&str, &str)], body: &[u8], trailers: &[(&str, &str)]) -> Answer {
    let mut frames = vec![];
    if !body.is_empty() {
        frames.push(Ok(Frame::data(Bytes::copy_from_slice(body))));
    }
    if !trailers.is_empty() {
        frames.push(Ok(Frame::trailers(map(trailers))));
    }
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(stream::iter(frames))));
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = map(headers);
    response
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let entry = |(name, value): &(&str, &str)| {
        (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    headers.iter().map(entry).collect()
}

/// A gRPC response with a message and the status in the trailers.
pub fn grpc(message: &[u8], status: &str) -> Answer {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    response(200, &[("content-type", "application/grpc")], &frame, &[("grpc-status", status)])
}

/// A gRPC error, with the status in the headers and no body.
pub fn grpc_error(status: &str, message: &str) -> Answer {
    let headers = [("content-type", "application/grpc"), ("grpc-status", status), ("grpc-message", message)];
    response(200, &headers, &[], &[])
}

/// A health service in which the whole server and `shop.v1.Cart` are serving and `shop.v1.Pay` is not.
pub fn health_service() -> Talk {
    let named = |name: &[u8]| {
        let length = u8::try_from(name.len()).unwrap();
        [&[0, 0, 0, 0, length + 2, 0x0a, length], name].concat()
    };
    let (cart, pay) = (named(b"shop.v1.Cart"), named(b"shop.v1.Pay"));
    talks_http2(move |request| {
        Some(match request {
            [0, 0, 0, 0, 0] => grpc(&[8, 1], "0"),
            _ if request == cart => grpc(&[8, 1], "0"),
            _ if request == pay => grpc(&[8, 2], "0"),
            _ => grpc_error("5", "unknown service"),
        })
    })
}
