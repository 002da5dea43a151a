//! Prints the results.

use std::time::Duration;

use crate::{WATCHERS, load::PER_SECOND, probes::StartDelays, watchers::Counted};

/// The maximum growth of resident memory, in MiB.
const MAX_GROWTH: f64 = 256.0;
/// The maximum ratio of the p99 start delay of probes, with watchers to without.
const MAX_RATIO: f64 = 2.0;

/// The results of one phase.
pub struct Phase {
    pub took: Duration,
    pub emitted: u64,
    pub start_delays: StartDelays,
    /// CPU time of the whole process.
    pub process: Duration,
    /// CPU time of the server's thread.
    pub server: Duration,
    /// The maximum of resident memory, in MiB.
    pub resident: f64,
    pub counted: Option<Counted>,
}

/// The results of both phases.
pub struct Figures {
    pub without: Phase,
    pub with: Phase,
    /// Resident memory before the watchers connected, in MiB.
    pub before: f64,
}

impl Figures {
    pub fn print(&self) {
        let Self { without, with, before } = self;
        for (label, phase) in [("without", without), ("with", with)] {
            let rate = phase.emitted as f64 / phase.took.as_secs_f64();
            let delay = |fraction| phase.start_delays.percentile(fraction);
            let probes = phase.start_delays.count();
            println!(
                "{label:<8} {rate:.0} events/s (target {PER_SECOND}), process {:.2} cores",
                cores(phase.process, phase)
            );
            println!("         probe start delay p50 {:.2} ms, p99 {:.2} ms, {probes} probes", delay(0.5), delay(0.99));
        }
        let ratio = with.start_delays.percentile(0.99) / without.start_delays.percentile(0.99);
        println!("p99 probe start delay, with / without: {ratio:.2}  {}", verdict(ratio <= MAX_RATIO, MAX_RATIO));
        let growth = with.resident - before;
        println!(
            "resident growth {growth:.0} MiB, from {before:.0} MiB  {}",
            verdict(growth <= MAX_GROWTH, MAX_GROWTH)
        );
        if let Some(counted) = with.counted {
            self.print_counts(counted);
        }
    }

    fn print_counts(&self, counted: Counted) {
        let (with, without) = (&self.with, &self.without);
        let seconds = with.took.as_secs_f64();
        let Counted { messages, bytes, events, lost } = counted;
        let (delivered, rate) = (events as f64, events as f64 / seconds);
        let share = (events + lost) as f64 / (with.emitted as f64 * WATCHERS as f64);
        println!(
            "delivered {rate:.0} events/s in {:.0} messages/s, {:.0} MiB/s; lost and reported {:.0} events/s; together {:.1} % of all",
            messages as f64 / seconds,
            bytes as f64 / f64::from(1 << 20) / seconds,
            lost as f64 / seconds,
            share * 100.0,
        );
        let microseconds = |cpu: Duration| cpu.as_secs_f64() * 1e6 / delivered;
        let additional = with.process.saturating_sub(without.process.mul_f64(seconds / without.took.as_secs_f64()));
        println!(
            "CPU per event delivered: {:.3} us of the server's thread ({:.2} cores), {:.3} us of the process",
            microseconds(with.server),
            cores(with.server, with),
            microseconds(additional),
        );
    }
}

fn cores(cpu: Duration, phase: &Phase) -> f64 {
    cpu.as_secs_f64() / phase.took.as_secs_f64()
}

fn verdict(holds: bool, limit: f64) -> String {
    format!("at most {limit}: {}", if holds { "yes" } else { "NO" })
}
