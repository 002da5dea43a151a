//! Distributes messages to clients: numbers them, retains the latest for clients that reconnect, and disconnects slow
//! clients.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::mpsc, time::Instant};

use super::{
    document::Positions,
    event_id::EventId,
    heartbeats::Heartbeats,
    message::{ClientFilter, Message},
    metrics::Metrics,
};
use maglev_fleet::FollowedLines;

/// Largest number of retained messages.
const MAX_RETAINED: usize = 2000;
/// Largest size of the retained messages in bytes.
const MAX_RETAINED_SIZE: usize = 16 << 20;
/// Longest time that a message is retained.
const RETENTION: Duration = Duration::from_secs(30);

/// A message to one client.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) id: EventId,
    pub(crate) event: &'static str,
    pub(crate) data: Bytes,
}

/// Receives all messages, from one task.
#[derive(Debug)]
pub struct Broker {
    replica: u64,
    /// Messages buffered for one client.
    buffer: usize,
    metrics: Metrics,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number of the last message.
    seq: u64,
    retained: VecDeque<Retained>,
    /// Size of the retained messages in bytes.
    retained_size: usize,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Positions of the agents as of the last message.
    positions: Positions,
}

#[derive(Debug)]
struct Retained {
    seq: u64,
    at: Instant,
    message: Message,
}

#[derive(Debug)]
struct Client {
    filter: ClientFilter,
    outgoing: mpsc::Sender<Outgoing>,
    beats: Option<Arc<Heartbeats>>,
}

/// The reason why a client has to fetch all documents again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// The missed messages are no longer retained.
    TooOld,
    /// The client was connected to another process.
    OtherReplica,
}

impl Resync {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too-old",
            Self::OtherReplica => "other-replica",
        }
    }
}

/// The stream of one client. Dropping it disconnects the client.
#[derive(Debug)]
pub struct Subscription {
    broker: Arc<Broker>,
    client: u64,
    /// The id before the first message, for a client that reconnects before it has received one.
    pub(crate) begins: EventId,
    /// The present positions of the agents.
    pub(crate) positions: Positions,
    /// Messages since the last connection; `None` for a new client, or if they are no longer retained.
    pub(crate) missed: Option<Vec<Outgoing>>,
    pub(crate) resync: Option<Resync>,
    pub(crate) outgoing_rx: mpsc::Receiver<Outgoing>,
}

impl Broker {
    /// Starts without clients; `replica` is a random number.
    pub fn new(replica: u64, buffer: usize, metrics: Metrics) -> Self {
        Self { replica, buffer, metrics, inner: Mutex::default() }
    }

