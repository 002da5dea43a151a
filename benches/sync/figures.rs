//! Computes and prints the results.

use std::time::Duration;

use crate::workload::Workload;

/// The times of one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// The agent's full sync.
    pub agent: Duration,
    /// The time from the agent's start to the end of its first full sync.
    pub from_start: Duration,
    /// The replay on the raw socket.
    pub raw: Duration,
}

/// All rounds on one VPP.
pub struct Figures {
    operations: f64,
    rounds: Vec<Round>,
}

/// Prints the meaning of the lines.
pub fn print_head(workload: &Workload, window: usize, rounds: usize) {
    println!("full sync, {}", workload.describe());
    println!("  agent  the agent, from vpp-lb-sync-start to vpp-lb-sync-done, without its dumps");
    println!("  raw    the same frames, encoded before, {window} in flight, from the first byte to the last reply");
    println!("  requests/s, median of {rounds} rounds (quartiles); both in turn, on a VPP without VIPs each time");
    println!("{:<16} {:>26} {:>26} {:>20}", "", "agent", "raw", "agent/raw");
}

impl Figures {
    pub fn new(operations: u32) -> Self {
        Self { operations: f64::from(operations), rounds: Vec::new() }
    }

    pub fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Prints one line; `goal` is the ratio to reach, `None` for information only.
    pub fn print(&self, label: &str, goal: Option<f64>) {
        let rate = |took: Duration| self.operations / took.as_secs_f64();
        let agent = Spread::from_values(self.rounds.iter().map(|round| rate(round.agent)));
        let raw = Spread::from_values(self.rounds.iter().map(|round| rate(round.raw)));
        let ratio = Spread::from_values(self.rounds.iter().map(|round| rate(round.agent) / rate(round.raw)));
        let from_start = Spread::from_values(self.rounds.iter().map(|round| round.from_start.as_secs_f64() * 1000.0));
        let verdict = match goal {
            Some(goal) if ratio.median >= goal => format!("at least {goal}: yes"),
            Some(goal) => format!("at least {goal}: NO"),
            None => "for information: sockets and codecs only".to_owned(),
        };
        println!("{label:<16} {:>26} {:>26} {:>20}  {verdict}", agent.text(0), raw.text(0), ratio.text(2));
        println!(
            "{:<16} from the agent's start, including the connection and the first dump: {} ms",
            "",
            from_start.text(0)
        );
    }
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Spread {
    pub fn from_values(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let quartile = |number: usize| values.get((values.len() * number / 4).min(values.len().saturating_sub(1)));
        let [lower, median, upper] = [1, 2, 3].map(|number| quartile(number).copied().unwrap_or(f64::NAN));
        Self { lower, median, upper }
    }

    pub fn median(self) -> f64 {
        self.median
    }

    /// The text with `digits` decimal places.
    pub fn text(self, digits: usize) -> String {
        let Self { lower, median, upper } = self;
        format!("{median:.digits$} ({lower:.digits$}-{upper:.digits$})")
    }
}
