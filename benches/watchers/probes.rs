//! Real probes of a backend that answers, and how late they begin.

use std::{net::TcpListener, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, anyhow};
use maglev_health::{HealthOptions, Metrics, ProbeThread};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check, Config, HealthCheck, Listed, NodeConfig, Probe, Revision},
    event::Events,
    health::HealthSnapshot,
};
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// 1,000 probes a second.
const BACKENDS: u16 = 200;
const INTERVAL: Duration = Duration::from_millis(200);
/// Each bound of the histogram is so much above the one before.
const PRECISION: f64 = 1.05;

/// The health checker on its thread.
pub struct Probes {
    registry: Registry,
    thread: thread::JoinHandle<()>,
    _config_tx: watch::Sender<Option<Config>>,
    _snapshots: watch::Receiver<HealthSnapshot>,
}

/// How late probes began: how many up to each bound, in seconds.
#[derive(Clone, Debug)]
pub struct Lateness(Vec<(f64, u64)>);

impl Probes {
    pub fn start(events: Events, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        // Ends with the process.
        thread::Builder::new().name("backend".into()).spawn(move || listener.incoming().for_each(drop))?;
        let (config_tx, config_rx) = watch::channel(Some(config(port)?));
        let buckets = prometheus::exponential_buckets(0.000_02, PRECISION, 250)?;
        let metrics = Metrics::with_delay_buckets(buckets);
        let registry = Registry::new();
        metrics.register(&registry)?;
        let options = HealthOptions { metrics, ..HealthOptions::new("bench", 7) };
        let (snapshots, thread) = ProbeThread::start(None)?.run(options, config_rx, events, shutdown)?;
        Ok(Self { registry, thread, _config_tx: config_tx, _snapshots: snapshots })
    }

    /// Of all probes so far.
    pub fn lateness(&self) -> Lateness {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "maglev_probe_start_delay_seconds");
        let buckets = family.map(|family| family.get_metric()[0].get_histogram().get_bucket().to_vec());
        let bound = |bucket: &prometheus::proto::Bucket| (bucket.upper_bound(), bucket.cumulative_count());
        Lateness(buckets.unwrap_or_default().iter().map(bound).collect())
    }

    pub fn stop(self) -> anyhow::Result<()> {
        self.thread.join().map_err(|_| anyhow!("the health checker panicked"))
    }
}

impl Lateness {
    /// Of what came after `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().zip(&before.0).map(|((bound, now), (_, before))| (*bound, now - before)).collect())
    }

    /// How many probes began.
    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// What this share of them stayed below, in milliseconds, as exact as the bounds.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = self.count() as f64 * share;
        let bound = self.0.iter().find(|(_, count)| *count as f64 >= wanted);
        bound.map_or(f64::NAN, |(bound, _)| bound * 1000.0)
    }
}

fn config(port: u16) -> anyhow::Result<Config> {
    let check = Arc::new(HealthCheck {
        name: Name::namespaced("bench", "tcp"),
        revision: Revision::default(),
        interval: INTERVAL,
        fast_interval: INTERVAL,
        down_interval: INTERVAL,
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        probe: Probe::Tcp { port: port.try_into()?, tls: None },
    });
    let listed = Listed::when(|_| true).context("all is listed")?;
    let mut config = Config::new(listed, Arc::new(NodeConfig::default()));
    for n in 0..BACKENDS {
        let name = Name::namespaced("bench", &format!("probed-{n}"));
        let backend = Backend {
            name: name.clone(),
            revision: Revision::default(),
            address: [127, 0, 0, 1].into(),
            admin_state: AdminState::Enabled,
            check: Check::Probe(Arc::clone(&check)),
        };
        config.backends.insert(name, Arc::new(backend));
    }
    Ok(config)
}
