//! Generated code: the messages of `proto/maglev/v1/maglev.proto`, the client and the descriptors.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::semicolon_if_nothing_returned,
    clippy::large_futures,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/maglev.v1.rs"));

/// Descriptors of the service and its imports, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/maglev.v1.descriptors"));

/// The generated server.
pub(crate) mod serving {
    include!(concat!(env!("OUT_DIR"), "/server/maglev.v1.rs"));
}
