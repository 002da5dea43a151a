//! The rise/fall counter that determines if a backend is up, as in HAProxy.
//!
//! Pure: the health checker passes in probe results and reads the state and the cadence. Time, addresses and admin
//! states are not part of the counter.

use std::time::Duration;

use super::BackendState;
use crate::config::HealthCheck;

/// HAProxy's rise/fall counter: 0 … rise + fall − 1. The backend is up while the counter is at least `rise`.
///
/// A counter that reaches `rise` jumps to its maximum, so that `fall` failures are needed to bring the backend down again;
/// a counter that drops below `rise` jumps to 0. Without a count the state is unknown, and the first result determines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    rise: u16,
    fall: u16,
    counter: Option<u16>,
}

/// The interval of the HealthCheck that applies to the next probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cadence {
    /// `interval`: the counter is at its maximum.
    Steady,
    /// `downInterval`: the counter is at 0.
    Down,
    /// `fastInterval`: the counter is between 0 and its maximum, or the state is unknown.
    Fast,
}

impl Cadence {
    /// The time between the starts of two probes, without jitter.
    pub fn interval(self, check: &HealthCheck) -> Duration {
        match self {
            Self::Steady => check.interval,
            Self::Down => check.down_interval,
            Self::Fast => check.fast_interval,
        }
    }
}

impl Machine {
    /// Creates a counter in state unknown, with `rise` successes to come up and `fall` failures to go down. 0 counts as 1.
    pub fn new(rise: u8, fall: u8) -> Self {
        Self { rise: u16::from(rise.max(1)), fall: u16::from(fall.max(1)), counter: None }
    }

    /// The state: unknown, up or down.
    pub fn state(&self) -> BackendState {
        match self.counter {
            None => BackendState::Unknown,
            Some(counter) if counter >= self.rise => BackendState::Up,
            Some(_) => BackendState::Down,
        }
    }

    /// The count, 0 … rise + fall − 1; `None` while the state is unknown.
    pub fn counter(&self) -> Option<u16> {
        self.counter
    }

    /// Counts the result of a probe.
    pub fn observe(&mut self, success: bool) {
        let top = self.top();
        self.counter = Some(match (self.counter, success) {
            (None, true) => top,
            (None, false) => 0,
            (Some(counter), true) if counter + 1 >= self.rise => top,
            (Some(counter), true) => counter + 1,
            (Some(counter), false) if counter > self.rise => counter - 1,
            (Some(_), false) => 0,
        });
    }

    /// True if one more failure would change the state from up or unknown to down.
    pub fn is_about_to_fall(&self) -> bool {
        self.counter.is_none_or(|counter| counter == self.rise)
    }

    /// Resets the state to unknown, as after a change of address or a re-enable.
    pub fn reset(&mut self) {
        self.counter = None;
    }

    /// Sets the state to up without a probe, as for a Backend without a HealthCheck.
    pub fn bring_up(&mut self) {
        self.counter = Some(self.top());
    }

    /// A counter with the same state and other thresholds: at its maximum if up, at 0 if down.
    pub fn with_thresholds(self, rise: u8, fall: u8) -> Self {
        let mut changed = Self::new(rise, fall);
        changed.counter = match self.state() {
            BackendState::Up => Some(changed.top()),
            BackendState::Unknown => None,
            _ => Some(0),
        };
        changed
    }

    /// The interval that applies to the next probe.
    pub fn cadence(&self) -> Cadence {
        match self.counter {
            Some(0) => Cadence::Down,
            Some(counter) if counter == self.top() => Cadence::Steady,
            _ => Cadence::Fast,
        }
    }

