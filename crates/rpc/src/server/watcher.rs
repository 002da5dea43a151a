//! One event stream: the batches of the subscription, encoded once for all watchers, and the number of lost events.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use prometheus::IntGauge;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{GrpcMetrics, encoded::EncodedResponse, selection::Selection};
use crate::{convert::encode, proto};
use maglev_model::event::Level;
use maglev_net::{Slot, sleep_until_some};
use maglev_telemetry::{AsOf, EventBatch, Received, Subscriber, Subscription};

/// State of one event stream.
pub struct Watcher {
    subscription: Subscription,
    selection: Option<Selection>,
    /// Position of the stream; `None` before the first message.
    position: Option<AsOf>,
    /// Number of lost events that is not sent yet.
    dropped: u64,
    /// Set if `resync_required` is to be sent.
    resync: bool,
    metrics: GrpcMetrics,
    end: StreamEnd,
    _slot: WatcherSlot,
}

/// The end of a stream.
pub struct StreamEnd {
    pub shutdown: CancellationToken,
    /// The maximum age of the connection. The client resumes on another one.
    pub expires: Option<Instant>,
}

impl StreamEnd {
    async fn reached(&self) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = sleep_until_some(self.expires) => {}
        }
    }
}

/// A slot among the watchers. Counts the stream in the metrics.
pub struct WatcherSlot {
    watchers: IntGauge,
    _slot: Slot,
}

impl WatcherSlot {
    pub fn new(watchers: IntGauge, slot: Slot) -> Self {
        watchers.inc();
        Self { watchers, _slot: slot }
    }
}

impl Drop for WatcherSlot {
    fn drop(&mut self) {
        self.watchers.dec();
    }
}

impl Watcher {
    /// If the events after `since` are not retained any more, the stream starts now and requires a resync.
    pub fn new(
        events: &Subscriber,
        level: Level,
        since: Option<AsOf>,
        selection: Option<Selection>,
        metrics: GrpcMetrics,
        end: StreamEnd,
        slot: WatcherSlot,
    ) -> Self {
        let (subscription, resync) = match events.subscribe(level, since) {
            Ok(subscription) => (Some(subscription), false),
            Err(_) => (events.subscribe(level, None).ok(), true),
        };
        let subscription = subscription.expect("a subscription from now on never fails");
        Self { subscription, selection, position: None, dropped: 0, resync, metrics, end, _slot: slot }
    }

    /// The messages, until the end.
    pub fn stream(self) -> impl Stream<Item = Result<EncodedResponse, Status>> + Send {
        stream::unfold(self, async |mut this| this.next().await.map(|message| (Ok(message), this)))
    }

    async fn next(&mut self) -> Option<EncodedResponse> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.end.reached() => return None,
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

    /// The message of a batch; `None` if it would be empty.
    fn message(&mut self, batch: &Arc<EventBatch>) -> Option<EncodedResponse> {
        // Lost probes do not affect a mirror.
        self.resync |= self.dropped > 0 && self.position.is_some_and(|position| position != batch.start());
        let own = self.own_fields();
        let first = self.position.replace(batch.as_of).is_none();
        let (shared, count) = self.events(batch);
        if count == 0 && own.is_empty() && !first {
            return None;
        }
        self.metrics.sent.inc_by(count);
        Some(EncodedResponse::new(own, shared))
    }

    /// The encoded fields of this stream alone.
    fn own_fields(&mut self) -> Bytes {
        let (dropped, resync_required) = (std::mem::take(&mut self.dropped), std::mem::take(&mut self.resync));
        let own = proto::WatchEventsResponse { dropped, resync_required, ..Default::default() };
        own.encode_to_vec().into()
    }

    fn events(&self, batch: &Arc<EventBatch>) -> (Bytes, u64) {
        let level = self.subscription.level();
        match &self.selection {
            None => {
                let encoded = batch.encoded(level, |batch| encode(batch.for_level(level), batch.as_of));
                (encoded.bytes, encoded.count)
            }
            Some(selection) => {
                let selected: Vec<_> = batch.for_level(level).filter(|stamped| selection.matches(stamped)).collect();
                let count = selected.len() as u64;
                (encode(selected.into_iter(), batch.as_of), count)
            }
        }
    }
}
