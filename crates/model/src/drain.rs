//! The drain of a backend: from the moment at which it gets no new flows until it has no flows left.
//!
//! An agent computes the [`Drain`] of each Backend that is paused or disabled, from VPP's weights, flows and counters; the
//! controller sums the drains of all nodes up in the condition Drained.

mod summary;

use std::{fmt, time::Duration};

use jiff::Timestamp;

pub use self::summary::{DrainOutcome, DrainSummary, NodeDrain};
use super::config::OnBackendDown;

/// The settings of a drain (`spec.drain`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DrainConf {
    /// Time after which `on_deadline` is carried out, counted by each agent from the moment at which it has read weight 0
    /// back from VPP in every VIP. 1 s to 24 h, in whole seconds; `None` for no deadline.
    pub deadline: Option<Duration>,
    /// The action on flows that are left at the deadline.
    pub on_deadline: OnDeadline,
}

/// The action on the flows that are left at the deadline of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDeadline {
    /// The flows stay with the backend.
    #[default]
    Keep,
    /// The flows are flushed and move to other backends.
    Flush,
}

impl OnDeadline {
    /// The spelling in manifests and events, which is that of `onBackendDown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => OnBackendDown::Keep.as_str(),
            Self::Flush => OnBackendDown::Flush.as_str(),
        }
    }
}

/// The progress of the drain of a backend on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DrainState {
    /// Weight 0 has not been read back from VPP in every VIP yet, so new flows may still arrive.
    #[default]
    WeightPending,
    /// Flows may be left: packets were sent to the backend within the flow timeout.
    FlowsLeft,
    /// No packet was sent to the backend for the flow timeout, after which VPP forgets a flow.
    Quiet,
    /// VPP tracks no flow of the backend.
    NoFlows,
    /// The flows were flushed at weight 0.
    Flushed,
    /// VPP's counters cannot be read, or VPP is not connected. Nothing is known about flows.
    NoCounters,
    /// VPP has no weights (releases up to 26.06): the server was removed, and VPP does not show its flows any more.
    WeightsUnsupported,
}

impl DrainState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::WeightPending,
        Self::FlowsLeft,
        Self::Quiet,
        Self::NoFlows,
        Self::Flushed,
        Self::NoCounters,
        Self::WeightsUnsupported,
    ];

    /// The spelling in events and conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WeightPending => "WeightPending",
            Self::FlowsLeft => "FlowsLeft",
            Self::Quiet => "Quiet",
            Self::NoFlows => "NoFlows",
            Self::Flushed => "Flushed",
            Self::NoCounters => "NoCounters",
            Self::WeightsUnsupported => "WeightsUnsupported",
        }
    }

    /// True if the backend has no flows left on the node.
    pub fn is_drained(self) -> bool {
        matches!(self, Self::Quiet | Self::NoFlows | Self::Flushed)
    }

    /// True if nothing is known about the flows of the backend.
    pub fn is_unknown(self) -> bool {
        matches!(self, Self::NoCounters | Self::WeightsUnsupported)
    }
}

impl fmt::Display for DrainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The drain of a backend on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// `metadata.generation` of the Backend that is drained.
    pub generation: i64,
    /// The progress.
    pub state: DrainState,
    /// Time of the last change of the state.
    pub since: Timestamp,
    /// An upper bound of the tracked flows, over all VIPs, as of the last dump; `None` if VPP does not report it. VPP counts
    /// an expired flow until its entry in the sticky table is reused, so only 0 is exact.
    pub flows: Option<u32>,
    /// Traffic to the address of the backend in bits per second, encapsulation included, with two significant digits;
    /// `None` if it is not known.
    pub bits_per_second: Option<u64>,
    /// Seconds without a packet to the address of the backend, rounded down to a multiple of [`Drain::IDLE_STEP`]; `None` if
    /// that is not known.
    pub idle: Option<u32>,
    /// True if the address also takes traffic as another Backend, or in a VIP that no Frontend claims: `bits_per_second` and
    /// `idle` count that traffic, too.
    pub is_shared: bool,
    /// True if the deadline has passed without the flows being flushed.
    pub is_overdue: bool,
    /// Causes by which flows moved before their end.
    pub losses: DrainLosses,
}

/// Causes by which flows of a draining backend moved to other backends before their end, since the start of the drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DrainLosses {
    /// VPP forwarded packets to VIPs of the backend without tracking their flows, because the sticky table was full.
    pub untracked: bool,
    /// VPP was restarted, and tracks no flow of before.
    pub vpp_restarted: bool,
    /// The size of the sticky tables changed: VPP tracks no flow of before.
    pub sticky_tables_resized: bool,
}

/// The causes in words, such as `VPP was restarted`; nothing if there are none.
impl fmt::Display for DrainLosses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = [
            (self.vpp_restarted, "VPP was restarted"),
            (self.sticky_tables_resized, "the sticky tables were resized"),
            (self.untracked, "the sticky table was full"),
        ];
        let causes: Vec<&str> = causes.into_iter().filter(|(applies, _)| *applies).map(|(_, cause)| cause).collect();
        f.write_str(&causes.join(" and "))
    }
}

