//! The result of a VIP: its problems. Without any, the VIP has passed.

use tokio::time::Instant;

use super::{
    expectation::{Expectation, Percent},
    report::floored,
    tally::{State, Tally},
};

/// The share of flows in percent that this machine may fail to send; beyond it, the result says too little about the VIP.
const MAX_NOT_SENT: f64 = 10.0;

/// The conditions of a passed test.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub min_success: Percent,
    pub expectation: Option<Expectation>,
}

impl Conditions {
    /// The problems of a VIP at the end of the run.
    pub fn problems(&self, tally: &Tally, now: Instant) -> Vec<String> {
        let mut problems = Vec::new();
        let last = tally.errors.last().map(|error| format!(": {}", error.error)).unwrap_or_default();
        let tries = tally.flows() + tally.not_sent;
        if tally.not_sent as f64 * 100.0 > tries as f64 * MAX_NOT_SENT {
            problems.push(format!("{} of {tries} flows were not sent by this machine{last}", tally.not_sent));
        }
        let Some(success) = tally.success_percent() else {
            problems.push("no flow has ended".to_owned());
            return problems;
        };
        if success < self.min_success.0 {
            problems.push(format!(
                "{:.2} % of {} flows succeeded, fewer than --min-success {}%{last}",
                floored(success),
                tally.flows(),
                self.min_success.0
            ));
        } else if tally.state(now) == State::Failed {
            problems.push(format!("it has failed{last}"));
        }
        problems.extend(self.expectation.iter().flat_map(|expectation| expectation.problems(tally)));
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::flow::{Answer, Failure, FinishedFlow};

    fn problems(min_success: f64, flows: &[(u32, Result<Answer, Failure>)]) -> Vec<String> {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let mut now = start;
        for (count, result) in flows {
            for _ in 0..*count {
                now += Duration::from_millis(500);
                tally.add(FinishedFlow { began: now, ended: now, result: result.clone() }, Timestamp::UNIX_EPOCH);
            }
        }
        Conditions { min_success: Percent(min_success), expectation: None }.problems(&tally, now)
    }

    #[test]
    fn every_shortcoming_is_a_problem() {
        let ok = || Ok(Answer::default());
        let refused = || Err(Failure::Failed("refused".to_owned()));
        let not_sent = || Err(Failure::NotSent("no ports".to_owned()));
        assert_eq!(problems(100.0, &[(100, ok()), (5, not_sent())]), [""; 0]);
        assert_eq!(problems(100.0, &[]), ["no flow has ended"]);
        let few = problems(100.0, &[(99, ok()), (1, refused()), (1, ok())]);
        assert_eq!(few, ["99.00 % of 101 flows succeeded, fewer than --min-success 100%: refused"]);
        assert_eq!(problems(99.0, &[(1, refused()), (99, ok())]), [""; 0]);
        assert_eq!(problems(90.0, &[(99, ok()), (3, refused())]), ["it has failed: refused"]);
        let unsent = problems(0.0, &[(8, ok()), (2, not_sent())]);
        assert_eq!(unsent, ["2 of 10 flows were not sent by this machine: no ports"]);
    }
}
