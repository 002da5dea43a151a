//! Writes an operator's change: one field of one object, with an audit trail in annotations and an Event.
//!
//! ```text
//!  read object ─▶ check the field's owners ─▶ check for unserved Frontends ─▶ JSON patch ─▶ Kubernetes Event
//!        ▲                                                                       │
//!        └─────────────────── the object changed meanwhile ◀─────────────────────┘
//! ```
//!
//! The write is a JSON patch by the field manager [`MANAGER`], not a server-side apply: an apply has to name the pool's
//! member and would own it, so the member would stay after the manifest drops it. The patch owns only the weight. The
//! checks of an apply are made here: the patch carries the resourceVersion that was read, and a field owned by another
//! manager is left alone unless forced. A patch never moves an item, so pools keep their order.
//!
//! Called by `cli` and the dashboard through `fleet`, which computes the unserved Frontends from the agents' states.

mod ownership;
mod patch;
mod target;

use std::{fmt, time::Instant};

use jiff::Timestamp;
use kube::Client;

pub use ownership::{LastWriter, last_writer};
use target::ChangeTarget;

use maglev_model::{Name, operator_change::OperatorChange};

/// The field manager of operator changes.
pub const MANAGER: &str = "maglev-operator-action";
/// Attempts while other clients write the object at the same time.
const TRIES: usize = 4;

/// A request to make an operator change.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    pub change: OperatorChange,
    /// The operator's name.
    pub by: String,
    pub reason: Option<String>,
    /// Takes the field from another manager, and allows Frontends to be left unserved.
    pub force: bool,
}

/// Result of a change that was made.
#[derive(Clone, Debug)]
pub struct WriteOutcome {
    /// The field's previous value, human-readable.
    pub old: String,
    /// The new value, human-readable.
    pub new: String,
    /// The object's `metadata.generation` after the write.
    pub generation: i64,
    /// False if the field had the value already.
    pub written: bool,
    /// Time of the API server's answer, before the Event was written.
    pub at: Instant,
    /// Field managers that lost the field.
    pub taken_from: Vec<String>,
    /// Error of writing the Kubernetes Event. The change is made nevertheless.
    pub event_failed: Option<String>,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no {kind} {name}")]
    NotFound { kind: &'static str, name: Name },
    /// The Frontend has no such pool, or the pool has no such member.
    #[error("Frontend {frontend}: {place} has no {part} {requested}; it has {existing}")]
    NoSuchPart {
        frontend: Name,
        /// "spec.pools" or "pool NAME".
        place: String,
        /// "pool" or "backend".
        part: &'static str,
        requested: String,
        existing: String,
    },
    /// The Backend has no object, or its weight is not that of a pool's entry, because the pool follows a Service.
    #[error("{0}")]
    Derived(String),
    /// Another field manager owns the field.
    #[error(
        "{field} is managed by {owners}, which may revert your change; change it there, or use --force to take ownership"
    )]
    Owned { field: String, owners: String },
    /// Frontends would have no effective weight left.
    #[error(
        "this would leave {frontends} without a backend of effective weight > 0, which drops all their traffic; use --force to do it anyway"
    )]
    Unserved { frontends: String },
    /// The API server refused, or did not answer.
    #[error("cannot {step} {kind} {name}")]
    Api {
        /// A verb: "read" or "change".
        step: &'static str,
        kind: &'static str,
        name: Name,
        #[source]
        source: Box<kube::Error>,
    },
    /// Other clients kept writing the object at the same time.
    #[error("{kind} {name} was changed by another client during each of {TRIES} attempts; try again")]
    Busy { kind: &'static str, name: Name },
}

impl ChangeError {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NotFound",
            Self::NoSuchPart { .. } => "NoSuchPart",
            Self::Derived(_) => "DerivedBackend",
            Self::Owned { .. } => "OwnedByOther",
            Self::Unserved { .. } => "WouldLeaveUnserved",
            Self::Api { .. } => "ApiRefused",
            Self::Busy { .. } => "Busy",
        }
    }
}

/// Makes a change. `unserved` returns the Frontends that the change would leave without effective weight on some node.
///
/// # Errors
/// See [`ChangeError`]; nothing was written.
pub async fn write_change(
    client: &Client,
    request: &ChangeRequest,
    unserved: &(dyn Fn(&OperatorChange) -> Vec<Name> + Sync),
) -> Result<WriteOutcome, ChangeError> {
    for _ in 0..TRIES {
        let target = ChangeTarget::read(client, &request.change).await?;
        let taken_from = check(request, &target, unserved)?;
        let (old, new) = (target.old.clone(), target.new.clone());
        if target.is_set() && taken_from.is_empty() {
            let generation = target.generation;
            let at = Instant::now();
            return Ok(WriteOutcome { old, new, generation, written: false, at, taken_from, event_failed: None });
        }
        let patch = patch::patch(request, &target, Timestamp::now());
        let Some(written) = target.write(client, &patch).await? else { continue };
        let at = Instant::now();
        tracing::info!(
            by = request.by,
            reason = request.reason.as_deref().unwrap_or_default(),
            change = %request.change,
            old,
            new,
            "operator change written"
        );
        let event_failed = target.publish(client, request, &written).await.err().map(|error| error.to_string());
        return Ok(WriteOutcome {
            old,
            new,
            generation: written.generation,
            written: true,
            at,
            taken_from,
            event_failed,
        });
    }
    let (kind, name) = (target::kind(&request.change), target::name(&request.change));
    Err(ChangeError::Busy { kind, name })
}

/// Checks that the change may be made. Returns the managers that lose the field.
fn check(
    request: &ChangeRequest,
    target: &ChangeTarget,
    unserved: &(dyn Fn(&OperatorChange) -> Vec<Name> + Sync),
) -> Result<Vec<String>, ChangeError> {
    let owners = target.owners();
    if request.force {
        return Ok(owners);
    }
    if !owners.is_empty() && !target.is_set() {
        return Err(ChangeError::Owned { field: request.change.to_string(), owners: owners.join(", ") });
    }
    let frontends = unserved(&request.change);
    if !frontends.is_empty() {
        return Err(ChangeError::Unserved { frontends: list(&frontends) });
    }
    Ok(Vec::new())
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
