//! What a person changes at night: one field of one object, written so that it lasts and is accounted for.
//!
//! ```text
//!  read object ─▶ who owns the field? ─▶ who would be left unserved? ─▶ JSON patch ─▶ Kubernetes Event
//!        ▲                                                                 │
//!        └──────────────── somebody else wrote meanwhile ◀─────────────────┘
//! ```
//!
//! It is a JSON patch by the field manager [`MANAGER`], not a server-side apply: an apply would own the whole member
//! of a pool, because it has to name it, and then the member would stay when the manifest drops it. The patch owns the
//! weight alone. What an apply would do for us is done here: the patch carries the resourceVersion that was read, and a
//! field that another manager owns is left alone unless forced. A patch never moves an item, so pools keep their order.
//!
//! Called by `cli` and by the dashboard's administration. What is left unserved only they can tell: they know the nodes.

mod ownership;
mod patch;
mod target;

use std::{fmt, time::Instant};

use jiff::Timestamp;
use kube::Client;

pub use ownership::{LastWriter, last_writer};
use target::Target;

use maglev_model::{Name, by_hand::HandChange};

/// The field manager of every change by hand.
pub const MANAGER: &str = "maglev-operator-action";
/// How often an object that somebody else writes at the same time is read anew.
const TRIES: usize = 4;

/// A change that a person wants.
#[derive(Clone, Debug)]
pub struct OperatorAction {
    pub change: HandChange,
    /// Who wants it.
    pub by: String,
    pub reason: Option<String>,
    /// Take the field from another manager, and leave Frontends unserved.
    pub force: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The field's value before, in words.
    pub old: String,
    /// The value now.
    pub new: String,
    /// The object's `metadata.generation` now.
    pub generation: i64,
    /// Whether anything was written: not where the field had that value already.
    pub written: bool,
    /// When the API server had answered: what follows takes its time, too.
    pub at: Instant,
    /// Whom the field was taken from.
    pub taken_from: Vec<String>,
    /// Why the Kubernetes Event could not be written, where it could not. The change holds nevertheless.
    pub event_failed: Option<String>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The object is not there.
    #[error("there is no {kind} {name}")]
    NotFound { kind: &'static str, name: Name },
    /// The Frontend has no such pool, or the pool no such member.
    #[error("Frontend {frontend} has no {what} {found}: there is {there}")]
    NoSuchPart {
        frontend: Name,
        /// What is missing: pool, or member of a pool.
        what: String,
        /// What was asked for.
        found: String,
        /// What there is.
        there: String,
    },
    /// Another field manager owns the field.
    #[error("{what} belongs to {owners}, which may put it back: change it there, or take it with --force")]
    Owned {
        what: String,
        /// Who owns it.
        owners: String,
    },
    /// Frontends would have no effective weight left.
    #[error(
        "it would leave {frontends} without any effective weight: all its traffic would be dropped; --force does it all the same"
    )]
    Unserved { frontends: String },
    /// The API server refused, or did not answer.
    #[error("cannot {step} {kind} {name}")]
    Api {
        /// What was attempted.
        step: &'static str,
        /// The object's kind.
        kind: &'static str,
        name: Name,
        #[source]
        source: Box<kube::Error>,
    },
    /// Others kept writing the object at the same time.
    #[error("{kind} {name} is being changed by others all the time: try again")]
    Busy {
        /// The object's kind.
        kind: &'static str,
        name: Name,
    },
}

impl ActionError {
    /// The fixed word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NotFound",
            Self::NoSuchPart { .. } => "NoSuchPart",
            Self::Owned { .. } => "OwnedByOther",
            Self::Unserved { .. } => "WouldLeaveUnserved",
            Self::Api { .. } => "ApiRefused",
            Self::Busy { .. } => "Busy",
        }
    }

    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Api { .. } | Self::Busy { .. })
    }
}

/// Carries a change out. `unserved` tells which Frontends it would leave without effective weight on some node.
///
/// # Errors
/// See [`ActionError`]; nothing was written then.
pub async fn perform(
    client: &Client,
    action: &OperatorAction,
    unserved: &(dyn Fn(&HandChange) -> Vec<Name> + Sync),
) -> Result<Outcome, ActionError> {
    for _ in 0..TRIES {
        let target = Target::read(client, &action.change).await?;
        let taken_from = may_write(action, &target, unserved)?;
        let (old, new) = (target.old.clone(), target.new.clone());
        if target.is_set() && taken_from.is_empty() {
            let generation = target.generation;
            let at = Instant::now();
            return Ok(Outcome { old, new, generation, written: false, at, taken_from, event_failed: None });
        }
        let patch = patch::patch(action, &target, Timestamp::now());
        let Some(written) = target.write(client, &patch).await? else { continue };
        let at = Instant::now();
        tracing::info!(
            by = action.by,
            reason = action.reason.as_deref().unwrap_or_default(),
            change = %action.change,
            old,
            new,
            "operator-action"
        );
        let event_failed = target.publish(client, action, &written).await.err().map(|err| err.to_string());
        return Ok(Outcome { old, new, generation: written.generation, written: true, at, taken_from, event_failed });
    }
    let (kind, name) = (target::kind(&action.change), action.change.object().clone());
    Err(ActionError::Busy { kind, name })
}

/// Whether the change may be made; the managers that lose the field by it.
fn may_write(
    action: &OperatorAction,
    target: &Target,
    unserved: &(dyn Fn(&HandChange) -> Vec<Name> + Sync),
) -> Result<Vec<String>, ActionError> {
    let owners = target.owners();
    if action.force {
        return Ok(owners);
    }
    if !owners.is_empty() && !target.is_set() {
        return Err(ActionError::Owned { what: action.change.to_string(), owners: owners.join(", ") });
    }
    let left = unserved(&action.change);
    if !left.is_empty() {
        return Err(ActionError::Unserved { frontends: list(&left) });
    }
    Ok(Vec::new())
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
