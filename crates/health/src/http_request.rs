//! The request of an HTTP probe, prepared once per HealthCheck for HTTP/1.1 and HTTP/2.
//!
//! No text built here contains the value of a header, which may be a secret.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header::USER_AGENT, uri::PathAndQuery};
use http_body_util::Full;

use maglev_model::config::{Http, HttpMethod, Tls};

use super::prober::ProbeOutcome;

#[derive(Debug)]
pub struct HttpRequest {
    method: Method,
    path: PathAndQuery,
    port: NonZeroU16,
    default_port: u16,
    /// The value of `Host` or `:authority`; `None` for the backend's address and port.
    host: Option<String>,
    /// The names and values of all headers except `Host` and `Connection`, in the form of HTTP/1.1.
    headers: Vec<(String, HeaderValue)>,
    /// The head in the form of HTTP/1.1, before and after the value of `Host`. The end lacks its empty line.
    start: Vec<u8>,
    end: Vec<u8>,
}

/// The use of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRequest {
    Close,
    /// Another request may follow.
    Keep,
}

impl AfterRequest {
    /// The end of a head in the form of HTTP/1.1, where connections are kept by default.
    fn http1(self) -> &'static [u8] {
        match self {
            Self::Close => b"Connection: close\r\n\r\n",
            Self::Keep => b"\r\n",
        }
    }
}

impl HttpRequest {
    /// Prepares the request of a HealthCheck.
    ///
    /// # Errors
    /// Human-readable message if the request cannot be sent.
    pub fn new(port: NonZeroU16, http: &Http, tls: Option<&Tls>, user_agent: &str) -> Result<Self, String> {
        let method = match http.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
        };
        let path: PathAndQuery = http.path.parse().map_err(|error| format!("path {:?}: {error}", http.path))?;
        let default_port = if tls.is_some() { 443 } else { 80 };
        let server_name = tls.and_then(|tls| tls.server_name.as_deref());
        let host = match &http.host {
            Some(host) => Some(with_brackets(host).into_owned()),
            None => server_name.map(|name| with_port(name, port.get(), default_port)),
        };
        let is_sendable = host.as_deref().is_none_or(|host| HeaderValue::from_str(host).is_ok());
        if !is_sendable {
            return Err("host: the value is not valid".to_owned());
        }
        let headers = headers(http, user_agent)?;
        let start = format!("{method} {path} HTTP/1.1\r\nHost: ").into_bytes();
        let mut end = b"\r\n".to_vec();
        for (name, value) in &headers {
            end.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        Ok(Self { method, path, port, default_port, host, headers, start, end })
    }

    /// True for a request whose response has no body.
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    fn host(&self, address: IpAddr) -> Cow<'_, str> {
        match &self.host {
            Some(host) => host.into(),
            None => authority(address, self.port.get(), self.default_port).into(),
        }
    }

    /// The request in the form of HTTP/1.1.
    pub fn http1(&self, address: IpAddr, after: AfterRequest) -> Vec<u8> {
        let (host, after) = (self.host(address), after.http1());
        let mut request = Vec::with_capacity(self.start.len() + host.len() + self.end.len() + after.len());
        request.extend_from_slice(&self.start);
        request.extend_from_slice(host.as_bytes());
        request.extend_from_slice(&self.end);
        request.extend_from_slice(after);
        request
    }

    /// The request in the form of HTTP/2: the URI contains the authority, there is no header `Host`.
    ///
    /// # Errors
    /// `NotProbed` if the authority is not valid in a URI.
    pub fn http2(&self, address: IpAddr) -> Result<Request<Full<Bytes>>, ProbeOutcome> {
        let uri = Uri::builder().scheme("https").authority(&*self.host(address)).path_and_query(self.path.clone());
        let invalid = |error| ProbeOutcome::not_probed(format!("cannot build the request: {error}"));
        let mut request = Request::new(Full::default());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.build().map_err(invalid)?;
        let headers = self.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
        *request.headers_mut() = headers.collect::<HeaderMap>();
        Ok(request)
    }

    /// The request as text, with the names of the headers only.
    pub fn describe(&self, address: IpAddr, version: &str, after: AfterRequest) -> String {
        let mut names = vec!["Host"];
        names.extend(self.headers.iter().map(|(name, _)| name.as_str()));
        if after == AfterRequest::Close {
            names.push("Connection");
        }
        let (host, names) = (self.host(address), names.join(", "));
        format!("sent {} {} to host {host} over {version}, with headers {names}", self.method, self.path)
    }
}

/// The headers except `Host` and `Connection`; a later one replaces an earlier one of the same name.
fn headers(http: &Http, user_agent: &str) -> Result<Vec<(String, HeaderValue)>, String> {
    let mut headers: Vec<(String, HeaderValue)> = Vec::with_capacity(http.headers.len() + 1);
    let given = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in std::iter::once((USER_AGENT.as_str(), user_agent)).chain(given) {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header {name:?}: the name is not valid"))?;
        let value = HeaderValue::from_str(value).map_err(|_| format!("header {name}: the value is not valid"))?;
        headers.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(name));
        headers.push((spelled_for_http1(name), value));
    }
    Ok(headers)
}

/// The name as written; a name in lower case is written in title case, since some servers compare names with case.
fn spelled_for_http1(name: &str) -> String {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return name.to_owned();
    }
    let mut is_start = true;
    name.chars()
        .map(|letter| {
            let spelled = if is_start { letter.to_ascii_uppercase() } else { letter };
            is_start = letter == '-';
            spelled
        })
        .collect()
}

/// `address[:port]` with IPv6 addresses in brackets, the form of `Host` in RFC 9110.
fn authority(address: IpAddr, port: u16, default_port: u16) -> String {
    match address {
        _ if port != default_port => SocketAddr::new(address, port).to_string(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `name[:port]`, with the port of the probe if `name` has none and the port is not the default.
pub fn with_port(name: &str, port: u16, default_port: u16) -> String {
    let name = with_brackets(name);
    let has_port = name.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port || port == default_port { name.into_owned() } else { format!("{name}:{port}") }
}

/// An IPv6 address in brackets; other texts as they are.
fn with_brackets(host: &str) -> Cow<'_, str> {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]").into() } else { host.into() }
}

/// The host of `host[:port]`, without the brackets of an IPv6 address and without a final dot.
pub fn without_port(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    let name = match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
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
            assert_eq!(with_port(address, port, default_port), expected);
        }
        assert_eq!(with_port("web.example:1", 8443, 443), "web.example:1");
        assert_eq!(with_port("[2001:db8::1]:1", 8443, 443), "[2001:db8::1]:1");
        assert_eq!(with_port("web.example.", 8443, 443), "web.example.:8443");
    }

    #[test]
    fn the_port_of_a_host_is_not_part_of_the_certificates_name() {
        let table = [
            ("web.example", "web.example"),
            ("web.example:8443", "web.example"),
            ("web.example.", "web.example"),
            ("web.example.:8443", "web.example"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ];
        for (host, name) in table {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn lower_case_header_names_are_sent_in_title_case() {
        let table =
            [("x-token", "X-Token"), ("user-agent", "User-Agent"), ("X-API-Key", "X-API-Key"), ("xAPI", "xAPI")];
        for (name, expected) in table {
            assert_eq!(spelled_for_http1(name), expected);
        }
    }
}
