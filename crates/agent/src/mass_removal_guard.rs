//! Mass removal: when what was asked to go may go.
//!
//! ```text
//!  a VIP ──▶ waits until no other was asked for during 2 s (10 s at most) ─┐
//!  a server of a VIP that stays ───────────────────────────────────────────┤
//!                      above half of ours within 60 s, and at least 5? ◀───┘
//!                         no ▶ goes        yes ▶ held, told, goes later
//! ```
//!
//! The planner asks for each address each time it plans it: what is asked for no more (the object
//! came back, or it is gone) is forgotten. VIPs and servers are counted apart. Counts and holds are
//! this process's: they outlive sessions with VPP, and an agent that was started anew counts anew,
//! so it decides anew about whatever is still to be removed.
//!
//! What does not come here: recreates, servers that are replaced, and foreign VIPs, which go only
//! where somebody said `foreignVIPs: Remove`, and are not ours to count against.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use tokio::time::Instant;

use super::handle::HoldId;
use maglev_model::plan::Removal;

/// VIP removals wait until no further one was asked for during this time,
const QUIET: Duration = Duration::from_secs(2);
/// but so long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The time over which removals are counted.
const COUNTED: Duration = Duration::from_secs(60);
/// Fewer than this many are never held.
const AT_LEAST: usize = 5;

/// How many of ours VPP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub vips: usize,
    /// Application servers of these.
    pub servers: usize,
}

/// MassRemovalGuard that are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRemovals {
    pub id: HoldId,
    /// How many removals are in it.
    pub removals: usize,
    /// When they go.
    pub until: Instant,
}

/// What was asked to go, and how far that is.
#[derive(Debug, Default)]
pub struct MassRemovalGuard {
    vips: Count,
    servers: Count,
    batch: Option<Batch>,
    holds: Vec<Hold>,
    /// Holds that are no more.
    ended: Vec<HoldId>,
    /// Holds that were told of.
    announced: BTreeSet<HoldId>,
    /// May go, and has not been seen gone yet.
    granted: BTreeSet<Removal>,
    /// As counted for the first of the addresses that are planned now.
    measured: Option<Totals>,
    random: fastrand::Rng,
}

/// VIPs that wait for others.
#[derive(Debug)]
struct Batch {
    first: Instant,
    last: Instant,
    removals: BTreeSet<Removal>,
}

impl Batch {
    fn due(&self) -> Instant {
        (self.last + QUIET).min(self.first + LONGEST_WAIT)
    }
}

#[derive(Debug)]
struct Hold {
    id: HoldId,
    began: Instant,
    until: Instant,
    removals: BTreeSet<Removal>,
    published: bool,
}

/// What was asked for of one kind, over the last 60 s.
#[derive(Debug, Default)]
struct Count(VecDeque<CountedRemoval>);

#[derive(Debug)]
struct CountedRemoval {
    at: Instant,
    removal: Removal,
    /// How many of ours there were then.
    total: usize,
}

impl Count {
    fn add(&mut self, at: Instant, removals: &BTreeSet<Removal>, total: usize) {
        self.0.extend(removals.iter().map(|removal| CountedRemoval { at, removal: *removal, total }));
    }

    /// Whether what was asked for is above half of what there was at the start of it.
    fn is_mass(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|first| first.at + COUNTED <= now) {
            self.0.pop_front();
        }
        let total = self.0.front().map_or(0, |first| first.total);
        self.0.len() >= AT_LEAST && self.0.len() * 2 > total
    }

    fn forget(&mut self, removals: &BTreeSet<Removal>) {
        if !removals.is_empty() {
            self.0.retain(|asked| !removals.contains(&asked.removal));
        }
    }
}

impl MassRemovalGuard {
    /// The ids of holds come from `random`.
    pub fn new(random: fastrand::Rng) -> Self {
        Self { random, ..Self::default() }
    }

    /// `asked` is all that is to go from `address` now. Returns what of it may not go yet.
    pub fn check(
        &mut self,
        now: Instant,
        address: IpAddr,
        asked: &BTreeSet<Removal>,
        hold_for: Duration,
        totals: impl FnOnce() -> Totals,
    ) -> BTreeSet<Removal> {
        self.forget(|removal| removal.vip.address == address && !asked.contains(removal));
        let new: BTreeSet<Removal> = asked.iter().filter(|removal| !self.contains(removal)).copied().collect();
        if !new.is_empty() {
            let totals = *self.measured.get_or_insert_with(totals);
            let (servers, vips): (BTreeSet<_>, BTreeSet<_>) = new.iter().partition(|removal| removal.server.is_some());
            self.add_to_batch(now, vips, totals);
            self.servers.add(now, &servers, totals.servers);
            if !servers.is_empty() {
                let mass = self.servers.is_mass(now);
                self.decide(now, servers, mass, hold_for);
            }
        }
        asked.difference(&self.granted).copied().collect()
    }

