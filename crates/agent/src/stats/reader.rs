//! The task that reads the counters of one session.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{Indexes, PublicationSender};
use maglev_model::{
    actual::VppVip,
    counters::{Counters, StatsSnapshot, VipCounters},
};
use maglev_vpp::{
    lb::Lb,
    stats::{StatsClient, StatsError, StatsReading},
};

/// Timeout for opening the stats socket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of concurrent route lookups, so that the agent's own requests do not wait behind them.
const WINDOW: usize = 32;
/// All routes are looked up again after this many readings: another client may have replaced them.
const REFRESH: u64 = 12;

/// Indexes of a VIP's counters in the stats segment.
#[derive(Clone, Copy, Debug)]
struct CounterIndexes {
    pool_index: Option<u32>,
    route: Option<u32>,
}

/// Reads the counters and publishes them.
pub struct StatsReader {
    lb: Lb,
    socket: Option<PathBuf>,
    client: Option<StatsClient>,
    indexes_rx: watch::Receiver<Indexes>,
    /// Indexes of the VIPs whose route has been looked up.
    counter_indexes: BTreeMap<VppVip, CounterIndexes>,
    readings: u64,
    publication_tx: Arc<PublicationSender>,
    ended: CancellationToken,
    /// A failure was logged since the last successful reading.
    warned: bool,
}

impl StatsReader {
    pub fn new(
        lb: Lb,
        socket: Option<PathBuf>,
        indexes_rx: watch::Receiver<Indexes>,
        publication_tx: Arc<PublicationSender>,
        ended: CancellationToken,
    ) -> Self {
        let (client, counter_indexes) = (None, BTreeMap::new());
        Self { lb, socket, client, indexes_rx, counter_indexes, readings: 0, publication_tx, ended, warned: false }
    }

    pub fn is_open(&self) -> bool {
        self.client.is_some()
    }

    /// Opens the segment if it is not open.
    pub async fn open(&mut self) {
        let Some(socket) = self.socket.clone().filter(|_| self.client.is_none()) else { return };
        let opening = tokio::task::spawn_blocking(move || StatsClient::open(&socket, OPEN_TIMEOUT));
        match opening.await {
            Ok(Ok(client)) => self.client = Some(client),
            Ok(Err(error)) => self.warn_once(&error),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }

    /// Reads the counters until the session ends.
    pub async fn run(mut self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = self.ended.clone();
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => {
                    self.readings += 1;
                    if self.readings.is_multiple_of(REFRESH) {
                        self.counter_indexes.clear();
                    }
                }
                // Counts a new VIP at once, and stops counting a removed VIP.
                Ok(()) = self.indexes_rx.changed() => {}
            }
            if ended.run_until_cancelled(self.read()).await.is_none() {
                return;
            }
        }
    }

    async fn read(&mut self) {
        self.open().await;
        self.look_up_routes().await;
        let Some(client) = &self.client else { return };
        match StatsReading::read(client) {
            Ok(reading) => {
                self.warned = false;
                self.publish(Some(self.counters(&reading)));
            }
            // The publication stays until the next reading.
            Err(StatsError::Busy) => {}
            Err(error) => {
                self.warn_once(&error);
                self.client = None;
                self.publish(None);
            }
        }
    }

    /// Looks up the indexes of new VIPs' counters.
    async fn look_up_routes(&mut self) {
        let indexes = self.indexes_rx.borrow_and_update().clone();
        self.counter_indexes.retain(|vip, counter_indexes| indexes.get(vip) == Some(&counter_indexes.pool_index));
        let new: Vec<_> = indexes.into_iter().filter(|(vip, _)| !self.counter_indexes.contains_key(vip)).collect();
        for chunk in new.chunks(WINDOW) {
            let routes =
                join_all(chunk.iter().map(|(vip, _)| self.lb.route_stats_index(vip.address, vip.length))).await;
            for ((vip, pool_index), route) in chunk.iter().zip(routes) {
                // A failed lookup is retried with the next reading.
                if let Ok(route) = route {
                    self.counter_indexes.insert(*vip, CounterIndexes { pool_index: *pool_index, route });
                }
            }
        }
    }

    fn counters(&self, reading: &StatsReading) -> Counters {
        let vip_counters = |indexes: &CounterIndexes| VipCounters {
            packets: indexes.pool_index.and_then(|index| reading.vip(index)),
            route: indexes.route.and_then(|index| reading.route(index)),
        };
        Counters {
            boot_time: reading.boot_time,
            heartbeat: reading.heartbeat,
            vips: self.counter_indexes.iter().map(|(vip, indexes)| (*vip, vip_counters(indexes))).collect(),
        }
    }

    /// Publishes the counters, unless the session has ended.
    pub fn publish(&self, counters: Option<Counters>) {
        let info = self.lb.info();
        let (version, build_date) = (info.version.clone(), info.build_date.clone());
        let snapshot = Arc::new(StatsSnapshot { version, build_date, pid: info.pid, counters });
        self.publication_tx.send_if_modified(|published| {
            let is_open = !self.ended.is_cancelled();
            if is_open {
                *published = Some(snapshot);
            }
            is_open
        });
    }

    fn warn_once(&mut self, error: &StatsError) {
        if !std::mem::replace(&mut self.warned, true) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, reason = error.reason(), "VPP stats segment is unavailable");
        }
    }
}
