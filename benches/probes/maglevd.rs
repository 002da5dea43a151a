//! A maglevd process that checks the backends listed by a fake API server.

use std::{path::Path, process::Stdio};

use anyhow::Context as _;
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
};

use crate::{
    kubernetes::{self, NODE, Objects},
    process::Child,
};

/// A running maglevd.
pub struct Maglevd {
    pub process: Child,
    metrics: String,
    kubernetes: AbortHandle,
    _vpp: Simulator,
}

impl Drop for Maglevd {
    fn drop(&mut self) {
        self.kubernetes.abort();
    }
}

impl Maglevd {
    /// Starts maglevd on the core `core`.
    pub async fn start(objects: Objects, directory: &Path, core: usize) -> anyhow::Result<Self> {
        let (kubeconfig, kubernetes) = kubernetes::serve(objects, directory).await?;
        let vpp = Simulator::start(SimulatorOptions::new(directory.join("api.sock"))).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let metrics = format!("127.0.0.1:{port}");
        let mut command = Child::command_on(core, maglev_testkit::binary("maglevd"));
        command
            .env_clear()
            .args(["--allow-loopback", "--log-level=warn", "--node-name", NODE, "--metrics-addr", &metrics])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--vpp-api-socket")
            .arg(vpp.api_socket())
            .stdin(Stdio::null());
        Ok(Self { process: Child::spawn(command)?, metrics, kubernetes, _vpp: vpp })
    }

    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let mut stream = TcpStream::connect(&self.metrics).await.context("cannot connect to maglevd's metrics")?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(Metrics(text))
    }
}

/// Metrics in the text format of Prometheus.
#[derive(Clone, Debug, Default)]
pub struct Metrics(String);

impl Metrics {
    /// The sum of all series of `name`.
    pub fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|(_, value)| value).sum()
    }

    /// The sum of the series of `name` with `label`.
    pub fn sum_with(&self, name: &str, label: &str) -> f64 {
        self.series(name).filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value).sum()
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, value.parse().ok()?))
        })
    }

    /// The `quantile` of the values that the histogram `name` observed since `before`, as the upper bound of its bucket,
    /// in seconds.
    pub fn quantile_since(&self, before: &Self, name: &str, quantile: f64) -> f64 {
        let buckets = |metrics: &Self| -> Vec<(f64, f64)> {
            let bound = |labels: &str| labels.split_once("le=\"")?.1.split_once('"')?.0.parse().ok();
            metrics.series(&format!("{name}_bucket")).filter_map(|(labels, n)| Some((bound(labels)?, n))).collect()
        };
        let (now, before) = (buckets(self), buckets(before));
        let earlier = |bound: f64| before.iter().find(|(before, _)| *before == bound).map_or(0.0, |(_, count)| *count);
        let counts: Vec<_> = now.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
        let total = counts.last().map_or(0.0, |(_, count)| *count);
        counts.iter().find(|(_, count)| *count >= total * quantile).map_or(f64::NAN, |(bound, _)| *bound)
    }
}
