//! The messages of `proto/maglev/v1/maglev.proto`, the client and the descriptors, as the build makes them.

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

/// The descriptors of the service and of all that it uses, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/maglev.v1.descriptors"));

/// The service's end of it.
pub(crate) mod serving {
    include!(concat!(env!("OUT_DIR"), "/server/maglev.v1.rs"));
}
