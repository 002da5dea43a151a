//! Disruption guard: holds a change of the configuration that would move more buckets of a VIP than its Frontend allows.
//!
//! ```text
//!  Frontend as configured ──▶ same pools and VIP settings as in force? ─── yes ─▶ in force
//!                                           │ no
//!  buckets moved within the window + those that the change would move
//!           within the budget ▶ in force     beyond it ▶ held; VPP follows the Frontend in force
//! ```
//!
//! A held VIP goes on with the Frontend of before: its backends follow health and admin state. The first Frontend in force
//! is read from VPP, so a restarted agent holds the same change. A hold ends by time, by an operator, or when the
//! change is within the budget, taken back, or needed because nothing else serves.

mod in_force;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use self::in_force::from_vpp;
use super::{
    inputs::in_vpp,
    mass_removal_guard::{EndedHold, HoldId},
};
use maglev_model::{
    Name,
    actual::{Actual, ActualVip},
    change::HeldChange,
    config::{Config, DisruptionBudget, Frontend, Standing},
    disruption::{ConfigChange, TableInputs, has_same_tables, refreshed},
    event::HoldEnd,
    fingerprint::Fingerprint,
    health::HealthSnapshot,
    plan::AddressPlan,
    table_change::{TableChange, TableSpec},
    vip::VipKey,
};

/// The state that a decision follows from.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    pub now: Instant,
    pub config: Option<&'a Config>,
    pub health: &'a HealthSnapshot,
    pub actual: &'a Actual,
    /// Time to hold a change that exceeds the budget by itself.
    pub hold_for: Duration,
}

/// A hold that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHold {
    pub id: HoldId,
    pub change: HeldChange,
    pub until: Instant,
}

/// The VIPs of Frontends with a disruption budget.
#[derive(Debug, Default)]
pub struct DisruptionGuard {
    vips: BTreeMap<VipKey, GuardedVip>,
    /// Ended holds, until they are published.
    ended: Vec<EndedHold>,
}

#[derive(Debug)]
struct GuardedVip {
    /// The Frontend that VPP follows.
    in_force: Arc<Frontend>,
    /// The changes of the table within the window, oldest first.
    moves: VecDeque<Move>,
    hold: Option<Hold>,
}

/// A change of the new-flow table, for any reason.
#[derive(Debug)]
struct Move {
    at: Instant,
    moved: Moved,
}

#[derive(Debug)]
enum Moved {
    /// The tables before and after. Their comparison is slow, so it waits for the next change of the configuration.
    Tables(TableSpec, TableSpec),
    Percent(f64),
}

/// A held change.
#[derive(Debug)]
struct Hold {
    id: HoldId,
    frontend: Name,
    moved_permille: u16,
    until: Instant,
    state: HoldState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HoldState {
    New,
    Published,
    /// The next decision makes the change.
    Released(HoldEnd),
}

impl DisruptionGuard {
    /// The Frontend that VPP is to follow: `wanted`, or the one of before while the change is held.
    pub fn decide(&mut self, wanted: &Arc<Frontend>, situation: Situation<'_>) -> Arc<Frontend> {
        if wanted.standing != Standing::Serving {
            return Arc::clone(wanted);
        }
        let Some(budget) = wanted.disruption else {
            self.forget(wanted.vip);
            return Arc::clone(wanted);
        };
        let Some(vip) = in_vpp(Some(situation.actual), wanted.vip) else {
            // Nothing to disrupt.
            self.forget(wanted.vip);
            self.vips.insert(wanted.vip, GuardedVip::new(Arc::clone(wanted)));
            return Arc::clone(wanted);
        };
        let guarded =
            self.vips.entry(wanted.vip).or_insert_with(|| GuardedVip::new(Arc::new(from_vpp(wanted, vip, situation))));
        let (in_force, ended) = guarded.decide(wanted, budget, vip, situation);
        self.ended.extend(ended);
        in_force
    }

    /// The Frontend that VPP follows while a change of `wanted` is held.
    pub fn held(&self, wanted: &Frontend) -> Option<&Arc<Frontend>> {
        let guarded = self.vips.get(&wanted.vip).filter(|guarded| guarded.hold.is_some())?;
        Some(&guarded.in_force).filter(|in_force| in_force.name == wanted.name)
    }

