//! Frames of VPP's API socket, and the messages in them.

use bytes::{Bytes, BytesMut};
use futures::executor::block_on;
use maglev_vpp::{
    frame::{self, HEADER, ReadError},
    messages::{
        self, Message,
        ip::IpRouteLookupV2Reply,
        lb::{LbAsDetails, LbAsV2Details, LbConfGetReply, LbVipDetails},
        memclnt::ControlPingReply,
        vlib::CliInbandReply,
        vpe::ShowVersionReply,
    },
};

use crate::{allocated::allocated, corpus::each_input};

const CASES: usize = 10_000;

/// The frames in `stream`, up to the first fault.
fn bodies(mut stream: &[u8]) -> Vec<Bytes> {
    let (mut buffer, mut bodies) = (BytesMut::new(), Vec::new());
    loop {
        match block_on(frame::read(&mut stream, &mut buffer)) {
            Ok(Some(body)) => bodies.push(body),
            Ok(None) | Err(ReadError::Frame(_) | ReadError::Io(_)) => return bodies,
        }
    }
}

/// The message encodes to bytes that decode to the same message. Returns the number of allocated bytes.
fn round_trip<M: Message + PartialEq + std::fmt::Debug>(body: &[u8]) -> usize {
    let (decoded, bytes) = allocated(|| messages::decode::<M>(body));
    if let Ok((envelope, message)) = decoded {
        let mut out = BytesMut::new();
        messages::encode(envelope, &message, &mut out);
        let again = frame::parse(&mut out).unwrap().unwrap();
        assert_eq!(messages::decode::<M>(&again), Ok((envelope, message)), "{}", M::NAME);
    }
    bytes
}

#[test]
fn frames_are_read_in_bounded_memory_and_survive_the_round_trip() {
    each_input("frame", CASES, |stream| {
        let (bodies, bytes) = allocated(|| bodies(stream));
        let used: usize = bodies.iter().map(|body| HEADER + body.len()).sum();
        assert!(used <= stream.len() && bodies.iter().all(|body| body.len() >= 2));
        // The room for a read is 64 KiB, and a full buffer grows by half at least.
        assert!(bytes <= (256 << 10) + 8 * stream.len(), "{bytes} bytes for {}", stream.len());
        let mut again = BytesMut::new();
        bodies.iter().for_each(|body| frame::put(&mut again, |to| to.put(body)));
        assert_eq!(self::bodies(&again), bodies);
    });
}

#[test]
fn messages_of_any_frame_are_decoded_in_bounded_memory() {
    each_input("frame", CASES, |stream| {
        for body in bodies(stream) {
            let all = [
                round_trip::<CliInbandReply>(&body),
                round_trip::<ControlPingReply>(&body),
                round_trip::<IpRouteLookupV2Reply>(&body),
                round_trip::<LbAsDetails>(&body),
                round_trip::<LbAsV2Details>(&body),
                round_trip::<LbConfGetReply>(&body),
                round_trip::<LbVipDetails>(&body),
                round_trip::<ShowVersionReply>(&body),
            ];
            // A byte that is not UTF-8 becomes a character of three bytes, in a text that doubles.
            assert!(all.iter().all(|bytes| *bytes <= 1024 + 8 * body.len()), "{all:?} bytes for {}", body.len());
            let _ = (messages::id(&body), messages::retval(&body));
        }
    });
}
