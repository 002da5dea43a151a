//! Durations in the format of Gateway API (GEP-2257): `500ms`, `2s`, `1m30s`, `1h`.

use std::{fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::error::ValueError;

/// Longest text in characters: four numbers of five digits, each with a unit of up to two letters.
const LONGEST: usize = 28;

/// A duration from `MIN` to `MAX` milliseconds, in steps of `STEP` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration<const MIN: u64, const MAX: u64, const STEP: u64 = 1>(u64);

impl<const MIN: u64, const MAX: u64, const STEP: u64> Duration<MIN, MAX, STEP> {
    /// A duration literal. In a `const` context a value out of range is a compile error.
    pub const fn literal(milliseconds: u64) -> Self {
        assert!(milliseconds >= MIN && milliseconds <= MAX && milliseconds.is_multiple_of(STEP), "a duration in range");
        Self(milliseconds)
    }

    /// A duration in range, in whole milliseconds; `None` for any other one.
    pub fn new(duration: time::Duration) -> Option<Self> {
        let milliseconds = u64::try_from(duration.as_millis()).ok()?;
        let in_range = (MIN..=MAX).contains(&milliseconds) && milliseconds.is_multiple_of(STEP);
        in_range.then_some(Self(milliseconds))
    }

    /// The checked duration.
    pub fn get(self) -> time::Duration {
        time::Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> FromStr for Duration<MIN, MAX, STEP> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let milliseconds = parse(text).ok_or_else(|| ValueError::NotADuration(text.into()))?;
        if !(MIN..=MAX).contains(&milliseconds) {
            return Err(ValueError::Range {
                found: text.into(),
                allowed: format!("from {} to {}", format(MIN), format(MAX)),
            });
        }
        if !milliseconds.is_multiple_of(STEP) {
            return Err(ValueError::NotWholeSeconds(text.into()));
        }
        Ok(Self(milliseconds))
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> fmt::Display for Duration<MIN, MAX, STEP> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0))
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> TryFrom<String> for Duration<MIN, MAX, STEP> {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> From<Duration<MIN, MAX, STEP>> for String {
    fn from(duration: Duration<MIN, MAX, STEP>) -> Self {
        duration.to_string()
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> From<Duration<MIN, MAX, STEP>> for time::Duration {
    fn from(duration: Duration<MIN, MAX, STEP>) -> Self {
        duration.get()
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> JsonSchema for Duration<MIN, MAX, STEP> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // One rule for spelling and range: CEL's duration() alone accepts more (-1s, 1.5h, 1us), and
        // its own errors would replace our message.
        let (min, max) = (format(MIN), format(MAX));
        let (units, example) = if STEP == 1 { ("h|m|s|ms", "500ms, 2s or 1m30s") } else { ("h|m|s", "40s or 1m30s") };
        json_schema!({
            "type": "string",
            "maxLength": LONGEST,
            "x-kubernetes-validations": [{
                "rule": format!(
                    "self.matches('^([0-9]{{1,5}}({units})){{1,4}}$') && \
                     duration(self) >= duration('{min}') && duration(self) <= duration('{max}')"
                ),
                "message": format!("must be a duration from {min} to {max}, written like {example}"),
            }],
        })
    }
}

/// Parses `^([0-9]{1,5}(h|m|s|ms)){1,4}$` into milliseconds.
fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0;
    for _ in 0..4 {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits).filter(|number| number.len() <= 5)?.parse().ok()?;
        rest = &rest[digits..];
        let units = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        sum += number
            * match &rest[..units] {
                "h" => 3_600_000,
                "m" => 60_000,
                "s" => 1000,
                "ms" => 1,
                _ => return None,
            };
        rest = &rest[units..];
        if rest.is_empty() {
            return Some(sum);
        }
    }
    None
}

/// Formats milliseconds in the shortest spelling.
fn format(milliseconds: u64) -> String {
    if milliseconds == 0 {
        return "0s".into();
    }
    let mut rest = milliseconds;
    let mut text = String::new();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= size {
            text += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_format_of_gateway_api() {
        for (text, milliseconds) in
            [("0s", 0), ("500ms", 500), ("2s", 2000), ("1m30s", 90_000), ("1h1m1s1ms", 3_661_001)]
        {
            assert_eq!(parse(text), Some(milliseconds), "{text}");
            assert_eq!(format(milliseconds), text);
        }
        for bad in ["", "2", "s", "-2s", "1.5s", "2 s", "2S", "100000s", "1us", "1s1s1s1s1s", "1d", "２s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn error_of_duration_out_of_range_states_the_range() {
        type Interval = Duration<100, 3_600_000>;
        assert_eq!("90s".parse::<Interval>().unwrap().get(), time::Duration::from_secs(90));
        assert_eq!("10ms".parse::<Interval>().unwrap_err().to_string(), "10ms is not allowed: from 100ms to 1h");
        type Whole = Duration<1000, 3_600_000, 1000>;
        assert_eq!("1500ms".parse::<Whole>(), Err(ValueError::NotWholeSeconds("1500ms".into())));
    }
}
