//! Access to the Kubernetes API server.
//!
//! ```text
//! API server ──list+watch──▶ kind_watch (one per kind) ──RawUpdate──▶ watches ──▶ index ──▶ Config
//!                              │ object_tracker: delivered, pending and deleted objects ▲
//!                              └─ crd_guard: does the API server serve the kind?        │
//!                              │ demand: EndpointSlices and Namespaces only while the index needs them
//!            ──get by name───▶ certificates of HealthChecks ────────────────────────────┘
//!            ─────list────▶ policies: AddressPolicies and Namespaces, for display
//!            ───dry run───▶ dry_run: the objects that applying manifests would store, for display
//!            ──list+watch──▶ agent_pods: addresses of the agents
//!            ──list+watch──▶ accepted_removals: the holds that operators accepted on this node
//!            ─────get─────▶ token_keys: the keys of ServiceAccounts' tokens ─▶ auth::Verifier
//!            ◀─────write──── agent_certificates, with a Leadership; agent_tokens requests tokens for maglevc
//!            ─────list────▶ release_pods: the pods of a release of the chart
//!            ──list+watch──▶ cluster_watch: everything that the controller computes status from
//!            ◀─────write──── status_writer, event_recorder, each with a Leadership of the lease loop
//!            ──list+watch──▶ service_watch: everything that the controller computes the Frontends of Services from
//!            ◀─────write──── service_writer: Frontends and status of Services, with a Leadership
//! ```
//!
//! A failure never counts as an empty answer: a list that fails, a 403, a missing CRD or an object that does not
//! decode leaves the last state in force. Called by the binaries.

pub mod accepted_removals;
pub mod agent_certificates;
pub mod agent_pods;
pub mod agent_tokens;
pub mod client;
pub mod cluster_watch;
pub mod crd_check;
pub mod dry_run;
pub mod event_recorder;
pub mod lease;
pub mod objects;
pub mod operator_change;
pub mod release_pods;
pub mod service_objects;
pub mod service_watch;
pub mod service_writer;
pub mod status_writer;
pub mod token_keys;
pub mod watches;

mod certificates;
mod crd_guard;
mod delays;
mod demand;
mod error;
mod kind_watch;
mod kinds;
mod object_tracker;
mod pod;
mod policies;
mod raw_object;
mod read_access;
mod reflector;
mod service_read;
mod user_clients;
mod watch_loop;
mod whoami;

pub use accepted_removals::{AcceptedRemovals, HoldIds};
pub use agent_certificates::AgentCertificates;
pub use agent_pods::{AgentPod, PodWatch, SELECTOR, agent_namespaces};
pub use certificates::read_certificates;
pub use client::{ClientOptions, ClientPurpose};
pub use cluster_watch::{ClusterReceivers, ClusterWatch, KindUpdate, ObservedNode, ObservedObject, StoredStatus};
pub use crd_check::CrdCheck;
pub use delays::Delays;
pub use demand::{NamespaceDemand, SliceDemand, SliceWatch};
pub use dry_run::{DryRun, DryRunEffect, DryRunError, Manifest, list_objects};
pub use error::Error;
pub use event_recorder::{EventNote, EventRecorder};
pub use lease::{Leadership, LeaseLoop, LeaseOptions};
pub use operator_change::{ChangeError, ChangeRequest, LastWriter, WriteOutcome};
pub use policies::{ReadPolicy, read_namespaces, read_policies};
pub use read_access::unlisted_resource;
pub use reflector::Listed;
pub use service_read::{ReadFrontend, ReadService, read_frontends, read_service};
pub use service_watch::{ServiceReceivers, ServiceWatch, ServicesUpdate};
pub use service_writer::ServiceWriter;
pub use status_writer::{StatusKind, StatusObject, StatusWriter, WriteError};
pub use token_keys::{TokenKeys, scrape_guard};
pub use user_clients::{UserClients, refusal_code};
pub use watches::{WatchOptions, Watches};
pub use whoami::whoami;
