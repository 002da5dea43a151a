//! What the dashboard counts of itself.

use prometheus::{IntCounter, IntGauge, Registry};

/// The stream's numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    clients: IntGauge,
    sent: IntCounter,
    dropped: IntCounter,
    replays: IntCounter,
    resyncs: IntCounter,
}

impl Metrics {
    /// All at 0.
    pub fn new() -> prometheus::Result<Self> {
        let counter = |name, help| IntCounter::new(name, help);
        Ok(Self {
            clients: IntGauge::new("maglev_dashboard_clients", "Pages that follow the stream.")?,
            sent: counter("maglev_dashboard_messages_sent_total", "Messages handed to pages, heartbeats apart.")?,
            dropped: counter(
                "maglev_dashboard_clients_dropped_total",
                "Pages that were disconnected, for they did not read fast enough.",
            )?,
            replays: counter("maglev_dashboard_replays_total", "Pages that came back and got what they missed.")?,
            resyncs: counter(
                "maglev_dashboard_resyncs_total",
                "Pages that came back too late, or from another replica, and fetch everything anew.",
            )?,
        })
    }

    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.clients.clone()))?;
        for counter in [&self.sent, &self.dropped, &self.replays, &self.resyncs] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(())
    }

    pub fn clients(&self, count: usize) {
        self.clients.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn sent(&self, count: usize) {
        self.sent.inc_by(count as u64);
    }

    pub fn dropped(&self) {
        self.dropped.inc();
    }

    /// A page came; it got what it missed, or has to fetch everything.
    pub fn came(&self, replay: bool, resync: bool) {
        self.replays.inc_by(replay.into());
        self.resyncs.inc_by(resync.into());
    }

    #[cfg(test)]
    pub fn dropped_so_far(&self) -> u64 {
        self.dropped.get()
    }
}
