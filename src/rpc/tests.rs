//! Round trips and mirrors of arbitrary states, and what each call answers; over real sockets, with the real bus.

mod any;
mod calls;
mod mirror;
mod node;
mod round_trip;
mod streams;
