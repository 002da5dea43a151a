//! Ramps in progress, as an agent reports them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use super::{
    vip::Weight,
    weights::{DesiredWeight, EffectiveWeights},
};

/// The ramps of the application servers of one VIP, by address. Servers without a ramp have no entry.
pub type Ramps = Arc<BTreeMap<IpAddr, Ramp>>;

/// The ramp of one application server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// The weight at this step.
    pub weight: Weight,
    /// The present step, from 1.
    pub step: u8,
    /// The number of steps.
    pub steps: u8,
    /// Time at which the full weight is due.
    pub full_at: Timestamp,
}

impl Ramp {
    /// The progress in words, `ramping, 4 of 10, full in 40 s`. Without the time once it has passed.
    pub fn text(&self, now: Timestamp) -> String {
        let Self { step, steps, full_at, .. } = self;
        let milliseconds = full_at.duration_since(now).as_millis();
        let left =
            if milliseconds > 0 { format!(", full in {} s", (milliseconds + 999) / 1000) } else { String::new() };
        format!("ramping, {step} of {steps}{left}")
    }
}

impl EffectiveWeights {
    /// Limits the weights of servers that ramp to those of their steps.
    pub fn limit_to(&mut self, ramps: &BTreeMap<IpAddr, Ramp>) {
        for (address, ramp) in ramps {
            if let Some(server) = self.ases.get_mut(address)
                && let DesiredWeight::Set(weight) = &mut server.weight
            {
                *weight = ramp.weight.min(*weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_step_and_time_left() {
        let ramp = Ramp {
            weight: Weight::clamped(4),
            step: 4,
            steps: 10,
            full_at: Timestamp::from_millisecond(40_000).expect("a time"),
        };
        for (now, text) in [
            (0, "ramping, 4 of 10, full in 40 s"),
            (39_100, "ramping, 4 of 10, full in 1 s"),
            (40_000, "ramping, 4 of 10"),
            (90_000, "ramping, 4 of 10"),
        ] {
            let now = Timestamp::from_millisecond(now).expect("a time");
            assert_eq!(ramp.text(now), text);
        }
    }
}
