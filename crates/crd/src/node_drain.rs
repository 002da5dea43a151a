//! The annotation that drains a Node in all pools that follow a Service. Its derived Backends have no object for
//! `spec.adminState` and `spec.drain`, so the annotation stands for both.

use super::backend::{DrainSpec, OnDeadline};

/// The annotation of a Node that is drained. The value is a deadline, optionally followed by the action, such as `10m` or
/// `10m Flush`; `true` for no deadline; `false` as if the annotation were absent.
pub const DRAIN_ANNOTATION: &str = "maglev.vpp.io/drain";

impl DrainSpec {
    /// The value of [`DRAIN_ANNOTATION`].
    pub fn to_annotation(&self) -> String {
        match (self.deadline, self.on_deadline.unwrap_or_default()) {
            (None, _) => "true".to_owned(),
            (Some(deadline), OnDeadline::Keep) => deadline.to_string(),
            (Some(deadline), OnDeadline::Flush) => format!("{deadline} Flush"),
        }
    }

    /// Reads a value of [`DRAIN_ANNOTATION`] other than `false`; `None` if it is not valid.
    pub fn from_annotation(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let (deadline, action) = (words.next(), words.next());
        let on_deadline = match action {
            None => None,
            Some("Keep") => Some(OnDeadline::Keep),
            Some("Flush") => Some(OnDeadline::Flush),
            Some(_) => return None,
        };
        match deadline {
            _ if words.next().is_some() => None,
            None | Some("true") => action.is_none().then_some(Self { deadline: None, on_deadline: None }),
            Some(deadline) => Some(Self { deadline: Some(deadline.parse().ok()?), on_deadline }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_has_the_deadline_and_the_action() {
        for value in ["true", "10m", "1h Flush"] {
            assert_eq!(DrainSpec::from_annotation(value).unwrap().to_annotation(), value);
        }
        assert_eq!(DrainSpec::from_annotation("").unwrap().to_annotation(), "true");
        assert_eq!(DrainSpec::from_annotation("10m Keep").unwrap().to_annotation(), "10m");
    }

    #[test]
    fn annotation_with_another_value_is_not_valid() {
        for value in ["yes", "10", "0s", "25h", "10m flush", "true Flush", "10m Flush now"] {
            assert_eq!(DrainSpec::from_annotation(value), None, "{value}");
        }
    }
}
