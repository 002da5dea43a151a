//! Ramps: a backend that comes up while others serve gets its weight in steps (`Frontend.spec.rampUp`).
//!
//! ```text
//!  effective weights ──▶ Ramps::limit ──▶ weights of the present steps ──▶ desired VIP ──▶ plan
//!                            │  next step
//!                            ▼
//!                          timer ──▶ the VIP's address is planned again
//! ```
//!
//! The progress is the weight that VPP has: nothing is stored, and a step follows only if VPP has the previous one. Costs
//! a look-up per planned VIP while no Frontend has ramps.

mod tracker;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::tracker::{RunningRamp, Tracker};
use super::inputs::VipView;
use maglev_model::{
    Name,
    actual::Actual,
    change::Change,
    event::Events,
    ramp::{self, Ramp},
    vip::VipKey,
};

/// The VIPs of Frontends with ramps.
#[derive(Debug)]
pub struct Ramps {
    events: Events,
    clock: fn() -> Timestamp,
    vips: BTreeMap<VipKey, RampedVip>,
    /// The next step of each VIP that has one.
    timers: BTreeSet<(Instant, VipKey)>,
}

#[derive(Debug)]
struct RampedVip {
    frontend: Name,
    tracker: Tracker,
    next: Option<Instant>,
    published: ramp::Ramps,
}

impl Ramps {
    pub fn new(events: Events, clock: fn() -> Timestamp) -> Self {
        Self { events, clock, vips: BTreeMap::new(), timers: BTreeSet::new() }
    }

    /// Limits the weights of servers that ramp, and publishes their ramps. `actual` is VPP's state.
    pub fn limit(&mut self, now: Instant, view: &mut VipView, actual: &Actual) {
        let frontend = &view.frontend;
        let key = frontend.vip;
        let is_of_another = self.vips.get(&key).is_some_and(|vip| vip.frontend != frontend.name);
        let Some(conf) = frontend.ramp_up.filter(|_| view.is_served() && !actual.weightless) else {
            // The VIP of a withdrawn Frontend may belong to another one.
            if view.is_served() || !is_of_another {
                self.forget(key);
            }
            return;
        };
        if is_of_another {
            self.forget(key);
        }
        let vip = self.vips.entry(key).or_insert_with(|| RampedVip::new(frontend.name.clone(), Tracker::new(conf)));
        vip.tracker.set_conf(conf);
        let active_pool = view.effective.active_pool.and_then(|index| frontend.pools.get(index));
        let active_pool = active_pool.map(|pool| Arc::clone(&pool.name));
        let running = vip.tracker.limit(now, active_pool, &mut view.effective.ases, actual.weights(key.into()));
        let old = std::mem::replace(&mut vip.next, running.values().map(|ramp| ramp.next).min());
        if old != vip.next {
            old.map(|at| self.timers.remove(&(at, key)));
            vip.next.map(|at| self.timers.insert((at, key)));
        }
        if !running.is_empty() || !vip.published.is_empty() {
            let at = (self.clock)();
            let ramp = |ramp: RunningRamp| Ramp {
                weight: ramp.weight,
                step: ramp.step,
                steps: conf.steps,
                full_at: at.saturating_add(ramp.full_at.duration_since(now)).unwrap_or(at),
            };
            vip.publish(running.into_iter().map(|(address, running)| (address, ramp(running))).collect(), &self.events);
        }
    }

    /// Drops the state of a VIP.
    pub fn forget(&mut self, key: VipKey) {
        if let Some(mut vip) = self.vips.remove(&key) {
            vip.next.map(|at| self.timers.remove(&(at, key)));
            vip.publish(BTreeMap::new(), &self.events);
        }
    }

    /// Time of the next step.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Removes the expired timers. Returns the addresses to plan; each plan sets the timer of its VIPs again.
    pub fn take_due(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let mut due = BTreeSet::new();
        while self.next_timer().is_some_and(|at| at <= now)
            && let Some((_, key)) = self.timers.pop_first()
        {
            if let Some(vip) = self.vips.get_mut(&key) {
                vip.next = None;
            }
            due.insert(key.address);
        }
        due
    }
}

impl RampedVip {
    fn new(frontend: Name, tracker: Tracker) -> Self {
        Self { frontend, tracker, next: None, published: ramp::Ramps::default() }
    }

    /// Publishes the ramps if they changed by more than what their time varies by itself.
    fn publish(&mut self, ramps: BTreeMap<IpAddr, Ramp>, events: &Events) {
        let is_same = |(old, new): ((&IpAddr, &Ramp), (&IpAddr, &Ramp))| {
            let late = new.1.full_at.duration_since(old.1.full_at).abs();
            old.0 == new.0 && Ramp { full_at: old.1.full_at, ..*new.1 } == *old.1 && late < SignedDuration::from_secs(1)
        };
        if self.published.len() != ramps.len() || !self.published.iter().zip(&ramps).all(is_same) {
            self.published = Arc::new(ramps);
            events.emit_change(Change::Ramps(self.frontend.clone(), Arc::clone(&self.published)));
        }
    }
}
