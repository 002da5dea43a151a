//! The cost of checking many backends once per second, by maglevd and by HAProxy, against the same server.
//!
//! `cargo bench --bench probes` takes some minutes; `-- probes/http/1000` and so on runs one part.
//!
//! ```text
//!  core 0: maglevd (the whole process), or HAProxy with one thread ─▶ core 1: one server on 127.1.0.0/16,
//!                                                                     which counts requests
//! ```
//!
//! * **maglevd** is the program itself: a fake API server lists the Backends and one HealthCheck (`GET /healthz`,
//!   interval and timeout 1 s, the usual jitter of 10 %); a simulated VPP is idle.
//! * **haproxy** has one backend with as many servers (`option httpchk`, `inter 1s`, `spread-checks 10`,
//!   `nbthread 1`). Over TLS it performs a full handshake each time, as maglevd does.
//!
//! The parts with `reuse` set `http.connection: Reuse`, and are compared with the same HAProxy, whose checks open a
//! connection each: `http-reuse` is for its traffic.
//!
//! Both run one after the other, for 10 s of warm-up and 20 s of measurement. CPU is the time of all threads, user and
//! system, from /proc; memory is the resident memory at the end. Checks are the requests that the server counted. The
//! start delay is maglevd's own `maglev_probe_start_delay_seconds`, the delay between the due time and the start of a
//! probe, as the upper bound of the bucket of the median and of the 99th percentile.
//!
//! `benches/README.md` contains results.
#![expect(clippy::print_stdout, reason = "prints the results")]

mod backends;
mod haproxy;
mod kubernetes;
mod maglevd;
mod process;

use std::{
    collections::{HashMap, hash_map::Entry},
    time::{Duration, Instant},
};

use anyhow::ensure;

use self::{
    backends::Backends,
    kubernetes::{Objects, Scheme},
    maglevd::Maglevd,
    process::{Child, Usage},
};

/// Time before the measurement, until all states are known and buffers have their final size.
const WARM_UP: Duration = Duration::from_secs(10);
const DURATION: Duration = Duration::from_secs(20);
/// The core of the checker and the core of the server.
const CORES: (usize, usize) = (0, 1);

/// The checks of one part.
#[derive(Clone, Copy)]
struct Part {
    name: &'static str,
    scheme: Scheme,
    connection: &'static str,
    backends: u32,
}

const fn part(name: &'static str, scheme: Scheme, connection: &'static str, backends: u32) -> Part {
    Part { name, scheme, connection, backends }
}

const PARTS: [Part; 6] = [
    part("probes/http/1000", Scheme::Http, "New", 1_000),
    part("probes/http-reuse/1000", Scheme::Http, "Reuse", 1_000),
    part("probes/http/10000", Scheme::Http, "New", 10_000),
    part("probes/http-reuse/10000", Scheme::Http, "Reuse", 10_000),
    part("probes/https/1000", Scheme::Https, "New", 1_000),
    part("probes/https-reuse/1000", Scheme::Https, "Reuse", 1_000),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = backends::serve_if_requested(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_selected = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let parts: Vec<_> = PARTS.into_iter().filter(|part| is_selected(part.name)).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(measure(&parts));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn measure(parts: &[Part]) -> anyhow::Result<()> {
    let haproxy = haproxy::version();
    match &haproxy {
        Ok(version) => println!(
            "one check per backend and second, by maglevd and by HAProxy {version}; checker on core 0, server on core 1"
        ),
        Err(reason) => println!("one check per backend and second, by maglevd only: {reason}"),
    }
    println!("{:<23} {:<8} {:>10} {:>12} {:>10} {:>9}", "", "", "checks/s", "CPU s per s", "us/check", "MiB");
    let mut peers: HashMap<(Scheme, u32), Figures> = HashMap::new();
    for part in parts {
        let maglevd = measure_maglevd(part).await?;
        if haproxy.is_err() {
            continue;
        }
        let haproxy = match peers.entry((part.scheme, part.backends)) {
            Entry::Occupied(measured) => measured.into_mut(),
            Entry::Vacant(new) => new.insert(measure_haproxy(part).await?),
        };
        haproxy.print(part.name, "haproxy");
        let ratio = |value: fn(&Figures) -> f64| value(&maglevd) / value(haproxy);
        println!(
            "{:<23} {:<8} {:>10.2} {:>12} {:>10.2} {:>9.2}",
            part.name,
            "ratio",
            ratio(|figures| figures.rate),
            "",
            ratio(Figures::per_check),
            ratio(|figures| figures.memory)
        );
    }
    Ok(())
}

/// The results of one checker.
struct Figures {
    rate: f64,
    cpu: f64,
    memory: f64,
}

impl Figures {
    /// CPU seconds per check.
    fn per_check(&self) -> f64 {
        self.cpu / self.rate
    }

    fn print(&self, part: &str, checker: &str) {
        let Self { rate, cpu, memory } = self;
        let each = self.per_check() * 1e6;
        println!("{part:<23} {checker:<8} {rate:>10.0} {cpu:>12.3} {each:>10.1} {memory:>9.1}");
    }
}

fn objects(backends: &Backends, part: &Part) -> Objects {
    let Part { scheme, connection, backends: count, .. } = *part;
    let port = if scheme == Scheme::Http { backends.port } else { backends.tls_port };
    Objects { backends: count, scheme, connection, port, authority: backends.authority.clone() }
}

async fn measure_maglevd(part: &Part) -> anyhow::Result<Figures> {
    let directory = tempfile::tempdir()?;
    let mut backends = Backends::start(directory.path(), CORES.1)?;
    let mut maglevd = Maglevd::start(objects(&backends, part), directory.path(), CORES.0).await?;
    tokio::time::sleep(WARM_UP).await;
    let before = maglevd.metrics().await?;
    let figures = figures(&mut maglevd.process, &mut backends).await?;
    let after = maglevd.metrics().await?;
    figures.print(part.name, "maglevd");
    let since = |name: &str| after.sum(name) - before.sum(name);
    let failed = |metrics: &maglevd::Metrics| metrics.sum_with("maglev_probe_total", "result=\"failure\"");
    let delay = |quantile| after.quantile_since(&before, "maglev_probe_start_delay_seconds", quantile) * 1000.0;
    println!(
        "{:<23} {:<8} start delay p50 {} ms, p99 {} ms; {} failed, {} discarded, {} not sent, {} times at the limit",
        "",
        "",
        delay(0.5),
        delay(0.99),
        failed(&after) - failed(&before),
        since("maglev_probe_discarded_total"),
        since("maglev_probe_not_sent_total"),
        since("maglev_probe_limit_total"),
    );
    Ok(figures)
}

async fn measure_haproxy(part: &Part) -> anyhow::Result<Figures> {
    let directory = tempfile::tempdir()?;
    let mut backends = Backends::start(directory.path(), CORES.1)?;
    let mut haproxy = haproxy::start(&objects(&backends, part), directory.path(), CORES.0)?;
    tokio::time::sleep(WARM_UP).await;
    figures(&mut haproxy, &mut backends).await
}

async fn figures(checker: &mut Child, backends: &mut Backends) -> anyhow::Result<Figures> {
    let (start, before, requests) = (Instant::now(), checker.usage()?, backends.requests()?);
    tokio::time::sleep(DURATION).await;
    let Usage { cpu, memory } = checker.usage()?;
    let (took, checks) = (start.elapsed().as_secs_f64(), backends.requests()? - requests);
    ensure!(checks > 0, "the server received no check");
    Ok(Figures { rate: checks as f64 / took, cpu: (cpu - before.cpu).as_secs_f64() / took, memory })
}