    /// This process's part of every id.
    pub fn replica(&self) -> u64 {
        self.replica
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends messages to the clients. `positions` are the positions of the agents after these messages.
    pub fn publish(&self, messages: Vec<Message>, positions: Option<Positions>) {
        let mut inner = self.inner();
        for message in messages {
            inner.seq += 1;
            let seq = inner.seq;
            self.send(&mut inner.clients, seq, &message);
            inner.retained_size += message.size();
            inner.retained.push_back(Retained { seq, at: Instant::now(), message });
        }
        inner.drop_expired();
        if let Some(positions) = positions {
            inner.positions = positions;
        }
        self.metrics.clients(inner.clients.len());
    }

    fn send(&self, clients: &mut BTreeMap<u64, Client>, seq: u64, message: &Message) {
        clients.retain(|_, client| {
            let Some(data) = message.for_client(&client.filter) else { return true };
            let id = EventId { replica: self.replica, seq };
            match client.outgoing.try_send(Outgoing { id, event: message.event(), data }) {
                Ok(()) => {
                    self.metrics.sent(1);
                    true
                }
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.metrics.dropped();
                    false
                }
                // The client is disconnecting.
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
    }

    /// Passes probe events to the clients that show them.
    pub fn publish_probes(&self, probes: &FollowedLines) {
        let beats: Vec<_> = self.inner().clients.values().filter_map(|client| client.beats.clone()).collect();
        beats.iter().for_each(|beats| beats.add(probes));
    }

    /// Adds a client; `since` is the last message that the client received from an earlier connection.
    pub fn subscribe(
        self: &Arc<Self>,
        filter: ClientFilter,
        beats: Option<Arc<Heartbeats>>,
        since: Option<EventId>,
    ) -> Subscription {
        let (outgoing, outgoing_rx) = mpsc::channel(self.buffer);
        let mut inner = self.inner();
        inner.drop_expired();
        let (begins, missed, resync) = match since.map(|since| (since, self.since(&inner, since))) {
            None => (inner.seq, None, None),
            Some((since, Ok(missed))) => (since.seq, Some(self.replay(missed, &filter)), None),
            Some((_, Err(resync))) => (inner.seq, None, Some(resync)),
        };
        self.metrics.connected(since.is_some() && resync.is_none(), resync.is_some());
        let client = inner.next_client;
        inner.next_client += 1;
        inner.clients.insert(client, Client { filter, outgoing, beats });
        self.metrics.clients(inner.clients.len());
        Subscription {
            broker: Arc::clone(self),
            client,
            begins: EventId { replica: self.replica, seq: begins },
            positions: inner.positions.clone(),
            missed,
            resync,
            outgoing_rx,
        }
    }

    fn replay<'r>(&self, retained: impl Iterator<Item = &'r Retained>, filter: &ClientFilter) -> Vec<Outgoing> {
        let outgoing = |retained: &Retained| {
            let data = retained.message.for_client(filter)?;
            let id = EventId { replica: self.replica, seq: retained.seq };
            Some(Outgoing { id, event: retained.message.event(), data })
        };
        let missed: Vec<_> = retained.filter_map(outgoing).collect();
        self.metrics.sent(missed.len());
        missed
    }

    fn since<'i>(
        &self,
        inner: &'i Inner,
        since: EventId,
    ) -> Result<impl Iterator<Item = &'i Retained> + use<'i>, Resync> {
        if since.replica != self.replica || since.seq > inner.seq {
            return Err(Resync::OtherReplica);
        }
        let missed = usize::try_from(inner.seq - since.seq).map_err(|_| Resync::TooOld)?;
        let skipped = inner.retained.len().checked_sub(missed).ok_or(Resync::TooOld)?;
        Ok(inner.retained.iter().skip(skipped))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    fn drop_expired(&mut self) {
        while let Some(first) = self.retained.front() {
            let is_over_limit = self.retained.len() > MAX_RETAINED || self.retained_size > MAX_RETAINED_SIZE;
            if !is_over_limit && first.at.elapsed() <= RETENTION {
                return;
            }
            self.retained_size -= first.message.size();
            self.retained.pop_front();
        }
    }
}

impl Subscription {
    /// The number of clients.
    #[cfg(test)]
    pub fn clients(&self) -> usize {
        self.broker.inner().clients.len()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.broker.inner();
        inner.clients.remove(&self.client);
        self.broker.metrics.clients(inner.clients.len());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BUFFER: usize = 512;

    fn broker() -> Arc<Broker> {
        Arc::new(Broker::new(0xa, BUFFER, Metrics::new().expect("the names are valid")))
    }

    fn publish(broker: &Broker, numbers: std::ops::Range<u64>) {
        broker.publish(numbers.map(|n| Message::summary(&Positions::new(), json!({ "n": n }))).collect(), None);
    }

    fn numbers(messages: impl IntoIterator<Item = Outgoing>) -> Vec<u64> {
        messages.into_iter().map(|message| message.id.seq).collect()
    }

    fn since(seq: u64) -> Option<EventId> {
        Some(EventId { replica: 0xa, seq })
    }

    fn waiting(subscription: &mut Subscription) -> Vec<u64> {
        numbers(std::iter::from_fn(|| subscription.outgoing_rx.try_recv().ok()))
    }

    #[tokio::test(start_paused = true)]
    async fn reconnecting_client_receives_missed_and_new_messages() {
        let broker = broker();
        publish(&broker, 0..5);
        let mut back = broker.subscribe(ClientFilter::default(), None, since(3));
        assert_eq!((back.resync, back.begins.seq), (None, 3));
        publish(&broker, 5..7);
        assert_eq!(numbers(back.missed.take().expect("the messages are retained")), [4, 5]);
        assert_eq!(waiting(&mut back), [6, 7]);
        let mut fresh = broker.subscribe(ClientFilter::default(), None, None);
        publish(&broker, 7..8);
        assert_eq!((fresh.begins.seq, fresh.missed.is_none()), (7, true));
        assert_eq!(waiting(&mut fresh), [8]);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_reconnects_too_late_or_to_another_replica_must_resync() {
        let broker = broker();
        publish(&broker, 0..5);
        let resync = |since| broker.subscribe(ClientFilter::default(), None, since).resync;
        assert_eq!(resync(Some(EventId { replica: 0xb, seq: 5 })), Some(Resync::OtherReplica));
        assert_eq!(resync(since(6)), Some(Resync::OtherReplica), "the number was never used");
        tokio::time::advance(RETENTION + Duration::from_secs(1)).await;
        assert_eq!(resync(since(4)), Some(Resync::TooOld));
        assert_eq!(resync(since(5)), None, "no message was missed");
        publish(&broker, 0..MAX_RETAINED as u64 + 1);
        assert_eq!(resync(since(5)), Some(Resync::TooOld));
        assert_eq!(resync(since(6)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn large_messages_are_not_all_retained() {
        let broker = broker();
        let size = MAX_RETAINED_SIZE / 8;
        for _ in 0..20 {
            let patch = json!({ "text": "x".repeat(size) });
            broker.publish(vec![Message::summary(&Positions::new(), patch)], None);
        }
        let resync = |since| broker.subscribe(ClientFilter::default(), None, since).resync;
        assert_eq!((resync(since(12)), resync(since(13))), (Some(Resync::TooOld), None));
        publish(&broker, 0..1);
        let size: usize = broker.inner().retained.iter().map(|retained| retained.message.size()).sum();
        assert_eq!(broker.inner().retained_size, size);
        tokio::time::advance(RETENTION + Duration::from_secs(1)).await;
        publish(&broker, 0..1);
        assert_eq!(broker.inner().retained.len(), 1);
        assert!(broker.inner().retained_size < 100);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_read_is_disconnected_and_counted() {
        let broker = broker();
        let mut slow = broker.subscribe(ClientFilter::default(), None, None);
        let other =
            broker.subscribe(ClientFilter { node: Some("node-a".into()), ..ClientFilter::default() }, None, None);
        publish(&broker, 0..BUFFER as u64);
        assert_eq!(slow.clients(), 2);
        publish(&broker, 0..1);
        assert_eq!(slow.clients(), 0, "no client reads");
        assert_eq!(waiting(&mut slow).len(), BUFFER, "buffered messages can still be read");
        assert!(slow.outgoing_rx.try_recv().is_err() && slow.outgoing_rx.is_closed());
        assert_eq!(broker.metrics.dropped_count(), 2);
        drop((slow, other));
    }

    #[tokio::test(start_paused = true)]
    async fn disconnected_client_is_removed() {
        let broker = broker();
        let (one, other) = (0..2).map(|_| broker.subscribe(ClientFilter::default(), None, None)).fold(
            (None, None),
            |(one, _), subscription| match one {
                None => (Some(subscription), None),
                one => (one, Some(subscription)),
            },
        );
        drop(one);
        assert_eq!(other.expect("two clients were added").clients(), 1);
        assert_eq!(broker.inner().clients.len(), 0);
    }
}
