//! A client for one HTTP/1.1 request on one connection, built on the parser `httparse`.
//!
//! hyper is not used here, since it refuses a response that arrives before its request is written. Servers such as xinetd
//! and socat respond on accept and never read. This client writes the request and reads the response in any case: the
//! response may lie in the socket although the write fails or the server has reset the connection.
//!
//! Waiting methods can be dropped at any time without loss of data.

mod body;
mod head;

use std::io;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use maglev_model::health::ProbeCode;

use self::body::{Framing, Step};
use super::{
    expected_body::{More, ResponseBody},
    prober::ProbeOutcome,
    response::ResponseHead,
};

/// The maximum size of a response's head in bytes. Bounds the memory of many probes of servers that send too much.
const HEAD_LIMIT: usize = 64 * 1024;
const READ_SIZE: usize = 4096;

/// A connection on which one request was sent.
pub struct Http1<S> {
    stream: S,
    /// The received bytes that were not consumed yet.
    received: Vec<u8>,
    framing: Framing,
}

/// Sends `request` and reads the head of the response. `is_head` is true for the method HEAD, whose response has no body.
///
/// # Errors
/// `L7RSP` without a valid head.
pub async fn exchange<S>(mut stream: S, request: &[u8], is_head: bool) -> Result<(ResponseHead, Http1<S>), ProbeOutcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let written = write(&mut stream, request).await;
    let mut connection = Http1 { stream, received: Vec::with_capacity(READ_SIZE), framing: Framing::None };
    let head = connection.read_head(is_head).await.map_err(|detail| match written {
        Err(error) if connection.received.is_empty() => invalid(&format!("cannot send the request: {error}")),
        _ => invalid(&detail),
    })?;
    Ok((head, connection))
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await
}

/// The outcome of a response that is not valid HTTP.
pub fn invalid(detail: &str) -> ProbeOutcome {
    ProbeOutcome::completed(ProbeCode::L7Response, format!("no valid HTTP response: {detail}"))
}

fn has_empty_line(text: &[u8]) -> bool {
    memmem::find(text, b"\n\r\n").is_some() || memmem::find(text, b"\n\n").is_some()
}

impl<S: AsyncRead + Unpin> Http1<S> {
    /// Reads up to the end of the head. Skips interim responses such as 103 (Early Hints).
    async fn read_head(&mut self, is_head: bool) -> Result<ResponseHead, String> {
        let (mut parsed, mut consumed) = (0_usize, 0);
        loop {
            // The first bytes are checked at once; the head is complete only with an empty line.
            let is_worth_parsing = parsed == 0 || has_empty_line(&self.received[parsed.saturating_sub(3)..]);
            if is_worth_parsing && !self.received.is_empty() {
                parsed = self.received.len();
                if let Some(parsed_head) = head::parse(&self.received, is_head)? {
                    self.received.drain(..parsed_head.length);
                    consumed += parsed_head.length;
                    let Some((head, framing)) = parsed_head.last else {
                        parsed = 0;
                        continue;
                    };
                    self.framing = framing;
                    return Ok(head);
                }
            }
            if consumed + self.received.len() >= HEAD_LIMIT {
                return Err(format!("the head has more than {HEAD_LIMIT} bytes"));
            }
            match self.read_some().await {
                Ok(0) if consumed + self.received.len() == 0 => {
                    return Err("the server closed the connection".to_owned());
                }
                Ok(0) => return Err("the server closed the connection within the head".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        self.received.reserve(READ_SIZE);
        self.stream.read_buf(&mut self.received).await
    }
}

impl<S: AsyncRead + Unpin> ResponseBody for Http1<S> {
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<More, String> {
        let before = into.len();
        loop {
            let (consumed, step) = self.framing.decode(&self.received, into)?;
            self.received.drain(..consumed);
            match step {
                Step::Ended => return Ok(More::Ended),
                Step::NeedsMore if into.len() > before => return Ok(More::Follows),
                Step::NeedsMore => {}
            }
            match self.read_some().await {
                Ok(0) if self.framing.ends_with_connection() => return Ok(More::Ended),
                Ok(0) => return Err(self.framing.missing_part("the server closed the connection")),
                Ok(_) => {}
                // A TLS server that closes without `close_notify`.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.framing.ends_with_connection() => {
                    return Ok(More::Ended);
                }
                Err(error) => return Err(self.framing.missing_part(&error.to_string())),
            }
        }
    }
}