    fn contains(&self, removal: &Removal) -> bool {
        self.granted.contains(removal)
            || self.batch.as_ref().is_some_and(|batch| batch.removals.contains(removal))
            || self.holds.iter().any(|hold| hold.removals.contains(removal))
    }

    /// Nothing is left to be planned: the next one who asks has all that is ours counted anew. Counting
    /// takes a while, so it is done once for all addresses that are planned in a row.
    pub fn forget_totals(&mut self) {
        self.measured = None;
    }

    fn add_to_batch(&mut self, now: Instant, vips: BTreeSet<Removal>, totals: Totals) {
        if vips.is_empty() {
            return;
        }
        self.vips.add(now, &vips, totals.vips);
        let batch = self.batch.get_or_insert_with(|| Batch { first: now, last: now, removals: BTreeSet::new() });
        batch.last = now;
        batch.removals.extend(vips);
    }

    fn decide(&mut self, now: Instant, removals: BTreeSet<Removal>, mass: bool, hold_for: Duration) {
        if !mass || hold_for.is_zero() {
            self.granted.extend(removals);
            return;
        }
        let until = now + hold_for;
        // What belongs to one prune is one hold, so that it can be accepted by one id.
        match self.holds.last_mut().filter(|hold| now < hold.began + COUNTED) {
            Some(hold) => {
                hold.removals.extend(removals);
                (hold.until, hold.published) = (until, false);
            }
            None => {
                let id = HoldId::from(format!("{:08x}", self.random.u32(..)).as_str());
                self.holds.push(Hold { id, began: now, until, removals, published: false });
            }
        }
    }

    /// Forgets what is not asked for any more. What did not go counts as never asked for.
    fn forget(&mut self, gone: impl Fn(&Removal) -> bool) {
        self.granted.retain(|removal| !gone(removal));
        let mut back = BTreeSet::new();
        if let Some(batch) = &mut self.batch {
            back.extend(batch.removals.extract_if(.., |removal| gone(removal)));
        }
        self.batch.take_if(|batch| batch.removals.is_empty());
        for hold in &mut self.holds {
            back.extend(hold.removals.extract_if(.., |removal| gone(removal)));
        }
        let empty = self.holds.extract_if(.., |hold| hold.removals.is_empty());
        self.ended.extend(empty.map(|hold| hold.id));
        self.vips.forget(&back);
        self.servers.forget(&back);
    }

    /// VPP was read: what is not there need not go.
    pub fn retain_present(&mut self, in_vpp: impl Fn(&Removal) -> bool) {
        self.forget(|removal| !in_vpp(removal));
    }

    /// Looks at the clock. Returns the addresses from which something may go now.
    pub fn tick(&mut self, now: Instant, hold_for: Duration) -> BTreeSet<IpAddr> {
        let before = self.granted.len();
        let mut due = BTreeSet::new();
        if let Some(batch) = self.batch.take_if(|batch| now >= batch.due()) {
            let mass = self.vips.is_mass(now);
            let addresses = addresses(&batch.removals);
            self.decide(now, batch.removals, mass, hold_for);
            if self.granted.len() > before {
                due.extend(addresses);
            }
        }
        for hold in self.holds.extract_if(.., |hold| now >= hold.until) {
            due.extend(addresses(&hold.removals));
            self.granted.extend(hold.removals);
            self.ended.push(hold.id);
        }
        due
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_timer(&self) -> Option<Instant> {
        self.batch.iter().map(Batch::due).chain(self.holds.iter().map(|hold| hold.until)).min()
    }

    /// Ends the hold: what is in it may go. Returns its addresses; `None` where there is no such hold.
    pub fn accept(&mut self, id: &HoldId) -> Option<BTreeSet<IpAddr>> {
        let place = self.holds.iter().position(|hold| hold.id == *id)?;
        let hold = self.holds.remove(place);
        let due = addresses(&hold.removals);
        self.granted.extend(hold.removals);
        self.ended.push(hold.id);
        Some(due)
    }

    /// The holds that were told of and have ended since they were last asked for.
    pub fn take_ended_holds(&mut self) -> Vec<HoldId> {
        let announced = &mut self.announced;
        self.ended.extract_if(.., |_| true).filter(|id| announced.remove(id)).collect()
    }

    /// The holds that are new or have grown since they were last asked for.
    pub fn take_new_holds(&mut self) -> Vec<HeldRemovals> {
        let mut new_holds = Vec::new();
        for hold in self.holds.iter_mut().filter(|hold| !hold.published) {
            hold.published = true;
            self.announced.insert(hold.id.clone());
            new_holds.push(HeldRemovals { id: hold.id.clone(), removals: hold.removals.len(), until: hold.until });
        }
        new_holds
    }
}

fn addresses(removals: &BTreeSet<Removal>) -> BTreeSet<IpAddr> {
    removals.iter().map(|removal| removal.vip.address).collect()
}

#[cfg(test)]
mod tests;
