//! The patch of a node's document as text, from which the parts for one client can be cut.
//!
//! Messages are retained for clients that reconnect. As text, a patch takes a tenth of the memory that it takes as a tree.

use std::{collections::BTreeSet, ops::Range};

use serde_json::{Map, Value};

use maglev_model::Name;

/// A part of the document with an entry for each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Frontends,
    Backends,
    HealthChecks,
}

impl Part {
    fn key(self) -> &'static str {
        match self {
            Self::Frontends => "frontends",
            Self::Backends => "backends",
            Self::HealthChecks => "health_checks",
        }
    }
}

/// A JSON merge patch (RFC 7396) of a node's document.
#[derive(Debug)]
pub struct NodePatchText {
    text: String,
    entries: Vec<Entry>,
}

/// The place of an object's patch in the text.
#[derive(Debug)]
struct Entry {
    part: Part,
    name: Name,
    place: Range<u32>,
}

impl NodePatchText {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts about open Frontends, and about the Backends and HealthChecks of their namespaces; `None` without any.
    pub fn reduced(&self, open: &BTreeSet<Name>) -> Option<Self> {
        let is_shown = |entry: &&Entry| match entry.part {
            Part::Frontends => open.contains(&entry.name),
            Part::Backends | Part::HealthChecks => open.iter().any(|open| open.namespace() == entry.name.namespace()),
        };
        let mut reduced = NodePatchBuilder::default();
        for entry in self.entries.iter().filter(is_shown) {
            let Range { start, end } = entry.place;
            reduced.add_text(entry.part, &entry.name, &self.text[start as usize..end as usize]);
        }
        reduced.finish(&Map::new())
    }
}

/// Writes a patch object by object. All objects of a part are added one after the other.
#[derive(Debug, Default)]
pub struct NodePatchBuilder {
    text: String,
    entries: Vec<Entry>,
}

impl NodePatchBuilder {
    /// Adds the patch of an object.
    pub fn add(&mut self, part: Part, name: &Name, patch: &Value) {
        self.add_text(part, name, &patch.to_string());
    }

    fn add_text(&mut self, part: Part, name: &Name, patch: &str) {
        match self.entries.last().map(|last| last.part) {
            Some(last) if last == part => self.text.push(','),
            last => {
                self.text.push_str(if last.is_some() { "}," } else { "{" });
                self.push_key(part.key());
                self.text.push('{');
            }
        }
        self.push_key(name.as_str());
        let start = self.position();
        self.text.push_str(patch);
        self.entries.push(Entry { part, name: name.clone(), place: start..self.position() });
    }

    /// The patch with the other parts of the document; `None` if it is empty.
    pub fn finish(mut self, rest: &Map<String, Value>) -> Option<NodePatchText> {
        if self.entries.is_empty() && rest.is_empty() {
            return None;
        }
        self.text.push_str(if self.entries.is_empty() { "{" } else { "}" });
        for (number, (key, value)) in rest.iter().enumerate() {
            if number > 0 || !self.entries.is_empty() {
                self.text.push(',');
            }
            self.push_key(key);
            self.text.push_str(&value.to_string());
        }
        self.text.push('}');
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        let Self { text, entries } = self;
        Some(NodePatchText { text, entries })
    }

    fn push_key(&mut self, key: &str) {
        self.text.push_str(&Value::from(key).to_string());
        self.text.push(':');
    }

    /// A text of 4 GiB could not be sent to a browser.
    fn position(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const PARTS: [Part; 3] = [Part::Frontends, Part::Backends, Part::HealthChecks];

    fn object(patch: &Value, part: Part) -> Map<String, Value> {
        patch.get(part.key()).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    proptest! {
        /// The text is the JSON of the patch, and a reduced one has the entries of open Frontends and their namespaces.
        #[test]
        fn text_is_the_json_of_the_patch(
            names in prop::collection::vec(prop::collection::btree_set("[ab]/[a-c\"]", 0..4), 3),
            rest in prop::collection::btree_map("[x-z]", 0..9_u8, 0..3),
            open in prop::collection::btree_set("[ab]/[a-c]", 0..3),
        ) {
            let (mut builder, mut whole) = (NodePatchBuilder::default(), Map::new());
            for (part, names) in PARTS.into_iter().zip(&names) {
                let mut entries = Map::new();
                for name in names {
                    let patch = json!({"state": "up", "gone": null, "text": format!("}}\"{name}")});
                    builder.add(part, &name.as_str().into(), &patch);
                    entries.insert(name.clone(), patch);
                }
                if !entries.is_empty() {
                    whole.insert(part.key().into(), entries.into());
                }
            }
            let rest: Map<String, Value> = rest.into_iter().map(|(key, value)| (key, value.into())).collect();
            whole.extend(rest.clone());
            let Some(text) = builder.finish(&rest) else {
                prop_assert!(whole.is_empty());
                return Ok(());
            };
            let parsed: Value = serde_json::from_str(text.as_str()).unwrap();
            prop_assert_eq!(&parsed, &Value::Object(whole));

            let open: BTreeSet<Name> = open.iter().map(|name| name.as_str().into()).collect();
            let reduced = text.reduced(&open);
            let reduced: Value = reduced.map_or_else(|| json!({}), |text| serde_json::from_str(text.as_str()).unwrap());
            for part in PARTS {
                let mut expected = object(&parsed, part);
                expected.retain(|name, _| {
                    let name = Name::from(name.as_str());
                    let in_namespace = || open.iter().any(|open| open.namespace() == name.namespace());
                    if part == Part::Frontends { open.contains(&name) } else { in_namespace() }
                });
                prop_assert_eq!(object(&reduced, part), expected);
            }
        }
    }
}
