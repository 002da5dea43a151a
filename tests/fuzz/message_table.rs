//! The table of VPP's messages, in the reply to the first request.

use bytes::BytesMut;
use maglev_vpp::{
    frame,
    messages::{self, memclnt::SockclntCreateReply},
};

use crate::{allocated::allocated, corpus::each_input};

const CASES: usize = 10_000;
/// Size of an entry in bytes.
const ENTRY: usize = 66;

#[test]
fn message_tables_are_decoded_in_bounded_memory_and_survive_the_round_trip() {
    each_input("message_table", CASES, |body| {
        let (decoded, bytes) = allocated(|| messages::decode::<SockclntCreateReply>(body));
        assert!(bytes <= 1024 + 8 * body.len(), "{bytes} bytes for {}", body.len());
        let Ok((envelope, reply)) = decoded else { return };
        assert!(reply.table.0.len() * ENTRY <= body.len());
        let mut out = BytesMut::new();
        messages::encode(envelope, &reply, &mut out);
        let again = frame::parse(&mut out).unwrap().unwrap();
        assert_eq!(messages::decode::<SockclntCreateReply>(&again), Ok((envelope, reply)));
    });
}
