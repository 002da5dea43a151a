//! The gRPC probe: one call of `grpc.health.v1.Health/Check`, in plain text (HTTP/2 with prior knowledge) or over TLS.

pub mod message;

use std::{net::SocketAddr, num::NonZeroU16};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::{Authority, PathAndQuery},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};

use maglev_model::{
    config::{ConnectionMode, Tls},
    health::ProbeCode,
};

use super::{
    connect::{Acknowledgement, connect},
    exchange::{Http2, invalid},
    http_request::with_port,
    kept_connection::{ConnectionKeeper, KeptConnection, Session},
    probe_context::ProbeContext,
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
    tls::{FaultTrackingStream, HTTP_2, TlsClient},
};

const PATH: &str = "/grpc.health.v1.Health/Check";
const GRPC: &str = "application/grpc";

/// The maximum size of a response's body; the expected message has about a dozen bytes.
const RESPONSE_LIMIT: usize = 4096;

/// A prepared gRPC check.
#[derive(Debug)]
pub struct GrpcProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    /// The authority of the URI; `None` for the backend's address and port.
    authority: Option<Authority>,
    user_agent: HeaderValue,
    service: String,
    message: Bytes,
    /// `None` if each probe opens a connection.
    keeper: Option<ConnectionKeeper>,
}

impl GrpcProbe {
    /// Prepares the probe of a HealthCheck.
    ///
    /// # Errors
    /// Human-readable message if the probe cannot be sent.
    pub fn new(
        port: NonZeroU16,
        service: &str,
        connection: ConnectionMode,
        tls: Option<&Tls>,
        context: &ProbeContext,
    ) -> Result<Self, String> {
        let name = tls.and_then(|tls| tls.server_name.as_deref());
        let authority = name.map(|name| with_port(name, port.get(), 0).parse::<Authority>()).transpose();
        Ok(Self {
            port,
            tls: tls.map(|tls| TlsClient::new(tls, None, &[HTTP_2], &context.roots)).transpose()?,
            authority: authority.map_err(|error| format!("serverName: {error}"))?,
            user_agent: HeaderValue::from_str(&context.user_agent).map_err(|error| format!("user agent: {error}"))?,
            service: service.to_owned(),
            message: message::request(service),
            keeper: context.keeper(connection),
        })
    }

    /// Sends one probe, over `kept` if that has a connection. Leaves the connection there if the next probe can use it.
    /// `Ok` is `L7OK`.
    ///
    /// # Errors
    /// The outcome of a failed probe.
    pub async fn run(
        &self,
        target: &ProbeTarget,
        kept: &mut Option<KeptConnection>,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        if let Some(mut connection) = kept.take()
            && let Session::Http2(http2) = connection.session()
        {
            progress.enter(ProbeCode::L7Timeout);
            let outcome = self.exchange(http2, target, progress).await?;
            *kept = connection.after_probe();
            return Ok(outcome);
        }
        let stream = connect(target, self.port.get(), Acknowledgement::WithData, progress).await?;
        let (outcome, http2) = match &self.tls {
            None => {
                // The connection ends with a reset: no socket stays in TIME_WAIT on either side.
                let _ = stream.set_zero_linger();
                progress.enter(ProbeCode::L7Timeout);
                self.over_new(stream, target, progress).await?
            }
            Some(tls) => {
                let stream = tls.handshake(stream, target.address, progress).await?;
                progress.enter(ProbeCode::L7Timeout);
                let (stream, fault) = FaultTrackingStream::new(stream);
                let result = self.over_new(stream, target, progress).await;
                result.map_err(|failure| fault.attribute(failure))?
            }
        };
        if let Some(keeper) = &self.keeper {
            *kept = keeper.keep(target, Session::Http2(Box::new(http2)));
        }
        Ok(outcome)
    }

