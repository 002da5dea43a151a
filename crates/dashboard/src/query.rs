//! The query parameters of an event stream.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    event_id::{EventId, InvalidEventId},
    message::{ClientFilter, LogFilter},
};
use maglev_model::{Name, derived::DerivedName};

/// Largest number of open Frontends.
const MAX_OPEN: usize = 20;
/// Largest number of Frontends with heartbeats.
const MAX_BEATS: usize = 50;

/// The parameters before validation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawQuery {
    node: Option<String>,
    open: Option<String>,
    log: Option<String>,
    beats: Option<String>,
    debug: Option<String>,
    since: Option<String>,
}

/// The validated parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub(crate) node: Option<String>,
    pub(crate) open: BTreeSet<Name>,
    pub(crate) log: Option<LogFilter>,
    pub(crate) beats: Vec<Name>,
    pub(crate) debug: bool,
    pub(crate) since: Option<Result<EventId, InvalidEventId>>,
}

impl TryFrom<RawQuery> for Query {
    type Error = String;

    fn try_from(raw: RawQuery) -> Result<Self, String> {
        let open: BTreeSet<_> = names("open", raw.open.as_deref(), MAX_OPEN)?.into_iter().collect();
        let beats = names("beats", raw.beats.as_deref(), MAX_BEATS)?;
        if raw.node.is_none() && !beats.is_empty() {
            return Err("beats: requires the parameter node".to_owned());
        }
        let debug = match raw.debug.as_deref() {
            None | Some("" | "0") => false,
            Some("1") => true,
            Some(other) => return Err(format!("debug: {other:?} must be 0 or 1")),
        };
        let log = raw.log.filter(|log| !log.is_empty());
        Ok(Self {
            node: raw.node.filter(|node| !node.is_empty()),
            open,
            log: log.map(|log| if log == "all" { LogFilter::All } else { LogFilter::Node(log) }),
            beats,
            debug,
            since: raw.since.filter(|since| !since.is_empty()).map(|since| since.parse()),
        })
    }
}

impl Query {
    pub fn filter(&self) -> ClientFilter {
        ClientFilter { node: self.node.clone(), open: self.open.clone(), log: self.log.clone() }
    }
}

fn names(parameter: &str, list: Option<&str>, max: usize) -> Result<Vec<Name>, String> {
    let list: Vec<_> = list.unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect();
    if list.len() > max {
        return Err(format!("{parameter}: {} names, but at most {max} are allowed", list.len()));
    }
    let name = |text: &&str| match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Name::namespaced(namespace, name))
        }
        None if DerivedName::parse(&Name::from(*text)).is_some() => Ok(Name::from(*text)),
        _ => Err(format!("{parameter}: {text:?} is not namespace/name")),
    };
    list.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    fn read(query: &str) -> Result<Query, String> {
        let uri: Uri = format!("/events?{query}").parse().expect("a URI");
        let raw = axum::extract::Query::<RawQuery>::try_from_uri(&uri).map_err(|rejection| rejection.body_text())?;
        raw.0.try_into()
    }

    #[test]
    fn parameters_are_parsed() {
        let query = read("node=node-a&open=shop%2Fweb,shop/api&log=all&beats=shop/web&debug=1&since=a-7")
            .expect("the query is valid");
        assert_eq!(query.node.as_deref(), Some("node-a"));
        assert_eq!(query.open, ["shop/web", "shop/api"].map(Name::from).into());
        assert_eq!((query.log, query.debug), (Some(LogFilter::All), true));
        assert_eq!(query.beats, [Name::from("shop/web")]);
        assert_eq!(query.since, Some(Ok(EventId { replica: 10, seq: 7 })));
        assert_eq!(read("").expect("the query is valid"), Query::default());
        assert_eq!(read("log=node-a").expect("the query is valid").log, Some(LogFilter::Node("node-a".into())));
        assert_eq!(read("since=x").expect("an invalid id is not an error").since, Some(Err(InvalidEventId)));
    }

    #[test]
    fn invalid_parameter_is_rejected_with_its_name() {
        let many = vec!["a/b"; MAX_OPEN + 1].join(",");
        for (query, named) in [
            ("open=web".to_owned(), "open: \"web\""),
            ("open=a/b/c".to_owned(), "open: \"a/b/c\""),
            (format!("open={many}"), "at most 20"),
            ("beats=a/b".to_owned(), "beats: requires"),
            ("debug=yes".to_owned(), "debug: \"yes\""),
            ("nodes=a".to_owned(), "nodes"),
        ] {
            let error = read(&query).expect_err(&query);
            assert!(error.contains(named), "{query}: {error}");
        }
    }
}
