//! The text of one event.

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use crate::{
    flags::Output,
    output::{Time, json_line, yaml},
    style::Style,
};
use maglev_model::{
    event::Level,
    printable::{escaped, is_unprintable},
};
use maglev_rpc::client::Line;

#[derive(Serialize)]
pub struct EventLine<'l> {
    time: Time,
    level: &'static str,
    node: &'l str,
    event: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(serialize_with = "in_order")]
    attributes: &'l [(std::sync::Arc<str>, String)],
    #[serde(skip)]
    style: Style,
}

/// Serializes a map that keeps the order of the agent's log.
fn in_order<S: Serializer>(pairs: &[(std::sync::Arc<str>, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

impl<'l> EventLine<'l> {
    pub fn new(node: &'l str, line: &'l Line) -> Self {
        let (level, style) = match line.level {
            Level::Debug => ("debug", Style::Faint),
            Level::Info => ("info", Style::Plain),
            Level::Warn => ("warn", Style::Warn),
            Level::Error => ("error", Style::Bad),
        };
        let (time, event) = (Time(line.time), &*line.name);
        Self { time, level, node, event, seq: line.seq, attributes: &line.attributes, style }
    }

    /// One line, or one YAML document.
    pub fn text(&self, output: Output) -> anyhow::Result<String> {
        Ok(match output {
            Output::Table | Output::Wide => self.words(),
            Output::Json => json_line(self)?,
            Output::Yaml => format!("---\n{}", yaml(self)?),
        })
    }

    fn words(&self) -> String {
        let level = self.style.paint(&self.level.to_uppercase());
        let time = Style::Faint.paint(&format!("{:.3}", self.time.0));
        let mut text = format!("{time} {level} {} {}", escaped(self.node), Style::Strong.paint(self.event));
        for (key, value) in self.attributes {
            let is_quoted = |c: char| c.is_whitespace() || c == '"' || c == '=' || is_unprintable(c);
            let quoted = value.is_empty() || value.contains(is_quoted);
            let _ = write!(text, " {}=", escaped(key));
            let _ = if quoted { write!(text, "{value:?}") } else { write!(text, "{value}") };
        }
        text.push('\n');
        text
    }
}

/// A remark about the stream, in JSON and YAML as a separate object.
pub fn remark(node: &str, text: &str, output: Output) -> anyhow::Result<String> {
    let object = || serde_json::json!({ "node": node, "remark": text });
    Ok(match output {
        Output::Table | Output::Wide => Style::Warn.paint(&format!("{node}: {text}")) + "\n",
        Output::Json => json_line(&object())?,
        Output::Yaml => format!("---\n{}", yaml(&object())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_printed_like_the_log_with_its_node() {
        let attributes = [("name", "shop/web 1"), ("from", "up"), ("to", ""), ("flush", "true")];
        let line = Line {
            seq: Some(7),
            time: "2026-11-23T02:00:00.123456Z".parse().unwrap(),
            level: Level::Info,
            name: "backend-transition".into(),
            attributes: attributes.map(|(key, value)| (key.into(), value.into())).to_vec(),
            change: None,
        };
        let shown = EventLine::new("node-a", &line);
        let text = shown.text(Output::Table).unwrap();
        let plain = anstream::adapter::strip_str(&text).to_string();
        let expected =
            "2026-11-23T02:00:00.123Z INFO node-a backend-transition name=\"shop/web 1\" from=up to=\"\" flush=true\n";
        assert_eq!(plain, expected);
        let json = shown.text(Output::Json).unwrap();
        assert!(
            json.ends_with(
                "\"attributes\":{\"name\":\"shop/web 1\",\"from\":\"up\",\"to\":\"\",\"flush\":\"true\"}}\n"
            ),
            "{json}"
        );
    }
}
