//! Hands messages to pages: numbers them, keeps the last ones for who comes back, and lets nobody hold up the others.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};

use super::{
    beats::Beats,
    document::Places,
    event_id::EventId,
    message::{Interest, Message},
    metrics::Metrics,
};
use maglev_fleet::FollowedLines;

/// Messages that are kept,
const RING: usize = 2000;
/// and for how long.
const RING_AGE: Duration = Duration::from_secs(30);

/// A message on its way to one page.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) id: EventId,
    pub(crate) event: &'static str,
    pub(crate) data: Bytes,
}

/// The one place that all messages go through.
#[derive(Debug)]
pub struct Broker {
    replica: u64,
    /// Messages that may wait for one page.
    waiting: usize,
    metrics: Metrics,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number of the last message.
    seq: u64,
    ring: VecDeque<Kept>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Where the agents are, as of the last message.
    places: Places,
}

#[derive(Debug)]
struct Kept {
    seq: u64,
    at: Instant,
    message: Message,
}

#[derive(Debug)]
struct Client {
    interest: Interest,
    outgoing: mpsc::Sender<Outgoing>,
    beats: Option<Arc<Beats>>,
}

/// Why a page has to fetch everything anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// What it missed is not kept any more.
    TooOld,
    /// It was with another process, or with this one before a restart.
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

/// One page's end of the stream. Dropping it takes the page off.
#[derive(Debug)]
pub struct Subscription {
    broker: Arc<Broker>,
    client: u64,
    /// Where it begins; a page that is cut off at once comes back with this.
    pub(crate) begins: EventId,
    /// Where the agents are now.
    pub(crate) places: Places,
    /// What it missed since it was last here; `None` if it was not, or if that is not known any more.
    pub(crate) missed: Option<Vec<Outgoing>>,
    pub(crate) resync: Option<Resync>,
    pub(crate) outgoing_rx: mpsc::Receiver<Outgoing>,
}

impl Broker {
    /// A broker without pages; `replica` is a random number.
    pub fn new(replica: u64, waiting: usize, metrics: Metrics) -> Self {
        Self { replica, waiting, metrics, inner: Mutex::default() }
    }

    /// This process's part of every id.
    pub fn replica(&self) -> u64 {
        self.replica
    }

    /// Hands messages on, after which the agents are at `places`.
    pub fn publish(&self, messages: Vec<Message>, places: Option<Places>) {
        let mut inner = self.inner();
        for message in messages {
            inner.seq += 1;
            let seq = inner.seq;
            self.send(&mut inner.clients, seq, &message);
            inner.ring.push_back(Kept { seq, at: Instant::now(), message });
        }
        inner.forget_old();
        if let Some(places) = places {
            inner.places = places;
        }
        self.metrics.clients(inner.clients.len());
    }

