//! `sync vpp lb state`: a pass over everything, now.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    ask::Answers,
    output::{Answer, Page, Table},
    paint::Tone,
};
use crate::output::Cell;

/// What came of it.
#[derive(Serialize)]
pub struct Synced(Vec<One>);

#[derive(Serialize)]
struct One {
    node: Arc<str>,
    asked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Synced {
    pub fn of(answers: Answers<()>) -> Self {
        let one =
            |(node, answer): (Arc<str>, Result<(), String>)| One { node, asked: answer.is_ok(), error: answer.err() };
        Self(answers.into_iter().map(one).collect())
    }

    /// Whether every agent does it.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|one| one.asked)
    }
}

impl Answer for Synced {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut table = Table::new(["NODE", "SYNC"]);
        for one in &self.0 {
            let cell = match &one.error {
                None => Cell::toned("under way", Tone::Good),
                Some(error) => Cell::toned(error.clone(), Tone::Bad),
            };
            table.row([one.node.to_string().into(), cell]);
        }
        let mut page = Page::default();
        page.table(&table, "no nodes");
        page
    }
}
