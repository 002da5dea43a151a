//! The stream of one page: Server-Sent Events, as `GET api/events` answers them.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{Stream, stream::unfold};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    beats::Beats,
    broker::{Outgoing, Subscription},
    document::Time,
    event_id::EventId,
    query::Query,
    showing::Showing,
};

/// After how long a browser comes back by itself, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";
/// Between two messages about probes.
const BEATS: Duration = Duration::from_millis(250);

/// Answers with the stream; it ends with the page, or with the process.
pub fn answer(shared: &Arc<Shared>, query: Query, headers: &HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // The browser's own is the newer one. What is no id is of nobody that we know.
    let unknown = EventId { replica: !shared.broker.replica(), seq: 0 };
    let since = last.map(|id| id.parse().unwrap_or(unknown)).or(query.since.map(|id| id.unwrap_or(unknown)));
    let stream = PageStream::new(shared, query, since);
    let mut response = Body::from_stream(stream.frames()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One page's stream.
struct PageStream {
    subscription: Subscription,
    showing: Option<Showing>,
    /// Frames that are ready.
    ready: VecDeque<Bytes>,
    pings: Interval,
    news: Option<Interval>,
    shutdown: CancellationToken,
}

impl PageStream {
    fn new(shared: &Arc<Shared>, query: Query, since: Option<EventId>) -> Self {
        let wanted = query.node.clone().filter(|_| !query.beats.is_empty());
        let beats = wanted.map(|node| Arc::new(Beats::new(node, query.debug)));
        let subscription = shared.broker.subscribe(query.interest(), beats.clone(), since);
        let mut showing = beats.map(|beats| Showing::new(Arc::clone(shared), beats, query.beats));
        let watched = showing.as_mut().map(Showing::resolve);
        let mut stream = Self {
            subscription,
            showing,
            ready: VecDeque::from([Bytes::from_static(RETRY.as_bytes())]),
            pings: ticks(shared.ping),
            news: watched.map(|_| ticks(BEATS)),
            shutdown: shared.shutdown.clone(),
        };
        stream.begin(shared, watched);
        stream
    }

    /// What comes first: `hello`, then what was missed, or word that nobody knows what that is.
    fn begin(&mut self, shared: &Shared, watched: Option<(usize, usize)>) {
        let subscription = &mut self.subscription;
        let missed = subscription.missed.take();
        let mut hello = json!({
            "replica": format!("{:x}", shared.broker.replica()),
            "now": Time(Timestamp::now()),
            "nodes": subscription.places,
            "version": shared.build.version,
            "resumed": missed.is_some(),
        });
        if let Some((asked, watched)) = watched {
            hello["beats"] = json!({ "asked": asked, "watched": watched });
        }
        let id = Some(subscription.begins);
        self.ready.push_back(frame("hello", id, hello.to_string().as_bytes()));
        if let Some(resync) = subscription.resync {
            let data = json!({ "reason": resync.as_str() }).to_string();
            self.ready.push_back(frame("resync", id, data.as_bytes()));
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
                message = self.subscription.outgoing_rx.recv() => return message.map(|message| message.frame()),
                _ = self.pings.tick() => self.ping(),
                () = tick(&mut self.news) => self.tell_news(),
            }
        }
    }

    fn ping(&mut self) {
        // Comments are not seen by pages; what they need to see is the second one.
        self.ready.push_back(Bytes::from_static(b": ping\n\n"));
        let now = json!({ "now": Time(Timestamp::now()) }).to_string();
        self.ready.push_back(frame("tick", None, now.as_bytes()));
        // Backends come and go.
        if let Some(showing) = &mut self.showing {
            showing.resolve();
        }
    }

    fn tell_news(&mut self) {
        let news = self.showing.as_ref().map(Showing::news).unwrap_or_default();
        self.ready.extend(news.into_iter().map(|(event, data)| frame(event, None, &data)));
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
    // JSON as we write it has no line break.
    frame.extend_from_slice(b"data: ");
    frame.extend_from_slice(data);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
