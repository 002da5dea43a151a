//! The messages of `grpc.health.v1` as bytes: a gRPC frame (a flag, a length) around a protobuf message.
//!
//! `HealthCheckRequest { string service = 1; }`, `HealthCheckResponse { ServingStatus status = 1; }`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub const SERVING: u64 = 1;

/// Field 1 as a varint, and as bytes.
const VARINT_1: u64 = 1 << 3;
const BYTES_1: u8 = 1 << 3 | 2;

/// The request about `service`; an empty name asks about the server as a whole.
pub fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(BYTES_1);
        put_varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

/// The serving status in a response's body.
///
/// # Errors
/// What is wrong with it, for people.
pub fn serving_status(mut frame: &[u8]) -> Result<u64, &'static str> {
    const SHORT: &str = "its message is cut short";
    if frame.is_empty() {
        return Err("no message");
    }
    if frame.try_get_u8() != Ok(0) {
        return Err("its message is compressed, which was not asked for");
    }
    let length = frame.try_get_u32().map_err(|_| SHORT)?;
    if usize::try_from(length) != Ok(frame.len()) {
        return Err("its message has another length than it says");
    }
    // The last one counts, and an absent one is 0: the rules of protobuf.
    let mut status = 0;
    while frame.has_remaining() {
        let key = get_varint(&mut frame).ok_or(SHORT)?;
        match (key, key & 7) {
            (VARINT_1, _) => status = get_varint(&mut frame).ok_or(SHORT)?,
            (_, 0) => drop(get_varint(&mut frame).ok_or(SHORT)?),
            (_, 1) => skip(&mut frame, 8).ok_or(SHORT)?,
            (_, 2) => {
                let length = get_varint(&mut frame).ok_or(SHORT)?;
                skip(&mut frame, length).ok_or(SHORT)?;
            }
            (_, 5) => skip(&mut frame, 4).ok_or(SHORT)?,
            _ => return Err("its message is not protobuf"),
        }
    }
    Ok(status)
}

/// A `ServingStatus` in words.
pub fn name(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "that this build does not know",
    }
}

fn put_varint(to: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        to.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

/// `None` where it is cut short, or longer than 64 bits.
fn get_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = from.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip(from: &mut &[u8], length: u64) -> Option<()> {
    let length = usize::try_from(length).ok()?;
    *from = from.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_as_protobuf_and_grpc_write_it() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("shop")[..], [0, 0, 0, 0, 6, 0x0a, 4, b's', b'h', b'o', b'p']);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn a_response_is_read_as_protobuf_says_and_what_is_none_is_told() {
        let table: [(&[u8], Result<u64, &str>); 12] = [
            (&[0, 0, 0, 0, 2, 8, 1], Ok(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Ok(2)),
            (&[0, 0, 0, 0, 0], Ok(0)),
            (&[0, 0, 0, 0, 3, 8, 0x81, 1], Ok(129)),
            // Fields that are not known are skipped, and the last status counts.
            (&[0, 0, 0, 0, 8, 8, 2, 0x12, 2, 1, 1, 8, 1], Ok(1)),
            (&[0, 0, 0, 0, 7, 0x1d, 1, 2, 3, 4, 8, 1], Ok(1)),
            (&[], Err("no message")),
            (&[1, 0, 0, 0, 2, 8, 1], Err("compressed")),
            (&[0, 0, 0, 0, 3, 8, 1], Err("another length")),
            (&[0, 0, 0], Err("cut short")),
            (&[0, 0, 0, 0, 2, 8, 0x81], Err("cut short")),
            (&[0, 0, 0, 0, 2, 0x0b, 1], Err("not protobuf")),
        ];
        for (frame, expected) in table {
            match (serving_status(frame), expected) {
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{frame:?}: {found}"),
                (found, expected) => assert_eq!(found, expected, "{frame:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..64), framed: bool) {
            let mut frame = vec![0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()];
            frame.extend(&bytes);
            let _ = serving_status(if framed { &frame } else { &bytes });
        }
    }
}
