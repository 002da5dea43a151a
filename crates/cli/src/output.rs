//! The formats of a command's output: columns, JSON or YAML.
//!
//! Commands produce plain values. JSON and YAML print the value itself; [`Printable::page`] lays it out in columns.

mod page;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(crate) use self::page::{Cell, Page, Table};
use super::flags::Output;
use maglev_model::printable::{escaped_json, is_unprintable};

/// The result of a command.
pub trait Printable: Serialize {
    /// The columns; `wide` adds more of them.
    fn page(&self, wide: bool, now: Timestamp) -> Page;
}

/// The text of `value` in the format `output`.
pub fn render(value: &impl Printable, output: Output, now: Timestamp) -> anyhow::Result<String> {
    Ok(match output {
        Output::Table | Output::Wide => value.page(output == Output::Wide, now).to_string(),
        Output::Json => json(value)?,
        Output::Yaml => yaml(value)?,
    })
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(escaped_json(&serde_json::to_string_pretty(value)?).into_owned() + "\n")
}

/// `value` as one line of JSON.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(escaped_json(&serde_json::to_string(value)?).into_owned() + "\n")
}

/// `value` as YAML; as JSON, which is YAML, if a string has characters that only JSON escapes.
pub fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(value)?;
    if text.contains(|c: char| c != '\n' && is_unprintable(c)) { json(value) } else { Ok(text) }
}

/// A timestamp that is serialized as RFC 3339 in UTC, with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// The time since `since` in the format of kubectl: `12s`, `5m`, `3h20m`, `4d`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_escape_what_a_terminal_would_obey() {
        let value = serde_json::json!({ "name": "a\u{1b}[31m\u{9b}\u{7f}\u{202e}" });
        for text in [json(&value).unwrap(), json_line(&value).unwrap(), yaml(&value).unwrap()] {
            assert!(text.contains("a\\u001b[31m\\u009b\\u007f\\u202e") && text.ends_with("}\n"), "{text}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
        assert_eq!(yaml(&serde_json::json!({ "name": "plain" })).unwrap(), "name: plain\n");
    }

    #[test]
    fn larger_ages_are_less_precise() {
        let age_after = |seconds: i64| {
            let now = Timestamp::from_second(1_000_000_000).unwrap();
            age(Timestamp::from_second(1_000_000_000 - seconds).unwrap(), now)
        };
        let ages = [0, 59, 119, 120, 121, 600, 601, 10_799, 10_800, 10_860, 28_800, 172_799, 172_800].map(age_after);
        let expected = ["0s", "59s", "119s", "2m", "2m1s", "10m", "10m", "179m", "3h", "3h1m", "8h", "47h", "2d"];
        assert_eq!(ages, expected);
        assert_eq!(age_after(-5), "0s", "a timestamp in the future has age 0");
    }
}
