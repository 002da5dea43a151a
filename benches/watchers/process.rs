//! What this process takes, as `/proc` tells.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// `USER_HZ`, which Linux shows to programs whatever its own clock is.
const TICKS_PER_SECOND: u64 = 100;

/// Resident memory, in bytes.
pub(crate) fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

/// The time that all threads together were on a core.
pub(crate) fn cpu() -> anyhow::Result<Duration> {
    on_core(&fs::read_to_string("/proc/self/stat")?)
}

/// The time that threads of this name were on a core; none while there is none.
pub(crate) fn cpu_of_thread(name: &str) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread may have ended meanwhile.
        let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        if stat.contains(&format!("({name})")) {
            sum += on_core(&stat)?;
        }
    }
    Ok(sum)
}

/// `utime` and `stime`, the 14th and 15th field; the name before them may hold anything.
fn on_core(stat: &str) -> anyhow::Result<Duration> {
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
}
