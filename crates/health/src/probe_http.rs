//! The HTTP probe: HTTP/1.1 in plain text or, for HTTPS, over TLS, where the server may choose HTTP/2 (ALPN). Sends one
//! request and evaluates the status and, if `expectedBody` is set, the beginning of the body.
//!
//! Redirects are not followed. No text built here contains the value of a header.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONNECTION, HOST, USER_AGENT},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use regex::bytes::Regex;
use rustls::RootCertStore;

use maglev_model::{
    config::{Http, HttpMethod, StatusRange, Tls},
    health::ProbeCode,
};

use super::{
    connect::connect,
    exchange::{invalid, over_http1, over_http2},
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
    tls::{FaultTrackingStream, HTTP_1, HTTP_2, TlsClient},
};

/// The part of a body, in bytes, in which `expectedBody` is searched.
const BODY_LIMIT: usize = 64 * 1024;

/// A prepared HTTP or HTTPS check.
#[derive(Debug)]
pub struct HttpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    method: Method,
    path: PathAndQuery,
    /// All headers, except `Host` if that is derived from the backend's address.
    headers: HeaderMap,
    expected_statuses: Vec<StatusRange>,
    expected_body: Option<Regex>,
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
        roots: &Arc<RootCertStore>,
        user_agent: &str,
    ) -> Result<Self, String> {
        let name = http.host.as_deref().map(without_port);
        let expected_body = http.expected_body.as_deref().map(Regex::new).transpose();
        Ok(Self {
            port,
            tls: tls.map(|tls| TlsClient::new(tls, name, &[HTTP_2, HTTP_1], roots)).transpose()?,
            method: match http.method {
                HttpMethod::Get => Method::GET,
                HttpMethod::Head => Method::HEAD,
            },
            path: http.path.parse().map_err(|error| format!("path {:?}: {error}", http.path))?,
            headers: headers(http, user_agent)?,
            expected_statuses: http.expected_statuses.clone(),
            expected_body: expected_body.map_err(|error| format!("expectedBody: {error}"))?,
        })
    }

    /// Sends one probe. `Ok` is `L7OK`.
    ///
    /// # Errors
    /// The outcome of a failed probe.
    pub async fn run(&self, target: &ProbeTarget, progress: &ProbeProgress<'_>) -> Result<ProbeOutcome, ProbeOutcome> {
        let stream = connect(target, self.port.get(), progress).await?;
        let evaluate = async |response| self.evaluate(response, progress).await;
        let Some(tls) = &self.tls else {
            // The connection ends with a reset: no socket stays in TIME_WAIT on either side.
            let _ = stream.set_zero_linger();
            progress.enter(ProbeCode::L7Timeout);
            let request = self.request_http1(target.address)?;
            progress.trace(|| self.describe(&request, "HTTP/1.1"));
            return over_http1(stream, request, evaluate).await;
        };
        let stream = tls.handshake(stream, target.address, progress).await?;
        progress.enter(ProbeCode::L7Timeout);
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        let (stream, fault) = FaultTrackingStream::new(stream);
        let result = if is_http2 {
            let request = self.request_http2(target.address)?;
            progress.trace(|| self.describe(&request, "HTTP/2"));
            over_http2(stream, request, evaluate).await
        } else {
            let request = self.request_http1(target.address)?;
            progress.trace(|| self.describe(&request, "HTTP/1.1"));
            over_http1(stream, request, evaluate).await
        };
        fault.attribute(result)
    }

    /// The request in the form of HTTP/1.1: the URI is the path, the header `Host` is set.
    fn request_http1(&self, address: IpAddr) -> Result<Request<Empty<Bytes>>, ProbeOutcome> {
        let mut request = self.request(self.path.clone().into());
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::try_from(self.backend_authority(address)).map_err(invalid_request)?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(request)
    }

    /// The request in the form of HTTP/2: the URI contains the authority, there is no header `Host`.
    fn request_http2(&self, address: IpAddr) -> Result<Request<Empty<Bytes>>, ProbeOutcome> {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = host.map_or_else(|| self.backend_authority(address), str::to_owned);
        let uri = Uri::builder().scheme("https").authority(authority).path_and_query(self.path.clone());
        let mut request = self.request(uri.build().map_err(invalid_request)?);
        request.headers_mut().remove(HOST);
        Ok(request)
    }

    fn request(&self, uri: Uri) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// The backend's address and port as an authority.
    fn backend_authority(&self, address: IpAddr) -> String {
        authority(address, self.port.get(), if self.tls.is_some() { 443 } else { 80 })
    }

    /// The request as text, with the names of the headers only, because the values may be secrets.
    fn describe(&self, request: &Request<Empty<Bytes>>, version: &str) -> String {
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.or_else(|| Some(request.headers().get(HOST)?.to_str().ok()?.to_owned())).unwrap_or_default();
        format!("sent {} {} to host {host} over {version}, with headers {}", self.method, self.path, names.join(", "))
    }

    async fn evaluate(
        &self,
        response: http::Response<Incoming>,
        progress: &ProbeProgress<'_>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        let status = response.status().as_u16();
        progress.trace(|| format!("received status {status} over {:?}", response.version()));
        if !self.expected_statuses.iter().any(|range| (range.from..=range.to).contains(&status)) {
            let expected = ranges(&self.expected_statuses);
            return Err(ProbeOutcome::completed(ProbeCode::L7Status, format!("status {status}, expected {expected}")));
        }
        if let Some(expected) = &self.expected_body {
            let body = beginning(response.into_body()).await?;
            progress.trace(|| format!("read {} bytes of the body", body.len()));
            if !expected.is_match(&body) {
                let detail = format!("status {status}, expectedBody not found in the first {} bytes", body.len());
                return Err(ProbeOutcome::completed(ProbeCode::L7Response, detail));
            }
        }
        Ok(ProbeOutcome::completed(ProbeCode::L7Ok, format!("status {status}")))
    }
}

