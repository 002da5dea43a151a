//! The latencies of a load.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The maximum in microseconds, which is longer than any load.
const LONGEST: u64 = 1 << 40;
/// Significant digits of latencies.
const PRECISION: u8 = 2;

#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, PRECISION).expect("the bounds are valid"))
    }
}

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// The latency that `part` (0 to 1) of the requests did not exceed; zero without requests.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_added_latencies() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.99), Duration::ZERO);
        for millis in 1..=100 {
            latencies.add(Duration::from_millis(millis));
        }
        for (part, expected) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = latencies.quantile(part).as_secs_f64() * 1000.0;
            assert!((expected..expected * 1.07).contains(&found), "{part}: {found}");
        }
    }

    #[test]
    fn each_value_is_within_a_sixteenth_of_its_bound() {
        for micros in (0..5000).chain([1 << 20, (1 << 20) + 1, 9_999_999, 1 << 35]) {
            let mut latencies = Latencies::default();
            latencies.add(Duration::from_micros(micros));
            let bound = latencies.quantile(1.0).as_micros() as u64;
            assert!(bound >= micros && bound - micros <= micros / 16, "{micros} counted as {bound}");
        }
    }
}