    /// Records what `plan` moves, whatever its cause. `before` has the VIPs that it changes.
    pub fn record(&mut self, now: Instant, plan: &AddressPlan, before: &Actual) {
        for (vip, state) in &before.vips {
            let Some((key, guarded)) = vip.key().and_then(|key| Some((key, self.vips.get_mut(&key)?))) else {
                continue;
            };
            let mut after = Actual { vips: [(*vip, state.clone())].into(), weightless: before.weightless };
            plan.steps().filter(|step| step.vip() == *vip).for_each(|step| after.apply(step));
            let tables = TableSpec::new(state).zip(after.vips.get(vip).and_then(TableSpec::new));
            let moved = match tables {
                Some((before, after)) if !plan.recreates.contains_key(&key) => Moved::Tables(before, after),
                _ => Moved::Percent(100.0),
            };
            guarded.moves.push_back(Move { at: now, moved });
            guarded.forget_old_moves(now);
        }
    }

    /// Drops the state of a VIP.
    pub fn forget(&mut self, vip: VipKey) {
        if let Some(hold) = self.vips.remove(&vip).and_then(|mut guarded| guarded.end_hold(HoldEnd::Obsolete)) {
            self.ended.push(hold);
        }
    }

    /// Ends the holds with these ids. Returns the addresses to plan. An unknown id has no effect.
    pub fn accept(&mut self, ids: &BTreeSet<Arc<str>>) -> BTreeSet<IpAddr> {
        self.release(HoldEnd::Accepted, |hold| ids.contains(hold.id.as_str()))
    }

    /// Processes expired timers. Returns the addresses to plan.
    pub fn tick(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let mut due = self.release(HoldEnd::Expired, |hold| now >= hold.until);
        for (vip, guarded) in &mut self.vips {
            // A held change may be within the budget once an earlier one has left the window.
            if guarded.hold.is_some() && guarded.forget_old_moves(now) {
                due.insert(vip.address);
            }
        }
        due
    }

    fn release(&mut self, by: HoldEnd, is_released: impl Fn(&Hold) -> bool) -> BTreeSet<IpAddr> {
        let mut due = BTreeSet::new();
        for (vip, guarded) in &mut self.vips {
            if let Some(hold) = guarded.hold.as_mut().filter(|hold| hold.is_active() && is_released(hold)) {
                hold.state = HoldState::Released(by);
                due.insert(vip.address);
            }
        }
        due
    }

    /// Time at which [`Self::tick`] must be called.
    pub fn next_timer(&self) -> Option<Instant> {
        let timers = |guarded: &GuardedVip| {
            let hold = guarded.hold.as_ref().filter(|hold| hold.is_active())?;
            let next_move = guarded.moves.front().map(|first| first.at + guarded.window());
            Some(next_move.map_or(hold.until, |at| at.min(hold.until)))
        };
        self.vips.values().filter_map(timers).min()
    }

    /// Holds that are new since the last call.
    pub fn take_new_holds(&mut self) -> Vec<NewHold> {
        let holds = self.vips.values_mut().filter_map(|guarded| guarded.hold.as_mut());
        let publish = |hold: &mut Hold| {
            hold.state = HoldState::Published;
            let change = HeldChange { frontend: hold.frontend.clone(), moved_permille: hold.moved_permille };
            NewHold { id: hold.id.clone(), change, until: hold.until }
        };
        holds.filter(|hold| hold.state == HoldState::New).map(publish).collect()
    }

    /// Published holds that have ended since the last call.
    pub fn take_ended_holds(&mut self) -> Vec<EndedHold> {
        std::mem::take(&mut self.ended)
    }
}

impl Hold {
    fn is_active(&self) -> bool {
        !matches!(self.state, HoldState::Released(_))
    }
}

impl GuardedVip {
    fn new(in_force: Arc<Frontend>) -> Self {
        Self { in_force, moves: VecDeque::new(), hold: None }
    }

