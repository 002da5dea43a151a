//! The HTTP probe: HTTP/1.1 in plain text or, for HTTPS, over TLS, where the server may choose HTTP/2 (ALPN). Sends one
//! request and evaluates the status and, if `expectedText` or `expectedBody` is set, the beginning of the body.
//!
//! Redirects are not followed. No text built here contains the value of a header.

use std::num::NonZeroU16;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use maglev_model::{
    config::{Http, StatusRange, Tls},
    health::ProbeCode,
};

use super::{
    connect::{Acknowledgement, connect},
    exchange::Http2,
    expected_body::{ExpectedBody, ResponseBody, SearchResult},
    http_request::{AfterRequest, HttpRequest},
    http1::{self, Http1},
    kept_connection::{ConnectionKeeper, KeptConnection, Session},
    probe_context::ProbeContext,
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
    response::ResponseHead,
    tls::{FaultTrackingStream, HTTP_1, HTTP_2, TlsClient},
};

/// A prepared HTTP or HTTPS check.
#[derive(Debug)]
pub struct HttpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    request: HttpRequest,
    expected_statuses: Vec<StatusRange>,
    expected_body: Option<ExpectedBody>,
    /// `None` if each probe opens a connection.
    keeper: Option<ConnectionKeeper>,
}

impl HttpProbe {
    /// Prepares the probe of a HealthCheck.
    ///
    /// # Errors
    /// Human-readable message if the probe cannot be sent.
    pub fn new(
        port: NonZeroU16,
        http: &Http,
        tls: Option<&Tls>,
        context: &ProbeContext,
        expected_body: Option<ExpectedBody>,
    ) -> Result<Self, String> {
        Ok(Self {
            port,
            tls: tls
                .map(|tls| TlsClient::new(tls, http.host.as_deref(), &[HTTP_2, HTTP_1], &context.roots))
                .transpose()?,
            request: HttpRequest::new(port, http, tls, &context.user_agent)?,
            expected_statuses: http.expected_statuses.clone(),
            expected_body,
            keeper: context.keeper(http.connection),
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
        if let Some(connection) = kept.take() {
            return Box::pin(self.over_kept(connection, target, kept, progress)).await;
        }
        let stream = connect(target, self.port.get(), Acknowledgement::WithData, progress).await?;
        let Some(tls) = &self.tls else {
            // The connection ends with a reset: no socket stays in TIME_WAIT on either side.
            let _ = stream.set_zero_linger();
            progress.enter(ProbeCode::L7Timeout);
            let mut http1 = Http1::new(stream);
            let outcome = self.over_http1(&mut http1, target, self.after_first_request(), progress).await?;
            if let Some(keeper) = &self.keeper {
                *kept = keeper.keep(target, Session::Plain(http1));
            }
            return Ok(outcome);
        };
        // Boxed, so that probes in plain text need little memory.
        Box::pin(self.over_tls(tls, stream, target, kept, progress)).await
    }

    fn after_first_request(&self) -> AfterRequest {
        if self.keeper.is_some() { AfterRequest::Keep } else { AfterRequest::Close }
    }

    async fn over_tls(
        &self,
        tls: &TlsClient,
        stream: TcpStream,
        target: &ProbeTarget,
        kept: &mut Option<KeptConnection>,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        let stream = tls.handshake(stream, target.address, progress).await?;
        progress.enter(ProbeCode::L7Timeout);
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        let (stream, fault) = FaultTrackingStream::new(stream);
        let exchange = async {
            Ok(if is_http2 {
                let mut http2 = Http2::new(stream).await?;
                (self.over_http2(&mut http2, target, progress).await?, Session::Http2(Box::new(http2)))
            } else {
                let mut http1 = Http1::new(stream);
                let outcome = self.over_http1(&mut http1, target, self.after_first_request(), progress).await?;
                (outcome, Session::Tls(Box::new(http1)))
            })
        };
        let (outcome, session) = exchange.await.map_err(|failure| fault.attribute(failure))?;
        if let Some(keeper) = &self.keeper {
            *kept = keeper.keep(target, session);
        }
        Ok(outcome)
    }

    async fn over_kept(
        &self,
        mut connection: KeptConnection,
        target: &ProbeTarget,
        kept: &mut Option<KeptConnection>,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        progress.enter(ProbeCode::L7Timeout);
        let after = if connection.is_last_use() { AfterRequest::Close } else { AfterRequest::Keep };
        let outcome = match connection.session() {
            Session::Plain(http1) => self.over_http1(http1, target, after, progress).await?,
            Session::Tls(http1) => self.over_http1(&mut **http1, target, after, progress).await?,
            Session::Http2(http2) => self.over_http2(http2, target, progress).await?,
        };
        *kept = connection.after_probe();
        Ok(outcome)
    }

    async fn over_http1<S>(
        &self,
        connection: &mut Http1<S>,
        target: &ProbeTarget,
        after: AfterRequest,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        progress.trace(|| self.request.describe(target.address, "HTTP/1.1", after));
        let request = self.request.http1(target.address, after);
        let head = connection.exchange(&request, self.request.is_head()).await?;
        self.evaluate(&head, connection, progress).await
    }

    async fn over_http2(
        &self,
        connection: &mut Http2,
        target: &ProbeTarget,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        progress.trace(|| self.request.describe(target.address, "HTTP/2", AfterRequest::Keep));
        let request = self.request.http2(target.address)?;
        let evaluate = async |response: http::Response<_>| {
            let (head, mut body) = response.into_parts();
            self.evaluate(&ResponseHead::from_http2(&head), &mut body, progress).await
        };
        connection.exchange(request, evaluate).await
    }

    async fn evaluate(
        &self,
        head: &ResponseHead,
        body: &mut impl ResponseBody,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        let status = head.status;
        progress.trace(|| format!("received status {status} over {}", head.version));
        if !self.expected_statuses.iter().any(|range| (range.from..=range.to).contains(&status)) {
            let expected = ranges(&self.expected_statuses);
            return Err(ProbeOutcome::completed(ProbeCode::L7Status, format!("status {status}, expected {expected}")));
        }
        if let Some(expected) = &self.expected_body {
            match Box::pin(expected.search(body, progress)).await {
                SearchResult::Found(length) => progress.trace(|| format!("read {length} bytes of the body")),
                SearchResult::NotFound(length) => {
                    progress.trace(|| format!("read {length} bytes of the body"));
                    return Err(not_found(head, expected, length));
                }
                SearchResult::Incomplete(reason) => return Err(http1::invalid(&reason)),
                SearchResult::NotSearched(reason) => {
                    return Err(ProbeOutcome::not_probed(format!("cannot search the body: {reason}")));
                }
            }
        }
        Ok(ProbeOutcome::completed(ProbeCode::L7Ok, format!("status {status}")))
    }
}

/// The outcome of a body of `length` bytes without the expected part.
fn not_found(head: &ResponseHead, expected: &ExpectedBody, length: usize) -> ProbeOutcome {
    let mut detail = format!("status {}, {} not found in the first {length} bytes", head.status, expected.field());
    if length == expected.limit() {
        detail += ", which is the part that is searched";
    }
    if let Some(compression) = head.compression() {
        detail = format!(
            "{detail}: the body is compressed (Content-Encoding: {compression:.32}), and probes do not decompress it"
        );
    }
    ProbeOutcome::completed(ProbeCode::L7Response, detail)
}

fn ranges(ranges: &[StatusRange]) -> String {
    let text = |range: &StatusRange| {
        if range.from == range.to { range.from.to_string() } else { format!("{}-{}", range.from, range.to) }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}