impl Drain {
    /// Resolution of [`Self::idle`] in seconds.
    pub const IDLE_STEP: u32 = 5;
}

/// The drain in words, such as `214 tracked flows at most, 3.1 Mbit/s`.
impl fmt::Display for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            DrainState::WeightPending => f.write_str("VPP does not have weight 0 in every VIP yet"),
            DrainState::Quiet => f.write_str("quiet for the flow timeout"),
            DrainState::NoFlows => f.write_str("no tracked flows"),
            DrainState::Flushed => f.write_str("flows flushed"),
            DrainState::NoCounters => f.write_str("VPP's counters cannot be read"),
            DrainState::WeightsUnsupported => f.write_str("VPP has no weights"),
            DrainState::FlowsLeft => self.fmt_flows(f),
        }?;
        if self.losses == DrainLosses::default() {
            return Ok(());
        }
        write!(f, ", but flows moved before their end: {}", self.losses)
    }
}

impl Drain {
    fn fmt_flows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flows {
            Some(1) => f.write_str("1 tracked flow at most")?,
            Some(flows) => write!(f, "{flows} tracked flows at most")?,
            None => f.write_str("tracked flows unknown")?,
        }
        match (self.idle, self.bits_per_second) {
            (Some(idle), _) if idle > 0 => write!(f, ", quiet for {idle} s")?,
            (_, Some(bits)) if bits > 0 => write!(f, ", {}", BitRate(bits))?,
            _ => {}
        }
        if self.is_shared {
            f.write_str(", counted with other traffic to the address")?;
        }
        if self.is_overdue {
            f.write_str(", deadline passed")?;
        }
        Ok(())
    }
}

/// A rate in bits per second with two significant digits and a decimal unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitRate(
    /// Bits per second.
    pub u64,
);

impl BitRate {
    /// Rounds to two significant digits.
    #[must_use]
    pub fn rounded(self) -> Self {
        let digits = self.0.checked_ilog10().unwrap_or(0);
        let step = 10_u64.pow(digits.saturating_sub(1));
        Self(self.0.saturating_add(step / 2) / step * step)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rounded().0;
        let (unit, divisor) = match rate {
            0..1000 => ("bit/s", 1),
            1000..1_000_000 => ("kbit/s", 1000),
            1_000_000..1_000_000_000 => ("Mbit/s", 1_000_000),
            _ => ("Gbit/s", 1_000_000_000),
        };
        let (whole, tenth) = (rate / divisor, rate % divisor * 10 / divisor);
        if whole < 10 && divisor > 1 { write!(f, "{whole}.{tenth} {unit}") } else { write!(f, "{whole} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(flows: Option<u32>, bits_per_second: Option<u64>, idle: Option<u32>) -> Drain {
        let (state, since) = (DrainState::FlowsLeft, Timestamp::UNIX_EPOCH);
        let (is_shared, is_overdue, losses) = (false, false, DrainLosses::default());
        Drain { generation: 1, state, since, flows, bits_per_second, idle, is_shared, is_overdue, losses }
    }

    #[test]
    fn causes_of_moved_flows_are_named() {
        let losses = DrainLosses { untracked: true, vpp_restarted: true, ..DrainLosses::default() };
        let ended = Drain { state: DrainState::NoFlows, losses, ..drain(Some(0), None, None) };
        assert_eq!(
            ended.to_string(),
            "no tracked flows, but flows moved before their end: VPP was restarted and the sticky table was full"
        );
    }

    #[test]
    fn flows_left_are_described_by_number_and_rate_or_time_of_silence() {
        assert_eq!(drain(Some(214), Some(3_140_000), Some(0)).to_string(), "214 tracked flows at most, 3.1 Mbit/s");
        assert_eq!(drain(Some(1), Some(3_140_000), Some(50)).to_string(), "1 tracked flow at most, quiet for 50 s");
        assert_eq!(drain(None, None, None).to_string(), "tracked flows unknown");
        let shared = Drain { is_shared: true, is_overdue: true, ..drain(Some(2), Some(800), None) };
        assert_eq!(
            shared.to_string(),
            "2 tracked flows at most, 800 bit/s, counted with other traffic to the address, deadline passed"
        );
    }

    #[test]
    fn rates_have_two_significant_digits() {
        let text = |rate| BitRate(rate).to_string();
        assert_eq!([0, 7, 999, 1049].map(text), ["0 bit/s", "7 bit/s", "1.0 kbit/s", "1.0 kbit/s"]);
        assert_eq!([15_400, 999_999, 48_000_000_000].map(text), ["15 kbit/s", "1.0 Mbit/s", "48 Gbit/s"]);
        assert_eq!(text(u64::MAX).split(' ').next_back(), Some("Gbit/s"));
    }
}
