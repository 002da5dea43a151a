//! The table of open connections, which decides on new ones.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use super::{ConnectionLimits, Refusal, handle::ConnectionState};
use crate::RateLimit;

/// Maximum number of displaced connections that have not been closed yet. They hold file descriptors.
const MAX_DISPLACED: usize = 128;
/// Connections that remote peers with an open connection displace at once, and the interval of further ones. A connection
/// that displaces another one costs several times as much as one that is refused, and in a flood nearly all are useless.
const DISPLACEMENT_BURST: NonZeroU32 = NonZeroU32::new(64).expect("not zero");
const DISPLACEMENT_INTERVAL: Duration = Duration::from_millis(5);

/// Open connections by number, which is the order in which they were accepted.
#[derive(Debug)]
pub(crate) struct Table {
    next_id: u64,
    open: BTreeMap<u64, Open>,
    /// Connections without a request in progress.
    waiting: BTreeSet<u64>,
    peers: HashMap<IpAddr, Peer>,
    /// Displaced connections that are still open.
    displaced: BTreeSet<u64>,
    displacements: RateLimit,
}

#[derive(Debug)]
struct Open {
    client: Client,
    state: Arc<ConnectionState>,
}

/// The connections of one peer.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    count: usize,
    is_local: bool,
}

/// The client of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// `None` for a proxy, which has no limit of its own.
    pub(crate) peer: Option<IpAddr>,
    /// True for a client on the same machine, such as the kubelet.
    pub(crate) is_local: bool,
}

/// An admitted connection.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) id: u64,
    pub(crate) state: Arc<ConnectionState>,
    /// The connection that was displaced.
    pub(crate) displaced: Option<Arc<ConnectionState>>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            next_id: 0,
            open: BTreeMap::new(),
            waiting: BTreeSet::new(),
            peers: HashMap::new(),
            displaced: BTreeSet::new(),
            displacements: RateLimit::new(DISPLACEMENT_BURST, DISPLACEMENT_INTERVAL),
        }
    }
}

impl Table {
    /// Adds a connection of `client`, in place of another one if a limit is reached.
    pub(crate) fn admit(&mut self, client: Client, limits: &ConnectionLimits) -> Result<Admission, Refusal> {
        let count = client.peer.and_then(|peer| self.peers.get(&peer)).map_or(0, |peer| peer.count);
        let reserve = if client.is_local { 0 } else { limits.local_reserve };
        let displaced = if client.peer.is_some() && count >= limits.max_per_peer {
            let victim = self.oldest_waiting(|open| open.client.peer == client.peer);
            Some(self.displace(victim, client, count, limits).ok_or(Refusal::PeerLimit)?)
        } else if self.open.len() >= limits.max_connections.saturating_sub(reserve) {
            let victim = self.oldest_waiting(|open| !open.client.is_local);
            let victim = victim.or_else(|| self.oldest_waiting(|_| client.is_local));
            let is_candidate = |is_local: bool| client.is_local || !is_local;
            let victim = victim.or_else(|| self.newest_of_largest_peer(count + 1, is_candidate));
            Some(self.displace(victim, client, count, limits).ok_or(Refusal::ConnectionLimit)?)
        } else {
            None
        };
        Ok(self.add(client, displaced))
    }

    /// Removes `victim` in favour of `client`, which has `count` connections; `None` if it stays.
    fn displace(
        &mut self,
        victim: Option<u64>,
        client: Client,
        count: usize,
        limits: &ConnectionLimits,
    ) -> Option<Arc<ConnectionState>> {
        let victim = victim?;
        let max = MAX_DISPLACED.min(limits.max_connections) + if client.is_local { limits.local_reserve } else { 0 };
        // The first connection of a peer and those of local clients are not limited, so that no flood delays them.
        let is_limited = !client.is_local && count > 0;
        if self.displaced.len() >= max || is_limited && !self.displacements.allow() {
            return None;
        }
        self.displaced.insert(victim);
        self.forget(victim)
    }

    fn add(&mut self, client: Client, displaced: Option<Arc<ConnectionState>>) -> Admission {
        let (id, state) = (self.next_id, Arc::<ConnectionState>::default());
        self.next_id += 1;
        self.open.insert(id, Open { client, state: Arc::clone(&state) });
        self.waiting.insert(id);
        if let Some(peer) = client.peer {
            let peer = self.peers.entry(peer).or_default();
            *peer = Peer { count: peer.count + 1, is_local: client.is_local };
        }
        Admission { id, state, displaced }
    }

    fn oldest_waiting(&self, matches: impl Fn(&Open) -> bool) -> Option<u64> {
        self.waiting.iter().copied().find(|id| self.open.get(id).is_some_and(&matches))
    }

