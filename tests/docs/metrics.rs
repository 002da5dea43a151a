//! `docs/metrics.md` against the sources: every metric that a room makes has a row, and every row a metric.
//! What a running maglevd serves is compared in `tests/cluster/metrics.rs`.

use std::collections::BTreeSet;

use regex::Regex;

use super::{nothing, read, sources};

fn rows() -> Vec<String> {
    let row = Regex::new(r"(?m)^\| `(maglev_[a-z0-9_]+)` \| (?:gauge|counter|histogram) \|[^|]*\| [^|]+ \| [^|]+ \|$")
        .unwrap();
    row.captures_iter(&read("docs/metrics.md")).map(|of| of[1].to_owned()).collect()
}

#[test]
fn every_metric_of_the_sources_has_one_row_and_every_row_a_metric() {
    let literal = Regex::new(r#""(maglev_[a-z0-9_]*[a-z0-9])""#).unwrap();
    let sources = sources();
    let made: BTreeSet<String> = literal.captures_iter(&sources).map(|of| of[1].to_owned()).collect();
    let rows = rows();
    let told: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), told.len(), "some metric has two rows: {rows:?}");
    let mut wrong: Vec<String> =
        made.difference(&told).map(|name| format!("docs/metrics.md: no row for {name}")).collect();
    wrong.extend(told.difference(&made).map(|name| format!("docs/metrics.md: no room makes {name}")));
    nothing(&wrong);
}

#[test]
fn every_metric_named_anywhere_is_one() {
    let told: BTreeSet<String> = rows().into_iter().collect();
    let of_a_histogram = |name: &str| {
        ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end).is_some_and(|name| told.contains(name)))
    };
    let named = super::named(r"\b(maglev_[a-z0-9_]+)");
    let wrong = named.iter().filter(|(_, name)| !told.contains(name) && !of_a_histogram(name));
    nothing(&wrong.map(|(page, name)| format!("{page}: there is no metric {name}")).collect::<Vec<_>>());
}
