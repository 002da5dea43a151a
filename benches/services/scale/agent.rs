//! The process of maglevd on core 0, and its log.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use maglev_benches::usage;
use tokio::time::{Instant, sleep};

use super::{api::Api, objects::OWN_NODE};

/// A running agent. Dropping ends the process.
pub struct Agent {
    process: Child,
    log: BufReader<File>,
    log_path: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent {
    /// Starts maglevd with the VPP whose sockets are in `directory`.
    pub fn start(directory: &Path, api: &Api) -> anyhow::Result<Self> {
        let log_path = directory.join("maglevd.log");
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(maglev_testkit::binary("maglevd"))
            .env_clear()
            .args(["--services", "--allow-loopback", "--node-name", OWN_NODE, "--metrics-addr", "127.0.0.1:0"])
            .args(["--grpc-addr", "127.0.0.1:0"])
            .arg("--kubeconfig")
            .arg(api.kubeconfig())
            .arg("--vpp-api-socket")
            .arg(directory.join("api.sock"))
            .arg("--vpp-stats-socket")
            .arg(directory.join("stats.sock"))
            .stdin(Stdio::null())
            .stdout(File::create(&log_path)?)
            .stderr(File::options().append(true).open(&log_path)?);
        let process = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let log = BufReader::new(File::open(&log_path)?);
        Ok(Self { process, log, log_path })
    }

    /// Waits until the agent has reported this many Frontends as Programmed.
    pub async fn until_programmed(&mut self, frontends: usize, limit: Duration) -> anyhow::Result<()> {
        let (until, mut programmed) = (Instant::now() + limit, 0);
        loop {
            let mut line = String::new();
            while self.log.read_line(&mut line)? > 0 {
                programmed += usize::from(line.contains("frontend-programmed") && line.contains("Programmed"));
                line.clear();
            }
            if programmed >= frontends {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("maglevd has ended: {status}: {}", fs::read_to_string(&self.log_path)?);
            }
            if Instant::now() >= until {
                let log = fs::read_to_string(&self.log_path)?;
                let last: Vec<&str> = log.lines().rev().take(20).collect();
                bail!("{programmed} Frontends are Programmed after {limit:?}:\n{}", last.join("\n"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn directory(&self) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string())
    }

    /// CPU time of all threads so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        usage::cpu(&self.directory())
    }

    /// Resident memory in MiB.
    pub fn memory(&self) -> anyhow::Result<f64> {
        usage::resident(&self.directory())
    }

    /// Largest resident memory so far, or since [`Self::forget_peak_memory`], in MiB.
    pub fn peak_memory(&self) -> anyhow::Result<f64> {
        usage::peak(&self.directory())
    }

    /// Measures the largest resident memory from now on.
    pub fn forget_peak_memory(&self) -> anyhow::Result<()> {
        let path = self.directory().join("clear_refs");
        // 5 resets the high water mark: proc_pid_clear_refs(5).
        fs::write(&path, "5").with_context(|| format!("cannot write {}", path.display()))
    }
}
