//! A cluster on one machine, for `make demo` and the tests.
//!
//! The control plane is Kubernetes itself, including RBAC and the scheduler. Simulated are the parts that one machine
//! cannot provide: the kubelet, the backends, and VPP unless a real one is given. Only tests depend on this crate.

pub mod assets;
pub mod control_plane;
pub mod demo_backend;
pub mod error;
pub mod load;
pub mod node;
pub mod packets;
pub mod processes;
pub mod real_vpp;
pub mod up;
pub mod vpp_command;

pub use error::SandboxError;
