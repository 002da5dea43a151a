//! The framing of a body (RFC 9112, section 6): none, a length, chunks, or up to the end of the connection.

use httparse::Status;

/// The maximum size of a chunk's first line in bytes.
const CHUNK_LINE_LIMIT: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    /// The number of bytes that follow.
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// The position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Before the line with the size of the next chunk.
    Size,
    /// Before this many bytes of data, at least 1.
    Data(u64),
    /// Before the line end that follows the data.
    DataEnd,
    /// After the last chunk. Trailers are not read.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The body is complete.
    Ended,
    /// All received bytes that could be decoded have been.
    NeedsMore,
}

impl Framing {
    /// Appends the data in `received` to `into`. Returns the number of consumed bytes.
    ///
    /// # Errors
    /// Human-readable message if the framing is not valid.
    pub fn decode(&mut self, received: &[u8], into: &mut Vec<u8>) -> Result<(usize, Step), String> {
        match self {
            Self::None => Ok((0, Step::Ended)),
            Self::UntilClose => {
                into.extend_from_slice(received);
                Ok((received.len(), Step::NeedsMore))
            }
            Self::Length(left) => {
                let consumed = take(left, received, into);
                Ok((consumed, if *left == 0 { Step::Ended } else { Step::NeedsMore }))
            }
            Self::Chunked(chunk) => {
                let mut consumed = 0;
                loop {
                    match chunk.advance(&received[consumed..], into)? {
                        Some(more) => consumed += more,
                        None if *chunk == Chunk::Last => return Ok((consumed, Step::Ended)),
                        None => return Ok((consumed, Step::NeedsMore)),
                    }
                }
            }
        }
    }

    /// The bytes between the end of the data and the next response.
    pub fn end(self) -> &'static [u8] {
        if let Self::Chunked(_) = self { b"\r\n" } else { b"" }
    }

    /// True if more than `limit` bytes are known to follow.
    pub fn exceeds(self, limit: usize) -> bool {
        matches!(self, Self::Length(left) if left > limit as u64)
    }

    /// True if the end of the connection is the end of the body.
    pub fn ends_with_connection(self) -> bool {
        self == Self::UntilClose
    }

    /// The error of a body that does not end as it should.
    pub fn missing_part(self, cause: &str) -> String {
        match self {
            Self::None | Self::UntilClose => format!("{cause} within the body"),
            Self::Length(left) => format!("{cause} within the body: {left} bytes of Content-Length are missing"),
            Self::Chunked(_) => format!("{cause} within the body: the last chunk is missing"),
        }
    }
}

impl Chunk {
    /// Decodes the next part, if it has been received. Returns the number of consumed bytes.
    fn advance(&mut self, received: &[u8], into: &mut Vec<u8>) -> Result<Option<usize>, String> {
        match self {
            Self::Last => Ok(None),
            Self::Data(_) if received.is_empty() => Ok(None),
            Self::Data(left) => {
                let consumed = take(left, received, into);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok(Some(consumed))
            }
            Self::DataEnd => match received {
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err("a chunk is longer than its size".to_owned()),
            },
            // The parser takes an empty line for the size 0.
            Self::Size if received.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => {
                Err("the size of a chunk is not valid".to_owned())
            }
            Self::Size => match httparse::parse_chunk_size(received) {
                Ok(Status::Complete((length, size))) => {
                    *self = if size == 0 { Self::Last } else { Self::Data(size) };
                    Ok(Some(length))
                }
                Ok(Status::Partial) if received.len() <= CHUNK_LINE_LIMIT => Ok(None),
                _ => Err("the size of a chunk is not valid".to_owned()),
            },
        }
    }
}

/// Moves up to `left` bytes.
fn take(left: &mut u64, received: &[u8], into: &mut Vec<u8>) -> usize {
    let count = usize::try_from(*left).map_or(received.len(), |left| left.min(received.len()));
    into.extend_from_slice(&received[..count]);
    *left -= count as u64;
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_in_parts(mut framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, Step), String> {
        let (mut received, mut body, mut last) = (Vec::new(), Vec::new(), Step::NeedsMore);
        for part in parts {
            received.extend_from_slice(part);
            let (consumed, step) = framing.decode(&received, &mut body)?;
            received.drain(..consumed);
            last = step;
        }
        Ok((body, last))
    }

    proptest! {
        #[test]
        fn chunked_body_is_the_same_in_any_parts(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cut in 1_usize..9) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend(format!("{:x};a=b\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\n");
            let parts: Vec<_> = text.chunks(cut).collect();
            let (body, step) = decode_in_parts(Framing::Chunked(Chunk::Size), &parts).unwrap();
            prop_assert_eq!((body, step), (chunks.concat(), Step::Ended));
        }

        #[test]
        fn any_bytes_decode_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..200), cut in 1_usize..9) {
            let parts: Vec<_> = text.chunks(cut).collect();
            let _ = decode_in_parts(Framing::Chunked(Chunk::Size), &parts);
        }
    }

    #[test]
    fn invalid_chunks_are_errors() {
        for text in ["x\r\n", "3\r\nabcd\r\n", "ffffffffffffffffff\r\n", "\r\n"] {
            assert!(decode_in_parts(Framing::Chunked(Chunk::Size), &[text.as_bytes()]).is_err(), "{text:?}");
        }
    }
}
