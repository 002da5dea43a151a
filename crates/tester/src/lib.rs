//! `maglev-tester`: opens fresh flows to VIPs from a client's place and shows the backends that answer. Called by its binary.
//! Needs no Kubernetes.
//!
//! ```text
//!  URLs, manifests ─▶ Vip ─▶ Target ─▶ Pacer ─▶ FlowClient, one task per flow
//!                                                    │ FinishedFlow
//!            table, JSON lines ◀─ Tally, one per VIP ◀┘
//!                                   └─▶ verdict: problems, exit status
//! ```
//!
//! Rate, flows in flight and memory are bounded. Text of answers is escaped before it is shown.

mod answer;
mod expectation;
mod flow;
mod manifest;
mod output;
mod pacer;
mod payload;
mod report;
mod run;
mod screen;
mod table;
mod tally;
mod target;
mod verdict;
mod vip;

pub use self::{
    answer::{BackendMatcher, PatternError},
    expectation::{Expectation, ExpectedWeight, Percent},
    flow::{TlsError, TlsSettings},
    manifest::{ManifestError, ManifestVips, read as read_manifest},
    output::Format,
    payload::{Payload, PayloadError},
    run::{Options, TesterError, run},
    vip::{Scheme, Vip, VipError},
};
