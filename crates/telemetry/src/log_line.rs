//! Formats one line of the log as text or JSON. Used by `log` and `writer`; performs no output.
//!
//! Both formats quote values by the rules of JSON, so that any JSON parser can read a quoted value of a text line.

use std::fmt::Write as _;

use jiff::Timestamp;

use maglev_model::{
    event::{Event, Level, Value},
    printable::is_unprintable,
};

use super::log::LogFormat;

/// A builder of one line.
pub struct LogLine {
    format: LogFormat,
    text: String,
}

impl LogLine {
    /// Starts a line. `message` is the name of an event, or the message of a diagnostic.
    pub fn new(format: LogFormat, time: Timestamp, level: Level, message: &str) -> Self {
        let mut line = Self { format, text: String::with_capacity(160) };
        match format {
            LogFormat::Text => {
                line.write(format_args!("{time:.3} {} ", level_name(level)));
                line.bare_or_quoted(message);
            }
            LogFormat::Json => {
                line.write(format_args!("{{\"time\":\"{time:.3}\",\"level\":\"{}\",\"msg\":", level_name(level)));
                quote(&mut line.text, message);
            }
        }
        line
    }

    /// The complete line of an event.
    pub fn for_event(format: LogFormat, time: Timestamp, event: &Event) -> String {
        let mut line = Self::new(format, time, event.level(), event.name());
        event.fields(&mut |key, value| line.attribute(key, &value));
        line.finish()
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, key: &str, value: &Value<'_>) {
        match self.format {
            LogFormat::Text => {
                self.write(format_args!(" {key}="));
                match value {
                    Value::Text(text) => self.bare_or_quoted(text),
                    other => self.write(format_args!("{other}")),
                }
            }
            LogFormat::Json => {
                self.text.push(',');
                quote(&mut self.text, key);
                self.text.push(':');
                match value {
                    Value::Text(text) => quote(&mut self.text, text),
                    // JSON has no representation of infinities and NaN.
                    Value::Float(number) if !number.is_finite() => self.text.push_str("null"),
                    other => self.write(format_args!("{other}")),
                }
            }
        }
    }

    /// The line with a line break.
    pub fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    fn bare_or_quoted(&mut self, text: &str) {
        let bare = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || is_unprintable(c) || c == '"');
        if bare {
            self.text.push_str(text);
        } else {
            quote(&mut self.text, text);
        }
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String never fails.
        let _ = self.text.write_fmt(arguments);
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    }
}

/// Appends `text` as a JSON string. Escapes every unprintable character, so that a value can neither forge a second line
/// nor control a terminal.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unprintable(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-11-23T02:00:00.123987Z".parse().expect("a valid time")
    }

    #[test]
    fn text_quotes_a_value_only_if_necessary() {
        let mut line = LogLine::new(LogFormat::Text, at(), Level::Warn, "vpp-connect-failed");
        for value in ["plain", "", "two words", "a\"b", "line\nbreak\u{1b}[31m", "back\\slash", "k=v", "\u{202e}pu"] {
            line.attribute("v", &value.into());
        }
        line.attribute("n", &Value::Int(-3));
        line.attribute("ms", &Value::Float(1.5));
        line.attribute("flush", &true.into());
        assert_eq!(
            line.finish(),
            "2026-11-23T02:00:00.123Z WARN vpp-connect-failed v=plain v=\"\" v=\"two words\" v=\"a\\\"b\" \
             v=\"line\\nbreak\\u001b[31m\" v=back\\slash v=k=v v=\"\\u202epu\" n=-3 ms=1.500 flush=true\n"
        );
    }

    #[test]
    fn json_keeps_types_and_order_of_attributes() {
        let mut line = LogLine::new(LogFormat::Json, at(), Level::Info, "a \"b\"");
        line.attribute("text", &"x\u{9b}\ty".into());
        line.attribute("n", &Value::Int(7));
        line.attribute("ms", &Value::Float(0.25));
        line.attribute("odd", &Value::Float(f64::NAN));
        line.attribute("flush", &false.into());
        let line = line.finish();
        assert_eq!(
            line,
            "{\"time\":\"2026-11-23T02:00:00.123Z\",\"level\":\"INFO\",\"msg\":\"a \\\"b\\\"\",\"text\":\"x\\u009b\\ty\",\
             \"n\":7,\"ms\":0.250,\"odd\":null,\"flush\":false}\n"
        );
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(parsed["text"], "x\u{9b}\ty");
    }
}
