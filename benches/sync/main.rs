//! How fast a full sync is, our agent beside a raw socket that sends the very same frames and beside
//! `vpp-papi`; and how long after a backend's transition the first request is out.
//!
//! `cargo bench --bench sync`, which takes two to three minutes on idle cores; `-- sync/frames`,
//! `-- sync/papi` or `-- sync/latency` is one part. `sync/papi.rs` and `sync/latency.rs` say how
//! theirs is measured. The first part, a full sync beside its own frames: 100 VIPs with 16 application servers each
//! (table 8192, weight 10) are 1,700 requests, and VPP computes a table for 1,600 of them.
//!
//! ```text
//!  ours: Config ─▶ Agent ─▶ VppConnector ─┐
//!                                       ├─▶ API socket ─▶ another process: a VPP, simulated or real
//!  raw:  ours' frames, recorded before ─┘
//! ```
//!
//! * **ours**: the agent as maglevd runs it, on a runtime of two threads; its events are built and
//!   then dropped. The clock runs from `vpp-lb-sync-start` to `vpp-lb-sync-done`: from before the
//!   first address is planned until the last answer is handled. The dump before it and the one that
//!   verifies it afterwards are not in it.
//! * **raw**: what the agent wrote in a pass recorded before, replayed by a blocking thread that
//!   knows nothing but lengths, with 64 requests in flight. The clock runs from the first byte
//!   written to the last byte read.
//!
//! The two take turns, each on a VPP that has none of these VIPs, and each must leave the very same
//! state behind (weights and bucket counts are read back every time, off the clock). A round's ratio
//! is ours / raw of that round; what is printed is the median of the rounds and, in parentheses, the
//! quartiles. On a machine that does other things the ratio is steadier than the rates.
//!
//! The line `without tables` is for information: the same simulator, but tables are computed when
//! somebody asks, so that only sockets and codecs are left. A real VPP is never that fast.
//!
//! `MAGLEV_BENCH_API_SOCKET=PATH` adds a line for the VPP that listens there. It must have no VIP in
//! 203.0.113.0/24, 198.51.100.0/24 and 198.18.0.0/15, and no maglevd; the VIPs made there are removed again, also
//! after Ctrl-C (a lock file stays beside the socket, as maglevd leaves one).
//!
//! `benches/README.md` has figures.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]

mod figures;
mod latency;
mod ours;
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

/// Names the VPP to measure beside the simulator.
const SOCKET_VARIABLE: &str = "MAGLEV_BENCH_API_SOCKET";
/// A simulator that computes tables when somebody asks.
const WITHOUT_TABLES: &str = "without tables";
/// VIPs of the full sync beside its own frames.
const VIPS: u16 = 100;
/// Requests in flight on the raw socket.
const WINDOW: usize = 64;
/// What of the raw rate ours should reach.
const GOAL: f64 = 0.9;
/// Rounds of both that count, after one that does not.
const ROUNDS: usize = 15;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = simulated::serve_if_asked(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let asked = |part: &Part| {
        filters.is_empty() || filters.iter().any(|filter| format!("sync/{}", part.name()).contains(filter.as_str()))
    };
    let parts: Vec<Part> = [Part::Frames, Part::Papi, Part::Latency].into_iter().filter(asked).collect();
    if parts.is_empty() {
        return Ok(());
    }
    // As in maglevd.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Spawned, because what `block_on` runs is on a third thread.
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
    let another = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    for part in parts {
        part.head()?;
        for (label, recompute) in part.simulators() {
            part.measure(label, Vpp::simulated(*recompute).await?, &interrupted).await?;
        }
        if let Some(path) = &another {
            part.measure(&path.to_string_lossy(), Vpp::at(path.clone()).await?, &interrupted).await?;
        }
    }
    if another.is_none() {
        println!("\nanother VPP: {SOCKET_VARIABLE}=PATH of its API socket");
    }
    Ok(())
}

/// What is measured, one after the other.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// A full sync beside its own frames.
    Frames,
    /// A full sync beside `vpp-papi`.
    Papi,
    /// From a transition to a request.
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

    fn head(self) -> anyhow::Result<()> {
        match self {
            Self::Frames => figures::head(&Workload::new(VIPS)?, WINDOW, ROUNDS),
            Self::Papi => papi::head(),
            Self::Latency => latency::head(),
        }
        Ok(())
    }

    fn simulators(self) -> &'static [(&'static str, Recompute)] {
        match self {
            Self::Frames => &[("simulator", Recompute::Eager), (WITHOUT_TABLES, Recompute::Lazy)],
            Self::Papi => &[("simulator", Recompute::Eager)],
            // Requests are timed on their way to VPP; only the pauses depend on what they cost there.
            Self::Latency => &[(WITHOUT_TABLES, Recompute::Lazy)],
        }
    }

    /// Measures on `vpp` and prints; whatever happens, `vpp` is left as it was.
    async fn measure(self, label: &str, mut vpp: Vpp, interrupted: &CancellationToken) -> anyhow::Result<()> {
        let measured = match self {
            Self::Frames => frames(label, &mut vpp, interrupted).await,
            Self::Papi => papi::measure(label, &mut vpp, interrupted).await,
            Self::Latency => latency::measure(label, &mut vpp, interrupted).await,
        };
        vpp.leave().await.context("cannot leave VPP as it was found")?;
        measured
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
                let pass = ours::sync(vpp.socket(), workload).await?;
                (measured.ours, measured.whole) = (pass.took, pass.whole);
            } else {
                measured.raw = frames.replay(vpp.socket(), WINDOW).await?;
            }
            ensure!(vpp.state().await? == state, "the same requests left another state behind");
        }
        // The first one warms up.
        if round > 0 {
            figures.add(measured);
        }
    }
    Ok(figures)
}