    fn send(&self, clients: &mut BTreeMap<u64, Client>, seq: u64, message: &Message) {
        clients.retain(|_, client| {
            let Some(data) = message.for_page(&client.interest) else { return true };
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
                // Its page is just being taken off.
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
    }

    /// Lets those pages know that show these probes.
    pub fn probes(&self, probes: &FollowedLines) {
        let beats: Vec<_> = self.inner().clients.values().filter_map(|client| client.beats.clone()).collect();
        beats.iter().for_each(|beats| beats.take(probes));
    }

    /// A page that shows `interest`, and was last here at `since`.
    pub fn subscribe(
        self: &Arc<Self>,
        interest: Interest,
        beats: Option<Arc<Beats>>,
        since: Option<EventId>,
    ) -> Subscription {
        let (outgoing, outgoing_rx) = mpsc::channel(self.waiting);
        let mut inner = self.inner();
        inner.forget_old();
        let (begins, missed, resync) = match since.map(|since| (since, self.since(&inner, since))) {
            None => (inner.seq, None, None),
            Some((since, Ok(kept))) => (since.seq, Some(self.replay(kept, &interest)), None),
            Some((_, Err(resync))) => (inner.seq, None, Some(resync)),
        };
        self.metrics.came(since.is_some() && resync.is_none(), resync.is_some());
        let client = inner.next_client;
        inner.next_client += 1;
        inner.clients.insert(client, Client { interest, outgoing, beats });
        self.metrics.clients(inner.clients.len());
        Subscription {
            broker: Arc::clone(self),
            client,
            begins: EventId { replica: self.replica, seq: begins },
            places: inner.places.clone(),
            missed,
            resync,
            outgoing_rx,
        }
    }

    fn replay<'k>(&self, kept: impl Iterator<Item = &'k Kept>, interest: &Interest) -> Vec<Outgoing> {
        let outgoing = |kept: &Kept| {
            let (data, id) = (kept.message.for_page(interest)?, EventId { replica: self.replica, seq: kept.seq });
            Some(Outgoing { id, event: kept.message.event(), data })
        };
        let missed: Vec<_> = kept.filter_map(outgoing).collect();
        self.metrics.sent(missed.len());
        missed
    }

    fn since<'i>(&self, inner: &'i Inner, since: EventId) -> Result<impl Iterator<Item = &'i Kept> + use<'i>, Resync> {
        if since.replica != self.replica || since.seq > inner.seq {
            return Err(Resync::OtherReplica);
        }
        let wanted = usize::try_from(inner.seq - since.seq).map_err(|_| Resync::TooOld)?;
        let skipped = inner.ring.len().checked_sub(wanted).ok_or(Resync::TooOld)?;
        Ok(inner.ring.iter().skip(skipped))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_old(&mut self) {
        while self.ring.front().is_some_and(|kept| self.ring.len() > RING || kept.at.elapsed() > RING_AGE) {
            self.ring.pop_front();
        }
    }
}

impl Subscription {
    /// How many pages there are.
    #[cfg(test)]
    pub fn pages(&self) -> usize {
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

    const WAITING: usize = 512;

    fn broker() -> Arc<Broker> {
        Arc::new(Broker::new(0xa, WAITING, Metrics::new().expect("the names are allowed")))
    }

    fn publish(broker: &Broker, numbers: std::ops::Range<u64>) {
        broker.publish(numbers.map(|n| Message::summary(&Places::new(), json!({ "n": n }))).collect(), None);
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
    async fn who_comes_back_in_time_gets_what_it_missed_and_what_follows() {
        let broker = broker();
        publish(&broker, 0..5);
        let mut back = broker.subscribe(Interest::default(), None, since(3));
        assert_eq!((back.resync, back.begins.seq), (None, 3));
        publish(&broker, 5..7);
        assert_eq!(numbers(back.missed.take().expect("it was here before")), [4, 5]);
        assert_eq!(waiting(&mut back), [6, 7]);
        let mut fresh = broker.subscribe(Interest::default(), None, None);
        publish(&broker, 7..8);
        assert_eq!((fresh.begins.seq, fresh.missed.is_none()), (7, true));
        assert_eq!(waiting(&mut fresh), [8]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_too_late_or_from_elsewhere_is_told_so() {
        let broker = broker();
        publish(&broker, 0..5);
        let resync = |since| broker.subscribe(Interest::default(), None, since).resync;
        assert_eq!(resync(Some(EventId { replica: 0xb, seq: 5 })), Some(Resync::OtherReplica));
        assert_eq!(resync(since(6)), Some(Resync::OtherReplica), "a number that was never given");
        tokio::time::advance(RING_AGE + Duration::from_secs(1)).await;
        assert_eq!(resync(since(4)), Some(Resync::TooOld));
        assert_eq!(resync(since(5)), None, "it missed nothing");
        publish(&broker, 0..RING as u64 + 1);
        assert_eq!(resync(since(5)), Some(Resync::TooOld));
        assert_eq!(resync(since(6)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_does_not_read_is_taken_off_and_counted() {
        let broker = broker();
        let mut slow = broker.subscribe(Interest::default(), None, None);
        let other = broker.subscribe(Interest { node: Some("node-a".into()), ..Interest::default() }, None, None);
        publish(&broker, 0..WAITING as u64);
        assert_eq!(slow.pages(), 2);
        publish(&broker, 0..1);
        assert_eq!(slow.pages(), 0, "nobody reads");
        assert_eq!(waiting(&mut slow).len(), WAITING, "what it has it may read");
        assert!(slow.outgoing_rx.try_recv().is_err() && slow.outgoing_rx.is_closed());
        assert_eq!(broker.metrics.dropped_so_far(), 2);
        drop((slow, other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_gone_is_forgotten() {
        let broker = broker();
        let (one, other) = (0..2).map(|_| broker.subscribe(Interest::default(), None, None)).fold(
            (None, None),
            |(one, _), subscription| match one {
                None => (Some(subscription), None),
                one => (one, Some(subscription)),
            },
        );
        drop(one);
        assert_eq!(other.expect("there are two").pages(), 1);
        assert_eq!(broker.inner().clients.len(), 0);
    }
}
