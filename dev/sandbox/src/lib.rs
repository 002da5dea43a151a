//! A cluster on one machine: what `make demo` runs and what the tests stand on.
//!
//! Kubernetes is real, down to RBAC and the scheduler; only what cannot be had on one plain machine is stood in for
//! (the kubelet, VPP, the backends), and that truthfully. Nothing outside the sandbox and the tests calls this room.

pub mod assets;
pub mod control_plane;
pub mod demo_backend;
pub mod error;
pub mod node;
pub mod processes;
pub mod up;
pub mod vpp_command;

pub use error::SandboxError;
