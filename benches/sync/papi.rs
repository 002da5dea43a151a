//! Compares the agent with `vpp-papi`, VPP's own Python client, whose calls wait for their replies.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use maglev_testkit::python::{PAPI, interpreter, run};
use tokio_util::sync::CancellationToken;

use crate::{agent_sync, figures::Spread, vpp::Vpp, workload::Workload};

/// Numbers of VIPs and of rounds. `vpp-papi` takes about 17 s for 1,000 VIPs.
const SIZES: [(u16, usize); 2] = [(100, 5), (1000, 2)];
/// The goal for the ratio of the rates, agent / `vpp-papi`.
const GOAL: f64 = 3.0;
/// The maximum time of a full sync by `vpp-papi`.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Prints the meaning of the lines.
pub fn print_head() {
    println!();
    println!("full sync, compared with vpp-papi (PyPI), which makes one call after the other");
    println!("  requests/s, median (quartiles); both in turn, on a VPP without VIPs each time");
    println!("{:<16} {:>26} {:>26} {:>20}", "", "agent", "vpp-papi", "agent/papi");
}

/// Measures on `vpp` and prints a line for each size.
pub async fn measure(label: &str, vpp: &mut Vpp, interrupted: &CancellationToken) -> anyhow::Result<()> {
    let python = interpreter(&PAPI).await?;
    println!("{label}");
    for (vips, rounds) in SIZES {
        let workload = Workload::new(vips)?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("workload.json");
        std::fs::write(&file, workload.to_json())?;
        let (mut agent, mut papi, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut rates = [0.0; 2];
            for turn in [round % 2, 1 - round % 2] {
                ensure!(!interrupted.is_cancelled(), "interrupted");
                vpp.clear().await?;
                let took = if turn == 0 {
                    agent_sync::sync(vpp.socket(), &workload).await?.took
                } else {
                    sync(&python, vpp.socket(), &file).await?
                };
                workload.check(&vpp.state().await?)?;
                rates[turn] = f64::from(workload.operations()) / took.as_secs_f64();
            }
            agent.push(rates[0]);
            papi.push(rates[1]);
            ratios.push(rates[0] / rates[1]);
        }
        let [agent, papi, ratio] = [agent, papi, ratios].map(|values| Spread::from_values(values.into_iter()));
        let verdict = if ratio.median() >= GOAL { "yes" } else { "NO" };
        println!(
            "  {:<14} {:>26} {:>26} {:>20}  at least {GOAL}: {verdict} ({rounds} rounds)",
            format!("{vips} x 16"),
            agent.text(0),
            papi.text(0),
            ratio.text(2)
        );
    }
    Ok(())
}

async fn sync(python: &Path, socket: &Path, workload: &Path) -> anyhow::Result<Duration> {
    let root = maglev_testkit::checkout().to_owned();
    let (script, api) = (root.join("benches/sync/full_sync.py"), root.join("tests/wire/data/api"));
    let (succeeded, text) = run(python, &[&script, socket, &api, workload], TIMEOUT).await?;
    ensure!(succeeded, "full_sync.py failed: {text}");
    let last = text.lines().last().context("full_sync.py printed nothing")?;
    let seconds = last.trim().parse().with_context(|| format!("full_sync.py printed no number of seconds: {text}"))?;
    Ok(Duration::from_secs_f64(seconds))
}
