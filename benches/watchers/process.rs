//! What this process takes.

use std::{fs, path::Path, time::Duration};

use maglev_benches::usage;

/// Resident memory, in MiB.
pub fn resident() -> anyhow::Result<f64> {
    usage::resident(Path::new("/proc/self"))
}

/// The time that all threads together were on a core.
pub fn cpu() -> anyhow::Result<Duration> {
    usage::cpu(Path::new("/proc/self"))
}

/// The time that threads of this name were on a core; none while there is none.
pub fn cpu_of_thread(name: &str) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        // A thread may have ended meanwhile.
        if fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            sum += usage::cpu(&thread)?;
        }
    }
    Ok(sum)
}
