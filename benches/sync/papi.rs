//! Our agent beside `vpp-papi`, VPP's own Python client, whose calls wait for their answers.

use std::{
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use maglev_testkit::python::{PAPI, interpreter, run};
use tokio_util::sync::CancellationToken;

use crate::{figures::Spread, ours, vpp::Vpp, workload::Workload};

/// How many VIPs, and how many rounds: `vpp-papi` takes about 17 s for 1,000.
const SIZES: [(u16, usize); 2] = [(100, 5), (1000, 2)];
/// How many times faster than `vpp-papi` ours should be.
const GOAL: f64 = 3.0;
/// A full sync by `vpp-papi` may take so long.
const LIMIT: Duration = Duration::from_secs(300);

/// Prints what the lines mean.
pub fn head() {
    println!();
    println!("full sync beside vpp-papi (PyPI), whose calls are made one after the other");
    println!("  requests/s, median (quartiles); both in turns, on a VPP without VIPs each time");
    println!("{:<16} {:>26} {:>26} {:>20}", "", "ours", "vpp-papi", "ours/papi");
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
        let (mut ours, mut papi, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut rates = [0.0; 2];
            for turn in [round % 2, 1 - round % 2] {
                ensure!(!interrupted.is_cancelled(), "interrupted");
                vpp.clear().await?;
                let took = if turn == 0 {
                    ours::sync(vpp.socket(), &workload).await?.took
                } else {
                    sync(&python, vpp.socket(), &file).await?
                };
                workload.check(&vpp.state().await?)?;
                rates[turn] = f64::from(workload.operations()) / took.as_secs_f64();
            }
            ours.push(rates[0]);
            papi.push(rates[1]);
            ratios.push(rates[0] / rates[1]);
        }
        let [ours, papi, ratio] = [ours, papi, ratios].map(|values| Spread::of(values.into_iter()));
        let verdict = if ratio.median() >= GOAL { "yes" } else { "NO" };
        println!(
            "  {:<14} {:>26} {:>26} {:>20}  at least {GOAL}: {verdict} ({rounds} rounds)",
            format!("{vips} x 16"),
            ours.text(0),
            papi.text(0),
            ratio.text(2)
        );
    }
    Ok(())
}

async fn sync(python: &Path, socket: &Path, workload: &Path) -> anyhow::Result<Duration> {
    let root = maglev_testkit::checkout().to_owned();
    let (script, api) = (root.join("benches/sync/full_sync.py"), root.join("tests/wire/data/api"));
    let (done, text) = run(python, &[&script, socket, &api, workload], LIMIT).await?;
    ensure!(done, "vpp-papi failed: {text}");
    let last = text.lines().last().context("it prints how long it took")?;
    Ok(Duration::from_secs_f64(last.trim().parse().with_context(|| format!("vpp-papi said {text}"))?))
}
