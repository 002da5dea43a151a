//! What a scrape of a large node costs: 1,000 Frontends of 10 entries each and 10,000 Backends, which is far more
//! than a node has.
//!
//! * **ours**: the state as the bus publishes it, made into series for this one scrape: effective weights are
//!   computed, nothing is kept.
//! * **vectors**: the `prometheus` crate's own `GaugeVec` and `CounterVec`, which hold the very same series ready all
//!   the time. What it costs to keep them in step with the state is not in it.
//!
//! Both are gathered and encoded as text, in turns. `cargo bench --bench metrics` takes some seconds; it fails if the
//! two do not tell the same.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::ensure;
use jiff::Timestamp;
use maglev_model::event::Level;
use maglev_telemetry::{Bus, BusOptions};
use prometheus::{
    CounterVec, GaugeVec, Opts, Registry, TextEncoder,
    proto::{LabelPair, Metric, MetricType},
};
use tokio_util::sync::CancellationToken;

use maglev_benches::large_node::{BACKENDS, ENTRIES, FRONTENDS, LargeNode};

const ROUNDS: usize = 30;

fn main() -> anyhow::Result<()> {
    let named = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if named.is_some_and(|named| !"metrics".starts_with(&named)) {
        return Ok(());
    }
    let ours = ours()?;
    let (first, peer) = (Instant::now(), vectors(&ours)?);
    let filled = first.elapsed();
    let (text, peers) = (scrape(&ours)?.1, scrape(&peer)?.1);
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    ensure!(told(&text) == told(&peers), "the two do not tell the same");

    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (registry, times) in [&ours, &peer].into_iter().zip(&mut times) {
            times.push(scrape(registry)?.0);
        }
    }
    let [ours, peer] = times.map(|times| Quartiles::of(&times));
    println!("a scrape of {FRONTENDS} Frontends x {ENTRIES} entries, {BACKENDS} Backends");
    println!("  {series} series, {:.1} MB of text; median of {ROUNDS} (quartiles)", text.len() as f64 / 1e6);
    println!("  ours     {ours}");
    println!("  vectors  {peer}   (and {:.0} ms to fill them once)", filled.as_secs_f64() * 1e3);
    println!("  ours/vectors {:.2}", ours.median / peer.median);
    Ok(())
}

/// Gathers and encodes, as `/metrics` does.
fn scrape(registry: &Registry) -> anyhow::Result<(Duration, String)> {
    let start = Instant::now();
    let text = black_box(TextEncoder::new().encode_to_string(&registry.gather())?);
    Ok((start.elapsed(), text))
}

/// A registry that scrapes the state of a bus.
fn ours() -> anyhow::Result<Registry> {
    let bus = Bus::new(BusOptions { log_level: Level::Error, clock: || Timestamp::UNIX_EPOCH, epoch: 1 });
    let registry = Registry::new();
    bus.register(&registry)?;
    LargeNode::new()?.tell(&bus.events());
    // It takes in what was told, and ends.
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(bus.run(shutdown));
    Ok(registry)
}

/// The same series, held by the crate's vectors.
fn vectors(of: &Registry) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    for family in of.gather() {
        let opts = Opts::new(family.name(), family.help());
        let labels = family.get_metric().first().map(Metric::get_label).unwrap_or_default();
        let names: Vec<&str> = labels.iter().map(LabelPair::name).collect();
        let counters = CounterVec::new(opts.clone(), &names)?;
        let gauges = GaugeVec::new(opts, &names)?;
        for metric in family.get_metric() {
            let values: Vec<&str> = metric.get_label().iter().map(LabelPair::value).collect();
            match family.get_field_type() {
                MetricType::COUNTER => {
                    counters.with_label_values(&values).inc_by(metric.get_counter().get_value());
                }
                _ => gauges.with_label_values(&values).set(metric.get_gauge().get_value()),
            }
        }
        match family.get_field_type() {
            MetricType::COUNTER => registry.register(Box::new(counters))?,
            _ => registry.register(Box::new(gauges))?,
        }
    }
    Ok(registry)
}

/// The lines, whatever the order of series and labels.
fn told(text: &str) -> Vec<String> {
    let in_order = |line: &str| {
        let mut parts: Vec<&str> = line.split(['{', ',', '}']).collect();
        parts.sort_unstable();
        parts.join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(in_order).collect();
    lines.sort_unstable();
    lines
}

/// Times in milliseconds.
struct Quartiles {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Quartiles {
    fn of(times: &[Duration]) -> Self {
        let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |quarters: usize| times[times.len() * quarters / 4];
        Self { lower: at(1), median: at(2), upper: at(3) }
    }
}

impl std::fmt::Display for Quartiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms ({:.1}-{:.1})", self.median, self.lower, self.upper)
    }
}
