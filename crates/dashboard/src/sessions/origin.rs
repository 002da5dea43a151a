//! Accepts only JSON requests of the dashboard's own page.
//!
//! The dashboard sends no CORS headers, so a page of another origin can neither read a response nor send JSON: the
//! browser's preflight request fails. The headers of the request itself are checked in addition.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::request_error::RequestError;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

pub async fn require_same_origin_json(request: Request, next: Next) -> Response {
    match check_same_origin(request.headers()).and_then(|()| check_json(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// A browser sends the origin in at least one of two headers. Both must be the dashboard's own, if present.
fn check_same_origin(headers: &HeaderMap) -> Result<(), RequestError> {
    let reject = |text: &str| Err(RequestError::CrossOrigin(text.to_owned()));
    let site = headers.get(SEC_FETCH_SITE);
    if site.is_some_and(|site| site != "same-origin") {
        return reject("the request comes from another site (Sec-Fetch-Site)");
    }
    match (headers.get(header::ORIGIN), site) {
        (None, None) => reject("the request has neither an Origin nor a Sec-Fetch-Site header"),
        (None, Some(_)) => Ok(()),
        (Some(_), _) => match (origin(headers), single_value(headers, header::HOST)) {
            (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
            _ => reject("the request comes from another origin than the page's host (Origin)"),
        },
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), RequestError> {
    let kind = single_value(headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(RequestError::NotJson) }
}

/// True if a password stays confidential: the browser uses TLS, or connects over the loopback interface.
pub fn is_secure(headers: &HeaderMap) -> bool {
    is_local(headers) || origin(headers).is_none_or(|(scheme, _)| scheme == "https")
}

/// True if the browser connects over the loopback interface, for example through a port-forward.
pub fn is_local(headers: &HeaderMap) -> bool {
    let host = single_value(headers, header::HOST).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Scheme and authority of the Origin header.
fn origin(headers: &HeaderMap) -> Option<(&str, &str)> {
    single_value(headers, header::ORIGIN)?.split_once("://")
}

/// The value of a header that occurs exactly once.
fn single_value(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
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
    fn requests_of_another_origin_are_rejected() {
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
            assert_eq!(check_same_origin(&headers(list)).is_ok(), allowed, "{list:?}");
        }
    }

    #[test]
    fn content_type_must_be_json() {
        for (kind, allowed) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data", false),
            ("application/json-seq", false),
            ("", false),
        ] {
            assert_eq!(check_json(&headers(&[("content-type", kind)])).is_ok(), allowed, "{kind}");
        }
        assert!(check_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn loopback_is_recognized_by_name_and_by_address() {
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
