//! Mass removal guard: delays removals, and holds them if too many are requested at once.
//!
//! ```text
//!  a VIP ──▶ waits until no other VIP was requested for 2 s (10 s at most) ─┐
//!  a server of a VIP that stays ────────────────────────────────────────────┤
//!          at least 5, and more than half of the owned ones, within 60 s? ◀─┘
//!                   no ▶ granted     yes ▶ held and published, granted after the hold
//! ```
//!
//! The planner requests the removals of an address each time it plans the address: a removal that is no longer
//! requested (its object was restored, or VPP no longer has it) is dropped. VIPs and servers are counted separately.
//! Counts and holds belong to the process: they survive a new session with VPP, and a restarted agent starts over.
//!
//! Not subject to the guard: recreates, replaced servers, and foreign VIPs, which are removed only with
//! `foreignVIPs: Remove` and do not count as owned.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use maglev_model::{
    event::HoldEnd,
    plan::{MASS_REMOVAL_PERIOD, Removal, is_mass_removal},
};

/// A VIP removal waits until no further VIP removal was requested for this time.
const QUIET: Duration = Duration::from_secs(2);
/// Limit of that wait, for a steady stream of removals.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Period over which removals are counted.
const COUNT_PERIOD: Duration = MASS_REMOVAL_PERIOD;

/// Number of owned VIPs in VPP, and of their application servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub vips: usize,
    pub servers: usize,
}

/// The id of a hold, as published by `vpp-lb-sync-held`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldId(Arc<str>);

impl HoldId {
    /// The id that is written as eight hexadecimal digits.
    pub fn new(number: u32) -> Self {
        Self(format!("{number:08x}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hold that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRemovals {
    pub id: HoldId,
    pub removals: usize,
    /// Time at which the removals are granted.
    pub until: Instant,
}

/// A hold that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedHold {
    pub id: HoldId,
    pub by: HoldEnd,
}

/// Requested removals, and their progress.
#[derive(Debug, Default)]
pub struct MassRemovalGuard {
    vips: Count,
    servers: Count,
    batch: Option<Batch>,
    holds: Vec<Hold>,
    /// Ended holds, until they are published.
    ended: Vec<EndedHold>,
    /// Published holds.
    announced: BTreeSet<HoldId>,
    /// Granted removals that VPP has not confirmed yet.
    granted: BTreeSet<Removal>,
    /// Totals at the first address of those planned in a row.
    measured: Option<Totals>,
    random: fastrand::Rng,
}

/// VIP removals that wait for further requests.
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

/// Removals of one kind requested within the last 60 s.
#[derive(Debug, Default)]
struct Count(VecDeque<CountedRemoval>);

#[derive(Debug)]
struct CountedRemoval {
    at: Instant,
    removal: Removal,
    /// Number of owned objects of that kind at that time.
    total: usize,
}

impl Count {
    fn add(&mut self, at: Instant, removals: &BTreeSet<Removal>, total: usize) {
        self.0.extend(removals.iter().map(|removal| CountedRemoval { at, removal: *removal, total }));
    }

    /// True if the counted removals exceed half of the total at the start of the period.
    fn is_mass(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|first| first.at + COUNT_PERIOD <= now) {
            self.0.pop_front();
        }
        let total = self.0.front().map_or(0, |first| first.total);
        is_mass_removal(self.0.len(), total)
    }

    fn forget(&mut self, is_forgotten: impl Fn(&Removal) -> bool) {
        self.0.retain(|requested| !is_forgotten(&requested.removal));
    }
}

impl MassRemovalGuard {
    /// A guard that draws the ids of holds from `random`.
    pub fn new(random: fastrand::Rng) -> Self {
        Self { random, ..Self::default() }
    }

