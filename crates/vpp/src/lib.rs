//! The client of VPP: frames, codec, messages, session, and the operations of the lb plugin.
//!
//! ```text
//!   agent ── lb (typed operations) ── session (one socket, many in flight) ── frame ── VPP's api.sock
//!             └── cli (state without an API message)  └── messages ── codec
//!         stats (counters in shared memory) ── VPP's stats.sock
//! ```
//!
//! The VPP simulator uses the same [`messages`] from the other side, so every message encodes and decodes. The desired
//! state of VPP is decided by the agent, not here.
pub mod cli;
pub mod codec;
pub mod errno;
pub mod error;
pub mod frame;
pub mod lb;
pub mod messages;
mod metrics;
pub mod session;
pub mod stats;

pub use error::{CloseReason, Error};
pub use metrics::Metrics;
