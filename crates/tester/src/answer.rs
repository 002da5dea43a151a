//! The name of the backend in an answer: a header of an HTTP response, or a part of the body, banner or datagram.

use http::{HeaderMap, HeaderName};
use regex::bytes::Regex;

/// The form of the demo backends' answers: the first word is the name.
const DEMO_PATTERN: &str = r"^([a-z0-9][a-z0-9.-]*)(?:\s|$)";
/// The header of the demo backends.
const DEMO_HEADER: HeaderName = HeaderName::from_static("x-backend");
/// The maximum length of a name; the rest is cut off.
const LONGEST_NAME: usize = 64;

/// The pattern of `--backend-pattern` is not usable.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    #[error(transparent)]
    Syntax(#[from] regex::Error),
    #[error("it has no capture group: put the backend's name in parentheses, like 'served by ([a-z0-9-]+)'")]
    NoGroup,
}

/// Finds the backend's name in answers.
#[derive(Clone, Debug)]
pub struct BackendMatcher {
    header: Option<HeaderName>,
    pattern: Option<Regex>,
    is_explicit: bool,
}

impl BackendMatcher {
    /// A matcher of the header, else of the first capture group of the pattern. Without both: of the demo backends.
    ///
    /// # Errors
    /// The pattern is no regular expression, or has no group.
    pub fn new(header: Option<HeaderName>, pattern: Option<&str>) -> Result<Self, PatternError> {
        if header.is_none() && pattern.is_none() {
            let pattern = Some(Regex::new(DEMO_PATTERN)?);
            return Ok(Self { header: Some(DEMO_HEADER), pattern, is_explicit: false });
        }
        let is_explicit = pattern.is_some();
        let pattern = pattern.map(Regex::new).transpose()?;
        if pattern.as_ref().is_some_and(|pattern| pattern.captures_len() < 2) {
            return Err(PatternError::NoGroup);
        }
        Ok(Self { header, pattern, is_explicit })
    }

    /// True if the user gave a pattern, so that a TCP server is expected to send something.
    pub fn has_explicit_pattern(&self) -> bool {
        self.is_explicit
    }

    /// The name in an HTTP response.
    pub fn in_response(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let value = self.header.as_ref().and_then(|name| headers.get(name));
        value.and_then(|value| name(value.as_bytes())).or_else(|| self.in_bytes(body))
    }

    /// The name in a body, banner or datagram.
    pub fn in_bytes(&self, bytes: &[u8]) -> Option<String> {
        name(self.pattern.as_ref()?.captures(bytes)?.get(1)?.as_bytes())
    }

    /// The name in the beginning of an answer: something must follow the name, as more bytes could belong to it otherwise.
    pub fn in_beginning(&self, bytes: &[u8]) -> Option<String> {
        let group = self.pattern.as_ref()?.captures(bytes)?.get(1)?;
        if group.end() < bytes.len() { name(group.as_bytes()) } else { None }
    }
}

fn name(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST_NAME).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), http::HeaderValue::from_static(value))])
    }

    #[test]
    fn demo_backends_are_recognized_without_flags() {
        let matcher = BackendMatcher::new(None, None).unwrap();
        let none = HeaderMap::new();
        for body in
            ["web-1\n", "web-1 client=198.51.100.1:40918 vip=203.0.113.10:80\n", "web-1 ping", "web-1 is failing\n"]
        {
            assert_eq!(matcher.in_response(&none, body.as_bytes()).as_deref(), Some("web-1"), "{body}");
        }
        for body in ["<html>", "{\"name\": \"web-1\"}", "", "\u{1b}[2J web-1"] {
            assert_eq!(matcher.in_response(&none, body.as_bytes()), None, "{body}");
        }
        assert_eq!(matcher.in_response(&headers("x-backend", "web-2"), b"web-1\n").as_deref(), Some("web-2"));
    }

    #[test]
    fn header_and_pattern_replace_the_defaults() {
        let header = BackendMatcher::new(Some(HeaderName::from_static("x-served-by")), None).unwrap();
        assert_eq!(header.in_response(&headers("x-served-by", " pod-7 "), b"web-1").as_deref(), Some("pod-7"));
        assert_eq!(header.in_response(&headers("x-backend", "web-2"), b"web-1"), None);
        let pattern = BackendMatcher::new(None, Some("(?i)hello from ([a-z0-9-]+)")).unwrap();
        assert_eq!(pattern.in_bytes(b"220 Hello from mail-3 ESMTP").as_deref(), Some("mail-3"));
        assert_eq!(pattern.in_bytes(b"\xff\xfe").as_deref(), None);
        assert_eq!(pattern.in_beginning(b"Hello from mai"), None);
        assert_eq!(pattern.in_beginning(b"Hello from mail-3\r").as_deref(), Some("mail-3"));
        assert!(matches!(BackendMatcher::new(None, Some("web-.*")), Err(PatternError::NoGroup)));
        assert!(matches!(BackendMatcher::new(None, Some("(")), Err(PatternError::Syntax(_))));
    }

    #[test]
    fn long_names_are_cut() {
        let matcher = BackendMatcher::new(None, Some("(.*)")).unwrap();
        assert_eq!(matcher.in_bytes(&[b'a'; 1000]).unwrap().len(), LONGEST_NAME);
    }
}