    /// Returns the removals that must wait. `requested` is the complete set of removals for `address`.
    pub fn check(
        &mut self,
        now: Instant,
        address: IpAddr,
        requested: &BTreeSet<Removal>,
        hold_for: Duration,
        totals: impl FnOnce() -> Totals,
    ) -> BTreeSet<Removal> {
        self.forget(|removal| removal.vip.address == address && !requested.contains(removal));
        let new: BTreeSet<Removal> = requested.iter().filter(|removal| !self.contains(removal)).copied().collect();
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
        requested.difference(&self.granted).copied().collect()
    }

    fn contains(&self, removal: &Removal) -> bool {
        self.granted.contains(removal)
            || self.batch.as_ref().is_some_and(|batch| batch.removals.contains(removal))
            || self.holds.iter().any(|hold| hold.removals.contains(removal))
    }

    /// Called when no plan is pending; the next caller recounts the owned VIPs. Counting is slow, so the totals are
    /// kept for all addresses planned in a row.
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
        // The removals of one prune form one hold, so that one id accepts them all.
        match self.holds.last_mut().filter(|hold| now < hold.began + COUNT_PERIOD) {
            Some(hold) => {
                hold.removals.extend(removals);
                (hold.until, hold.published) = (until, false);
            }
            None => {
                let id = HoldId::new(self.random.u32(..));
                self.holds.push(Hold { id, began: now, until, removals, published: false });
            }
        }
    }

    /// Drops removals that are no longer requested. Those that were not granted are not counted either.
    fn forget(&mut self, is_obsolete: impl Fn(&Removal) -> bool) {
        self.granted.retain(|removal| !is_obsolete(removal));
        let mut back = BTreeSet::new();
        if let Some(batch) = &mut self.batch {
            back.extend(batch.removals.extract_if(.., |removal| is_obsolete(removal)));
        }
        self.batch.take_if(|batch| batch.removals.is_empty());
        for hold in &mut self.holds {
            back.extend(hold.removals.extract_if(.., |removal| is_obsolete(removal)));
        }
        let empty = self.holds.extract_if(.., |hold| hold.removals.is_empty());
        self.ended.extend(empty.map(|hold| EndedHold { id: hold.id, by: HoldEnd::Obsolete }));
        if !back.is_empty() {
            self.vips.forget(|removal| back.contains(removal));
            self.servers.forget(|removal| back.contains(removal));
        }
    }

    /// Stops counting removals, executed ones included, of objects that are desired again. Call it before
    /// [`Self::check`].
    pub fn forget_restored(&mut self, is_desired: impl Fn(&Removal) -> bool) {
        self.vips.forget(&is_desired);
        self.servers.forget(&is_desired);
    }

    /// Drops removals of objects that VPP does not have.
    pub fn retain_present(&mut self, in_vpp: impl Fn(&Removal) -> bool) {
        self.forget(|removal| !in_vpp(removal));
    }

    /// Processes expired timers. Returns the addresses with newly granted removals.
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
            self.ended.push(EndedHold { id: hold.id, by: HoldEnd::Expired });
        }
        due
    }

    /// Time at which [`Self::tick`] must be called.
    pub fn next_timer(&self) -> Option<Instant> {
        self.batch.iter().map(Batch::due).chain(self.holds.iter().map(|hold| hold.until)).min()
    }

    /// Ends the holds with these ids and grants their removals. Returns the addresses of the removals. An unknown id has
    /// no effect.
    pub fn accept(&mut self, ids: &BTreeSet<Arc<str>>) -> BTreeSet<IpAddr> {
        let mut due = BTreeSet::new();
        for hold in self.holds.extract_if(.., |hold| ids.contains(hold.id.as_str())) {
            due.extend(addresses(&hold.removals));
            self.granted.extend(hold.removals);
            self.ended.push(EndedHold { id: hold.id, by: HoldEnd::Accepted });
        }
        due
    }

    /// Published holds that have ended since the last call.
    pub fn take_ended_holds(&mut self) -> Vec<EndedHold> {
        let announced = &mut self.announced;
        self.ended.extract_if(.., |_| true).filter(|hold| announced.remove(&hold.id)).collect()
    }

    /// Holds that are new or have grown since the last call.
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
