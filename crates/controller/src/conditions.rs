//! Builds the conditions of one object: status, time of the last transition, observed generation.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use maglev_crd::Condition;
use maglev_model::problem::{Problem, Reason};

/// Longest message, in characters; the schema allows 1024.
const MAX_MESSAGE: usize = 1000;
/// Names listed in a message; further names are only counted.
const MAX_NAMES: usize = 5;

/// The `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The version of an object that a status is computed for, and the time of the computation.
#[derive(Clone, Copy, Debug)]
pub struct StatusRevision {
    pub generation: i64,
    pub now: Timestamp,
}

/// The conditions of one object.
pub struct Conditions<'a> {
    old: &'a [Condition],
    revision: StatusRevision,
    new: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Starts without conditions; `old` are the stored ones.
    pub fn new(old: &'a [Condition], revision: StatusRevision) -> Self {
        Self { old, revision, new: Vec::new() }
    }

    /// The stored condition, if it was set for this generation.
    pub fn stored(&self, kind: &str) -> Option<&'a Condition> {
        let generation = Some(self.revision.generation);
        self.old.iter().find(|old| old.type_ == kind && old.observed_generation == generation)
    }

    /// Sets a condition. The time of the last transition is kept if the status does not change.
    pub fn set(&mut self, kind: &str, status: ConditionStatus, reason: &str, message: &str) {
        // A condition from the schema's default has no generation, and its transition time is a placeholder.
        let old = self.old.iter().find(|old| old.type_ == kind && old.observed_generation.is_some());
        let since = old.filter(|old| old.status == status.as_str()).map(|old| old.last_transition_time.clone());
        self.new.push(Condition {
            type_: kind.to_owned(),
            status: status.as_str().to_owned(),
            observed_generation: Some(self.revision.generation),
            last_transition_time: since.unwrap_or_else(|| to_time(self.revision.now)),
            reason: reason.to_owned(),
            message: truncate(message),
        });
    }

    /// Keeps the stored condition. Returns false if none was set for this generation.
    pub fn keep(&mut self, kind: &str) -> bool {
        let stored = self.stored(kind).cloned();
        let is_kept = stored.is_some();
        self.new.extend(stored);
        is_kept
    }

    /// Sets `kind` to False because of `problems`, or to True with the message `message_if_true`.
    pub fn set_true_unless(&mut self, kind: &str, problems: &[&Problem], message_if_true: &str) {
        match reason_and_message(problems) {
            Some((reason, message)) => self.set(kind, ConditionStatus::False, reason.as_str(), &message),
            None => self.set(kind, ConditionStatus::True, kind, message_if_true),
        }
    }

    /// Sets `kind` to True because of `problems`; leaves the condition out if there are none.
    pub fn set_true_if(&mut self, kind: &str, problems: &[&Problem]) {
        if let Some((reason, message)) = reason_and_message(problems) {
            self.set(kind, ConditionStatus::True, reason.as_str(), &message);
        }
    }

    /// True if the object has the condition `kind`, of any generation.
    pub fn has(&self, kind: &str) -> bool {
        self.old.iter().any(|old| old.type_ == kind)
    }

    /// All conditions, without Ready, in the order in which they were set.
    pub fn into_list(self) -> Vec<Condition> {
        self.new
    }

    /// Sets Ready, which is True if all of `positive` are True and Conflicted is not. Returns all conditions in the
    /// order of `order`.
    pub fn finish(mut self, positive: &[&str], order: &[&str]) -> Vec<Condition> {
        let find = |kind: &str| self.new.iter().find(|new| new.type_ == kind);
        let conflicted = find("Conflicted").filter(|new| new.status == "True");
        let first_with = |status: &str| positive.iter().filter_map(|kind| find(kind)).find(|new| new.status == status);
        let (status, reason, message) = match (conflicted, first_with("False"), first_with("Unknown")) {
            (Some(conflict), ..) => (ConditionStatus::False, conflict.reason.clone(), conflict.message.clone()),
            (_, Some(cause), _) => {
                (ConditionStatus::False, cause.reason.clone(), format!("not {}: {}", cause.type_, cause.message))
            }
            (_, _, Some(cause)) => (
                ConditionStatus::Unknown,
                cause.reason.clone(),
                format!("{} is not known yet: {}", cause.type_, cause.message),
            ),
            _ => (ConditionStatus::True, "Ready".to_owned(), "the spec is in effect".to_owned()),
        };
        self.set("Ready", status, &reason, &message);
        let position = |new: &Condition| order.iter().position(|kind| new.type_ == *kind).unwrap_or(order.len());
        self.new.sort_by_key(position);
        self.new
    }
}

/// The reason of the first problem and the messages of all; `None` without problems.
fn reason_and_message(problems: &[&Problem]) -> Option<(Reason, String)> {
    let first = problems.first()?;
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    Some((first.reason, messages.join("; ")))
}

/// The problems that have one of `reasons`.
pub fn with_reason<'a>(problems: &'a [Problem], reasons: &[Reason]) -> Vec<&'a Problem> {
    problems.iter().filter(|problem| reasons.contains(&problem.reason)).collect()
}

/// `a, b, c and 7 more`.
pub fn list_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let listed: Vec<&str> = names.take(MAX_NAMES).collect();
    let listed = listed.join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

/// A report's reason as the `reason` of a condition. Free text is an error message of VPP.
pub fn condition_reason(reason: &str) -> &str {
    let mut letters = reason.chars();
    let is_pascal_case = letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_alphanumeric());
    if is_pascal_case { reason } else { Reason::VppRefused.as_str() }
}

fn truncate(message: &str) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let mut truncated: String = message.chars().take(MAX_MESSAGE - 1).collect();
    truncated.push('…');
    truncated
}

/// A time as the API server stores it: in whole seconds.
pub fn to_time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// A count with the integer type of the schema.
pub fn to_count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
