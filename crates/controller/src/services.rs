//! Gives the Services of the class `maglev.vpp.io/vpp` addresses and Frontends.
//!
//! ```text
//!  API server ──watch──▶ kube::service_watch ──▶ engine (pure): assignment of addresses, plan of each dirty Service
//!                                                   │ Frontends and status that differ from the stored ones
//!                                                   ▼
//!                                       service_loop ──▶ kube::service_writer
//!                                                   └──▶ kube::event_recorder
//! ```
//!
//! Runs in the leader's term, in a loop beside that of the status, with `--services` only. The addresses that Services
//! have are those of their Frontends: a new leader reads them from there and needs no other record.

mod addresses;
mod assignment;
mod desired;
mod engine;
mod plan;
mod refusal;
mod request;
mod service_loop;
mod status;
#[cfg(test)]
mod tests;

pub use desired::frontend_name;
pub(crate) use service_loop::{ServiceLoop, run};
pub use status::{ACCEPTED, PROGRAMMED};
