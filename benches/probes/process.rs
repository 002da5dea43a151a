//! A child process pinned to one core, and its CPU and memory usage.

use std::{
    ffi::OsStr,
    path::Path,
    process::{self, ChildStdin, ChildStdout, Command},
    time::Duration,
};

use anyhow::Context as _;

use maglev_benches::usage;

/// A child process. Dropping ends the process.
pub struct Child(process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU time so far and current memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The CPU time of all threads.
    pub cpu: Duration,
    /// Resident memory in MiB.
    pub memory: f64,
}

impl Child {
    /// A command that runs `program` on the core `core` only.
    pub fn command_on(core: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(program);
        command
    }

    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self(child))
    }

    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// # Errors
    /// The process has ended.
    pub fn usage(&mut self) -> anyhow::Result<Usage> {
        if let Some(status) = self.0.try_wait()? {
            anyhow::bail!("the process has ended: {status}");
        }
        let directory = Path::new("/proc").join(self.0.id().to_string());
        Ok(Usage { cpu: usage::cpu(&directory)?, memory: usage::resident(&directory)? })
    }
}
