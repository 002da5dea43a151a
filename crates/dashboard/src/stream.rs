//! The event stream of one client: Server-Sent Events, the response to `GET api/events`.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{
    FutureExt as _, Stream,
    future::{BoxFuture, pending},
    stream::unfold,
};
use jiff::Timestamp;
use maglev_net::Slot;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    broker::{Outgoing, Subscription},
    document::Time,
    event_id::EventId,
    heartbeat_subscription::{HeartbeatSubscription, WatchedCount},
    heartbeats::Heartbeats,
    message::{Hello, ResyncNotice, Tick, WatchedBeats},
    patch,
    query::Query,
    sessions::Session,
};

/// The delay in milliseconds after which a browser reconnects.
const RETRY: &str = "retry: 2000\n\n";
/// Interval between messages about probes.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);

/// The response with the stream, which ends when the client disconnects, its session ends, or the process stops.
pub fn respond(
    shared: &Arc<Shared>,
    query: Query,
    headers: &HeaderMap,
    slot: Slot,
    session: Option<&Session>,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // The header is newer than the URL. An invalid id counts as that of another replica.
    let unknown = EventId { replica: !shared.broker.replica(), seq: 0 };
    let since = last.map(|id| id.parse().unwrap_or(unknown)).or(query.since.map(|id| id.unwrap_or(unknown)));
    let session = session.and_then(|session| Some(Arc::clone(shared.sessions.as_ref()?).end(session.clone())));
    let session_end = session.unwrap_or_else(|| pending().boxed());
    let stream = ClientStream::new(shared, query, since, slot, session_end);
    let mut response = Body::from_stream(stream.frames()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The stream of one client.
struct ClientStream {
    subscription: Subscription,
    heartbeats: Option<HeartbeatSubscription>,
    /// Frames that are ready to be sent.
    ready: VecDeque<Bytes>,
    pings: Interval,
    beat_ticks: Option<Interval>,
    shutdown: CancellationToken,
    session_end: BoxFuture<'static, ()>,
    _slot: Slot,
}

impl ClientStream {
    fn new(
        shared: &Arc<Shared>,
        query: Query,
        since: Option<EventId>,
        slot: Slot,
        session_end: BoxFuture<'static, ()>,
    ) -> Self {
        let node = query.node.clone().filter(|_| !query.beats.is_empty());
        let beats = node.map(|node| Arc::new(Heartbeats::new(node, query.debug)));
        let subscription = shared.broker.subscribe(query.filter(), beats.clone(), since);
        let mut heartbeats = beats.map(|beats| HeartbeatSubscription::new(Arc::clone(shared), beats, query.beats));
        let watched = heartbeats.as_mut().map(HeartbeatSubscription::resolve);
        let mut stream = Self {
            subscription,
            heartbeats,
            ready: VecDeque::from([Bytes::from_static(RETRY.as_bytes())]),
            pings: ticks(shared.ping),
            beat_ticks: watched.map(|_| ticks(HEARTBEAT_INTERVAL)),
            shutdown: shared.shutdown.clone(),
            session_end,
            _slot: slot,
        };
        stream.begin(shared, watched);
        stream
    }

    /// Adds the first frames: `hello`, then the missed messages or `resync`.
    fn begin(&mut self, shared: &Shared, watched: Option<WatchedCount>) {
        let subscription = &mut self.subscription;
        let missed = subscription.missed.take();
        let hello = Hello {
            nodes: &subscription.positions,
            now: Time(Timestamp::now()),
            replica: format!("{:x}", shared.broker.replica()),
            resumed: missed.is_some(),
            version: shared.build.version,
            beats: watched.map(|WatchedCount { requested, watched }| WatchedBeats { requested, watched }),
        };
        let id = Some(subscription.begins);
        self.ready.push_back(frame("hello", id, &patch::to_bytes(&hello)));
        if let Some(resync) = subscription.resync {
            let notice = ResyncNotice { reason: resync.as_str() };
            self.ready.push_back(frame("resync", id, &patch::to_bytes(&notice)));
        }
        self.ready.extend(missed.into_iter().flatten().map(|message| message.frame()));
    }

    fn frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        unfold(self, |mut stream| async move {
            let frame = stream.next().await?;
            Some((Ok(frame), stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = &mut self.session_end => return None,
                message = self.subscription.outgoing_rx.recv() => return message.map(|message| message.frame()),
                _ = self.pings.tick() => self.ping(),
                () = tick(&mut self.beat_ticks) => self.add_heartbeats(),
            }
        }
    }

    fn ping(&mut self) {
        // Scripts do not see comments, so an event follows for them.
        self.ready.push_back(Bytes::from_static(b": ping\n\n"));
        let tick = Tick { now: Time(Timestamp::now()) };
        self.ready.push_back(frame("tick", None, &patch::to_bytes(&tick)));
        // The Backends of the Frontends may have changed.
        if let Some(heartbeats) = &mut self.heartbeats {
            heartbeats.resolve();
        }
    }

    fn add_heartbeats(&mut self) {
        let messages = self.heartbeats.as_ref().map(HeartbeatSubscription::take_messages).unwrap_or_default();
        self.ready.extend(messages.into_iter().map(|(event, data)| frame(event, None, &data)));
    }
}

impl Outgoing {
    fn frame(&self) -> Bytes {
        frame(self.event, Some(self.id), &self.data)
    }
}

fn frame(event: &str, id: Option<EventId>, data: &[u8]) -> Bytes {
    let mut frame = format!("event: {event}\n").into_bytes();
    if let Some(id) = id {
        frame.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    // The JSON has no line breaks.
    frame.extend_from_slice(b"data: ");
    frame.extend_from_slice(data);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
