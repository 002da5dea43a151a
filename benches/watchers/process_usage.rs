//! CPU and memory usage of this process.

use std::{fs, path::Path, time::Duration};

use maglev_benches::usage;

/// Resident memory in MiB.
pub fn resident() -> anyhow::Result<f64> {
    usage::resident(Path::new("/proc/self"))
}

/// The CPU time of all threads.
pub fn cpu() -> anyhow::Result<Duration> {
    usage::cpu(Path::new("/proc/self"))
}

/// The CPU time of all threads of this name; zero if there is none.
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