    fn window(&self) -> Duration {
        self.in_force.disruption.map_or(Duration::ZERO, |budget| budget.window)
    }

    fn decide(
        &mut self,
        wanted: &Arc<Frontend>,
        budget: DisruptionBudget,
        vip: &ActualVip,
        situation: Situation<'_>,
    ) -> (Arc<Frontend>, Option<EndedHold>) {
        if Arc::ptr_eq(&self.in_force, wanted) {
            return (Arc::clone(wanted), self.end_hold(HoldEnd::Obsolete));
        }
        let stored = |name: &Name| situation.config?.backends.get(name).cloned();
        let current = refreshed(&self.in_force, wanted, stored);
        if has_same_tables(&current, wanted) {
            return self.put_in_force(wanted, HoldEnd::Obsolete);
        }
        if let Some(Hold { state: HoldState::Released(by), id, .. }) = &self.hold
            && *id == hold_id(wanted)
        {
            let by = *by;
            return self.put_in_force(wanted, by);
        }
        let inputs = TableInputs { health: situation.health, vip, weightless: situation.actual.weightless };
        let change = ConfigChange::new(&current, wanted, inputs);
        self.in_force = Arc::new(current);
        let used: f64 = self.moved_percent(situation.now);
        let is_allowed = used + change.moved_percent <= f64::from(budget.max_moved_percent);
        if is_allowed || change.is_needed {
            return self.put_in_force(wanted, HoldEnd::Obsolete);
        }
        let ended = self.hold(wanted, change.moved_percent, situation.now + situation.hold_for.max(budget.window));
        (Arc::clone(&self.in_force), ended)
    }

    fn put_in_force(&mut self, wanted: &Arc<Frontend>, by: HoldEnd) -> (Arc<Frontend>, Option<EndedHold>) {
        self.in_force = Arc::clone(wanted);
        (Arc::clone(wanted), self.end_hold(by))
    }

    /// Holds the change to `wanted`. Returns the hold of an earlier change, which ends.
    fn hold(&mut self, wanted: &Frontend, moved_percent: f64, until: Instant) -> Option<EndedHold> {
        let id = hold_id(wanted);
        if self.hold.as_ref().is_some_and(|hold| hold.id == id) {
            return None;
        }
        let ended = self.end_hold(HoldEnd::Obsolete);
        let moved_permille = (moved_percent * 10.0).round() as u16;
        let (frontend, state) = (wanted.name.clone(), HoldState::New);
        self.hold = Some(Hold { id, frontend, moved_permille, until, state });
        ended
    }

    /// Ends the hold. Returns it if it was published.
    fn end_hold(&mut self, by: HoldEnd) -> Option<EndedHold> {
        let hold = self.hold.take()?;
        (hold.state != HoldState::New).then_some(EndedHold { id: hold.id, by })
    }

    /// The sum of the shares that moved within the window, in percent.
    fn moved_percent(&mut self, now: Instant) -> f64 {
        self.forget_old_moves(now);
        let percent = |one: &mut Move| match &one.moved {
            Moved::Percent(percent) => *percent,
            Moved::Tables(before, after) => {
                let percent = TableChange::between(Some(before), Some(after)).moved_percent();
                one.moved = Moved::Percent(percent);
                percent
            }
        };
        self.moves.iter_mut().map(percent).sum()
    }

    /// Drops the moves that have left the window. Returns true if there were any.
    fn forget_old_moves(&mut self, now: Instant) -> bool {
        let (before, window) = (self.moves.len(), self.window());
        while self.moves.front().is_some_and(|first| first.at + window <= now) {
            self.moves.pop_front();
        }
        self.moves.len() < before
    }
}

/// The id of the hold of a change to `wanted`: the same on all nodes, so that one command accepts the change on each.
fn hold_id(wanted: &Frontend) -> HoldId {
    let [a, b, c, d, ..] = Fingerprint::new(wanted).hash;
    let generation = (wanted.revision.generation as u32).wrapping_mul(0x9e37_79b9);
    HoldId::new(u32::from_be_bytes([a, b, c, d]) ^ generation)
}

#[cfg(test)]
mod tests;
