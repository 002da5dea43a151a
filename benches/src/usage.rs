//! What a process or a thread takes, as its directory in `/proc` tells.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

/// `USER_HZ`, which Linux shows to programs whatever its own clock is.
const TICKS_PER_SECOND: u64 = 100;

/// The time that it was on a core, user and system, to 10 ms.
pub fn cpu(of: &Path) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(of.join("stat"))?;
    // `utime` and `stime`, the 14th and 15th field; the name before them is in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
}

/// Memory that is resident now, in MiB.
pub fn resident(of: &Path) -> anyhow::Result<f64> {
    let status = fs::read_to_string(of.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1024.0)
}
