//! A client for HTTP/1.1, built on the parser `httparse`.
//!
//! hyper is not used here, since it refuses a response that arrives before its request is written. Servers such as xinetd
//! and socat respond on accept and never read. This client writes the request and reads the response in any case: the
//! response may lie in the socket although the write fails or the server has reset the connection.
//!
//! Waiting methods can be dropped at any time without loss of data.

mod body;
mod head;

use std::io;

use futures::FutureExt;
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

/// The maximum part of a body, in bytes, that is read only to use the connection again.
const REST_LIMIT: usize = 64 * 1024;

/// A connection for one request after the other.
pub struct Http1<S> {
    stream: S,
    /// The received bytes that were not consumed yet.
    received: Vec<u8>,
    /// The rest of the body of the last response.
    framing: Framing,
    /// True if the server takes another request after the last response.
    is_persistent: bool,
}

/// The rest of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Received in full.
    Complete,
    /// A part is still to come.
    Incomplete,
    /// Not valid, or followed by further data.
    Invalid,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, received: Vec::new(), framing: Framing::None, is_persistent: false }
    }

    /// Sends `request` and reads the head of the response. `is_head` is true for the method HEAD, whose response has no
    /// body.
    ///
    /// # Errors
    /// `L7RSP` without a valid head. The connection cannot be used any more.
    pub async fn exchange(&mut self, request: &[u8], is_head: bool) -> Result<ResponseHead, ProbeOutcome> {
        let written = write(&mut self.stream, request).await;
        let head = self.read_head(is_head).await;
        head.map_err(|detail| match written {
            Err(error) if self.received.is_empty() => invalid(&format!("cannot send the request: {error}")),
            _ => invalid(&detail),
        })
    }
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
                    let Some(last) = parsed_head.last else {
                        parsed = 0;
                        continue;
                    };
                    (self.framing, self.is_persistent) = (last.framing, last.is_persistent);
                    return Ok(last.head);
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

    /// True if another request can be sent once the rest of the last response has arrived. Discards what was read of it.
    pub fn is_reusable(&mut self) -> bool {
        self.is_persistent && self.discard_rest() != Rest::Invalid && !self.framing.exceeds(REST_LIMIT)
    }

    /// True if another request can be sent now: the last response has arrived in full, nothing else has, and the server
    /// has not closed the connection, as far as is known without waiting.
    pub fn is_idle(&mut self) -> bool {
        let mut length = 0;
        loop {
            let rest = self.discard_rest();
            if rest == Rest::Invalid || length > REST_LIMIT {
                return false;
            }
            match self.read_some().now_or_never() {
                None => return rest == Rest::Complete,
                Some(Ok(more)) if more > 0 => length += more,
                Some(_) => return false,
            }
        }
    }

    /// Discards the received part of the rest of the response, and the buffer after its end.
    fn discard_rest(&mut self) -> Rest {
        let mut discarded = Vec::new();
        let Ok((consumed, step)) = self.framing.decode(&self.received, &mut discarded) else { return Rest::Invalid };
        self.received.drain(..consumed);
        if step == Step::NeedsMore {
            return Rest::Incomplete;
        }
        let end = self.framing.end();
        if self.received == end {
            (self.received, self.framing) = (Vec::new(), Framing::None);
            return Rest::Complete;
        }
        // A chunked body with trailers counts as invalid here: its connection is not used again.
        if end.starts_with(&self.received) { Rest::Incomplete } else { Rest::Invalid }
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