    /// The newest connection of the peer with the most connections, if it has more than `count`.
    fn newest_of_largest_peer(&self, count: usize, is_candidate: impl Fn(bool) -> bool) -> Option<u64> {
        let candidates = self.peers.iter().filter(|(_, peer)| is_candidate(peer.is_local) && peer.count > count);
        let (largest, _) = candidates.max_by_key(|(_, peer)| peer.count)?;
        self.open.iter().rev().find(|(_, open)| open.client.peer == Some(*largest)).map(|(id, _)| *id)
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
        let Open { client, state } = self.open.remove(&id)?;
        self.waiting.remove(&id);
        if let Some(address) = client.peer
            && let Some(peer) = self.peers.get_mut(&address)
        {
            peer.count -= 1;
            if peer.count == 0 {
                self.peers.remove(&address);
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

    fn remote(number: u8) -> Client {
        Client { peer: Some([192, 0, 2, number].into()), is_local: false }
    }

    fn local(number: u8) -> Client {
        Client { is_local: true, ..remote(number) }
    }

    fn serving(table: &mut Table, number: u8) -> Result<Admission, Refusal> {
        let admission = table.admit(remote(number), &LIMITS)?;
        table.set_waiting(admission.id, false);
        Ok(admission)
    }

    #[test]
    fn new_connection_of_a_peer_at_its_limit_displaces_the_oldest_that_waits() {
        let mut table = Table::default();
        let other = table.admit(remote(2), &LIMITS).expect("the table is empty");
        let first = serving(&mut table, 1).expect("below the limits");
        let second = table.admit(remote(1), &LIMITS).expect("below the limits");
        table.admit(remote(1), &LIMITS).expect("below the limits");
        let displaced = table.admit(remote(1), &LIMITS).expect("one waits").displaced.expect("the limit is reached");
        assert!(Arc::ptr_eq(&displaced, &second.state));
        assert!(!Arc::ptr_eq(&displaced, &first.state) && !Arc::ptr_eq(&displaced, &other.state));
    }

    #[test]
    fn peer_whose_connections_all_have_requests_is_refused_at_its_limit() {
        let mut table = Table::default();
        let ids: Vec<_> = (0..3).map(|_| serving(&mut table, 1).expect("below the limits").id).collect();
        assert_eq!(table.admit(remote(1), &LIMITS).expect_err("the limit is reached"), Refusal::PeerLimit);
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
        let of_proxy: Vec<_> =
            (0..4).map(|_| table.admit(Client { peer: None, is_local: false }, &LIMITS).expect("not full")).collect();
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
        table.admit(local(6), &LIMITS).expect("the client is local");
    }

    #[test]
    fn remote_clients_do_not_displace_local_ones() {
        let mut table = Table::default();
        let ids: Vec<_> = (1..=4).map(|_| table.admit(local(1), &LIMITS).map(|admission| admission.id)).collect();
        assert_eq!(ids.iter().filter(|id| id.is_ok()).count(), 4, "the fourth one displaces the first one");
        serving(&mut table, 2).expect("below the limits");
        assert!(table.admit(remote(3), &LIMITS).expect_err("only local connections wait") == Refusal::ConnectionLimit);
        table.admit(local(4), &LIMITS).expect("a part is reserved");
    }

    #[test]
    fn local_client_displaces_a_remote_one_that_waits_before_a_local_one() {
        let mut table = Table::default();
        let first = table.admit(local(1), &LIMITS).expect("the table is empty");
        let second = table.admit(remote(2), &LIMITS).expect("below the limits");
        (3..=6).for_each(|number| drop(table.admit(local(number), &LIMITS).expect("below the limits")));
        for expected in [second, first] {
            let admission = table.admit(local(7), &LIMITS).expect("one waits");
            assert!(Arc::ptr_eq(&admission.displaced.expect("the table is full"), &expected.state));
        }
    }

    #[test]
    fn remote_peers_with_connections_displace_few_and_first_connections_any_number() {
        const LIMITS: ConnectionLimits =
            ConnectionLimits { max_connections: 20, local_reserve: 4, max_per_peer: 3, ..ConnectionLimits::METRICS };
        let mut table = Table::default();
        // Displaced connections are closed at once, and time hardly passes.
        let mut admit = |client| {
            let admission = table.admit(client, &LIMITS);
            let is_admitted = admission.is_ok();
            let closed: Vec<_> = table.displaced.iter().copied().collect();
            closed.into_iter().for_each(|id| table.remove(id));
            is_admitted
        };
        let admitted = (0..10_000).filter(|_| admit(remote(1))).count();
        assert!((60..1000).contains(&admitted), "{admitted}");
        assert!((2..=255).all(|number| admit(remote(number))), "each has no connection yet");
        assert!((0..1000).all(|_| admit(local(1))), "local clients are not limited");
    }

    #[test]
    fn closed_and_displaced_connections_leave_nothing_behind() {
        let mut table = Table::default();
        let ids: Vec<_> = (0..9).map(|_| table.admit(remote(1), &LIMITS).expect("one waits").id).collect();
        assert_eq!((table.open.len(), table.displaced.len()), (3, 6));
        ids.into_iter().for_each(|id| table.remove(id));
        assert!(table.open.is_empty() && table.waiting.is_empty() && table.peers.is_empty());
        assert!(table.displaced.is_empty());
    }

    #[test]
    fn displaced_connections_that_are_still_open_are_bounded_and_local_clients_have_a_reserve() {
        let mut table = Table::default();
        let mut admitted = |client| (0..1000).filter(|_| table.admit(client, &LIMITS).is_ok()).count();
        assert_eq!(admitted(remote(1)), LIMITS.max_per_peer + LIMITS.max_connections);
        assert_eq!(admitted(local(2)), LIMITS.max_per_peer + LIMITS.local_reserve);
    }
}
