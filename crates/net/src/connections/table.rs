//! The table of open connections, which decides on new ones.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{ConnectionLimits, Refusal, handle::ConnectionState};

/// Maximum number of displaced connections that have not been closed yet. They hold file descriptors.
const MAX_DISPLACED: usize = 128;

/// Open connections by number, which is the order in which they were accepted.
#[derive(Debug, Default)]
pub(crate) struct Table {
    next_id: u64,
    open: BTreeMap<u64, Open>,
    /// Connections without a request in progress.
    waiting: BTreeSet<u64>,
    /// Number of connections by peer.
    peers: HashMap<IpAddr, usize>,
    /// Number of displaced connections that are still open.
    displaced: BTreeSet<u64>,
}

#[derive(Debug)]
struct Open {
    /// `None` for a proxy.
    peer: Option<IpAddr>,
    state: Arc<ConnectionState>,
}

/// An admitted connection.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) id: u64,
    pub(crate) state: Arc<ConnectionState>,
    /// The connection that was displaced.
    pub(crate) displaced: Option<Arc<ConnectionState>>,
}

impl Table {
    /// Adds a connection of `peer`, in place of another one if a limit is reached. `None` is a proxy, which has no limit of
    /// its own.
    pub(crate) fn admit(
        &mut self,
        peer: Option<IpAddr>,
        is_local: bool,
        limits: &ConnectionLimits,
    ) -> Result<Admission, Refusal> {
        let count = peer.and_then(|peer| self.peers.get(&peer)).copied().unwrap_or(0);
        let reserve = if is_local { 0 } else { limits.local_reserve };
        let victim = if peer.is_some() && count >= limits.max_per_peer {
            Some(self.oldest_waiting(|other| other == peer).ok_or(Refusal::PeerLimit)?)
        } else if self.open.len() >= limits.max_connections.saturating_sub(reserve) {
            let victim = self.oldest_waiting(|_| true).or_else(|| self.newest_of_largest_peer(count + 1));
            Some(victim.ok_or(Refusal::ConnectionLimit)?)
        } else {
            None
        };
        let displaced = match victim {
            Some(_) if self.displaced.len() >= MAX_DISPLACED => return Err(Refusal::ConnectionLimit),
            Some(victim) => {
                self.displaced.insert(victim);
                self.forget(victim)
            }
            None => None,
        };
        Ok(self.add(peer, displaced))
    }

    fn add(&mut self, peer: Option<IpAddr>, displaced: Option<Arc<ConnectionState>>) -> Admission {
        let (id, state) = (self.next_id, Arc::<ConnectionState>::default());
        self.next_id += 1;
        self.open.insert(id, Open { peer, state: Arc::clone(&state) });
        self.waiting.insert(id);
        if let Some(peer) = peer {
            *self.peers.entry(peer).or_default() += 1;
        }
        Admission { id, state, displaced }
    }

    fn oldest_waiting(&self, matches: impl Fn(Option<IpAddr>) -> bool) -> Option<u64> {
        self.waiting.iter().copied().find(|id| self.open.get(id).is_some_and(|open| matches(open.peer)))
    }

    /// The newest connection of the peer with the most connections, if it has more than `count`.
    fn newest_of_largest_peer(&self, count: usize) -> Option<u64> {
        let (largest, _) = self.peers.iter().max_by_key(|(_, count)| **count).filter(|(_, most)| **most > count)?;
        self.open.iter().rev().find(|(_, open)| open.peer == Some(*largest)).map(|(id, _)| *id)
    }

    /// Records the begin or end of a request.
    pub(crate) fn set_waiting(&mut self, id: u64, waiting: bool) {
        if !waiting {
            self.waiting.remove(&id);
        } else if self.open.contains_key(&id) {
            self.waiting.insert(id);
        }
    }

