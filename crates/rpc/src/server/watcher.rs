//! One stream of events: what the subscription gives, encoded once for all, and word of what was lost.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use prometheus::IntGauge;
use prost::Message as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Metrics, encoded::Encoded, selection::Selection};
use crate::{convert::encode, proto};
use maglev_model::event::Level;
use maglev_telemetry::{AsOf, Batch, Received, Subscriber, Subscription};

/// One stream.
pub struct Watcher {
    subscription: Subscription,
    selection: Option<Selection>,
    /// Where it is; `None` before the first message.
    at: Option<AsOf>,
    /// What it has not been told of yet.
    dropped: u64,
    resync: bool,
    metrics: Metrics,
    shutdown: CancellationToken,
    _open: Open,
}

/// Counts the stream, and holds its place among the watchers.
pub struct Open {
    watchers: IntGauge,
    _place: OwnedSemaphorePermit,
}

impl Open {
    pub fn new(watchers: IntGauge, place: OwnedSemaphorePermit) -> Self {
        watchers.inc();
        Self { watchers, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.watchers.dec();
    }
}

impl Watcher {
    /// A watcher at `level`. Where it cannot go on after `since`, it begins now and is told so.
    pub fn new(
        events: &Subscriber,
        level: Level,
        since: Option<AsOf>,
        selection: Option<Selection>,
        metrics: Metrics,
        shutdown: CancellationToken,
        open: Open,
    ) -> Self {
        let (subscription, resync) = match events.subscribe(level, since) {
            Ok(subscription) => (Some(subscription), false),
            Err(_) => (events.subscribe(level, None).ok(), true),
        };
        let subscription = subscription.expect("from now on is always possible");
        Self { subscription, selection, at: None, dropped: 0, resync, metrics, shutdown, _open: open }
    }

    /// The messages, until the agent ends.
    pub fn stream(self) -> impl Stream<Item = Result<Encoded, Status>> + Send {
        stream::unfold(self, async |mut this| this.next().await.map(|message| (Ok(message), this)))
    }

    async fn next(&mut self) -> Option<Encoded> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                received = self.subscription.next() => received?,
            };
            match received {
                Received::Lost(lost) => self.dropped += lost,
                Received::Batch(batch) => {
                    if let Some(message) = self.message(&batch) {
                        return Some(message);
                    }
                }
            }
        }
    }

    /// What this stream is told of a batch; nothing where there is nothing to say.
    fn message(&mut self, batch: &Arc<Batch>) -> Option<Encoded> {
        // Probes that are lost leave a mirror whole.
        self.resync |= self.dropped > 0 && self.at.is_some_and(|at| at != batch.begin());
        let own = self.own();
        let first = self.at.replace(batch.as_of).is_none();
        let (shared, count) = self.events(batch);
        if count == 0 && own.is_empty() && !first {
            return None;
        }
        self.metrics.sent.inc_by(count);
        Some(Encoded::new(own, shared))
    }

    /// What only this stream is told.
    fn own(&mut self) -> Bytes {
        let (dropped, resync_required) = (std::mem::take(&mut self.dropped), std::mem::take(&mut self.resync));
        let own = proto::WatchEventsResponse { dropped, resync_required, ..Default::default() };
        own.encode_to_vec().into()
    }

    fn events(&self, batch: &Arc<Batch>) -> (Bytes, u64) {
        let level = self.subscription.level();
        match &self.selection {
            None => {
                let encoded = batch.encoded(level, |batch| encode(batch.for_level(level), batch.as_of));
                (encoded.bytes, encoded.count)
            }
            Some(selection) => {
                let wanted: Vec<_> = batch.for_level(level).filter(|stamped| selection.wants(stamped)).collect();
                let count = wanted.len() as u64;
                (encode(wanted.into_iter(), batch.as_of), count)
            }
        }
    }
}
