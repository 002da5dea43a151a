//! The table of all VIPs as lines of styled text, cut to the width and height of a terminal. Pure.

use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use maglev_model::printable::escaped;
use tokio::time::Instant;

use super::{
    expectation::Expectation,
    flow::Target,
    report::floored,
    tally::{State, Tally},
};

/// Spaces between two columns.
const GAP: usize = 2;
/// Errors shown of each VIP.
const SHOWN_ERRORS: usize = 3;
const FAINT: Style = Style::new().dimmed();

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    text: String,
    style: Style,
}

/// A line of text on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<Span>);

impl Line {
    /// A line that reports a problem.
    pub fn problem(text: &str) -> Self {
        Self::new(text, style(State::Failed))
    }

    /// A line in one style; control characters are escaped.
    fn new(text: &str, style: Style) -> Self {
        Self(vec![Span { text: escaped(text).into_owned(), style }])
    }

    fn push(&mut self, text: impl Into<String>, style: Style) {
        self.0.push(Span { text: text.into(), style });
    }

    /// The text, at most `columns` characters; a longer one ends with `…`.
    pub fn render(&self, columns: usize, has_colour: bool) -> String {
        let length: usize = self.0.iter().map(|span| span.text.chars().count()).sum();
        let mut left = if length > columns { columns.saturating_sub(1) } else { columns };
        let mut out = String::new();
        for Span { text, style } in &self.0 {
            let part: String = text.chars().take(left).collect();
            left -= part.chars().count();
            if has_colour && !part.is_empty() {
                out.push_str(&format!("{style}{part}{style:#}"));
            } else {
                out.push_str(&part);
            }
        }
        if length > columns && columns > 0 {
            out.push('…');
        }
        out.truncate(out.trim_end_matches(' ').len());
        out
    }
}

/// The state of the run for the table.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub vips: &'a [(Arc<Target>, Tally)],
    pub expectation: Option<&'a Expectation>,
    pub now: Instant,
    pub seconds: u64,
    /// New flows per second and VIP.
    pub rate: f64,
}

/// The lines of a table with all VIPs, backends and latest errors.
pub fn table(view: View<'_>) -> Vec<Line> {
    let blocks: Vec<Vec<Row>> = view.vips.iter().map(|(target, tally)| block(target, tally, view)).collect();
    let mut rows = vec![header(view.expectation.is_some())];
    rows.extend(blocks.into_iter().flatten());
    align(rows)
}

/// The lines of the live display: a title, and as much of the table as fits. If rows are missing, VIPs with problems are
/// first.
pub fn screen(view: View<'_>, size: Size) -> Vec<Line> {
    let title = format!(
        "maglev-tester: {} VIPs, {} flows per second each, {} s – Ctrl-C ends",
        view.vips.len(),
        view.rate,
        view.seconds
    );
    let mut lines = vec![Line::new(&title, Style::new().bold()), Line::default()];
    let mut blocks: Vec<(State, Vec<Row>)> =
        view.vips.iter().map(|(target, tally)| (tally.state(view.now), block(target, tally, view))).collect();
    let all: usize = blocks.iter().map(|(_, rows)| rows.len()).sum();
    // Title, empty line, header.
    let space = size.rows.saturating_sub(3);
    let mut rows = vec![header(view.expectation.is_some())];
    if all > space {
        blocks.sort_by_key(|(state, _)| match state {
            State::Failed => 0,
            State::Degraded => 1,
            State::Pending => 2,
            State::Ok => 3,
        });
    }
    rows.extend(blocks.into_iter().flat_map(|(_, rows)| rows));
    let mut table = align(rows);
    if all > space {
        table.truncate(space);
        table.push(Line::new(&format!("{} more lines", all + 1 - space), FAINT));
    }
    lines.extend(table);
    lines
}

/// Cells of a line, of which the first is aligned to the left; and text after the columns.
struct Row {
    cells: Vec<(String, Style)>,
    rest: Option<(String, Style)>,
}

