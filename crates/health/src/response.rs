//! The parts of a response that the HTTP probe evaluates, over HTTP/1.1 and HTTP/2 alike.

use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use maglev_net::error_chain;

use super::expected_body::{More, ResponseBody};

/// The head of a response.
pub struct ResponseHead {
    pub status: u16,
    pub version: &'static str,
    pub content_encoding: Option<String>,
}

impl ResponseHead {
    /// The head of a response over HTTP/2.
    pub fn from_http2(head: &http::response::Parts) -> Self {
        let content_encoding =
            head.headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        Self { status: head.status.as_u16(), version: "HTTP/2", content_encoding }
    }

    /// The content encoding of the body if it is not plain.
    pub fn compression(&self) -> Option<&str> {
        self.content_encoding
            .as_deref()
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
    }
}

impl ResponseBody for Incoming {
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<More, String> {
        loop {
            match self.frame().await {
                None => return Ok(More::Ended),
                Some(Err(error)) => return Err(error_chain(&error).to_string()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => {
                        into.extend_from_slice(&data);
                        return Ok(More::Follows);
                    }
                    _ => {}
                },
            }
        }
    }
}
