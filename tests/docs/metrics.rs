//! Compares `docs/metrics.md` with the metrics in the sources. `tests/cluster/metrics.rs` compares it with the metrics
//! that running programs serve.

use std::collections::BTreeSet;

use regex::Regex;

use super::{assert_none, read, sources};

fn rows() -> Vec<String> {
    let row = Regex::new(r"(?m)^\| `(maglev_[a-z0-9_]+)` \| (?:gauge|counter|histogram) \|[^|]*\| [^|]+ \| [^|]+ \|$")
        .unwrap();
    row.captures_iter(&read("docs/metrics.md")).map(|captures| captures[1].to_owned()).collect()
}

#[test]
fn metrics_table_has_every_metric_once() {
    let literal = Regex::new(r#""(maglev_[a-z0-9_]*[a-z0-9])""#).unwrap();
    let sources = sources();
    let made: BTreeSet<String> = literal.captures_iter(&sources).map(|captures| captures[1].to_owned()).collect();
    let rows = rows();
    let documented: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), documented.len(), "some metric has two rows: {rows:?}");
    let mut wrong: Vec<String> =
        made.difference(&documented).map(|name| format!("docs/metrics.md: no row for {name}")).collect();
    wrong.extend(documented.difference(&made).map(|name| format!("docs/metrics.md: no crate has this metric: {name}")));
    assert_none(&wrong);
}

#[test]
fn metric_names_in_documents_exist() {
    let documented: BTreeSet<String> = rows().into_iter().collect();
    let is_histogram_series = |name: &str| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| name.strip_suffix(end).is_some_and(|name| documented.contains(name)))
    };
    let named = super::named(r"\b(maglev_[a-z0-9_]+)");
    let wrong = named.iter().filter(|(_, name)| !documented.contains(name) && !is_histogram_series(name));
    assert_none(&wrong.map(|(page, name)| format!("{page}: no such metric: {name}")).collect::<Vec<_>>());
}
