//! Expected weights of the backends (`--expect web-1=10,web-2=20`), compared with the shares of the answers.

use std::{collections::BTreeMap, str::FromStr};

use super::tally::Tally;

/// A share of 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        match number.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            _ => Err("expected a percentage from 0% to 100%, such as 99.5%".to_owned()),
        }
    }
}

/// A backend and its weight, as `web-1=10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedWeight {
    pub backend: String,
    pub weight: u32,
}

impl FromStr for ExpectedWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once('=').filter(|(backend, _)| !backend.is_empty());
        let parsed = parsed.and_then(|(backend, weight)| Some((backend.to_owned(), weight.parse().ok()?)));
        let (backend, weight) = parsed.ok_or("expected a backend and its weight, such as web-1=10")?;
        Ok(Self { backend, weight })
    }
}

/// The expected weights of all backends of each VIP.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    weights: BTreeMap<String, u32>,
    /// The allowed difference of a share in percentage points.
    tolerance: f64,
}

impl Expectation {
    /// `None` without weights.
    ///
    /// # Errors
    /// A backend is named twice, or no weight is above 0.
    pub fn new(weights: Vec<ExpectedWeight>, tolerance: Percent) -> Result<Option<Self>, String> {
        let mut map = BTreeMap::new();
        for ExpectedWeight { backend, weight } in weights {
            if map.insert(backend.clone(), weight).is_some() {
                return Err(format!("--expect names {backend} twice"));
            }
        }
        match map.values().any(|weight| *weight > 0) {
            false if map.is_empty() => Ok(None),
            false => Err("--expect has no weight above 0".to_owned()),
            true => Ok(Some(Self { weights: map, tolerance: tolerance.0 })),
        }
    }

    /// The expected share of a backend in percent; 0 for a backend without a weight.
    pub fn share(&self, backend: &str) -> f64 {
        let sum: f64 = self.weights.values().map(|weight| f64::from(*weight)).sum();
        100.0 * self.weights.get(backend).map_or(0.0, |weight| f64::from(*weight)) / sum
    }

    /// The differences between the shares of the answers and the weights. A backend with weight 0, or without one, must
    /// not answer at all.
    pub fn problems(&self, tally: &Tally) -> Vec<String> {
        let total = tally.named();
        if total == 0 {
            return vec!["no answer named a backend, as --expect requires".to_owned()];
        }
        let mut problems = Vec::new();
        if tally.unnamed > 0 {
            problems.push(format!("{} answers did not name a backend, as --expect requires", tally.unnamed));
        }
        let unexpected = tally.backends.iter().filter(|(name, _)| self.share(name) == 0.0);
        problems.extend(
            unexpected
                .map(|(name, backend)| format!("{name} answered {} flows, and --expect allows none", backend.flows)),
        );
        for name in self.weights.keys().filter(|name| self.share(name) > 0.0) {
            let (expected, flows) = (self.share(name), tally.backends.get(name).map_or(0, |backend| backend.flows));
            let share = 100.0 * flows as f64 / total as f64;
            if (share - expected).abs() > self.tolerance {
                let chance = chance(expected, total);
                problems.push(format!(
                    "{name} answered {share:.1} % of {total} flows, expected {expected:.1} % ± {}{chance}",
                    self.tolerance
                ));
            }
        }
        problems
    }
}

/// A note if the difference may be chance: three standard deviations of so few flows.
fn chance(expected: f64, flows: u64) -> String {
    let share = expected / 100.0;
    let deviation = 300.0 * (share * (1.0 - share) / flows as f64).sqrt();
    if deviation < 1.0 { String::new() } else { format!(" (so few flows differ by up to {deviation:.0} by chance)") }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::*;
    use crate::flow::{Answer, FinishedFlow};

    fn expectation(weights: &[&str], tolerance: f64) -> Expectation {
        let weights = weights.iter().map(|text| text.parse().unwrap()).collect();
        Expectation::new(weights, Percent(tolerance)).unwrap().unwrap()
    }

    fn tally(backends: &[(Option<&str>, u32)]) -> Tally {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        for (backend, flows) in backends {
            for _ in 0..*flows {
                let result = Ok(Answer { backend: backend.map(str::to_owned), error: None });
                tally.add(FinishedFlow { began: now, ended: now, result }, Timestamp::UNIX_EPOCH);
            }
        }
        tally
    }

    #[test]
    fn shares_within_the_tolerance_are_no_problem() {
        let expected = expectation(&["web-1=10", "web-2=20"], 5.0);
        assert_eq!(expected.problems(&tally(&[(Some("web-1"), 340), (Some("web-2"), 660)])), [""; 0]);
        let problems = expected.problems(&tally(&[(Some("web-1"), 400), (Some("web-2"), 600)]));
        assert!(
            problems.len() == 2 && problems[0].starts_with("web-1 answered 40.0 % of 1000 flows, expected 33.3 % ± 5"),
            "{problems:?}"
        );
    }

    #[test]
    fn missing_unexpected_and_unnamed_backends_are_problems() {
        let expected = expectation(&["web-1=10", "web-2=10", "web-3=0"], 60.0);
        let problems =
            expected.problems(&tally(&[(Some("web-1"), 4), (Some("web-3"), 1), (Some("web-9"), 1), (None, 2)]));
        let texts = ["2 answers did not name", "web-3 answered 1 flows", "web-9 answered 1 flows"];
        assert!(
            problems.len() == 3 && texts.iter().zip(&problems).all(|(text, problem)| problem.contains(text)),
            "{problems:?}"
        );
        assert!(expected.problems(&tally(&[(None, 2)]))[0].contains("no answer named a backend"));
        let few = expectation(&["web-1=10", "web-2=10"], 5.0).problems(&tally(&[(Some("web-1"), 4)]));
        assert!(
            few.len() == 2 && few[1].contains("web-2 answered 0.0 %") && few[1].contains("by up to 75 by chance"),
            "{few:?}"
        );
    }

    #[test]
    fn invalid_weights_and_percentages_are_refused() {
        for text in ["web-1", "=5", "web-1=", "web-1=-1", "web-1=1.5"] {
            assert!(text.parse::<ExpectedWeight>().is_err(), "{text}");
        }
        assert_eq!("a=b=3".parse(), Ok(ExpectedWeight { backend: "a=b".to_owned(), weight: 3 }));
        for text in ["5 percent", "101%", "-1", "NaN", ""] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        assert_eq!(("5%".parse(), "99.5".parse()), (Ok(Percent(5.0)), Ok(Percent(99.5))));
        let weight = |text: &str| text.parse::<ExpectedWeight>().unwrap();
        assert!(Expectation::new(vec![weight("a=1"), weight("a=2")], Percent(5.0)).unwrap_err().contains("a twice"));
        assert!(Expectation::new(vec![weight("a=0")], Percent(5.0)).unwrap_err().contains("no weight above 0"));
        assert_eq!(Expectation::new(vec![], Percent(5.0)), Ok(None));
    }
}
