//! The speed of a full sync by the agent, compared with a raw socket that sends the same frames and with `vpp-papi`; and
//! the latency from a backend's transition to the first request.
//!
//! `cargo bench --bench sync` takes two to three minutes on idle cores; `-- sync/frames`, `-- sync/papi` or
//! `-- sync/latency` runs one part. `sync/papi.rs` and `sync/latency.rs` describe their measurements. The first part
//! compares a full sync with its own frames: 100 VIPs with 16 application servers each (table 8192, weight 10) are 1,700
//! requests, and VPP computes a table for 1,600 of them.
//!
//! ```text
//!  agent: Config ─▶ Agent ─▶ VppConnector ─┐
//!                                          ├─▶ API socket ─▶ another process: a VPP, simulated or real
//!  raw:   recorded frames of the agent ────┘
//! ```
//!
//! * **agent**: the agent as in maglevd, on a runtime of two threads; its events are built and then dropped. The clock
//!   runs from `vpp-lb-sync-start` to `vpp-lb-sync-done`: from before the first address is planned until the last reply
//!   is handled. The dumps before the sync and for its verification are not included.
//! * **raw**: the frames that the agent wrote in a recorded sync, replayed by a blocking thread that parses only lengths,
//!   with 64 requests in flight. The clock runs from the first byte written to the last byte read.
//!
//! The two run in turn, each on a VPP without these VIPs, and must produce the same state (weights and bucket counts are
//! read back each time, while the clock is stopped). The ratio of a round is agent / raw of that round. The output is
//! the median of all rounds and, in parentheses, the quartiles. On a busy machine the ratio is more stable than the
//! rates.
//!
//! The line `without tables` is for information: the same simulator computes tables only when they are read, so that
//! only sockets and codecs are measured. A real VPP is never that fast.
//!
//! `MAGLEV_BENCH_API_SOCKET=PATH` adds a line for the VPP at this API socket. That VPP must have no VIP in
//! 203.0.113.0/24, 198.51.100.0/24 and 198.18.0.0/15 and no running maglevd. The VIPs added there are removed again, also
//! after Ctrl-C. A lock file stays beside the socket, as after maglevd.
//!
//! `benches/README.md` contains results.
#![expect(clippy::print_stdout, reason = "prints the results")]

mod agent_sync;
mod figures;
mod latency;
mod papi;
mod probe_tap;
mod raw;
mod simulated;
mod tap;
mod vpp;
mod workload;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use maglev_vpp_simulator::Recompute;
use tokio_util::sync::CancellationToken;

use self::{
    figures::{Figures, Round},
    raw::Frames,
    vpp::Vpp,
    workload::Workload,
};

/// The API socket of a VPP to measure in addition to the simulator.
const SOCKET_VARIABLE: &str = "MAGLEV_BENCH_API_SOCKET";
/// The label of a simulator that computes tables only when they are read.
const WITHOUT_TABLES: &str = "without tables";
/// VIPs of the full sync in the part `frames`.
const VIPS: u16 = 100;
/// Requests in flight on the raw socket.
const WINDOW: usize = 64;
/// The goal for the ratio agent / raw.
const GOAL: f64 = 0.9;
/// Measured rounds, after one round of warm-up.
const ROUNDS: usize = 15;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = simulated::serve_if_requested(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_selected = |part: &Part| {
        filters.is_empty() || filters.iter().any(|filter| format!("sync/{}", part.name()).contains(filter.as_str()))
    };
    let parts: Vec<Part> = [Part::Frames, Part::Papi, Part::Latency].into_iter().filter(is_selected).collect();
    if parts.is_empty() {
        return Ok(());
    }
    // The same runtime as in maglevd.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Spawned, because `block_on` itself runs on a third thread.
    let result = runtime.block_on(async { tokio::spawn(bench(parts)).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result?
}

async fn bench(parts: Vec<Part>) -> anyhow::Result<()> {
    let interrupted = CancellationToken::new();
    let interrupt = interrupted.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupt.cancel();
        }
    });
    let real_vpp = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    for part in parts {
        part.print_head()?;
        for (label, recompute) in part.simulators() {
            part.measure(label, Vpp::simulated(*recompute).await?, &interrupted).await?;
        }
        if let Some(path) = &real_vpp {
            part.measure(&path.to_string_lossy(), Vpp::at(path.clone()).await?, &interrupted).await?;
        }
    }
    if real_vpp.is_none() {
        println!("\nto measure a real VPP, set {SOCKET_VARIABLE} to the path of its API socket");
    }
    Ok(())
}

/// The parts of the benchmark.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// A full sync, compared with its own frames on a raw socket.
    Frames,
    /// A full sync, compared with `vpp-papi`.
    Papi,
    /// The latency from a transition to its requests.
    Latency,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Papi => "papi",
            Self::Latency => "latency",
        }
    }

    fn print_head(self) -> anyhow::Result<()> {
        match self {
            Self::Frames => figures::print_head(&Workload::new(VIPS)?, WINDOW, ROUNDS),
            Self::Papi => papi::print_head(),
            Self::Latency => latency::print_head(),
        }
        Ok(())
    }

    fn simulators(self) -> &'static [(&'static str, Recompute)] {
        match self {
            Self::Frames => &[("simulator", Recompute::Eager), (WITHOUT_TABLES, Recompute::Lazy)],
            Self::Papi => &[("simulator", Recompute::Eager)],
            // Requests are timed on their way to VPP; only the pauses depend on VPP's speed.
            Self::Latency => &[(WITHOUT_TABLES, Recompute::Lazy)],
        }
    }

    /// Measures on `vpp` and prints the results. Restores `vpp` also after an error.
    async fn measure(self, label: &str, mut vpp: Vpp, interrupted: &CancellationToken) -> anyhow::Result<()> {
        let result = match self {
            Self::Frames => frames(label, &mut vpp, interrupted).await,
            Self::Papi => papi::measure(label, &mut vpp, interrupted).await,
            Self::Latency => latency::measure(label, &mut vpp, interrupted).await,
        };
        vpp.restore().await.context("cannot restore the state of VPP")?;
        result
    }
}

async fn frames(label: &str, vpp: &mut Vpp, interrupted: &CancellationToken) -> anyhow::Result<()> {
    let figures = rounds(vpp, &Workload::new(VIPS)?, interrupted).await?;
    figures.print(label, (label != WITHOUT_TABLES).then_some(GOAL));
    Ok(())
}

async fn rounds(vpp: &mut Vpp, workload: &Workload, interrupted: &CancellationToken) -> anyhow::Result<Figures> {
    vpp.clear().await?;
    let frames = Frames::recorded(vpp.socket(), workload).await?;
    let state = vpp.state().await?;
    workload.check(&state)?;
    let mut figures = Figures::new(workload.operations());
    for round in 0..=ROUNDS {
        let mut measured = Round::default();
        for turn in [round % 2, 1 - round % 2] {
            ensure!(!interrupted.is_cancelled(), "interrupted");
            vpp.clear().await?;
            if turn == 0 {
                let pass = agent_sync::sync(vpp.socket(), workload).await?;
                (measured.agent, measured.from_start) = (pass.took, pass.from_start);
            } else {
                measured.raw = frames.replay(vpp.socket(), WINDOW).await?;
            }
            ensure!(vpp.state().await? == state, "the same requests produced a different state");
        }
        // The first round is warm-up.
        if round > 0 {
            figures.add(measured);
        }
    }
    Ok(figures)
}
