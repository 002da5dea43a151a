//! The head of a response.

use httparse::{EMPTY_HEADER, Error, Header, Response, Status};

use super::body::{Chunk, Framing};
use crate::response::ResponseHead;

/// The maximum number of headers.
const MAX_HEADERS: usize = 100;

/// A complete head.
pub struct ParsedHead {
    /// Size in bytes.
    pub length: usize,
    /// `None` for an interim response.
    pub last: Option<FinalHead>,
}

/// The head of a final response.
pub struct FinalHead {
    pub head: ResponseHead,
    /// The framing of the body that follows.
    pub framing: Framing,
    /// True if the server takes another request on the connection after the body (RFC 9112, section 9.3). False for
    /// HTTP/1.0, even with `Connection: keep-alive`.
    pub is_persistent: bool,
}

/// Parses the beginning of `received`; `None` if the head is not complete.
///
/// # Errors
/// Human-readable message that names the invalid part. Contains the name of a header, but no value.
pub fn parse(received: &[u8], is_head: bool) -> Result<Option<ParsedHead>, String> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let length = match response.parse(received) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(explain(error, received)),
    };
    let status = response.code.unwrap_or_default();
    // 101 (Switching Protocols) is final.
    if (100..200).contains(&status) && status != 101 {
        return Ok(Some(ParsedHead { length, last: None }));
    }
    let has_no_body = is_head || matches!(status, 101 | 204 | 304);
    let framing = if has_no_body { Framing::None } else { framing(response.headers)? };
    let head = ResponseHead {
        status,
        version: if response.version == Some(0) { "HTTP/1.0" } else { "HTTP/1.1" },
        content_encoding: values(response.headers, "content-encoding")
            .next()
            .map(|value| String::from_utf8_lossy(value).into()),
    };
    let has_close = values(response.headers, "connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    let is_persistent = response.version == Some(1) && !has_close && status != 101 && !framing.ends_with_connection();
    Ok(Some(ParsedHead { length, last: Some(FinalHead { head, framing, is_persistent }) }))
}

fn values<'a>(headers: &'a [Header<'_>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn framing(headers: &[Header<'_>]) -> Result<Framing, String> {
    if let Some(codings) = values(headers, "transfer-encoding").last() {
        let last = codings.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if is_chunked { Framing::Chunked(Chunk::Size) } else { Framing::UntilClose });
    }
    let mut lengths = values(headers, "content-length").flat_map(|value| value.split(|byte| *byte == b','));
    let Some(first) = lengths.next() else { return Ok(Framing::UntilClose) };
    let first = length(first)?;
    for other in lengths {
        if length(other)? != first {
            return Err("the header Content-Length has two different values".to_owned());
        }
    }
    Ok(Framing::Length(first))
}

fn length(text: &[u8]) -> Result<u64, String> {
    let text = text.trim_ascii();
    let number = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|number| number.parse().ok()).ok_or_else(|| "the header Content-Length is not a number".to_owned())
}

/// The error of an invalid head, with the line that is wrong.
fn explain(error: Error, received: &[u8]) -> String {
    match error {
        Error::TooManyHeaders => format!("the head has more than {MAX_HEADERS} headers"),
        Error::Version => "the first line does not begin with HTTP/1.0 or HTTP/1.1".to_owned(),
        Error::Status => "the first line has no valid status".to_owned(),
        Error::HeaderName | Error::HeaderValue | Error::NewLine | Error::Token => {
            invalid_line(received).unwrap_or_else(|| error.to_string())
        }
    }
}

/// The first header line that is not valid.
fn invalid_line(received: &[u8]) -> Option<String> {
    let lines = received.split(|byte| *byte == b'\n').enumerate().skip(1);
    for (number, line) in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Some(format!("line {} of the head has no colon", number + 1));
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let shown: String = String::from_utf8_lossy(name).chars().take(64).collect();
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if name.is_empty() || !name.iter().all(is_token) {
            return Some(format!("{shown:?} in line {} of the head is not the name of a header", number + 1));
        }
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Some(format!("the header {shown} has a control character in its value"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(u16, Framing), String> {
        let parsed = parse(text.as_bytes(), false)?.expect("the head is complete");
        let last = parsed.last.expect("it is final");
        Ok((last.head.status, last.framing))
    }

    #[test]
    fn connection_persists_unless_the_server_closes_it() {
        let table = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\n", false),
            ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", false),
        ];
        for (text, expected) in table {
            let last = parse(text.as_bytes(), false).unwrap().unwrap().last.unwrap();
            assert_eq!(last.is_persistent, expected, "{text}");
        }
    }

    #[test]
    fn framing_follows_the_headers() {
        let table = [
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.0 200\n\n", Framing::UntilClose),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\n", Framing::None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length: 4, 4\r\n\r\n", Framing::Length(4)),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: gzip, Chunked\r\n\r\n",
                Framing::Chunked(Chunk::Size),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", Framing::UntilClose),
        ];
        for (text, expected) in table {
            assert_eq!(parsed(text).unwrap().1, expected, "{text}");
        }
        let interim = parse(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP", false).unwrap().unwrap();
        assert!(interim.last.is_none() && interim.length == 37);
    }

    #[test]
    fn error_names_the_invalid_part_but_no_value() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
        let table = [
            ("SSH-2.0-OpenSSH_9\r\n", "does not begin with HTTP/1.0 or HTTP/1.1"),
            ("HTTP/1.1 abc\r\n", "no valid status"),
            ("HTTP/1.1 200 OK\r\nX Foo: s3cret\r\n\r\n", "\"X Foo\" in line 2"),
            ("HTTP/1.1 200 OK\r\na: b\r\nno colon s3cret\r\n\r\n", "line 3 of the head has no colon"),
            ("HTTP/1.1 200 OK\r\na: b\r\nX-Foo: s3\x01cret\r\n\r\n", "the header X-Foo has a control character"),
            ("HTTP/1.1 200 OK\r\ncontent-length: s3cret\r\n\r\n", "Content-Length is not a number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "two different values"),
            (&many, "more than 100 headers"),
        ];
        for (text, expected) in table {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("s3"), "{text:?}: {error}");
        }
    }
}
