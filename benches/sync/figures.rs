//! From measured times to printed figures.

use std::time::Duration;

use crate::workload::Workload;

/// One round: both of them, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Our agent's pass.
    pub ours: Duration,
    /// Our agent, from its start to the end of its first pass.
    pub whole: Duration,
    /// The raw socket.
    pub raw: Duration,
}

/// All rounds on one VPP.
pub struct Figures {
    operations: f64,
    rounds: Vec<Round>,
}

/// Prints what is measured.
pub fn head(workload: &Workload, window: usize, rounds: usize) {
    println!("full sync, {}", workload.describe());
    println!("  ours   the agent, from vpp-lb-sync-start to vpp-lb-sync-done (its dumps are not in it)");
    println!("  raw    the same frames, encoded before, {window} in flight, first byte to last answer");
    println!("  requests/s, median of {rounds} rounds (quartiles); both in turns, on a VPP without VIPs each time");
    println!("{:<16} {:>26} {:>26} {:>20}", "", "ours", "raw", "ours/raw");
}

impl Figures {
    pub fn new(operations: u32) -> Self {
        Self { operations: f64::from(operations), rounds: Vec::new() }
    }

    pub fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Prints them; `goal` is the ratio to be reached, `None` where it is information only.
    pub fn print(&self, label: &str, goal: Option<f64>) {
        let rate = |took: Duration| self.operations / took.as_secs_f64();
        let ours = Spread::of(self.rounds.iter().map(|round| rate(round.ours)));
        let raw = Spread::of(self.rounds.iter().map(|round| rate(round.raw)));
        let ratio = Spread::of(self.rounds.iter().map(|round| rate(round.ours) / rate(round.raw)));
        let whole = Spread::of(self.rounds.iter().map(|round| round.whole.as_secs_f64() * 1000.0));
        let verdict = match goal {
            Some(goal) if ratio.median >= goal => format!("at least {goal}: yes"),
            Some(goal) => format!("at least {goal}: NO"),
            None => "for information: sockets and codecs alone".to_owned(),
        };
        println!("{label:<16} {:>26} {:>26} {:>20}  {verdict}", ours.text(0), raw.text(0), ratio.text(2));
        println!("{:<16} from the agent's start, with connecting and the first dump: {} ms", "", whole.text(0));
    }
}

/// The middle of many values, and how far they lie apart.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Spread {
    /// Of these values.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let quarter = |quarters: usize| values.get((values.len() * quarters / 4).min(values.len().saturating_sub(1)));
        let [lower, median, upper] = [1, 2, 3].map(|quarters| quarter(quarters).copied().unwrap_or(f64::NAN));
        Self { lower, median, upper }
    }

    pub fn median(self) -> f64 {
        self.median
    }

    /// Rounded to so many digits.
    pub fn text(self, digits: usize) -> String {
        let Self { lower, median, upper } = self;
        format!("{median:.digits$} ({lower:.digits$}-{upper:.digits$})")
    }
}