    /// Removes a closed connection.
    pub(crate) fn remove(&mut self, id: u64) {
        if !self.displaced.remove(&id) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u64) -> Option<Arc<ConnectionState>> {
        let Open { peer, state } = self.open.remove(&id)?;
        self.waiting.remove(&id);
        if let Some(peer) = peer
            && let Some(count) = self.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits =
        ConnectionLimits { max_connections: 6, local_reserve: 2, max_per_peer: 3, ..ConnectionLimits::METRICS };

    fn peer(number: u8) -> Option<IpAddr> {
        Some([192, 0, 2, number].into())
    }

    fn serving(table: &mut Table, number: u8) -> Result<Admission, Refusal> {
        let admission = table.admit(peer(number), false, &LIMITS)?;
        table.set_waiting(admission.id, false);
        Ok(admission)
    }

    #[test]
    fn new_connection_of_a_peer_at_its_limit_displaces_the_oldest_that_waits() {
        let mut table = Table::default();
        let other = table.admit(peer(2), false, &LIMITS).expect("the table is empty");
        let first = serving(&mut table, 1).expect("below the limits");
        let second = table.admit(peer(1), false, &LIMITS).expect("below the limits");
        table.admit(peer(1), false, &LIMITS).expect("below the limits");
        let displaced =
            table.admit(peer(1), false, &LIMITS).expect("one waits").displaced.expect("the limit is reached");
        assert!(Arc::ptr_eq(&displaced, &second.state));
        assert!(!Arc::ptr_eq(&displaced, &first.state) && !Arc::ptr_eq(&displaced, &other.state));
    }

    #[test]
    fn peer_whose_connections_all_have_requests_is_refused_at_its_limit() {
        let mut table = Table::default();
        let ids: Vec<_> = (0..3).map(|_| serving(&mut table, 1).expect("below the limits").id).collect();
        assert_eq!(table.admit(peer(1), false, &LIMITS).expect_err("the limit is reached"), Refusal::PeerLimit);
        table.remove(ids[0]);
        serving(&mut table, 1).expect("a connection was closed");
    }

    #[test]
    fn new_peer_displaces_the_newest_connection_of_the_largest_peer() {
        let mut table = Table::default();
        let large: Vec<_> = (0..3).map(|_| serving(&mut table, 1).expect("below the limits")).collect();
        serving(&mut table, 2).expect("below the limits");
        let displaced = serving(&mut table, 3).expect("one peer has more").displaced.expect("the limit is reached");
        assert!(Arc::ptr_eq(&displaced, &large[2].state));
        assert_eq!(serving(&mut table, 2).expect_err("no peer has two more"), Refusal::ConnectionLimit);
    }

    #[test]
    fn proxy_has_no_limit_of_its_own_and_keeps_its_requests() {
        let mut table = Table::default();
        let of_proxy: Vec<_> = (0..4).map(|_| table.admit(None, false, &LIMITS).expect("not full")).collect();
        of_proxy.iter().for_each(|admission| table.set_waiting(admission.id, false));
        assert_eq!(serving(&mut table, 1).expect_err("the table is full"), Refusal::ConnectionLimit);
        of_proxy.iter().for_each(|admission| table.remove(admission.id));
        assert!(table.open.is_empty() && table.peers.is_empty());
    }

    #[test]
    fn reserve_admits_local_clients_only() {
        let mut table = Table::default();
        for number in 1..=4 {
            serving(&mut table, number).expect("below the limits");
        }
        assert_eq!(serving(&mut table, 5).expect_err("the rest is reserved"), Refusal::ConnectionLimit);
        table.admit(peer(6), true, &LIMITS).expect("the client is local");
    }

    #[test]
    fn closed_and_displaced_connections_leave_nothing_behind() {
        let mut table = Table::default();
        let ids: Vec<_> = (0..100).map(|_| table.admit(peer(1), false, &LIMITS).expect("one waits").id).collect();
        assert_eq!((table.open.len(), table.displaced.len()), (3, 97));
        ids.into_iter().for_each(|id| table.remove(id));
        assert!(table.open.is_empty() && table.waiting.is_empty() && table.peers.is_empty());
        assert!(table.displaced.is_empty());
    }

    #[test]
    fn displaced_connections_that_are_still_open_are_bounded() {
        let mut table = Table::default();
        let admitted = (0..1000).filter(|_| table.admit(peer(1), false, &LIMITS).is_ok()).count();
        assert_eq!(admitted, LIMITS.max_per_peer + MAX_DISPLACED);
    }
}
