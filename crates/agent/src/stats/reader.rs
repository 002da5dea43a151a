//! The task that reads the counters during one session.

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
    stats::{Figures, StatsClient, StatsError},
};

/// How long the stats socket may take.
const OPEN_LIMIT: Duration = Duration::from_secs(2);
/// Routes that are looked up at once, so that the agent's own requests do not wait behind them.
const WINDOW: usize = 32;
/// After so many readings all routes are looked up again: others may have replaced them.
const REFRESH: u64 = 12;

/// Where a VIP's counters are.
#[derive(Clone, Copy, Debug)]
struct Place {
    pool_index: Option<u32>,
    route: Option<u32>,
}

/// Reads and publishes.
pub struct Reader {
    lb: Lb,
    socket: Option<PathBuf>,
    client: Option<StatsClient>,
    indexes_rx: watch::Receiver<Indexes>,
    /// Of the VIPs whose route has been looked up.
    places: BTreeMap<VppVip, Place>,
    readings: u64,
    published: Arc<PublicationSender>,
    ended: CancellationToken,
    /// The session's log has been told that the counters cannot be read.
    told: bool,
}

impl Reader {
    pub fn new(
        lb: Lb,
        socket: Option<PathBuf>,
        indexes_rx: watch::Receiver<Indexes>,
        published: Arc<PublicationSender>,
        ended: CancellationToken,
    ) -> Self {
        let (client, places) = (None, BTreeMap::new());
        Self { lb, socket, client, indexes_rx, places, readings: 0, published, ended, told: false }
    }

    pub fn is_open(&self) -> bool {
        self.client.is_some()
    }

    /// Opens the segment if it is not open.
    pub async fn open(&mut self) {
        let Some(socket) = self.socket.clone().filter(|_| self.client.is_none()) else { return };
        let opening = tokio::task::spawn_blocking(move || StatsClient::open(&socket, OPEN_LIMIT));
        match opening.await {
            Ok(Ok(client)) => self.client = Some(client),
            Ok(Err(error)) => self.complain(&error),
            // The runtime is going down.
            Err(_) => {}
        }
    }

    /// Reads until the session is over.
    pub async fn run(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = self.ended.clone();
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => {
                    self.readings += 1;
                    if self.readings.is_multiple_of(REFRESH) {
                        self.places.clear();
                    }
                }
                // So that a new VIP is counted at once, and one that is gone no more.
                Ok(()) = self.indexes_rx.changed() => {}
            }
            if ended.run_until_cancelled(self.turn()).await.is_none() {
                return;
            }
        }
    }

    async fn turn(&mut self) {
        self.open().await;
        self.find().await;
        let Some(client) = &self.client else { return };
        match Figures::read(client) {
            Ok(figures) => {
                self.told = false;
                self.publish(Some(self.counters(&figures)));
            }
            // What is published stands until the next reading.
            Err(StatsError::Busy) => {}
            Err(error) => {
                self.complain(&error);
                self.client = None;
                self.publish(None);
            }
        }
    }

    /// Finds out where the counters of new VIPs are.
    async fn find(&mut self) {
        let indexes = self.indexes_rx.borrow_and_update().clone();
        self.places.retain(|vip, place| indexes.get(vip) == Some(&place.pool_index));
        let new: Vec<_> = indexes.into_iter().filter(|(vip, _)| !self.places.contains_key(vip)).collect();
        for some in new.chunks(WINDOW) {
            let routes = join_all(some.iter().map(|(vip, _)| self.lb.route_stats_index(vip.address, vip.length))).await;
            for ((vip, pool_index), route) in some.iter().zip(routes) {
                // A lookup that failed is made again in the next turn.
                if let Ok(route) = route {
                    self.places.insert(*vip, Place { pool_index: *pool_index, route });
                }
            }
        }
    }

    fn counters(&self, figures: &Figures) -> Counters {
        let of = |place: &Place| VipCounters {
            packets: place.pool_index.and_then(|index| figures.vip(index)),
            route: place.route.and_then(|index| figures.route(index)),
        };
        Counters {
            boot_time: figures.boot_time,
            heartbeat: figures.heartbeat,
            vips: self.places.iter().map(|(vip, place)| (*vip, of(place))).collect(),
        }
    }

    /// Publishes, unless the session is over.
    pub fn publish(&self, counters: Option<Counters>) {
        let info = self.lb.info();
        let (version, build_date) = (info.version.clone(), info.build_date.clone());
        let snapshot = Arc::new(StatsSnapshot { version, build_date, pid: info.pid, counters });
        self.published.send_if_modified(|published| {
            let goes_on = !self.ended.is_cancelled();
            if goes_on {
                *published = Some(snapshot);
            }
            goes_on
        });
    }

    fn complain(&mut self, error: &StatsError) {
        if !std::mem::replace(&mut self.told, true) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(err = %error, cause, reason = error.reason(), "vpp-stats-unavailable");
        }
    }
}
