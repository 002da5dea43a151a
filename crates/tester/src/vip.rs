//! VIPs as URLs: `http://203.0.113.10/`, `tcp://[2001:db8::10]:9000`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// The protocol of the flows to a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Tcp,
    Udp,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Tcp, Self::Udp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    const fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp => None,
        }
    }
}

/// A VIP to test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    pub scheme: Scheme,
    /// An IP address without brackets, or a DNS name.
    pub host: String,
    pub port: u16,
    /// Path and query of HTTP requests; empty for TCP and UDP.
    pub path: String,
}

impl Vip {
    /// The VIP of an address; HTTP requests are for `/`.
    pub fn new(scheme: Scheme, address: IpAddr, port: u16) -> Self {
        let path = if matches!(scheme, Scheme::Http | Scheme::Https) { "/" } else { "" };
        Self { scheme, host: address.to_string(), port, path: path.to_owned() }
    }

    /// Host and port as in a URL and in the header `Host`: IPv6 in brackets, without the default port.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.scheme.default_port() == Some(self.port) { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.path)
    }
}

/// A text that is not the URL of a VIP.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VipError {
    #[error(
        "expected a URL such as http://203.0.113.10/, https://shop.example/, tcp://203.0.113.10:9000 or udp://[2001:db8::10]:53"
    )]
    Scheme,
    #[error("{0:?} is neither an IP address nor a DNS name; write an IPv6 address in brackets, like [2001:db8::10]")]
    Host(String),
    #[error("{0:?} is not a port: write 1 to 65535")]
    Port(String),
    #[error("the port is missing: write it like {scheme}://{host}:9000", scheme = .0.as_str(), host = .1)]
    NoPort(Scheme, String),
    #[error("{} has no path: remove {path:?}", scheme.as_str())]
    Path { scheme: Scheme, path: String },
}

impl FromStr for Vip {
    type Err = VipError;

    fn from_str(text: &str) -> Result<Self, VipError> {
        let (name, rest) = text.split_once("://").ok_or(VipError::Scheme)?;
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.as_str() == name.to_ascii_lowercase());
        let scheme = scheme.ok_or(VipError::Scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => port,
            None => scheme.default_port().ok_or_else(|| VipError::NoPort(scheme, authority.to_owned()))?,
        };
        Ok(Self { scheme, host, port, path: checked_path(scheme, path)? })
    }
}

fn checked_path(scheme: Scheme, path: &str) -> Result<String, VipError> {
    let is_http = matches!(scheme, Scheme::Http | Scheme::Https);
    match path {
        "" | "/" => Ok(if is_http { "/".to_owned() } else { String::new() }),
        _ if !is_http || path.parse::<http::uri::PathAndQuery>().is_err() || path.contains('#') => {
            Err(VipError::Path { scheme, path: path.to_owned() })
        }
        _ if path.starts_with('?') => Ok(format!("/{path}")),
        _ => Ok(path.to_owned()),
    }
}

/// The host without brackets and, if there is one, the port.
fn split_authority(authority: &str) -> Result<(String, Option<u16>), VipError> {
    let invalid = || VipError::Host(authority.to_owned());
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(invalid)?;
        host.parse::<Ipv6Addr>().map_err(|_| invalid())?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or_else(invalid)?),
        };
        (host, port)
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if !authority.starts_with('[') && !is_name_or_ipv4(host) {
        return Err(invalid());
    }
    let parsed = |port: &str| match port.parse() {
        Ok(0) | Err(_) => Err(if port.contains(':') { invalid() } else { VipError::Port(port.to_owned()) }),
        Ok(port) => Ok(port),
    };
    Ok((host.to_owned(), port.map(parsed).transpose()?))
}

fn is_name_or_ipv4(host: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let has_letter = host.contains(|c: char| c.is_ascii_alphabetic());
    host.len() <= 253
        && !host.is_empty()
        && host.chars().all(is_allowed)
        && (has_letter || host.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_in_one_form() {
        for (text, form, port) in [
            ("http://203.0.113.10/", "http://203.0.113.10/", 80),
            ("HTTP://203.0.113.10", "http://203.0.113.10/", 80),
            ("https://shop.example:443/a?b=c", "https://shop.example/a?b=c", 443),
            ("http://[2001:db8::10]:8080?x", "http://[2001:db8::10]:8080/?x", 8080),
            ("tcp://203.0.113.10:9000/", "tcp://203.0.113.10:9000", 9000),
            ("udp://[2001:db8::10]:53", "udp://[2001:db8::10]:53", 53),
        ] {
            let vip: Vip = text.parse().unwrap();
            assert_eq!((vip.to_string().as_str(), vip.port), (form, port));
        }
    }

    #[test]
    fn invalid_urls_name_the_wrong_part() {
        for (text, part) in [
            ("203.0.113.10", "expected a URL"),
            ("ftp://203.0.113.10/", "expected a URL"),
            ("tcp://203.0.113.10", "the port is missing"),
            ("tcp://203.0.113.10:0", "\"0\" is not a port"),
            ("udp://203.0.113.10:65536", "\"65536\" is not a port"),
            ("http://2001:db8::10/", "in brackets"),
            ("http://[2001:db8::10/", "in brackets"),
            ("http://203.0.113.300/", "neither an IP address"),
            ("http://user@203.0.113.10/", "neither an IP address"),
            ("http:///", "neither an IP address"),
            ("tcp://203.0.113.10:9000/x", "tcp has no path: remove \"/x\""),
            ("http://a.example/\u{1b}[2J", "remove"),
        ] {
            let error = text.parse::<Vip>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
