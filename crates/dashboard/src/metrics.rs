//! Metrics of the dashboard.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Reasons to refuse a request.
const REFUSALS: [&str; 5] = ["HostNotAllowed", "CrossSite", "NotSignedIn", "TooManyStreams", "Busy"];

/// Counters of event streams and refused requests; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    clients: IntGauge,
    sent: IntCounter,
    dropped: IntCounter,
    replays: IntCounter,
    resyncs: IntCounter,
    refused: IntCounterVec,
}

impl Metrics {
    pub fn new() -> prometheus::Result<Self> {
        let counter = |name, help| IntCounter::new(name, help);
        let refused = Opts::new("maglev_dashboard_requests_refused_total", "Requests that were refused, by reason.");
        let refused = IntCounterVec::new(refused, &["reason"])?;
        REFUSALS.iter().for_each(|reason| drop(refused.with_label_values(&[*reason])));
        Ok(Self {
            refused,
            clients: IntGauge::new("maglev_dashboard_clients", "Browsers connected to the event stream.")?,
            sent: counter("maglev_dashboard_messages_sent_total", "Messages sent to browsers, without heartbeats.")?,
            dropped: counter(
                "maglev_dashboard_clients_dropped_total",
                "Browsers disconnected because they read too slowly.",
            )?,
            replays: counter(
                "maglev_dashboard_replays_total",
                "Browsers that reconnected and received the messages they had missed.",
            )?,
            resyncs: counter(
                "maglev_dashboard_resyncs_total",
                "Browsers that reconnected too late, or to another replica, and fetch everything again.",
            )?,
        })
    }

    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.clients.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        for counter in [&self.sent, &self.dropped, &self.replays, &self.resyncs] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(())
    }

    pub fn clients(&self, count: usize) {
        self.clients.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a refused request; `reason` is one of `REFUSALS`.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub fn sent(&self, count: usize) {
        self.sent.inc_by(count as u64);
    }

    pub fn dropped(&self) {
        self.dropped.inc();
    }

    /// Counts a client that connects; it receives the missed messages, or has to fetch all documents.
    pub fn connected(&self, replay: bool, resync: bool) {
        self.replays.inc_by(replay.into());
        self.resyncs.inc_by(resync.into());
    }

    #[cfg(test)]
    pub fn dropped_count(&self) -> u64 {
        self.dropped.get()
    }
}