    fn top(&self) -> u16 {
        self.rise + self.fall - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replay(rise: u8, fall: u8, results: &str) -> Machine {
        let mut machine = Machine::new(rise, fall);
        for result in results.chars() {
            machine.observe(result == '+');
        }
        machine
    }

    #[test]
    fn states_and_cadences_match_haproxy() {
        use BackendState::{Down, Unknown, Up};
        use Cadence::{Fast, Steady};
        let table = [
            // One probe resolves an unknown state.
            (2, 3, "", Unknown, Fast),
            (2, 3, "+", Up, Steady),
            (2, 3, "-", Down, Cadence::Down),
            // `fall` consecutive failures bring the backend down; a success in between restarts the count.
            (2, 3, "+--", Up, Fast),
            (2, 3, "+---", Down, Cadence::Down),
            (2, 3, "+--+--", Up, Fast),
            (2, 3, "+--+", Up, Steady),
            // `rise` consecutive successes bring the backend up.
            (2, 3, "-+", Down, Fast),
            (2, 3, "-+-+", Down, Fast),
            (2, 3, "-+-", Down, Cadence::Down),
            (2, 3, "-++", Up, Steady),
            // After a recovery, `fall` failures are needed.
            (2, 3, "-++--", Up, Fast),
            (2, 3, "-++---", Down, Cadence::Down),
            // With the smallest thresholds the counter is always at 0 or its maximum.
            (1, 1, "+", Up, Steady),
            (1, 1, "+-", Down, Cadence::Down),
            (1, 1, "+-+", Up, Steady),
            (1, 3, "-+", Up, Steady),
            (3, 1, "+-++", Down, Fast),
        ];
        for (rise, fall, results, state, cadence) in table {
            let machine = replay(rise, fall, results);
            assert_eq!((machine.state(), machine.cadence()), (state, cadence), "rise {rise} fall {fall}: {results}");
        }
    }

    #[test]
    fn changed_thresholds_keep_the_state_and_reset_the_progress() {
        let wobbling = replay(2, 3, "+--").with_thresholds(5, 2);
        assert_eq!((wobbling.state(), wobbling.cadence()), (BackendState::Up, Cadence::Steady));
        let recovering = replay(3, 3, "-++").with_thresholds(1, 1);
        assert_eq!((recovering.state(), recovering.cadence()), (BackendState::Down, Cadence::Down));
        assert_eq!(Machine::new(2, 3).with_thresholds(1, 1).state(), BackendState::Unknown);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Result(bool),
        Thresholds(u8, u8),
        Reset,
        BringUp,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let thresholds = || (1u8..5, 1u8..5).prop_map(|(rise, fall)| Step::Thresholds(rise, fall));
        let step = prop_oneof![
            20 => any::<bool>().prop_map(Step::Result),
            2 => thresholds(),
            1 => Just(Step::Reset),
            1 => Just(Step::BringUp),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// The same rules, implemented by a replay of the results since the last change of state.
    struct Naive {
        rise: usize,
        fall: usize,
        state: BackendState,
        since: Vec<bool>,
    }

    impl Naive {
        /// The number of last results that equal `result`.
        fn run_length(&self, result: bool) -> usize {
            self.since.iter().rev().take_while(|&&last| last == result).count()
        }

        fn enter(&mut self, state: BackendState) {
            self.state = state;
            self.since.clear();
        }

        fn step(&mut self, step: &Step) {
            match *step {
                Step::Reset => self.enter(BackendState::Unknown),
                Step::BringUp => self.enter(BackendState::Up),
                Step::Thresholds(rise, fall) => {
                    (self.rise, self.fall) = (rise.into(), fall.into());
                    self.enter(self.state);
                }
                Step::Result(result) => {
                    self.since.push(result);
                    match self.state {
                        BackendState::Unknown if result => self.enter(BackendState::Up),
                        BackendState::Unknown => self.enter(BackendState::Down),
                        BackendState::Up if self.run_length(false) == self.fall => self.enter(BackendState::Down),
                        BackendState::Down if self.run_length(true) == self.rise => self.enter(BackendState::Up),
                        _ => {}
                    }
                }
            }
        }

        fn cadence(&self) -> Cadence {
            match (self.state, self.since.last()) {
                (BackendState::Up, None | Some(true)) => Cadence::Steady,
                (BackendState::Down, None | Some(false)) => Cadence::Down,
                _ => Cadence::Fast,
            }
        }
    }

    proptest! {
        #[test]
        fn counter_agrees_with_replay(rise in 1u8..5, fall in 1u8..5, steps in steps()) {
            let mut machine = Machine::new(rise, fall);
            let mut naive = Naive { rise: rise.into(), fall: fall.into(), state: BackendState::Unknown, since: vec![] };
            for step in &steps {
                let about_to_fall = machine.is_about_to_fall();
                let before = machine.state();
                match *step {
                    Step::Result(success) => machine.observe(success),
                    Step::Thresholds(rise, fall) => machine = machine.with_thresholds(rise, fall),
                    Step::Reset => machine.reset(),
                    Step::BringUp => machine.bring_up(),
                }
                naive.step(step);
                prop_assert_eq!(machine.state(), naive.state);
                prop_assert_eq!(machine.cadence(), naive.cadence());
                if let Step::Result(false) = step {
                    let fell = before != BackendState::Down && machine.state() == BackendState::Down;
                    prop_assert_eq!(about_to_fall, fell);
                }
            }
        }
    }
}