/// Reads up to the first [`BODY_LIMIT`] bytes.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, ProbeOutcome> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(invalid)?.into_data() {
            let room = BODY_LIMIT - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
            if read.len() == BODY_LIMIT {
                break;
            }
        }
    }
    Ok(read)
}

fn headers(http: &Http, user_agent: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &str| {
        // The error contains only the header's name, because the value may be a secret.
        let value = HeaderValue::from_str(value).map_err(|_| format!("header {name}: the value is not valid"))?;
        headers.insert(name, value);
        Ok::<_, String>(())
    };
    if let Some(host) = &http.host {
        add(HOST, host)?;
    }
    add(USER_AGENT, user_agent)?;
    for (name, value) in &http.headers {
        add(name.parse().map_err(|_| format!("header {name:?}: the name is not valid"))?, value)?;
    }
    Ok(headers)
}

/// `address[:port]` with IPv6 addresses in brackets, the form of `Host` in RFC 9110.
fn authority(address: IpAddr, port: u16, default_port: u16) -> String {
    match address {
        _ if port != default_port => SocketAddr::new(address, port).to_string(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
fn without_port(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

fn ranges(ranges: &[StatusRange]) -> String {
    let text = |range: &StatusRange| {
        if range.from == range.to { range.from.to_string() } else { format!("{}-{}", range.from, range.to) }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The outcome of a request that cannot be built. The checks of the HealthCheck's fields prevent this.
fn invalid_request(error: impl std::fmt::Display) -> ProbeOutcome {
    ProbeOutcome::not_probed(format!("cannot build the request: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_contains_the_address_and_any_other_port_than_the_default() {
        let table = [
            ("192.0.2.1", 80, 80, "192.0.2.1"),
            ("192.0.2.1", 8080, 80, "192.0.2.1:8080"),
            ("2001:db8::1", 443, 443, "[2001:db8::1]"),
            ("2001:db8::1", 80, 443, "[2001:db8::1]:80"),
        ];
        for (address, port, default_port, expected) in table {
            assert_eq!(authority(address.parse().unwrap(), port, default_port), expected);
        }
    }

    #[test]
    fn the_port_of_a_host_is_not_part_of_the_certificates_name() {
        let table = [
            ("web.example", "web.example"),
            ("web.example:8443", "web.example"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ];
        for (host, name) in table {
            assert_eq!(without_port(host), name);
        }
    }
}
