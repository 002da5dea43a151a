//! The task that reads the counters of one session.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    PublisherOptions,
    backend_totals::{BackendTotals, IndexedCounters, VppRun},
    dump_indexes::DumpIndexes,
    recent_traffic::RecentTraffic,
};
use maglev_model::{
    actual::VppVip,
    counters::{BackendCounters, Counters, RouteCounters, StatsSnapshot, StickyTable, VipCounters},
};
use maglev_vpp::{
    lb::{Lb, VppInfo},
    stats::{StatsClient, StatsError, StatsIndexes, StatsReading},
};

/// Timeout for opening the stats socket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between readings while frequent readings are switched on.
const FREQUENT_INTERVAL: Duration = Duration::from_secs(1);
/// Limit of concurrent route lookups, so that the agent's own requests do not wait behind them.
const WINDOW: usize = 32;
/// All routes are looked up again after this many readings: another client may have replaced them.
const REFRESH: u64 = 12;
/// The sticky tables are read again after this many readings: VPP scans them on its main thread, and their usage
/// changes within the flow timeout, which is 40 s by default.
const STICKY_TABLES_REFRESH: u64 = 3;

/// The totals of backends, shared by the sessions of one agent.
pub type SharedTotals = Arc<Mutex<BackendTotals>>;

/// Indexes of a VIP's counters in the stats segment.
#[derive(Clone, Copy, Debug)]
struct CounterIndexes {
    pool_index: Option<u32>,
    route: Option<u32>,
}

struct TimedReading {
    reading: StatsReading,
    /// `None` for a reading that follows a dump.
    scheduled_at: Option<Instant>,
}

/// Reads the counters and publishes them.
pub struct StatsReader {
    lb: Lb,
    options: PublisherOptions,
    client: Option<Arc<StatsClient>>,
    indexes_rx: watch::Receiver<DumpIndexes>,
    indexes: DumpIndexes,
    /// Indexes of the VIPs whose route has been looked up.
    counter_indexes: BTreeMap<VppVip, CounterIndexes>,
    sticky_tables: Vec<StickyTable>,
    recent: RecentTraffic,
    readings: u64,
    /// A reading is due, and not only a new dump.
    ticked: bool,
    ended: CancellationToken,
    /// A failure was logged since the last successful reading.
    warned: bool,
}

impl StatsReader {
    pub fn new(
        lb: Lb,
        options: PublisherOptions,
        indexes_rx: watch::Receiver<DumpIndexes>,
        ended: CancellationToken,
    ) -> Self {
        Self {
            lb,
            options,
            client: None,
            indexes_rx,
            indexes: DumpIndexes::default(),
            counter_indexes: BTreeMap::new(),
            sticky_tables: Vec::new(),
            recent: RecentTraffic::default(),
            readings: 0,
            ticked: false,
            ended,
            warned: false,
        }
    }

    pub fn is_open(&self) -> bool {
        self.client.is_some()
    }

