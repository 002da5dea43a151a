//! HTTP/1.1 in plain text; over TLS for HTTPS, and there HTTP/2 where the server prefers it (ALPN). One
//! request, then the status and perhaps the first of the body.
//!
//! Redirects are not followed; the body is not read unless something is expected of it. No sentence
//! made here holds a header's value.

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
    prober::{Outcome, Target},
    progress::Progress,
    tls::{HTTP_1, HTTP_2, Secured, TlsClient},
};

/// How much of a body `expectedBody` looks at.
const BODY_LIMIT: usize = 64 * 1024;

/// An HTTP or HTTPS check, made ready.
#[derive(Debug)]
pub struct HttpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    method: Method,
    path: PathAndQuery,
    /// All but `Host` where that follows from the backend's address.
    headers: HeaderMap,
    expected_statuses: Vec<StatusRange>,
    expected_body: Option<Regex>,
}

impl HttpProbe {
    /// Made ready from its HealthCheck.
    ///
    /// # Errors
    /// A sentence for people, where no such probe can be sent.
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

    /// Sends one probe: `L7OK`, unless it fails on the way.
    ///
    /// # Errors
    /// How it failed.
    pub async fn run(&self, target: &Target, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
        let stream = connect(target, self.port.get(), progress).await?;
        let judge = async |response| self.judge(response, progress).await;
        let Some(tls) = &self.tls else {
            // Reset when done, not closed: nothing lingers, here or there.
            let _ = stream.set_zero_linger();
            progress.enter(ProbeCode::L7Timeout);
            let request = self.request_http1(target.address)?;
            progress.tell(|| self.describe(&request, "HTTP/1.1"));
            return over_http1(stream, request, judge).await;
        };
        let stream = tls.handshake(stream, target.address, progress).await?;
        progress.enter(ProbeCode::L7Timeout);
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        let (stream, fault) = Secured::new(stream);
        let ended = if is_http2 {
            let request = self.request_http2(target.address)?;
            progress.tell(|| self.describe(&request, "HTTP/2"));
            over_http2(stream, request, judge).await
        } else {
            let request = self.request_http1(target.address)?;
            progress.tell(|| self.describe(&request, "HTTP/1.1"));
            over_http1(stream, request, judge).await
        };
        fault.blame(ended)
    }

    /// As HTTP/1.1 has it: the path, and who is meant in `Host`.
    fn request_http1(&self, address: IpAddr) -> Result<Request<Empty<Bytes>>, Outcome> {
        let mut request = self.request(self.path.clone().into());
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::try_from(self.own_authority(address)).map_err(impossible)?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(request)
    }

    /// As HTTP/2 has it: who is meant is part of the URI.
    fn request_http2(&self, address: IpAddr) -> Result<Request<Empty<Bytes>>, Outcome> {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = host.map_or_else(|| self.own_authority(address), str::to_owned);
        let uri = Uri::builder().scheme("https").authority(authority).path_and_query(self.path.clone());
        let mut request = self.request(uri.build().map_err(impossible)?);
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
    fn own_authority(&self, address: IpAddr) -> String {
        authority(address, self.port.get(), if self.tls.is_some() { 443 } else { 80 })
    }

    /// The request in words; of the headers only the names, for the values may be secrets.
    fn describe(&self, request: &Request<Empty<Bytes>>, version: &str) -> String {
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.or_else(|| Some(request.headers().get(HOST)?.to_str().ok()?.to_owned())).unwrap_or_default();
        format!("sent {} {} to host {host} over {version}, with headers {}", self.method, self.path, names.join(", "))
    }

    async fn judge(&self, response: http::Response<Incoming>, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
        let status = response.status().as_u16();
        progress.tell(|| format!("received status {status} over {:?}", response.version()));
        if !self.expected_statuses.iter().any(|range| (range.from..=range.to).contains(&status)) {
            let expected = ranges(&self.expected_statuses);
            return Err(Outcome::answer(ProbeCode::L7Status, format!("status {status}, expected {expected}")));
        }
        if let Some(expected) = &self.expected_body {
            let body = beginning(response.into_body()).await?;
            progress.tell(|| format!("read {} bytes of the body", body.len()));
            if !expected.is_match(&body) {
                let detail = format!("status {status}, expectedBody not found in the first {} bytes", body.len());
                return Err(Outcome::answer(ProbeCode::L7Response, detail));
            }
        }
        Ok(Outcome::answer(ProbeCode::L7Ok, format!("status {status}")))
    }
}

/// Reads the first [`BODY_LIMIT`] bytes, or all if there are fewer.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, Outcome> {
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
        // The error names the header alone: its value may be a secret.
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

/// `address[:port]` with IPv6 in brackets, as RFC 9110 wants it in `Host`.
fn authority(address: IpAddr, port: u16, default_port: u16) -> String {
    match address {
        _ if port != default_port => SocketAddr::new(address, port).to_string(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The host of `host[:port]`, brackets of an IPv6 address removed.
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

/// It cannot be put into a request; what was read from the HealthCheck is checked so far that this
/// does not happen.
fn impossible(error: impl std::fmt::Display) -> Outcome {
    Outcome::not_probed(format!("no request can be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_names_the_address_and_a_port_that_is_not_the_default() {
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
    fn a_hosts_port_is_no_part_of_the_name_in_a_certificate() {
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
