//! How an answer is printed: as columns, JSON or YAML.
//!
//! An answer is a plain value. JSON and YAML are that value; columns are what [`Answer::page`] makes of it.

mod age;
mod page;
mod time;

use jiff::Timestamp;
use serde::Serialize;

pub(crate) use self::{
    age::age,
    page::{Cell, Page, Table},
    time::Time,
};
use super::flags::Output;

/// What a command found out.
pub trait Answer: Serialize {
    /// For a person's eyes; `wide` shows more.
    fn page(&self, wide: bool, now: Timestamp) -> Page;
}

/// The text of `answer`.
pub fn render(answer: &impl Answer, output: Output, now: Timestamp) -> anyhow::Result<String> {
    Ok(match output {
        Output::Table | Output::Wide => answer.page(output == Output::Wide, now).to_string(),
        Output::Json => serde_json::to_string_pretty(answer)? + "\n",
        Output::Yaml => serde_saphyr::to_string(answer)?,
    })
}