    /// Opens the segment if it is not open.
    pub async fn open(&mut self) {
        let Some(socket) = self.options.socket.clone().filter(|_| self.client.is_none()) else { return };
        match spawn_blocking(move || StatsClient::open(&socket, OPEN_TIMEOUT)).await {
            Ok(Ok(client)) => self.client = Some(Arc::new(client)),
            Ok(Err(error)) => self.warn_once(&error),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }

    /// Reads the counters until the session ends.
    pub async fn run(mut self) {
        let mut ticks = interval(self.options.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = self.ended.clone();
        loop {
            let is_frequent = *self.options.frequent_rx.borrow_and_update();
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => self.ticked = true,
                () = sleep(FREQUENT_INTERVAL), if is_frequent => {}
                Ok(()) = self.options.frequent_rx.changed() => {}
                // Counts a new VIP or server at once, and stops counting a removed one.
                Ok(()) = self.indexes_rx.changed() => {}
            }
            if ended.run_until_cancelled(self.read()).await.is_none() {
                return;
            }
        }
    }

    async fn read(&mut self) {
        self.open().await;
        let Some(client) = self.client.clone() else { return };
        let scheduled_at = std::mem::take(&mut self.ticked).then(Instant::now);
        if scheduled_at.is_some() {
            if self.readings.is_multiple_of(REFRESH) {
                self.counter_indexes.clear();
            }
            if self.readings.is_multiple_of(STICKY_TABLES_REFRESH) {
                self.sticky_tables = self.lb.sticky_tables().await.unwrap_or_default();
            }
            self.readings += 1;
        }
        self.look_up_routes().await;
        let indexes = self.stats_indexes();
        // The first access to a page of the segment may have to wait, so it is not made on an async thread.
        let Ok(reading) = spawn_blocking(move || StatsReading::read(&client, &indexes)).await else { return };
        match reading {
            Ok(reading) => {
                self.warned = false;
                self.publish(Some(&TimedReading { reading, scheduled_at }));
            }
            // The publication stays until the next reading.
            Err(StatsError::Busy) => {}
            Err(error) => {
                self.warn_once(&error);
                self.client = None;
                self.publish_unreadable();
            }
        }
    }

    /// Looks up the routes to new VIPs.
    async fn look_up_routes(&mut self) {
        self.indexes = self.indexes_rx.borrow_and_update().clone();
        let vips = &self.indexes.vips;
        self.counter_indexes
            .retain(|vip, indexes| vips.get(vip).is_some_and(|now| now.pool_index == indexes.pool_index));
        let new: Vec<_> = vips.iter().filter(|(vip, _)| !self.counter_indexes.contains_key(vip)).collect();
        for chunk in new.chunks(WINDOW) {
            let routes =
                join_all(chunk.iter().map(|(vip, _)| self.lb.route_stats_index(vip.address, vip.length))).await;
            for ((vip, indexes), route) in chunk.iter().zip(routes) {
                // A failed lookup is retried with the next reading.
                if let Ok(route) = route {
                    self.counter_indexes.insert(**vip, CounterIndexes { pool_index: indexes.pool_index, route });
                }
            }
        }
    }

    fn stats_indexes(&self) -> StatsIndexes {
        let vips = self.counter_indexes.values();
        StatsIndexes {
            vips: vips.clone().filter_map(|indexes| indexes.pool_index).collect(),
            to: vips.filter_map(|indexes| indexes.route).collect(),
            via: self.indexes.backends.values().filter_map(|backend| backend.route).collect(),
        }
    }

    fn counters(&mut self, TimedReading { reading, scheduled_at }: &TimedReading) -> Counters {
        let backends = self.backend_counters(reading, *scheduled_at);
        let vip_counters = |(vip, indexes): (&VppVip, &CounterIndexes)| {
            let counters = VipCounters {
                packets: indexes.pool_index.and_then(|index| reading.vips.get(&index).copied()),
                route: indexes.route.and_then(|index| reading.to.get(&index).copied()),
                flows: self.indexes.vips.get(vip).map(|vip| vip.flows.clone()).unwrap_or_default(),
            };
            (*vip, counters)
        };
        Counters {
            boot_time: reading.boot_time,
            heartbeat: reading.heartbeat,
            vips: self.counter_indexes.iter().map(vip_counters).collect(),
            backends,
            sticky_tables: self.sticky_tables.clone(),
            interval: self.recent.interval(),
        }
    }

    /// Adds the reading to the totals.
    fn backend_counters(
        &mut self,
        reading: &StatsReading,
        scheduled_at: Option<Instant>,
    ) -> BTreeMap<IpAddr, BackendCounters> {
        let backends = &self.indexes.backends;
        let counted = backends.iter().filter_map(|(address, backend)| {
            let index = backend.route?;
            Some((*address, IndexedCounters { index, counters: *reading.via.get(&index)? }))
        });
        let run = VppRun { pid: self.lb.info().pid, boot_time: reading.boot_time };
        let totals = self.options.totals.lock().add(run, &counted.collect());
        if let Some(at) = scheduled_at {
            self.recent.update(at, &totals);
        }
        let with_vips = totals.into_iter().map(|(address, RouteCounters { packets, bytes })| {
            let vips = backends.get(&address).map_or(0, |backend| backend.vips);
            (address, BackendCounters { packets, bytes, vips, recent: self.recent.increase(address) })
        });
        with_vips.collect()
    }

    /// Publishes that the counters cannot be read, unless the session has ended.
    pub fn publish_unreadable(&mut self) {
        self.publish(None);
    }

    /// Publishes the counters, unless the session has ended.
    fn publish(&mut self, reading: Option<&TimedReading>) {
        let (info, publication_tx) = (self.lb.info().clone(), Arc::clone(&self.options.publication_tx));
        publication_tx.send_if_modified(|published| {
            let is_open = !self.ended.is_cancelled();
            if is_open {
                let VppInfo { version, build_date, pid, .. } = info;
                let counters = reading.map(|reading| self.counters(reading));
                *published = Some(Arc::new(StatsSnapshot { version, build_date, pid, counters }));
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
