//! Frames of VPP's API socket: a 16-byte header, then a body.
//!
//! The header, big-endian: `u64` without meaning (replies have a stray pointer), `u32` length of the body, `u32`
//! internal to VPP. Reading first checks, then parses: a length is compared with [`MAX_BODY`] before memory is
//! allocated for it. Used by the session and by the simulator; the body is parsed by [`messages`](super::messages).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::codec::Writer;

/// Size of a header in bytes.
pub const HEADER: usize = 16;

/// Limit of the length of a body. The longest body in practice is the CLI's text of all VIPs, about 75 bytes for each
/// application server: a real VPP with 56,000 servers, most of them removed and not collected yet, sent more than
/// 4 MiB. Memory is reserved as bytes arrive, not for the length in a header.
pub const MAX_BODY: usize = 64 << 20;

/// A larger frame has memory of its own, which is released with the frame.
const LARGE: usize = 1 << 20;

/// The text of a larger frame is passed on before the frame is complete.
const LONG_TEXT: usize = READ_CHUNK;

/// Bytes reserved for one read from a socket.
const READ_CHUNK: usize = 64 << 10;

/// An invalid frame. The stream cannot be parsed beyond it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length in the header exceeds [`MAX_BODY`].
    #[error("frame of {length} bytes exceeds the limit of {MAX_BODY}")]
    TooLong {
        /// Length in the header.
        length: u32,
    },
    /// The body is too short for a message id.
    #[error("frame of {length} bytes is too short for a message id")]
    TooShort {
        /// Length in the header.
        length: u32,
    },
}

/// Checks the header at the start of `buffer`. Returns the length of the whole frame once it is complete, `None` while
/// more bytes are needed.
///
/// # Errors
/// The length in the header is invalid.
pub fn check(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(body) = body_length(buffer)? else { return Ok(None) };
    let whole = HEADER + body;
    Ok((buffer.len() >= whole).then_some(whole))
}

/// The length of the body in the header at the start of `buffer`; `None` while more bytes are needed.
fn body_length(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(mut field) = buffer.get(8..12) else { return Ok(None) };
    let length = field.get_u32();
    let Some(body) = usize::try_from(length).ok().filter(|body| *body <= MAX_BODY) else {
        return Err(FrameError::TooLong { length });
    };
    if body < 2 {
        return Err(FrameError::TooShort { length });
    }
    Ok(Some(body))
}

/// The first `count` bytes of the body of a long frame that is not complete, and the length of the body; `None` if `buffer`
/// does not begin with such a frame, or has fewer bytes of it.
pub fn begin_of_long(buffer: &[u8], count: usize) -> Option<(&[u8], usize)> {
    let body = body_length(buffer).ok()?.filter(|body| *body > LONG_TEXT)?;
    Some((buffer.get(HEADER..HEADER + count)?, body))
}

/// Removes the first frame from `buffer` and returns its body; `None` while the frame is incomplete.
///
/// # Errors
/// Like [`check`].
pub fn parse(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(whole) = check(buffer)? else { return Ok(None) };
    let mut frame = buffer.split_to(whole);
    if whole > LARGE {
        // The buffer would keep the memory of the largest frame.
        *buffer = BytesMut::from(&**buffer);
    }
    frame.advance(HEADER);
    Ok(Some(frame.freeze()))
}

/// Appends a frame to `out`. `body` writes its body.
pub fn put(out: &mut BytesMut, body: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.put_bytes(0, HEADER);
    body(&mut Writer::new(out));
    let length = u32::try_from(out.len() - start - HEADER).expect("written messages are short");
    out[start + 8..start + 12].copy_from_slice(&length.to_be_bytes());
}

/// Reserves room in `buffer` for another read. The buffer grows with the received bytes, not with the length in a
/// header.
pub fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < READ_CHUNK / 16 {
        buffer.reserve(READ_CHUNK);
    }
}

/// Failure of [`read`].
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The socket failed, or the stream ended within a frame.
    #[error("the socket failed")]
    Io(#[from] std::io::Error),
    /// The received bytes are not a valid frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads one frame and returns its body; `None` if the stream ends between two frames. Further bytes stay in `buffer`
/// for the next call. Cancel safe.
///
/// # Errors
/// The socket failed, the stream ended within a frame, or the header is invalid.
pub async fn read<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut BytesMut) -> Result<Option<Bytes>, ReadError> {
    loop {
        if let Some(body) = parse(buffer)? {
            return Ok(Some(body));
        }
        make_room(buffer);
        if reader.read_buf(buffer).await? == 0 {
            if buffer.is_empty() {
                return Ok(None);
            }
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn incomplete_frame_is_not_parsed() {
        let mut whole = BytesMut::new();
        put(&mut whole, |body| body.put(&[0, 15, 7]));
        assert_eq!(&whole[..], b"\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\0\0\x0f\x07");
        for cut in 0..whole.len() {
            assert_eq!(parse(&mut BytesMut::from(&whole[..cut])), Ok(None), "{cut} bytes");
        }
        whole.extend_from_slice(b"next");
        assert_eq!(parse(&mut whole), Ok(Some(Bytes::from_static(b"\0\x0f\x07"))));
        assert_eq!(&whole[..], b"next");
    }

    #[test]
    fn hostile_length_is_refused_before_memory_is_allocated() {
        let header = |length: u32| [&[0u8; 8][..], &length.to_be_bytes(), &[0; 4]].concat();
        let most = u32::try_from(MAX_BODY).unwrap();
        assert_eq!(check(&header(u32::MAX)), Err(FrameError::TooLong { length: u32::MAX }));
        assert_eq!(check(&header(most + 1)), Err(FrameError::TooLong { length: most + 1 }));
        assert_eq!(check(&header(most)), Ok(None));
        assert_eq!(check(&header(1)), Err(FrameError::TooShort { length: 1 }));
        let mut buffer = BytesMut::from(&header(most)[..]);
        make_room(&mut buffer);
        assert!(buffer.capacity() < 2 * READ_CHUNK);
    }

    proptest! {
        #[test]
        fn frames_survive_any_split_into_reads(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..80), 0..20),
            cuts in prop::collection::vec(1usize..40, 1..40),
        ) {
            let mut stream = BytesMut::new();
            for body in &bodies {
                put(&mut stream, |to| to.put(body));
            }
            let (mut buffer, mut parsed, mut cuts) = (BytesMut::new(), Vec::new(), cuts.iter().cycle());
            while !stream.is_empty() {
                let cut = (*cuts.next().unwrap()).min(stream.len());
                buffer.extend_from_slice(&stream.split_to(cut));
                while let Some(body) = parse(&mut buffer).unwrap() {
                    parsed.push(body.to_vec());
                }
            }
            prop_assert_eq!(parsed, bodies);
        }
    }
}
