//! gRPC: one call of `grpc.health.v1.Health/Check`, in plain text (HTTP/2 by prior knowledge) or over TLS.
//!
//! The protocol's two messages have one field each, so they are written and read here by hand.

mod message;

use std::{net::SocketAddr, num::NonZeroU16, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::{Authority, PathAndQuery},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::RootCertStore;

use maglev_model::{config::Tls, health::ProbeCode};

use super::{
    connect::connect,
    exchange::{invalid, over_http2},
    prober::{Outcome, Target},
    progress::Progress,
    tls::{HTTP_2, Secured, TlsClient},
};

const PATH: &str = "/grpc.health.v1.Health/Check";
const GRPC: &str = "application/grpc";

/// The most of a response's body that is read: the message has at most a dozen bytes.
const RESPONSE_LIMIT: usize = 4096;

/// A gRPC check, made ready.
#[derive(Debug)]
pub struct GrpcProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    /// The name in the URI; `None` = the backend's address and port.
    authority: Option<Authority>,
    user_agent: HeaderValue,
    service: String,
    message: Bytes,
}

impl GrpcProbe {
    /// Made ready from its HealthCheck.
    ///
    /// # Errors
    /// A sentence for people, where no such probe can be sent.
    pub fn new(
        port: NonZeroU16,
        service: &str,
        tls: Option<&Tls>,
        roots: &Arc<RootCertStore>,
        user_agent: &str,
    ) -> Result<Self, String> {
        let name = tls.and_then(|tls| tls.server_name.as_deref());
        let authority = name.map(|name| format!("{name}:{port}").parse::<Authority>()).transpose();
        Ok(Self {
            port,
            tls: tls.map(|tls| TlsClient::new(tls, None, &[HTTP_2], roots)).transpose()?,
            authority: authority.map_err(|error| format!("serverName: {error}"))?,
            user_agent: HeaderValue::from_str(user_agent).map_err(|error| format!("user agent: {error}"))?,
            service: service.to_owned(),
            message: message::request(service),
        })
    }

    /// Sends one probe: `L7OK`, unless it fails on the way.
    ///
    /// # Errors
    /// How it failed.
    pub async fn run(&self, target: &Target, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
        let stream = connect(target, self.port.get(), progress).await?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let request = self.request(SocketAddr::new(target.address, self.port.get()), scheme);
        let request = request.map_err(|error| Outcome::not_probed(format!("no request can be made: {error}")))?;
        let judge = async |response| judge(response, progress).await;
        let sent = || format!("sent grpc.health.v1.Health/Check for service {:?}, over HTTP/2", self.service);
        match &self.tls {
            None => {
                // Reset when done, not closed: nothing lingers, here or there.
                let _ = stream.set_zero_linger();
                progress.enter(ProbeCode::L7Timeout);
                progress.tell(sent);
                over_http2(stream, request, judge).await
            }
            Some(tls) => {
                let stream = tls.handshake(stream, target.address, progress).await?;
                progress.enter(ProbeCode::L7Timeout);
                progress.tell(sent);
                let (stream, fault) = Secured::new(stream);
                fault.blame(over_http2(stream, request, judge).await)
            }
        }
    }

    fn request(&self, own: SocketAddr, scheme: &str) -> http::Result<Request<Full<Bytes>>> {
        let uri = Uri::builder().scheme(scheme).path_and_query(PathAndQuery::from_static(PATH));
        let uri = match &self.authority {
            Some(authority) => uri.authority(authority.clone()),
            None => uri.authority(own.to_string()),
        };
        Request::post(uri.build()?)
            .header(CONTENT_TYPE, GRPC)
            .header(TE, "trailers")
            .header(USER_AGENT, self.user_agent.clone())
            .body(Full::new(self.message.clone()))
    }
}

async fn judge(response: http::Response<Incoming>, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
    let (head, body) = response.into_parts();
    progress.tell(|| format!("received HTTP status {}", head.status.as_u16()));
    if head.status != StatusCode::OK {
        let detail = format!("HTTP status {}, expected 200", head.status.as_u16());
        return Err(Outcome::answer(ProbeCode::L7Status, detail));
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with(GRPC) {
        return Err(no_grpc(&format!("content-type {content_type:?}")));
    }
    // An error may come as a head alone.
    if let Some(status) = GrpcStatus::of(&head.headers)? {
        status.check()?;
    }
    let (data, trailers) = read(body).await?;
    match GrpcStatus::of(&trailers)? {
        Some(status) => status.check()?,
        None => return Err(no_grpc("no grpc-status at its end")),
    }
    let serving = message::serving_status(&data).map_err(no_grpc)?;
    progress.tell(|| format!("received serving status {}", message::name(serving)));
    let detail = format!("serving status {}", message::name(serving));
    if serving == message::SERVING {
        Ok(Outcome::answer(ProbeCode::L7Ok, detail))
    } else {
        Err(Outcome::answer(ProbeCode::L7Status, format!("{detail}, expected SERVING")))
    }
}

/// The whole body with the trailers behind it.
async fn read(mut body: Incoming) -> Result<(Vec<u8>, HeaderMap), Outcome> {
    let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(invalid)?.into_data() {
            Ok(more) if data.len() + more.len() > RESPONSE_LIMIT => {
                return Err(no_grpc("more than a health response"));
            }
            Ok(more) => data.extend_from_slice(&more),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((data, trailers))
}

/// The status of a gRPC call.
struct GrpcStatus {
    code: u16,
    message: String,
}

impl GrpcStatus {
    /// The status in `headers`, if it is there.
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Outcome> {
        let Some(code) = headers.get("grpc-status") else { return Ok(None) };
        let text = code.to_str().unwrap_or_default();
        let code = text.parse().map_err(|_| no_grpc(&format!("grpc-status {text:?}")))?;
        let message = headers.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default();
        Ok(Some(Self { code, message: message.chars().take(200).collect() }))
    }

    fn check(&self) -> Result<(), Outcome> {
        if self.code == 0 {
            return Ok(());
        }
        let mut detail = format!("gRPC status {}", self.code);
        if let Some(name) = status_name(self.code) {
            detail = format!("{detail} ({name})");
        }
        if !self.message.is_empty() {
            detail = format!("{detail}: {:?}", self.message);
        }
        Err(Outcome::answer(ProbeCode::L7Status, format!("{detail}, expected 0 (OK)")))
    }
}

/// The statuses that servers answer a health check with.
fn status_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "CANCELLED",
        2 => "UNKNOWN",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND: no such service",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        12 => "UNIMPLEMENTED: no health service",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        16 => "UNAUTHENTICATED",
        _ => return None,
    })
}

/// What was received is no answer of the health service.
fn no_grpc(what: &str) -> Outcome {
    Outcome::answer(ProbeCode::L7Response, format!("no valid gRPC health response: {what}"))
}
