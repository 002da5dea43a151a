//! Ranges of expected HTTP statuses: `200` or `200-399`.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::error::ValueError;
use maglev_model as model;

/// An inclusive range of HTTP statuses within 100–599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    from: u16,
    to: u16,
}

impl StatusRange {
    /// The default: any success or redirect, as in HAProxy.
    pub const DEFAULT: Self = Self { from: 200, to: 399 };
}

impl FromStr for StatusRange {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let status = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|status| digits && (100..=599).contains(status))
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (status(from), status(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err(ValueError::NotAStatusRange(text.into())),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to { write!(f, "{}", self.from) } else { write!(f, "{}-{}", self.from, self.to) }
    }
}

impl TryFrom<String> for StatusRange {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        range.to_string()
    }
}

impl From<StatusRange> for model::config::StatusRange {
    fn from(range: StatusRange) -> Self {
        Self { from: range.from, to: range.to }
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 7,
            // Both statuses have three digits, so a text comparison is correct.
            "x-kubernetes-validations": [{
                "rule": "self.matches('^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$') && \
                         (self.size() == 3 || self.substring(0, 3) <= self.substring(4))",
                "message": "must be a status such as 200, or a range of statuses from low to high such as 200-399, \
                            within 100-599",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statuses_and_ascending_ranges_are_accepted() {
        for good in ["200", "200-399", "100-599"] {
            assert_eq!(good.parse::<StatusRange>().unwrap().to_string(), good);
        }
        for bad in ["", "20", "99", "600", "2xx", "399-200", "200-", "-200", "200-300-400", "+20", "200 - 299"] {
            assert!(bad.parse::<StatusRange>().is_err(), "{bad}");
        }
    }
}
