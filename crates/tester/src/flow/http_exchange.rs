//! One HTTP/1.1 request on one connection. The request does not ask the server to close: the client ends the connection
//! with a reset. Redirects are not followed.

use std::pin::pin;

use http::{
    HeaderMap, Request, StatusCode,
    header::{HOST, USER_AGENT},
};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use maglev_net::error_chain;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, Failure, FlowClient, Limit, SEARCHED, Target, unclosed::Unclosed};

/// Bytes of a body after which an answer counts as complete.
const LARGEST_BODY: usize = 1 << 20;

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    /// The beginning of the body.
    body: Vec<u8>,
}

/// Sends the request and reads the complete response. An HTTP status from 400 is an error of the answer.
pub async fn exchange<S>(client: &FlowClient, target: &Target, stream: S, limit: Limit) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let response = limit.phase("no complete answer", response(client, target, stream)).await?;
    let Response { status, headers, body } =
        response.map_err(|error| Failure::Failed(format!("no complete answer: {}", error_chain(&error))))?;
    let backend = client.matcher.in_response(&headers, &body);
    let error = (status.as_u16() >= 400).then(|| format!("status {}", status.as_u16()));
    Ok(Answer { backend, error })
}

async fn response<S>(client: &FlowClient, target: &Target, stream: S) -> hyper::Result<Response>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(Unclosed(stream))).await?;
    let (mut exchange, connection) = (pin!(send(sender, request(client, target))), pin!(connection));
    tokio::select! {
        biased;
        response = &mut exchange => response,
        // The server has closed; the response may have been received before.
        _ = connection => exchange.await,
    }
}

fn request(client: &FlowClient, target: &Target) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = target.vip.path.parse().expect("the path of a VIP has been parsed");
    request.headers_mut().insert(HOST, target.host.clone());
    request.headers_mut().insert(USER_AGENT, client.user_agent.clone());
    request
}

async fn send(mut sender: SendRequest<Empty<Bytes>>, request: Request<Empty<Bytes>>) -> hyper::Result<Response> {
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = beginning(body).await?;
    Ok(Response { status: head.status, headers: head.headers, body })
}

/// Reads the body and returns its beginning.
async fn beginning(mut body: Incoming) -> hyper::Result<Vec<u8>> {
    let (mut start, mut length) = (Vec::new(), 0);
    while length < LARGEST_BODY
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            length += data.len();
            let missing = SEARCHED.saturating_sub(start.len());
            start.extend_from_slice(&data[..data.len().min(missing)]);
        }
    }
    Ok(start)
}
