//! Conditions in the making: what each is, since when, and for which generation.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use maglev_crd::Condition;
use maglev_model::problem::{Problem, Reason};

/// The longest message, in characters; the schema allows 1024.
const LONGEST: usize = 1000;
/// Names that a message gives before it only counts.
const NAMED: usize = 5;

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    /// It does not.
    False,
    /// Nobody knows (yet).
    Unknown,
}

impl Truth {
    /// As a condition's `status` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The conditions of one object.
pub struct Conditions<'a> {
    old: &'a [Condition],
    generation: i64,
    now: Timestamp,
    new: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Conditions for `generation`, after those that are stored.
    pub fn new(old: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self { old, generation, now, new: Vec::new() }
    }

    /// The stored condition, if it was decided for this generation.
    pub fn standing(&self, kind: &str) -> Option<&'a Condition> {
        let decided = |of: &&Condition| of.type_ == kind && of.observed_generation == Some(self.generation);
        self.old.iter().find(decided)
    }

    /// Says what a condition is.
    pub fn set(&mut self, kind: &str, truth: Truth, reason: &str, message: &str) {
        // What the schema's default says was decided by nobody at no time.
        let before = self.old.iter().find(|of| of.type_ == kind && of.observed_generation.is_some());
        let since = before.filter(|of| of.status == truth.as_str()).map(|of| of.last_transition_time.clone());
        self.new.push(Condition {
            type_: kind.to_owned(),
            status: truth.as_str().to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: since.unwrap_or_else(|| time(self.now)),
            reason: reason.to_owned(),
            message: cut(message),
        });
    }

    /// Leaves a condition as it is stored; false where it was not decided for this generation.
    pub fn keep(&mut self, kind: &str) -> bool {
        let standing = self.standing(kind).cloned();
        let kept = standing.is_some();
        self.new.extend(standing);
        kept
    }

    /// Says that `kind` is True, or False because of `problems`.
    pub fn judge(&mut self, kind: &str, problems: &[&Problem], fine: &str) {
        match reason_of(problems) {
            Some((reason, message)) => self.set(kind, Truth::False, reason.as_str(), &message),
            None => self.set(kind, Truth::True, kind, fine),
        }
    }

    /// Says that `kind` is True because of `problems`, or leaves it out.
    pub fn admit(&mut self, kind: &str, problems: &[&Problem]) {
        if let Some((reason, message)) = reason_of(problems) {
            self.set(kind, Truth::True, reason.as_str(), &message);
        }
    }

    /// Says Ready: all of `positive` are True and nothing is Conflicted. Then gives all, in the order of `order`.
    pub fn ready(mut self, positive: &[&str], order: &[&str]) -> Vec<Condition> {
        let found = |kind: &str| self.new.iter().find(|of| of.type_ == kind);
        let conflicted = found("Conflicted").filter(|of| of.status == "True");
        let not = |wanted: &str| positive.iter().filter_map(|kind| found(kind)).find(|of| of.status == wanted);
        let (truth, reason, message) = match (conflicted, not("False"), not("Unknown")) {
            (Some(of), ..) => (Truth::False, of.reason.clone(), of.message.clone()),
            (_, Some(of), _) => (Truth::False, of.reason.clone(), format!("not {}: {}", of.type_, of.message)),
            (_, _, Some(of)) => {
                (Truth::Unknown, of.reason.clone(), format!("{} is not known yet: {}", of.type_, of.message))
            }
            _ => (Truth::True, "Ready".to_owned(), "all is as the spec says".to_owned()),
        };
        self.set("Ready", truth, &reason, &message);
        let place = |of: &Condition| order.iter().position(|kind| of.type_ == *kind).unwrap_or(order.len());
        self.new.sort_by_key(place);
        self.new
    }
}

/// The word and the sentences for `problems`; `None` where there are none.
fn reason_of(problems: &[&Problem]) -> Option<(Reason, String)> {
    let first = problems.first()?;
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    Some((first.reason, messages.join("; ")))
}

/// Those of `problems` that have one of `reasons`.
pub fn among<'a>(problems: &'a [Problem], reasons: &[Reason]) -> Vec<&'a Problem> {
    problems.iter().filter(|problem| reasons.contains(&problem.reason)).collect()
}

/// `a, b, c and 7 more`.
pub fn name_some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<&str> = names.take(NAMED).collect();
    let named = named.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// A reason as conditions take it: what is no fixed word is something that VPP said.
pub fn word(reason: &str) -> &str {
    let mut letters = reason.chars();
    let fixed = letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_alphanumeric());
    if fixed { reason } else { Reason::VppRefused.as_str() }
}

fn cut(message: &str) -> String {
    if message.chars().count() <= LONGEST {
        return message.to_owned();
    }
    let mut cut: String = message.chars().take(LONGEST - 1).collect();
    cut.push('…');
    cut
}

/// A time as the API server keeps it: in whole seconds.
pub fn time(at: Timestamp) -> Time {
    let at = k8s_openapi::jiff::Timestamp::from_second(at.as_second());
    Time(at.unwrap_or(k8s_openapi::jiff::Timestamp::UNIX_EPOCH))
}

/// A number as the schema has it.
pub fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
