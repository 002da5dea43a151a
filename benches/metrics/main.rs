//! The cost of a scrape of a large node: 1,000 Frontends with 10 entries each and 10,000 Backends, far more than a node
//! usually has.
//!
//! * **view**: the telemetry crate builds the series for each scrape from the state that the bus publishes, including
//!   the effective weights. Nothing is kept between scrapes.
//! * **vectors**: `GaugeVec` and `CounterVec` of the `prometheus` crate hold the same series permanently. The cost of
//!   keeping them in sync with the state is not measured.
//!
//! Both are gathered and encoded as text, in turn. `cargo bench --bench metrics` takes some seconds; it fails if the two
//! texts differ.
#![expect(clippy::print_stdout, reason = "prints the results")]

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
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_some_and(|filter| !"metrics".starts_with(&filter)) {
        return Ok(());
    }
    let view = view()?;
    let (start, vectors) = (Instant::now(), vectors(&view)?);
    let fill_time = start.elapsed();
    let (text, vectors_text) = (scrape(&view)?.1, scrape(&vectors)?.1);
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    ensure!(sorted_lines(&text) == sorted_lines(&vectors_text), "the two scrapes differ");

    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (registry, times) in [&view, &vectors].into_iter().zip(&mut times) {
            times.push(scrape(registry)?.0);
        }
    }
    let [view, vectors] = times.map(|times| Quartiles::from_times(&times));
    println!("a scrape of {FRONTENDS} Frontends x {ENTRIES} entries, {BACKENDS} Backends");
    println!("  {series} series, {:.1} MB of text; median of {ROUNDS} (quartiles)", text.len() as f64 / 1e6);
    println!("  view     {view}");
    println!("  vectors  {vectors}   (and {:.0} ms to fill them once)", fill_time.as_secs_f64() * 1e3);
    println!("  view/vectors {:.2}", view.median / vectors.median);
    Ok(())
}

/// Gathers and encodes all metrics, as `/metrics` does.
fn scrape(registry: &Registry) -> anyhow::Result<(Duration, String)> {
    let start = Instant::now();
    let text = black_box(TextEncoder::new().encode_to_string(&registry.gather())?);
    Ok((start.elapsed(), text))
}

/// A registry with the metrics of a bus and its state.
fn view() -> anyhow::Result<Registry> {
    let bus = Bus::new(BusOptions { log_level: Level::Error, clock: || Timestamp::UNIX_EPOCH, epoch: 1 });
    let registry = Registry::new();
    bus.register(&registry)?;
    LargeNode::default().emit(&bus.events());
    // The bus processes all queued events and ends.
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(bus.run(shutdown));
    Ok(registry)
}

/// The series of `source` in vectors of the prometheus crate.
fn vectors(source: &Registry) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    for family in source.gather() {
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

/// The lines, independent of the order of series and labels.
fn sorted_lines(text: &str) -> Vec<String> {
    let with_sorted_labels = |line: &str| {
        let mut parts: Vec<&str> = line.split(['{', ',', '}']).collect();
        parts.sort_unstable();
        parts.join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(with_sorted_labels).collect();
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
    fn from_times(times: &[Duration]) -> Self {
        let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let quartile = |number: usize| times[times.len() * number / 4];
        Self { lower: quartile(1), median: quartile(2), upper: quartile(3) }
    }
}

impl std::fmt::Display for Quartiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms ({:.1}-{:.1})", self.median, self.lower, self.upper)
    }
}
