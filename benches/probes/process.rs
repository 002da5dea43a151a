//! A child process on a core of its own, and what it has used.

use std::{
    ffi::OsStr,
    path::Path,
    process::{self, ChildStdin, ChildStdout, Command},
    time::Duration,
};

use anyhow::Context as _;

/// A process that ends with this value.
pub(crate) struct Child(process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time, user and system, to 10 ms.
    pub(crate) cpu: Duration,
    /// Resident memory now, in MiB.
    pub(crate) memory: f64,
}

impl Child {
    /// A command that runs `program` on the core `core` alone.
    pub(crate) fn command_on(core: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(program);
        command
    }

    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self(child))
    }

    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    pub(crate) fn take_output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// What it has used; an error where it has ended.
    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        if let Some(status) = self.0.try_wait()? {
            anyhow::bail!("it has ended: {status}");
        }
        let directory = Path::new("/proc").join(self.0.id().to_string());
        let stat = std::fs::read_to_string(directory.join("stat"))?;
        // Behind the name, which is in parentheses: the state is field 3, the times are 14 and 15.
        let fields: Vec<&str> = stat.rsplit_once(')').context("a name in parentheses")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let status = std::fs::read_to_string(directory.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("resident memory")?;
        let kib: f64 = resident.trim().trim_end_matches(" kB").parse()?;
        // Linux counts 100 of them a second, whatever the kernel's own clock.
        Ok(Usage { cpu: Duration::from_millis(ticks * 10), memory: kib / 1024.0 })
    }
}