    async fn over_new<S>(
        &self,
        stream: S,
        target: &ProbeTarget,
        progress: &ProbeProgress<'_>,
    ) -> Result<(ProbeOutcome, Http2), ProbeOutcome>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut http2 = Http2::new(stream).await?;
        let outcome = self.exchange(&mut http2, target, progress).await?;
        Ok((outcome, http2))
    }

    async fn exchange(
        &self,
        http2: &mut Http2,
        target: &ProbeTarget,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let request = self.request(SocketAddr::new(target.address, self.port.get()), scheme);
        let request =
            request.map_err(|error| ProbeOutcome::not_probed(format!("cannot build the request: {error}")))?;
        progress.trace(|| format!("sent grpc.health.v1.Health/Check for service {:?}, over HTTP/2", self.service));
        http2.exchange(request, async |response| evaluate(response, progress).await).await
    }

    fn request(&self, backend: SocketAddr, scheme: &str) -> http::Result<Request<Full<Bytes>>> {
        let uri = Uri::builder().scheme(scheme).path_and_query(PathAndQuery::from_static(PATH));
        let uri = match &self.authority {
            Some(authority) => uri.authority(authority.clone()),
            None => uri.authority(backend.to_string()),
        };
        Request::post(uri.build()?)
            .header(CONTENT_TYPE, GRPC)
            .header(TE, "trailers")
            .header(USER_AGENT, self.user_agent.clone())
            .body(Full::new(self.message.clone()))
    }
}

async fn evaluate(
    response: http::Response<Incoming>,
    progress: &ProbeProgress<'_>,
) -> Result<ProbeOutcome, ProbeOutcome> {
    let (head, body) = response.into_parts();
    progress.trace(|| format!("received HTTP status {}", head.status.as_u16()));
    if head.status != StatusCode::OK {
        let detail = format!("HTTP status {}, expected 200", head.status.as_u16());
        return Err(ProbeOutcome::completed(ProbeCode::L7Status, detail));
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with(GRPC) {
        return Err(invalid_response(&format!("content-type {content_type:?}")));
    }
    // An error may arrive as headers without a body.
    if let Some(status) = GrpcStatus::from_headers(&head.headers)? {
        status.check()?;
    }
    let (data, trailers) = read(body).await?;
    match GrpcStatus::from_headers(&trailers)? {
        Some(status) => status.check()?,
        None => return Err(invalid_response("no grpc-status in the trailers")),
    }
    let serving = message::serving_status(&data).map_err(invalid_response)?;
    progress.trace(|| format!("received serving status {}", message::name(serving)));
    let detail = format!("serving status {}", message::name(serving));
    if serving == message::SERVING {
        Ok(ProbeOutcome::completed(ProbeCode::L7Ok, detail))
    } else {
        Err(ProbeOutcome::completed(ProbeCode::L7Status, format!("{detail}, expected SERVING")))
    }
}

/// Reads the whole body and the trailers.
async fn read(mut body: Incoming) -> Result<(Vec<u8>, HeaderMap), ProbeOutcome> {
    let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(invalid)?.into_data() {
            Ok(more) if data.len() + more.len() > RESPONSE_LIMIT => {
                return Err(invalid_response("the body is larger than a health response"));
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
    fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, ProbeOutcome> {
        let Some(code) = headers.get("grpc-status") else { return Ok(None) };
        let text = code.to_str().unwrap_or_default();
        let code = text.parse().map_err(|_| invalid_response(&format!("grpc-status {text:?}")))?;
        let message = headers.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default();
        Ok(Some(Self { code, message: message.chars().take(200).collect() }))
    }

    fn check(&self) -> Result<(), ProbeOutcome> {
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
        Err(ProbeOutcome::completed(ProbeCode::L7Status, format!("{detail}, expected 0 (OK)")))
    }
}

/// The names of the statuses that health services usually return.
fn status_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "CANCELLED",
        2 => "UNKNOWN",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND: unknown service",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        12 => "UNIMPLEMENTED: no health service",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        16 => "UNAUTHENTICATED",
        _ => return None,
    })
}

/// The outcome of a response that is not from the health service.
fn invalid_response(fault: &str) -> ProbeOutcome {
    ProbeOutcome::completed(ProbeCode::L7Response, format!("no valid gRPC health response: {fault}"))
}
