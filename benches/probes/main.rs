//! What it costs to check many backends once a second: maglevd beside HAProxy, checking the same server.
//!
//! `cargo bench --bench probes`, which takes some minutes; `-- probes/http/1000`, `-- probes/http/10000` or
//! `-- probes/https/1000` is one part.
//!
//! ```text
//!  core 0: maglevd (the whole process), or HAProxy with one thread ─▶ core 1: one server on 127.1.0.0/16,
//!                                                                     which counts what it answers
//! ```
//!
//! * **maglevd** is the program itself: a stand-in for an API server lists the Backends and one HealthCheck
//!   (`GET /healthz`, interval and timeout 1 s, ±10 % as always), a simulated VPP has nothing to do.
//! * **haproxy** has one backend with as many servers (`option httpchk`, `inter 1s`, `spread-checks 10`,
//!   `nbthread 1`). Over TLS it does a full handshake each time, as maglevd does.
//!
//! Both are run one after the other, each for 10 s before it counts and then for 20 s. CPU time is that of all its
//! threads, user and system, from /proc; memory is what is resident at the end. Checks are those that the server
//! answered. The start delay is maglevd's own `maglev_probe_start_delay_seconds`: how much later than planned a probe
//! began, as the upper bound of the bucket that holds the median and the 99th percentile.
//!
//! `benches/README.md` has figures.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]

mod backends;
mod haproxy;
mod kubernetes;
mod maglevd;
mod process;

use std::time::{Duration, Instant};

use anyhow::ensure;

use self::{
    backends::Backends,
    kubernetes::{Objects, Scheme},
    maglevd::Maglevd,
    process::{Child, Usage},
};

/// Before it counts: all are known, and buffers have their size.
const WARM_UP: Duration = Duration::from_secs(10);
/// As long as it counts.
const MEASURED: Duration = Duration::from_secs(20);
/// Where the checker runs, and where the server does.
const CORES: (usize, usize) = (0, 1);

const PARTS: [(&str, Scheme, u32); 3] = [
    ("probes/http/1000", Scheme::Http, 1_000),
    ("probes/http/10000", Scheme::Http, 10_000),
    ("probes/https/1000", Scheme::Https, 1_000),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = backends::serve_if_asked(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let parts: Vec<_> = PARTS.into_iter().filter(|(name, ..)| asked(name)).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(measure(&parts));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn measure(parts: &[(&str, Scheme, u32)]) -> anyhow::Result<()> {
    let haproxy = haproxy::version();
    match &haproxy {
        Ok(version) => println!("checks once a second, maglevd beside HAProxy {version}; core 0 against core 1"),
        Err(why) => println!("checks once a second, maglevd alone: {why}"),
    }
    println!("{:<18} {:<8} {:>10} {:>12} {:>10} {:>9}", "", "", "checks/s", "CPU s per s", "us/check", "MiB");
    for (name, scheme, count) in parts {
        let ours = part_of_maglevd(name, *scheme, *count).await?;
        if haproxy.is_ok() {
            let theirs = part_of_haproxy(name, *scheme, *count).await?;
            let ratio = |of: fn(&Figures) -> f64| of(&ours) / of(&theirs);
            println!(
                "{:<18} {:<8} {:>10.2} {:>12} {:>10.2} {:>9.2}",
                name,
                "ratio",
                ratio(|of| of.rate),
                "",
                ratio(Figures::per_check),
                ratio(|of| of.memory)
            );
        }
    }
    Ok(())
}

/// What one of them did.
struct Figures {
    rate: f64,
    cpu: f64,
    memory: f64,
}

impl Figures {
    /// CPU seconds of one check.
    fn per_check(&self) -> f64 {
        self.cpu / self.rate
    }

    fn print(&self, part: &str, who: &str) {
        let Self { rate, cpu, memory } = self;
        let each = self.per_check() * 1e6;
        println!("{part:<18} {who:<8} {rate:>10.0} {cpu:>12.3} {each:>10.1} {memory:>9.1}");
    }
}

fn objects(backends: &Backends, scheme: Scheme, count: u32) -> Objects {
    let port = if scheme == Scheme::Http { backends.port } else { backends.tls_port };
    Objects { backends: count, scheme, port, authority: backends.authority.clone() }
}

async fn part_of_maglevd(part: &str, scheme: Scheme, count: u32) -> anyhow::Result<Figures> {
    let directory = tempfile::tempdir()?;
    let mut backends = Backends::start(directory.path(), CORES.1)?;
    let mut maglevd = Maglevd::start(objects(&backends, scheme, count), directory.path(), CORES.0).await?;
    tokio::time::sleep(WARM_UP).await;
    let before = maglevd.metrics().await?;
    let figures = figures(&mut maglevd.process, &mut backends).await?;
    let after = maglevd.metrics().await?;
    figures.print(part, "maglevd");
    let since = |name: &str| after.sum(name) - before.sum(name);
    let failed = |metrics: &maglevd::Metrics| metrics.sum_with("maglev_probe_total", "result=\"failure\"");
    let delay = |quantile| after.quantile_since(&before, "maglev_probe_start_delay_seconds", quantile) * 1000.0;
    println!(
        "{:<18} {:<8} start delay p50 {} ms, p99 {} ms; {} failed, {} discarded, {} not sent, {} times at the limit",
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

async fn part_of_haproxy(part: &str, scheme: Scheme, count: u32) -> anyhow::Result<Figures> {
    let directory = tempfile::tempdir()?;
    let mut backends = Backends::start(directory.path(), CORES.1)?;
    let mut haproxy = haproxy::start(&objects(&backends, scheme, count), directory.path(), CORES.0)?;
    tokio::time::sleep(WARM_UP).await;
    let figures = figures(&mut haproxy, &mut backends).await?;
    figures.print(part, "haproxy");
    Ok(figures)
}

async fn figures(checker: &mut Child, backends: &mut Backends) -> anyhow::Result<Figures> {
    let (start, before, answered) = (Instant::now(), checker.usage()?, backends.answered()?);
    tokio::time::sleep(MEASURED).await;
    let Usage { cpu, memory } = checker.usage()?;
    let (took, checks) = (start.elapsed().as_secs_f64(), backends.answered()? - answered);
    ensure!(checks > 0, "nothing was checked");
    Ok(Figures { rate: checks as f64 / took, cpu: (cpu - before.cpu).as_secs_f64() / took, memory })
}
