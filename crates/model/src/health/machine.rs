//! The counter that decides whether a backend is up (HAProxy's rise and fall).
//!
//! Pure: the health room feeds it results and asks it for the state and the cadence. It knows
//! nothing of time, addresses or what an operator wants.

use std::time::Duration;

use super::BackendState;
use crate::config::HealthCheck;

/// HAProxy's counter: 0 … rise + fall − 1, up when it is at least `rise`.
///
/// Reaching `rise` snaps it to the top, so a fresh recovery still needs `fall` misses; falling below
/// `rise` snaps it to 0. Without a count the state is unknown, and one result resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    rise: u16,
    fall: u16,
    counter: Option<u16>,
}

/// How soon the next probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cadence {
    /// The counter is at the top: `interval`.
    Steady,
    /// The counter is at 0: `downInterval`.
    Down,
    /// Anything between, or unknown: `fastInterval`.
    Fast,
}

impl Cadence {
    /// The delay from start to start, before jitter.
    pub fn of(self, check: &HealthCheck) -> Duration {
        match self {
            Self::Steady => check.interval,
            Self::Down => check.down_interval,
            Self::Fast => check.fast_interval,
        }
    }
}

impl Machine {
    /// An unknown state, with `rise` successes to come up and `fall` misses to go down. 0 counts as 1.
    pub fn new(rise: u8, fall: u8) -> Self {
        Self { rise: u16::from(rise.max(1)), fall: u16::from(fall.max(1)), counter: None }
    }

    /// Unknown, up or down.
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

    /// Counts one result.
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

    /// Whether one more miss would bring it down, from up or from unknown.
    pub fn is_about_to_fall(&self) -> bool {
        self.counter.is_none_or(|counter| counter == self.rise)
    }

    /// Forgets the state, as after a change of address or a re-enable.
    pub fn reset(&mut self) {
        self.counter = None;
    }

    /// Up without a probe, as where no HealthCheck is named.
    pub fn bring_up(&mut self) {
        self.counter = Some(self.top());
    }

    /// The same state under other thresholds: at the top if up, at 0 if down.
    pub fn with_thresholds(self, rise: u8, fall: u8) -> Self {
        let mut changed = Self::new(rise, fall);
        changed.counter = match self.state() {
            BackendState::Up => Some(changed.top()),
            BackendState::Unknown => None,
            _ => Some(0),
        };
        changed
    }

    /// How soon the next probe is due.
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
    fn results_lead_to_the_states_and_cadences_that_haproxy_has() {
        use BackendState::{Down, Unknown, Up};
        use Cadence::{Fast, Steady};
        let table = [
            // An unknown state resolves in one probe, either way.
            (2, 3, "", Unknown, Fast),
            (2, 3, "+", Up, Steady),
            (2, 3, "-", Down, Cadence::Down),
            // `fall` misses in a row bring it down; a success between them starts over.
            (2, 3, "+--", Up, Fast),
            (2, 3, "+---", Down, Cadence::Down),
            (2, 3, "+--+--", Up, Fast),
            (2, 3, "+--+", Up, Steady),
            // `rise` successes in a row bring it up.
            (2, 3, "-+", Down, Fast),
            (2, 3, "-+-+", Down, Fast),
            (2, 3, "-+-", Down, Cadence::Down),
            (2, 3, "-++", Up, Steady),
            // A fresh recovery still needs `fall` misses.
            (2, 3, "-++--", Up, Fast),
            (2, 3, "-++---", Down, Cadence::Down),
            // The smallest thresholds never leave the ends.
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
    fn changed_thresholds_keep_the_state_and_forget_how_far_it_was() {
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

    /// The same rules, told by looking back over the results since the last change of state.
    struct Naive {
        rise: usize,
        fall: usize,
        state: BackendState,
        since: Vec<bool>,
    }

    impl Naive {
        fn run_of(&self, result: bool) -> usize {
            self.since.iter().rev().take_while(|&&seen| seen == result).count()
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
                        BackendState::Up if self.run_of(false) == self.fall => self.enter(BackendState::Down),
                        BackendState::Down if self.run_of(true) == self.rise => self.enter(BackendState::Up),
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
        fn the_counter_agrees_with_a_replay_of_the_results(rise in 1u8..5, fall in 1u8..5, steps in steps()) {
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
