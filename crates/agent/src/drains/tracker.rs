//! The drain of one backend, as a state machine. Pure.
//!
//! ```text
//!  WeightPending ──weight 0 read back in every VIP──▶ FlowsLeft ──no packet for the flow timeout──▶ Quiet
//!        ▲                                                ├──no tracked flow──▶ NoFlows
//!        └── a weight above 0, from any state             └──flushed at weight 0──▶ Flushed
//! ```
//!
//! VPP's number of flows includes expired ones, so a number above 0 decides nothing. The counter of packets is the one of
//! the route to the backend's address: it proves that no packet was sent, whoever shares the address.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use maglev_model::{
    actual::VppVip,
    drain::{DrainConf, DrainState, OnDeadline},
};

/// The state of VPP at one time, as far as it concerns one backend.
#[derive(Clone, Debug)]
pub enum Observation {
    /// VPP is not connected, or its state has not been read.
    Unread,
    /// VPP has no weights.
    Weightless,
    Read(ServerReading),
}

/// The backend in VPP.
#[derive(Clone, Debug, Default)]
pub struct ServerReading {
    pub vips: Vec<VipWeight>,
    /// An upper bound of the tracked flows over all VIPs.
    pub flows: Option<u32>,
    /// True if the server was flushed at weight 0 in every VIP that has it.
    pub flushed: bool,
    pub counter: Option<PacketCounter>,
    /// Idle time after which VPP forgets a flow.
    pub flow_timeout: Option<Duration>,
    /// True if the counter includes other VIPs or Backends.
    pub is_shared: bool,
}

/// The weight of the backend in a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipWeight {
    pub vip: VppVip,
    /// The weight; 0 if VPP does not have the server.
    pub weight: u8,
    /// True if the weight was read back: no step was sent to the address of the VIP since.
    pub is_settled: bool,
}

/// The counter of packets sent to the address of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketCounter {
    /// A total that never decreases.
    pub packets: u64,
    /// The counter was read after this time; `None` if that is not known.
    pub read_after: Option<Instant>,
}

/// The drain of one backend.
#[derive(Debug, Default)]
pub struct Tracker {
    /// VIPs in which weight 0 was read back, with no other weight since.
    at_zero: BTreeSet<VppVip>,
    quiet: Option<QuietClock>,
    flush: Option<FlushCheck>,
    /// The settings whose deadline has been carried out.
    carried_out: Option<DrainConf>,
    state: DrainState,
}

/// The time since the last packet. Runs while the weight is 0 in every VIP.
#[derive(Debug)]
struct QuietClock {
    /// Time at which weight 0 was read back in the last VIP.
    since: Instant,
    /// Time at which the counter was last seen to move; `since` if it has not.
    moved: Instant,
    packets: Option<u64>,
    /// The longest flow timeout seen: an entry of the sticky table keeps the timeout of its last packet.
    flow_timeout: Duration,
    /// Time without a packet, as of the last reading.
    idle: Option<Duration>,
}

/// The counter after a flush. A packet proves that flows were left.
#[derive(Debug)]
struct FlushCheck {
    /// Time at which the flush was seen.
    at: Instant,
    /// The counter in the first reading after the flush.
    packets: Option<u64>,
    is_refuted: bool,
}

impl Tracker {
    /// Takes an observation made at `now`. Returns the state of the drain.
    pub fn observe(&mut self, now: Instant, observation: &Observation) -> DrainState {
        self.state = match observation {
            Observation::Unread => DrainState::NoCounters,
            Observation::Weightless => {
                self.reset();
                DrainState::WeightsUnsupported
            }
            Observation::Read(reading) => self.read(now, reading),
        };
        self.state
    }

    /// Time without a packet, as of the last reading of the counter.
    pub fn idle(&self) -> Option<Duration> {
        self.quiet.as_ref()?.idle
    }

    /// The action of a deadline that has passed, once for each setting; `None` if no flows are left.
    pub fn take_due_action(&mut self, now: Instant, conf: DrainConf) -> Option<OnDeadline> {
        if !self.is_past(now, conf) || self.carried_out == Some(conf) {
            return None;
        }
        self.carried_out = Some(conf);
        (!self.state.is_drained()).then_some(conf.on_deadline)
    }

    /// True if the deadline has passed and flows may be left.
    pub fn is_overdue(&self, now: Instant, conf: DrainConf) -> bool {
        self.is_past(now, conf) && !self.state.is_drained()
    }

    fn is_past(&self, now: Instant, conf: DrainConf) -> bool {
        let since = self.quiet.as_ref().map(|quiet| quiet.since);
        since.zip(conf.deadline).is_some_and(|(since, deadline)| now >= since + deadline)
    }

    fn reset(&mut self) {
        *self = Self { state: self.state, ..Self::default() };
    }

    fn read(&mut self, now: Instant, reading: &ServerReading) -> DrainState {
        if reading.vips.iter().any(|vip| vip.weight > 0) {
            // New flows are admitted.
            self.reset();
            return DrainState::WeightPending;
        }
        self.at_zero.retain(|vip| reading.vips.iter().any(|read| read.vip == *vip));
        self.at_zero.extend(reading.vips.iter().filter(|vip| vip.is_settled).map(|vip| vip.vip));
        let is_read_back = self.at_zero.len() == reading.vips.len();
        if !is_read_back && self.quiet.is_none() {
            return DrainState::WeightPending;
        }
        let quiet = self.quiet.get_or_insert_with(|| QuietClock::new(now));
        quiet.read(now, reading);
        let is_flushed = FlushCheck::update(&mut self.flush, now, reading);
        match reading.flows {
            _ if !is_read_back => DrainState::WeightPending,
            _ if is_flushed => DrainState::Flushed,
            Some(0) => DrainState::NoFlows,
            _ if quiet.is_quiet() => DrainState::Quiet,
            _ if reading.counter.is_none() || reading.flow_timeout.is_none() => DrainState::NoCounters,
            _ => DrainState::FlowsLeft,
        }
    }
}

impl QuietClock {
    fn new(now: Instant) -> Self {
        Self { since: now, moved: now, packets: None, flow_timeout: Duration::ZERO, idle: None }
    }

    fn read(&mut self, now: Instant, reading: &ServerReading) {
        self.flow_timeout = self.flow_timeout.max(reading.flow_timeout.unwrap_or_default());
        let Some(counter) = reading.counter else {
            self.idle = None;
            return;
        };
        if self.packets.replace(counter.packets).is_some_and(|before| before != counter.packets) {
            self.moved = now;
        }
        self.idle = counter.read_after.map(|read| read.saturating_duration_since(self.moved));
    }

    fn is_quiet(&self) -> bool {
        self.flow_timeout > Duration::ZERO && self.idle.is_some_and(|idle| idle >= self.flow_timeout)
    }
}

impl FlushCheck {
    /// True if the server is flushed, and no packet was sent to its address since. Packets to a shared address prove
    /// nothing.
    fn update(check: &mut Option<Self>, now: Instant, reading: &ServerReading) -> bool {
        if !reading.flushed {
            *check = None;
            return false;
        }
        let check = check.get_or_insert(Self { at: now, packets: None, is_refuted: false });
        if let Some(counter) = reading.counter.filter(|counter| counter.read_after.is_some_and(|read| read >= check.at))
        {
            let first = *check.packets.get_or_insert(counter.packets);
            check.is_refuted |= first != counter.packets && !reading.is_shared;
        }
        !check.is_refuted
    }
}

#[cfg(test)]
mod tests;
