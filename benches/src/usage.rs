//! CPU and memory usage of a process or a thread, from its directory in `/proc`.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

/// `USER_HZ`, the unit of times in `/proc`, which does not depend on the kernel's own tick rate.
const TICKS_PER_SECOND: u64 = 100;

/// The CPU time, user and system, with a resolution of 10 ms.
pub fn cpu(directory: &Path) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(directory.join("stat"))?;
    // `utime` and `stime`, the 14th and 15th field. The name before is in parentheses and may contain any character.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name in parentheses")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
}

/// The current resident memory in MiB.
pub fn resident(directory: &Path) -> anyhow::Result<f64> {
    mebibytes(directory, "VmRSS:")
}

/// The largest resident memory so far in MiB.
pub fn peak(directory: &Path) -> anyhow::Result<f64> {
    mebibytes(directory, "VmHWM:")
}

fn mebibytes(directory: &Path, field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(directory.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("/proc/PID/status has no {field}"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1024.0)
}
