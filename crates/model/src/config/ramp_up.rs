//! The ramp of the backends of a Frontend: their weights rise in steps.

use std::time::Duration;

use crate::vip::Weight;

/// The settings of ramps. A backend that comes up in a VIP that others serve gets its weight in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RampUp {
    /// Time from the first step to the last, 10 s–1 h.
    pub duration: Duration,
    /// Number of steps, 2–20. The last one is the full weight.
    pub steps: u8,
}

impl RampUp {
    /// Time between two steps.
    pub fn interval(self) -> Duration {
        self.duration / u32::from(self.steps.saturating_sub(1).max(1))
    }

    /// The weight at `step` of a backend whose full weight is `weight`: `weight` · `step` / `steps`, rounded up.
    pub fn weight_at(self, weight: Weight, step: u8) -> Weight {
        let steps = u16::from(self.steps.max(1));
        let scaled = (u16::from(weight.get()) * u16::from(step).min(steps)).div_ceil(steps);
        Weight::clamped(u8::try_from(scaled).unwrap_or(u8::MAX))
    }

    /// The first step with at least the weight `reached` of a backend whose full weight is `weight`, from 1.
    pub fn first_step_with(self, weight: Weight, reached: u8) -> u8 {
        let is_reached = |step: &u8| self.weight_at(weight, *step).get() >= reached;
        (1..self.steps).find(is_reached).unwrap_or(self.steps)
    }

    /// The step at which a backend has its full weight: the last one, or an earlier one of a weight with fewer steps.
    pub fn full_step(self, weight: Weight) -> u8 {
        self.first_step_with(weight, weight.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(weight: u8) -> Weight {
        Weight::new(weight).expect("a weight")
    }

    fn ramp_up(seconds: u64, steps: u8) -> RampUp {
        RampUp { duration: Duration::from_secs(seconds), steps }
    }

    fn weights(full: u8, steps: u8) -> Vec<u8> {
        (1..=steps).map(|step| ramp_up(60, steps).weight_at(weight(full), step).get()).collect()
    }

    #[test]
    fn steps_are_shares_of_the_weight_rounded_up() {
        assert_eq!(weights(10, 5), [2, 4, 6, 8, 10]);
        assert_eq!(weights(10, 4), [3, 5, 8, 10]);
        assert_eq!(weights(3, 6), [1, 1, 2, 2, 3, 3]);
        assert_eq!(weights(100, 2), [50, 100]);
        assert_eq!(weights(1, 2), [1, 1], "a weight of 1 has no steps");
        assert_eq!(ramp_up(60, 5).weight_at(weight(10), 9).get(), 10, "beyond the last step");
    }

    #[test]
    fn last_step_is_reached_at_the_duration() {
        assert_eq!(ramp_up(60, 5).interval(), Duration::from_secs(15));
        assert_eq!(ramp_up(10, 2).interval(), Duration::from_secs(10));
        assert_eq!(ramp_up(1900, 20).interval() * 19, Duration::from_secs(1900));
    }

    #[test]
    fn step_of_a_weight_is_the_first_that_has_it() {
        let conf = ramp_up(60, 10);
        for full in 0..=100 {
            for reached in 0..=full {
                let step = conf.first_step_with(weight(full), reached);
                assert!(conf.weight_at(weight(full), step).get() >= reached, "{full} {reached}");
                assert!(step == 1 || conf.weight_at(weight(full), step - 1).get() < reached, "{full} {reached}");
            }
            assert_eq!(conf.weight_at(weight(full), conf.full_step(weight(full))).get(), full);
        }
        assert_eq!((conf.full_step(weight(3)), conf.full_step(weight(10)), conf.full_step(weight(1))), (7, 10, 1));
    }
}
