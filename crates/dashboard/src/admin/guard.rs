//! What every request that may change something has to be, whoever sends it: from our own page, and JSON.
//!
//! No header allows another origin anything, so a foreign page can neither read an answer nor send JSON without a
//! question beforehand that is answered with no. This looks at the request itself besides.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::refused::Refused;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

pub async fn guard(request: Request, next: Next) -> Response {
    let checked = same_origin(request.headers()).and_then(|()| json(request.headers()));
    match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// A browser says where a request comes from in at least one of two headers; neither may speak against us.
fn same_origin(headers: &HeaderMap) -> Result<(), Refused> {
    let refuse = |text: &str| Err(Refused::CrossOrigin(text.to_owned()));
    let site = headers.get(SEC_FETCH_SITE);
    if site.is_some_and(|site| site != "same-origin") {
        return refuse("the request comes from another site (Sec-Fetch-Site)");
    }
    match (headers.get(header::ORIGIN), site) {
        (None, None) => refuse("neither Origin nor Sec-Fetch-Site says where the request comes from"),
        (None, Some(_)) => Ok(()),
        (Some(_), _) => match (origin(headers), text(headers, header::HOST)) {
            (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
            _ => refuse("the request comes from another origin than the page's host (Origin)"),
        },
    }
}

fn json(headers: &HeaderMap) -> Result<(), Refused> {
    let kind = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(Refused::NotJson) }
}

/// Whether what is typed in stays unread on its way: over TLS, as far as the browser sees, or on this machine alone.
pub fn is_secure(headers: &HeaderMap) -> bool {
    is_local(headers) || origin(headers).is_none_or(|(scheme, _)| scheme == "https")
}

/// Whether the browser came over the loopback, as through a port-forward.
pub fn is_local(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Scheme and authority.
fn origin(headers: &HeaderMap) -> Option<(&str, &str)> {
    text(headers, header::ORIGIN)?.split_once("://")
}

/// A header that is there once.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let one = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(one)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_the_page_itself_may_ask() {
        for (list, allowed) in [
            (&[("host", "lb.example"), ("origin", "https://lb.example")][..], true),
            (&[("host", "lb.example"), ("origin", "https://LB.example"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")], true),
            (&[("host", "lb.example"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "lb.example")], false),
            (&[("host", "lb.example"), ("origin", "null")], false),
            (&[("host", "lb.example"), ("origin", "https://lb.example.evil")], false),
            (&[("host", "lb.example"), ("origin", "https://lb.example:8443")], false),
            (&[("host", "lb.example"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "lb.example"), ("sec-fetch-site", "none")], false),
            (&[("host", "lb.example"), ("origin", "https://lb.example"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "lb.example"), ("origin", "https://evil"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", "https://lb.example")], false),
        ] {
            assert_eq!(same_origin(&headers(list)).is_ok(), allowed, "{list:?}");
        }
    }

    #[test]
    fn only_json_is_json() {
        for (kind, allowed) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data", false),
            ("application/json-seq", false),
            ("", false),
        ] {
            assert_eq!(json(&headers(&[("content-type", kind)])).is_ok(), allowed, "{kind}");
        }
        assert!(json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_loopback_is_known_by_name_and_by_address() {
        for (host, local) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("127.1.2.3:80", true),
            ("[::1]:8080", true),
            ("localhost.example", false),
            ("10.0.0.1:8080", false),
            ("127.0.0.1.example", false),
            ("", false),
        ] {
            assert_eq!(is_local(&headers(&[("host", host)])), local, "{host}");
        }
        assert!(!is_secure(&headers(&[("host", "lb"), ("origin", "http://lb")])));
        assert!(is_secure(&headers(&[("host", "lb"), ("origin", "https://lb")])));
    }
}
