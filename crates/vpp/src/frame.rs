//! Frames of VPP's API socket: a 16-byte header, then a body.
//!
//! The header, big-endian: `u64` that means nothing (replies carry a stray pointer there), `u32`
//! length of the body, `u32` that VPP uses for itself. Reading goes check, then parse: a length is
//! compared with [`MAX_BODY`] before anything is allocated for it. Called by the session and by the
//! simulator; what a body means is for [`messages`](super::messages).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::codec::Writer;

/// Bytes of a header.
pub const HEADER: usize = 16;

/// The longest body that is taken. The longest known is the CLI's text of all VIPs, about 75 bytes for
/// each application server: a real VPP with 56,000, most of them removed and not collected yet, sent
/// more than 4 MiB. Room is made as bytes arrive, not for what a header promises.
pub const MAX_BODY: usize = 64 << 20;

/// Room made for one read from a socket.
const READ_CHUNK: usize = 64 << 10;

/// What is wrong with a frame. The stream cannot be followed beyond it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header names a length beyond [`MAX_BODY`].
    #[error("a frame of {length} bytes, where {MAX_BODY} are the most")]
    TooLong {
        /// The length named.
        length: u32,
    },
    /// The body cannot even hold a message id.
    #[error("a frame of {length} bytes, too short for a message id")]
    TooShort {
        /// The length named.
        length: u32,
    },
}

/// Looks at the header at the start of `buffer`: `Some(length of the whole frame)` once the frame is
/// complete, `None` while more bytes are needed.
///
/// # Errors
/// When the length in the header is one that no message has.
pub fn check(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(mut field) = buffer.get(8..12) else { return Ok(None) };
    let length = field.get_u32();
    let Some(body) = usize::try_from(length).ok().filter(|body| *body <= MAX_BODY) else {
        return Err(FrameError::TooLong { length });
    };
    if body < 2 {
        return Err(FrameError::TooShort { length });
    }
    let whole = HEADER + body;
    Ok((buffer.len() >= whole).then_some(whole))
}

/// Takes the body of the first frame out of `buffer`; `None` while it is not complete.
///
/// # Errors
/// As [`check`].
pub fn parse(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(whole) = check(buffer)? else { return Ok(None) };
    let mut frame = buffer.split_to(whole);
    frame.advance(HEADER);
    Ok(Some(frame.freeze()))
}

/// Appends a frame to `out` whose body is what `body` writes.
pub fn put(out: &mut BytesMut, body: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.put_bytes(0, HEADER);
    body(&mut Writer::new(out));
    let length = u32::try_from(out.len() - start - HEADER).expect("messages we write are short");
    out[start + 8..start + 12].copy_from_slice(&length.to_be_bytes());
}

/// Makes room in `buffer` for another read. It grows with what arrives, not with what a header
/// promises.
pub fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < READ_CHUNK / 16 {
        buffer.reserve(READ_CHUNK);
    }
}

/// Why [`read`] got no frame.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The socket failed, or ended within a frame.
    #[error("the socket failed")]
    Io(#[from] std::io::Error),
    /// What arrived is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads one frame's body; `None` when the stream ends between two frames. Bytes read beyond the
/// frame stay in `buffer` for the next call. May be cancelled without losing bytes.
///
/// # Errors
/// When the socket fails or ends within a frame, or the header is not one.
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
    fn a_frame_is_taken_only_once_it_is_complete() {
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
    fn a_hostile_length_is_refused_before_anything_is_allocated() {
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
            let (mut buffer, mut got, mut cuts) = (BytesMut::new(), Vec::new(), cuts.iter().cycle());
            while !stream.is_empty() {
                let cut = (*cuts.next().unwrap()).min(stream.len());
                buffer.extend_from_slice(&stream.split_to(cut));
                while let Some(body) = parse(&mut buffer).unwrap() {
                    got.push(body.to_vec());
                }
            }
            prop_assert_eq!(got, bodies);
        }
    }
}
