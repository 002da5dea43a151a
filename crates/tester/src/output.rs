//! The output of a run: a live table, one table at the end, or JSON lines.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    flow::Target,
    report::{ChangeReport, Line, Summary, VipReport},
    screen::{Screen, write},
    table::{self, View},
    tally::{Change, Tally},
};

/// Interval between two frames of the live table.
const FRAME: Duration = Duration::from_millis(250);

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A live table on a terminal, only the table of the end elsewhere.
    Table,
    /// JSON lines.
    Json,
}

impl Format {
    /// A table on a terminal, JSON lines elsewhere.
    pub fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Json }
    }
}

/// Writes the results.
#[derive(Debug)]
pub enum Output {
    Live { screen: Screen, has_colour: bool },
    Table,
    Json,
}

/// The end of a run.
#[derive(Debug)]
pub struct End<'a> {
    pub view: View<'a>,
    /// The problems of each VIP.
    pub problems: &'a [Vec<String>],
    pub time: Timestamp,
    pub elapsed: Duration,
}

impl Output {
    /// Prepares the output.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn new(format: Format) -> io::Result<Self> {
        let is_live = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let has_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(match format {
            Format::Table if is_live => Self::Live { screen: Screen::enter(has_colour)?, has_colour },
            Format::Table => Self::Table,
            Format::Json => Self::Json,
        })
    }

    /// The interval between two calls of [`Output::progress`].
    pub fn interval(&self, report_every: Duration) -> Duration {
        if matches!(self, Self::Live { .. }) { FRAME } else { report_every }
    }

    /// Shows the results so far.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn progress(&self, view: View<'_>, time: Timestamp) -> io::Result<()> {
        match self {
            Self::Live { screen, .. } => {
                let size = Screen::size();
                screen.draw(&table::screen(view, size), size)
            }
            Self::Table => Ok(()),
            Self::Json => {
                let lines =
                    view.vips.iter().map(|(target, tally)| Line::Vip(report(target, tally, view.now, time)).to_text());
                write(&lines.collect::<String>())
            }
        }
    }

    /// Shows that a VIP failed or recovered.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn change(&self, target: &Target, change: &Change, time: Timestamp) -> io::Result<()> {
        match self {
            Self::Json => write(&Line::Change(ChangeReport::new(target, change, time)).to_text()),
            // Visible in the next frame.
            Self::Live { .. } | Self::Table => Ok(()),
        }
    }

    /// Shows the final results.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn finish(self, end: &End<'_>) -> io::Result<()> {
        match self {
            Self::Json => write(&json_results(end)),
            Self::Table => write(&final_table(end, usize::MAX, false)),
            Self::Live { screen, has_colour } => {
                let columns = Screen::size().columns;
                drop(screen);
                write(&final_table(end, columns, has_colour))
            }
        }
    }
}

fn report<'a>(target: &Target, tally: &'a Tally, now: Instant, time: Timestamp) -> VipReport<'a> {
    VipReport::new(target, tally, tally.state(now), time)
}

fn json_results(end: &End<'_>) -> String {
    let results = end.view.vips.iter().zip(end.problems).map(|((target, tally), problems)| {
        let report = report(target, tally, end.view.now, end.time);
        Line::Result { passed: problems.is_empty(), problems, report }.to_text()
    });
    let passed_vips = end.problems.iter().filter(|problems| problems.is_empty()).count();
    let summary = Line::Summary(Summary {
        time: end.time,
        seconds: (end.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        vips: end.problems.len(),
        passed_vips,
        passed: passed_vips == end.problems.len(),
    });
    results.collect::<String>() + &summary.to_text()
}

/// The table, the problems and the number of passed VIPs. The terminal wraps problems; they are not cut.
fn final_table(end: &End<'_>, columns: usize, has_colour: bool) -> String {
    let mut text: String = table::table(end.view).iter().map(|line| line.render(columns, has_colour) + "\n").collect();
    text.push('\n');
    for ((target, _), problems) in end.view.vips.iter().zip(end.problems) {
        for problem in problems {
            let line = table::Line::problem(&format!("{}: {problem}", target.vip));
            text += &(line.render(usize::MAX, has_colour) + "\n");
        }
    }
    let passed = end.problems.iter().filter(|problems| problems.is_empty()).count();
    text += &format!("{passed} of {} VIPs passed\n", end.problems.len());
    text
}
