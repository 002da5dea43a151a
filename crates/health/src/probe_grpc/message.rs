//! The messages of `grpc.health.v1` in their gRPC frames: a compression flag, a length and a protobuf message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

pub const SERVING: u64 = 1;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    /// Empty for the server as a whole.
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    /// The enum `ServingStatus`. On the wire an enum is a varint; `uint64` keeps values that this build does not know
    /// from being cut to 32 bits.
    #[prost(uint64, tag = "1")]
    status: u64,
}

/// The frame of the request about `service`; an empty name stands for the server as a whole.
pub fn request(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// The serving status in a response's body.
///
/// # Errors
/// Human-readable message about the first fault.
pub fn serving_status(mut frame: &[u8]) -> Result<u64, &'static str> {
    if frame.is_empty() {
        return Err("no message");
    }
    if frame.try_get_u8() != Ok(0) {
        return Err("its message is compressed, although the request does not allow that");
    }
    let length = frame.try_get_u32().map_err(|_| "its message is cut short")?;
    if usize::try_from(length) != Ok(frame.len()) {
        return Err("its message has another length than its frame states");
    }
    let response = HealthCheckResponse::decode(frame).map_err(|_| "its message is cut short or not protobuf")?;
    Ok(response.status)
}

/// The name of a `ServingStatus`.
pub fn name(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "not known to this build",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_have_the_bytes_that_protobuf_and_grpc_define() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("shop")[..], [0, 0, 0, 0, 6, 0x0a, 4, b's', b'h', b'o', b'p']);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn responses_are_decoded_and_invalid_ones_are_errors() {
        let table: [(&[u8], Result<u64, &str>); 13] = [
            (&[0, 0, 0, 0, 2, 8, 1], Ok(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Ok(2)),
            (&[0, 0, 0, 0, 0], Ok(0)),
            (&[0, 0, 0, 0, 3, 8, 0x81, 1], Ok(129)),
            (&[0, 0, 0, 0, 6, 8, 0x81, 0x80, 0x80, 0x80, 0x10], Ok(0x1_0000_0001)),
            // Unknown fields are skipped, and the last status counts.
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
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{frame:?}: {error}"),
                (actual, expected) => assert_eq!(actual, expected, "{frame:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), framed: bool) {
            let mut frame = vec![0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()];
            frame.extend(&bytes);
            let _ = serving_status(if framed { &frame } else { &bytes });
        }
    }
}