fn header(has_expectation: bool) -> Row {
    let expected = if has_expectation { "EXPECTED" } else { "" };
    let names = ["VIP / BACKEND", "STATE", "FLOWS", "FAILED", "OK / SHARE", expected, "P50", "P99"];
    Row { cells: names.into_iter().map(|name| (name.to_owned(), FAINT)).collect(), rest: None }
}

fn block(target: &Target, tally: &Tally, view: View<'_>) -> Vec<Row> {
    let plain = Style::new();
    let state = tally.state(view.now);
    let percent = |value: f64| format!("{value:.1} %");
    let success =
        tally.success_percent().map_or_else(|| "-".to_owned(), |value| percent((floored(value) * 10.0).floor() / 10.0));
    let latency = |quantile| tally.latency(quantile).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    let failed = (tally.failed.to_string(), if tally.failed > 0 { style(State::Failed) } else { plain });
    let cells = vec![
        (target.vip.to_string(), Style::new().bold()),
        (state.as_str().to_owned(), style(state)),
        (tally.flows().to_string(), plain),
        failed,
        (success, plain),
        (String::new(), plain),
        (latency(0.5), plain),
        (latency(0.99), plain),
    ];
    let mut rows = vec![Row { cells, rest: None }];
    let named = tally.named();
    for (name, backend) in &tally.backends {
        let expected = view.expectation.map_or_else(String::new, |expectation| percent(expectation.share(name)));
        let share = percent(100.0 * backend.flows as f64 / named as f64);
        let cells = [
            format!("  {name}"),
            String::new(),
            backend.flows.to_string(),
            backend.failed.to_string(),
            share,
            expected,
        ];
        rows.push(Row { cells: cells.into_iter().map(|text| (text, plain)).collect(), rest: None });
    }
    if tally.unnamed > 0 {
        let cells = ["  (no name in the answer)".to_owned(), String::new(), tally.unnamed.to_string()];
        rows.push(Row { cells: cells.into_iter().map(|text| (text, FAINT)).collect(), rest: None });
    }
    if tally.not_sent > 0 {
        rows.push(note(&format!("{} flows not sent by this machine", tally.not_sent), style(State::Degraded)));
    }
    for error in tally.errors.iter().rev().take(SHOWN_ERRORS) {
        let time = time_of_day(error.time);
        rows.push(note(&format!("{time}  {} × {}", error.count, error.error), style(State::Degraded)));
    }
    rows
}

fn note(text: &str, style: Style) -> Row {
    Row { cells: vec![], rest: Some((format!("  {text}"), style)) }
}

/// Hours, minutes and seconds in UTC.
fn time_of_day(time: Timestamp) -> String {
    let text = format!("{time:.3}");
    text.split_once('T').map_or_else(|| text.clone(), |(_, time)| time.to_owned())
}

fn style(state: State) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match state {
        State::Pending => FAINT,
        State::Ok => colour(AnsiColor::Green),
        State::Degraded => colour(AnsiColor::Yellow),
        State::Failed => colour(AnsiColor::Red).bold(),
    }
}

/// Lays the rows out in columns: texts (the first two) to the left, numbers to the right.
fn align(rows: Vec<Row>) -> Vec<Line> {
    let rows: Vec<Row> = rows.into_iter().map(escape).collect();
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let length = |text: &str| text.chars().count();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.cells.get(column)).map(|(text, _)| length(text)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.into_iter().map(|row| {
        let mut line = Line::default();
        for (column, (text, style)) in row.cells.into_iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
            let padding = " ".repeat(widths[column] - length(&text));
            let gap = if column > 0 { " ".repeat(GAP) } else { String::new() };
            if column < 2 {
                line.push(gap, Style::new());
                line.push(text, style);
                line.push(padding, Style::new());
            } else {
                line.push(gap + &padding, Style::new());
                line.push(text, style);
            }
        }
        if let Some((text, style)) = row.rest {
            line.push(text, style);
        }
        line
    });
    lines.collect()
}

/// Escapes control characters, before widths are computed.
fn escape(row: Row) -> Row {
    let escape = |(text, style): (String, Style)| (escaped(&text).into_owned(), style);
    Row { cells: row.cells.into_iter().map(escape).collect(), rest: row.rest.map(escape) }
}

#[cfg(test)]
mod tests;
