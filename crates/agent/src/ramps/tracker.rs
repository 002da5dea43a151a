//! The ramps of the application servers of one VIP, as a state machine. Pure.
//!
//! ```text
//!          weight > 0                         interval, and VPP has the weight of the step
//!  AtZero ────────────▶ others serve? ─yes─▶ Ramping(step) ──────────────────────┐
//!    ▲                     │ no                 │      ▲──────── step + 1 ◀──────┤
//!    │                     ▼                    │                                ▼ full weight
//!    │                    Full ◀────────────────┴─ no others, or another pool    Full
//!    └── weight 0, from any state
//! ```
//!
//! A server that the tracker does not know begins at the weight that VPP has, so a restarted agent goes on with an
//! interrupted ramp. Once a server has had its full weight, only weight 0 leads to another ramp: a weight that another
//! client lowers is repaired at once, and so is a configured weight that rises.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use maglev_model::{
    config::RampUp,
    vip::Weight,
    weights::{DesiredAs, DesiredWeight},
};

/// The ramps of one VIP.
#[derive(Debug)]
pub struct Tracker {
    conf: RampUp,
    /// The name of the pool that took the traffic when the weights were last limited.
    active_pool: Option<Arc<str>>,
    servers: BTreeMap<IpAddr, ServerState>,
}

/// The last state of an application server.
#[derive(Clone, Copy, Debug)]
enum ServerState {
    /// The desired weight is 0.
    AtZero,
    Ramping(Progress),
    /// The desired weight is the full one.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    step: u8,
    /// Time of the next step.
    next: Instant,
}

/// The ramp of one application server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningRamp {
    /// The weight at this step.
    pub weight: Weight,
    pub step: u8,
    /// Time of the next step.
    pub next: Instant,
    /// Time of the last step.
    pub full_at: Instant,
}

/// The servers that ramp, by address.
pub type RunningRamps = BTreeMap<IpAddr, RunningRamp>;

impl Tracker {
    pub fn new(conf: RampUp) -> Self {
        Self { conf, active_pool: None, servers: BTreeMap::new() }
    }

    /// Takes changed settings. Ramps in progress go on with them from the weights in VPP.
    pub fn set_conf(&mut self, conf: RampUp) {
        if std::mem::replace(&mut self.conf, conf) != conf {
            self.servers.retain(|_, state| !matches!(state, ServerState::Ramping(_)));
        }
    }

    /// Limits the desired weights of servers that ramp to those of their present step, and returns these servers. `vpp`
    /// returns the weight of a server in VPP; `None` if VPP does not have the server.
    pub fn limit(
        &mut self,
        now: Instant,
        active_pool: Option<Arc<str>>,
        ases: &mut BTreeMap<IpAddr, DesiredAs>,
        vpp: impl Fn(IpAddr) -> Option<u8>,
    ) -> RunningRamps {
        self.servers.retain(|address, _| ases.contains_key(address));
        let is_failover = self.active_pool.is_some() && active_pool.is_some() && self.active_pool != active_pool;
        self.active_pool = active_pool;
        let serves = |(address, server): (&IpAddr, &DesiredAs)| {
            let in_vpp = vpp(*address);
            let has_traffic = in_vpp.is_some_and(|weight| weight > 0) && server.weight.effective(in_vpp) > 0;
            has_traffic && !self.is_below_full(*address, server, in_vpp)
        };
        let others_serve = !is_failover && ases.iter().any(serves);
        let mut running = RunningRamps::new();
        for (address, server) in ases {
            let in_vpp = vpp(*address);
            let is_below_full = self.is_below_full(*address, server, in_vpp);
            match &mut server.weight {
                DesiredWeight::Set(Weight::ZERO) => {
                    self.servers.insert(*address, ServerState::AtZero);
                }
                DesiredWeight::Set(full) if others_serve && is_below_full => {
                    let (state, ramp) = self.proceed(now, *address, *full, in_vpp.unwrap_or(0));
                    self.servers.insert(*address, state);
                    if let Some(ramp) = ramp {
                        *full = ramp.weight;
                        running.insert(*address, ramp);
                    }
                }
                DesiredWeight::Set(_) => {
                    self.servers.insert(*address, ServerState::Full);
                }
                // Known to be neither up nor down, and added to the others.
                DesiredWeight::Keep { if_absent: Some(weight) } if others_serve && in_vpp.is_none() => {
                    *weight = self.conf.weight_at(*weight, 1);
                }
                DesiredWeight::Keep { .. } | DesiredWeight::Presence(_) => {}
            }
        }
        running
    }

    /// True for a server that ramps, or begins to if others serve.
    fn is_below_full(&self, address: IpAddr, server: &DesiredAs, in_vpp: Option<u8>) -> bool {
        let DesiredWeight::Set(full) = server.weight else { return false };
        let is_settled = matches!(self.servers.get(&address), Some(ServerState::Full));
        !is_settled && in_vpp.unwrap_or(0) < full.get()
    }

    /// The next state of a server whose weight in VPP is below its full weight.
    fn proceed(&self, now: Instant, address: IpAddr, full: Weight, in_vpp: u8) -> (ServerState, Option<RunningRamp>) {
        let (conf, interval) = (self.conf, self.conf.interval());
        let mut progress = match self.servers.get(&address) {
            Some(ServerState::Ramping(progress)) => *progress,
            _ => Progress { step: 1, next: now + interval },
        };
        progress.advance(now, conf, full, in_vpp);
        let weight = conf.weight_at(full, progress.step);
        if weight >= full {
            return (ServerState::Full, None);
        }
        let later: Duration = interval * u32::from(conf.full_step(full).saturating_sub(progress.step + 1));
        let ramp = RunningRamp { weight, step: progress.step, next: progress.next, full_at: progress.next + later };
        (ServerState::Ramping(progress), Some(ramp))
    }
}

impl Progress {
    /// Takes the next step if it is time and VPP has the weight of the present one. Never down: a higher weight in VPP has
    /// its step at once.
    fn advance(&mut self, now: Instant, conf: RampUp, full: Weight, in_vpp: u8) {
        let interval = conf.interval();
        let step_in_vpp = conf.first_step_with(full, in_vpp);
        if step_in_vpp > self.step {
            *self = Self { step: step_in_vpp, next: now + interval };
        } else if now >= self.next {
            if in_vpp >= conf.weight_at(full, self.step).get() {
                self.step += 1;
            }
            let next = self.next + interval;
            self.next = if next > now { next } else { now + interval };
        }
    }
}

#[cfg(test)]
mod tests;
