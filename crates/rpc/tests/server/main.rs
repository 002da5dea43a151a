//! Each call of the agent's gRPC API, and mirrors of arbitrary states, over real sockets with the real event bus.

mod calls;
mod mirror;
mod streams;
