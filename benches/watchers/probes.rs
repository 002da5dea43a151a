//! Real probes of a backend, and the delay of their start.

use std::{net::TcpListener, sync::Arc, thread, time::Duration};

use anyhow::anyhow;
use maglev_health::{HealthOptions, ProbeMetrics, ProbeThread};
use maglev_model::{
    config::{Backend, Check, Config, HealthCheck, NodeConfig, Probe},
    event::Events,
    health::HealthSnapshot,
};
use maglev_testkit::objects;
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

// Together 1,000 probes per second.
const BACKENDS: u16 = 200;
const INTERVAL: Duration = Duration::from_millis(200);
/// The ratio between consecutive bounds of the histogram.
const PRECISION: f64 = 1.05;

/// The health checker on its thread.
pub struct Probes {
    registry: Registry,
    thread: thread::JoinHandle<()>,
    _config_tx: watch::Sender<Option<Config>>,
    _snapshots: watch::Receiver<HealthSnapshot>,
}

/// A histogram of start delays: the number of probes up to each bound, in seconds.
#[derive(Clone, Debug)]
pub struct StartDelays(Vec<(f64, u64)>);

impl Probes {
    pub fn start(events: Events, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        // The thread ends with the process.
        thread::Builder::new().name("backend".into()).spawn(move || listener.incoming().for_each(drop))?;
        let (config_tx, config_rx) = watch::channel(Some(config(port)?));
        let buckets = prometheus::exponential_buckets(0.000_02, PRECISION, 250)?;
        let metrics = ProbeMetrics::with_delay_buckets(buckets);
        let registry = Registry::new();
        metrics.register(&registry)?;
        let options = HealthOptions { metrics, ..HealthOptions::new("bench", 7) };
        let (snapshots, thread) = ProbeThread::start(None)?.run(options, config_rx, events, shutdown)?;
        Ok(Self { registry, thread, _config_tx: config_tx, _snapshots: snapshots })
    }

    /// The start delays of all probes so far.
    pub fn start_delays(&self) -> StartDelays {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "maglev_probe_start_delay_seconds");
        let buckets = family.map(|family| family.get_metric()[0].get_histogram().get_bucket().to_vec());
        let bound = |bucket: &prometheus::proto::Bucket| (bucket.upper_bound(), bucket.cumulative_count());
        StartDelays(buckets.unwrap_or_default().iter().map(bound).collect())
    }

    pub fn stop(self) -> anyhow::Result<()> {
        self.thread.join().map_err(|_| anyhow!("the health checker panicked"))
    }
}

impl StartDelays {
    /// The start delays of probes after `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().zip(&before.0).map(|((bound, now), (_, before))| (*bound, now - before)).collect())
    }

    /// The number of probes.
    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// The bound in milliseconds that `fraction` of the probes did not exceed, as exact as the bounds.
    pub fn percentile(&self, fraction: f64) -> f64 {
        let rank = self.count() as f64 * fraction;
        let bound = self.0.iter().find(|(_, count)| *count as f64 >= rank);
        bound.map_or(f64::NAN, |(bound, _)| bound * 1000.0)
    }
}

fn config(port: u16) -> anyhow::Result<Config> {
    let check = Arc::new(HealthCheck {
        interval: INTERVAL,
        fast_interval: INTERVAL,
        down_interval: INTERVAL,
        probe: Probe::Tcp { port: port.try_into()?, tls: None },
        ..objects::health_check("bench/tcp")
    });
    let mut config = objects::config([], NodeConfig::default());
    for n in 0..BACKENDS {
        let check = Check::Probe(Arc::clone(&check));
        let backend = Backend { check, ..objects::backend(&format!("bench/probed-{n}"), "127.0.0.1") };
        config.backends.insert(backend.name.clone(), Arc::new(backend));
    }
    Ok(config)
}
