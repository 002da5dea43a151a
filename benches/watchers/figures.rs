//! From what was measured to what is printed.

use std::time::Duration;

use crate::{WATCHERS, load::PER_SECOND, others::Counted, probes::Lateness};

/// What memory may grow by, in MiB.
const MAX_GROWTH: f64 = 256.0;
/// How many times later probes may begin.
const MAX_RATIO: f64 = 2.0;

/// What was measured in a while.
pub struct Phase {
    pub took: Duration,
    pub emitted: u64,
    pub lateness: Lateness,
    /// CPU of the whole process, and of the server's thread.
    pub process: Duration,
    pub server: Duration,
    /// The most that was resident, in MiB.
    pub resident: f64,
    pub counted: Option<Counted>,
}

/// Both, and what was resident before the watchers came.
pub struct Figures {
    pub without: Phase,
    pub with: Phase,
    pub before: f64,
}

impl Figures {
    pub fn print(&self) {
        let Self { without, with, before } = self;
        for (label, phase) in [("without", without), ("with", with)] {
            let rate = phase.emitted as f64 / phase.took.as_secs_f64();
            let late = |share| phase.lateness.percentile(share);
            let probes = phase.lateness.count();
            println!(
                "{label:<8} {rate:.0} events/s (wanted {PER_SECOND}), process {:.2} cores",
                cores(phase.process, phase)
            );
            println!("         probe lateness p50 {:.2} ms, p99 {:.2} ms, {probes} probes", late(0.5), late(0.99));
        }
        let ratio = with.lateness.percentile(0.99) / without.lateness.percentile(0.99);
        println!("p99 probe lateness, with / without: {ratio:.2}  {}", verdict(ratio <= MAX_RATIO, MAX_RATIO));
        let growth = with.resident - before;
        println!("resident growth {growth:.0} MiB, of {before:.0} MiB  {}", verdict(growth <= MAX_GROWTH, MAX_GROWTH));
        if let Some(counted) = with.counted {
            self.print_counted(counted);
        }
    }

    fn print_counted(&self, counted: Counted) {
        let (with, without) = (&self.with, &self.without);
        let seconds = with.took.as_secs_f64();
        let Counted { messages, bytes, events, lost } = counted;
        let (delivered, rate) = (events as f64, events as f64 / seconds);
        let told = (events + lost) as f64 / (with.emitted as f64 * WATCHERS as f64);
        println!(
            "delivered {rate:.0} events/s in {:.0} messages/s, {:.0} MiB/s; lost {:.0} events/s, told; together {:.1} % of all",
            messages as f64 / seconds,
            bytes as f64 / f64::from(1 << 20) / seconds,
            lost as f64 / seconds,
            told * 100.0,
        );
        let microseconds = |cpu: Duration| cpu.as_secs_f64() * 1e6 / delivered;
        let more = with.process.saturating_sub(without.process.mul_f64(seconds / without.took.as_secs_f64()));
        println!(
            "CPU per event delivered: {:.3} us of the server's thread ({:.2} cores), {:.3} us of the process",
            microseconds(with.server),
            cores(with.server, with),
            microseconds(more),
        );
    }
}

fn cores(cpu: Duration, phase: &Phase) -> f64 {
    cpu.as_secs_f64() / phase.took.as_secs_f64()
}

fn verdict(holds: bool, most: f64) -> String {
    format!("at most {most}: {}", if holds { "yes" } else { "NO" })
}
