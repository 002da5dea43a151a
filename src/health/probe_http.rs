//! HTTP/1.1, over TLS for HTTPS: one request, then the status and perhaps the first of the body.
//!
//! Redirects are not followed; the body is not read unless something is expected of it. No sentence
//! made here holds a header's value.

use std::{
    convert::Infallible,
    error::Error,
    fmt::Write as _,
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
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use regex::bytes::Regex;
use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::{
    config::{Http, HttpMethod, StatusRange, Tls},
    health::ProbeCode,
};

use super::{
    connect::connect,
    network::Stage,
    prober::{Outcome, Target},
    tls::TlsClient,
};

/// How much of a body `expectedBody` looks at.
const BODY_LIMIT: usize = 64 * 1024;

/// An HTTP or HTTPS check, made ready.
#[derive(Debug)]
pub(super) struct HttpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    method: Method,
    uri: Uri,
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
    pub(super) fn new(
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
            tls: tls.map(|tls| TlsClient::new(tls, name, &[b"http/1.1"], roots)).transpose()?,
            method: match http.method {
                HttpMethod::Get => Method::GET,
                HttpMethod::Head => Method::HEAD,
            },
            uri: http.path.parse::<PathAndQuery>().map_err(|error| format!("path {:?}: {error}", http.path))?.into(),
            headers: headers(http, user_agent)?,
            expected_statuses: http.expected_statuses.clone(),
            expected_body: expected_body.map_err(|error| format!("expectedBody: {error}"))?,
        })
    }

    /// Sends one probe: `L7OK`, unless it fails on the way.
    ///
    /// # Errors
    /// How it failed.
    pub(super) async fn run(&self, target: &Target, stage: &Stage) -> Result<Outcome, Outcome> {
        let request = self.request(target.address);
        let stream = connect(target, self.port.get()).await?;
        match &self.tls {
            None => {
                // Reset when done, not closed: nothing lingers, here or there.
                let _ = stream.set_zero_linger();
                stage.enter(ProbeCode::L7Timeout);
                self.exchange(stream, request).await
            }
            Some(tls) => {
                let stream = tls.handshake(stream, target.address, stage).await?;
                stage.enter(ProbeCode::L7Timeout);
                self.exchange(stream, request).await
            }
        }
    }

    fn request(&self, address: IpAddr) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if !request.headers().contains_key(HOST) {
            let default_port = if self.tls.is_some() { 443 } else { 80 };
            let host = authority(address, self.port.get(), default_port);
            let host = HeaderValue::try_from(host).expect("an address and a port are visible ASCII");
            request.headers_mut().insert(HOST, host);
        }
        request
    }

    async fn exchange<S>(&self, stream: S, request: Request<Empty<Bytes>>) -> Result<Outcome, Outcome>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(invalid)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(invalid)?;
            self.judge(response).await
        };
        // The connection only has to be driven: whatever ends it, the answer tells.
        let drive = async {
            let _ = connection.await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            never = drive => match never {},
        }
    }

    async fn judge(&self, response: http::Response<Incoming>) -> Result<Outcome, Outcome> {
        let status = response.status().as_u16();
        if !self.expected_statuses.iter().any(|range| (range.from..=range.to).contains(&status)) {
            let expected = ranges(&self.expected_statuses);
            return Err(Outcome::answer(ProbeCode::L7Status, format!("status {status}, expected {expected}")));
        }
        if let Some(expected) = &self.expected_body {
            let body = beginning(response.into_body()).await?;
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
    add(CONNECTION, "close")?;
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

/// What was received is no HTTP response.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn invalid(error: hyper::Error) -> Outcome {
    let mut detail = format!("no valid HTTP response: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(detail, ": {error}");
        source = error.source();
    }
    Outcome::answer(ProbeCode::L7Response, detail)
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
