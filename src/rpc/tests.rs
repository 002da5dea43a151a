//! Round trips and mirrors of arbitrary states, and what each call answers; over real sockets, with the real bus.

mod calls;
mod mirror;
pub(crate) mod node;
mod round_trip;
mod streams;
