//! The client of VPP: frames, codec, messages, session, and the operations of the lb plugin.
//!
//! ```text
//!   agent ── lb (typed operations) ── session (one socket, many in flight) ── frame ── VPP's api.sock
//!             └── cli (text VPP has no message for)   └── messages ── codec
//!         stats (counters in shared memory) ── VPP's stats.sock
//! ```
//!
//! The simulator in `sandbox` speaks the same [`messages`] from the other side, so all of them
//! encode and decode both ways. Nothing here decides what VPP should have: that is the agent's.

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
