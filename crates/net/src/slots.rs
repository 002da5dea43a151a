//! Slots for what clients can hold for long: large responses and event streams.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{ConnectionHandle, Cut, peer_network};

/// Longest wait for a slot.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Time after which a slot is taken from a client that reads too slowly, if another client waits.
const CONTENDED_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of waiting requests.
const MAX_WAITING: usize = 64;
/// Responses of this size in bytes fit into the kernel's buffers and need no slot while they are written.
const SMALL: usize = 64 << 10;

/// A number of slots, of which one peer gets a part. Clones share the slots.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_peer: usize,
    table: Mutex<Table>,
    /// Wakes the waiting requests.
    freed: Notify,
    /// Wakes the tasks that watch slow clients.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct Table {
    used: usize,
    peers: HashMap<IpAddr, usize>,
    waiting: usize,
}

impl Slots {
    /// `max` slots, of which one peer (an IPv4 address, or an IPv6 /64 network) gets `max_per_peer`.
    pub fn new(max: usize, max_per_peer: usize) -> Self {
        let (table, freed, wanted) = (Mutex::default(), Notify::new(), Notify::new());
        Self(Arc::new(Inner { max, max_per_peer, table, freed, wanted }))
    }

    /// Slots for large responses: four at a time, two of them for one peer.
    pub fn for_large_responses() -> Self {
        Self::new(4, 2)
    }

    /// A slot, if one is free now.
    pub fn try_acquire(&self, peer: IpAddr) -> Option<Slot> {
        let peer = peer_network(peer);
        let mut table = self.0.table.lock();
        let count = table.peers.get(&peer).copied().unwrap_or(0);
        if table.used >= self.0.max || count >= self.0.max_per_peer {
            return None;
        }
        table.used += 1;
        table.peers.insert(peer, count + 1);
        Some(Slot { slots: self.clone(), peer })
    }

    /// A slot, for which the caller waits up to 10 s.
    pub async fn acquire(&self, peer: IpAddr) -> Option<Slot> {
        let (deadline, mut waiting) = (Instant::now() + MAX_WAIT, None);
        loop {
            // Created before the attempt, so that a slot that is freed in between is not missed.
            let freed = self.0.freed.notified();
            if let Some(slot) = self.try_acquire(peer) {
                return Some(slot);
            }
            if waiting.is_none() {
                waiting = Some(Waiting::start(self)?);
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    /// Waits until a request waits for a slot.
    async fn contended(&self) {
        loop {
            let wanted = self.0.wanted.notified();
            if self.0.table.lock().waiting > 0 {
                return;
            }
            wanted.await;
        }
    }
}

/// A request that waits for a slot.
struct Waiting<'s>(&'s Slots);

impl<'s> Waiting<'s> {
    fn start(slots: &'s Slots) -> Option<Self> {
        let mut table = slots.0.table.lock();
        if table.waiting >= MAX_WAITING {
            return None;
        }
        table.waiting += 1;
        slots.0.wanted.notify_waiters();
        Some(Self(slots))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.table.lock().waiting -= 1;
    }
}

/// A slot in use.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    peer: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.0.table.lock();
        table.used -= 1;
        if let Some(count) = table.peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                table.peers.remove(&self.peer);
            }
        }
        self.slots.0.freed.notify_waiters();
    }
}

impl Slot {
    /// The bytes of a response, which keep the slot until they have been written to `connection`. A client that does not
    /// read them within the write timeout, or within 2 s while others wait, loses its connection.
    pub fn hold(self, bytes: Bytes, connection: &ConnectionHandle) -> Bytes {
        if bytes.len() < SMALL {
            return bytes;
        }
        let (written, slots, connection) = (CancellationToken::new(), self.slots.clone(), connection.clone());
        let (is_written, timeout) = (written.clone(), connection.write_timeout());
        tokio::spawn(async move {
            let contended = async {
                sleep(CONTENDED_TIMEOUT).await;
                slots.contended().await;
            };
            tokio::select! {
                () = is_written.cancelled() => {}
                () = sleep(timeout) => connection.close(Cut::WriteTimeout),
                () = contended => connection.close(Cut::WriteTimeout),
            }
        });
        Bytes::from_owner(Held { bytes, _slot: self, _written: written.drop_guard() })
    }
}

/// Bytes with a slot.
struct Held {
    bytes: Bytes,
    _slot: Slot,
    _written: DropGuard,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn slots_are_limited_in_all_and_per_peer() {
        let slots = Slots::new(4, 2);
        let first = slots.try_acquire(peer(1)).expect("all are free");
        let _second = slots.try_acquire(peer(1)).expect("below the limits");
        assert!(slots.try_acquire(peer(1)).is_none(), "the limit of the peer");
        let _others: Vec<_> = (2..=3).map(|number| slots.try_acquire(peer(number)).expect("two are free")).collect();
        assert!(slots.try_acquire(peer(4)).is_none(), "the limit of all");
        drop(first);
        assert!(slots.try_acquire(peer(4)).is_some());
        assert_eq!(slots.0.table.lock().peers.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn request_waits_for_a_slot_up_to_a_limit() {
        let slots = Slots::new(1, 1);
        let slot = slots.try_acquire(peer(1)).expect("all are free");
        assert!(slots.acquire(peer(2)).await.is_none(), "no slot is freed in time");
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.acquire(peer(2)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(slot);
        assert!(waiting.await.expect("the task does not panic"));
        assert_eq!(slots.0.table.lock().waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_requests_are_bounded() {
        let slots = Slots::new(1, 1);
        let _slot = slots.try_acquire(peer(1)).expect("all are free");
        let all = futures::future::join_all((0..200).map(|_| async {
            let begin = Instant::now();
            assert!(slots.acquire(peer(2)).await.is_none());
            begin.elapsed() >= MAX_WAIT
        }));
        assert_eq!(all.await.into_iter().filter(|waited| *waited).count(), MAX_WAITING);
    }
}
