//! The state of one path: which SYN is sent next, and the consequence of its result. Pure; the checker passes in results.
//!
//! A probe is a small SYN. Every second probe, and each one after a failure, sends a large SYN as well, once the small one
//! is answered. So a large packet that is lost is not taken for a backend that does not answer.

use std::{sync::Arc, time::Duration};

use maglev_model::{
    health::{
        BackendState,
        machine::{Cadence, Machine},
    },
    path::PathState,
};

/// Shortest time between two SYNs to one backend and VIP.
pub const PACE: Duration = Duration::from_secs(1);

/// The size of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynSize {
    /// No data.
    Small,
    /// The inner packet has this number of bytes.
    Large(u16),
}

/// The result of one SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SynResult {
    /// Answered by a SYN-ACK. `limit` is the size of the largest packet that clients may send after it, in bytes.
    Accepted { limit: Option<u16> },
    /// Answered by a reset.
    Refused,
    /// Not answered in time.
    Lost,
    /// Larger than this node can send.
    TooLarge,
    /// This node could not send it. Says nothing about the path.
    NotSent { detail: Arc<str> },
}

/// The consequences of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The time from the SYN to the next one.
    pub delay: Duration,
    /// `None` if the probe goes on, or the SYN could not be sent.
    pub finished: Option<Finished>,
}

/// A finished probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub success: bool,
    /// The path was down before the probe.
    pub was_down: bool,
    /// A failure of the probe brings the path down.
    pub was_about_to_fall: bool,
}

/// The state machine of a path.
#[derive(Debug)]
pub struct Pair {
    packet_size: u16,
    /// The smallest packet that is worth a second SYN.
    small: u16,
    fall: u8,
    machine: Machine,
    /// The failure of the last probe that failed.
    failure: PathState,
    detail: Arc<str>,
    /// The large SYN to send next, to finish the current probe.
    large: Option<u16>,
    /// True if the current probe includes a large SYN.
    with_large: bool,
    /// Consecutive probes that could not be sent.
    not_sent: u8,
}

impl Pair {
    /// `packet_size` is the size of the largest packet of clients, `small` that of a SYN without data, in bytes. `rise` and
    /// `fall` are those of the backend's HealthCheck.
    pub fn new(packet_size: u16, small: u16, rise: u8, fall: u8) -> Self {
        Self {
            packet_size,
            small,
            fall,
            machine: Machine::new(rise, fall),
            failure: PathState::Unknown,
            detail: Arc::from(""),
            large: None,
            with_large: true,
            not_sent: 0,
        }
    }

    /// The size of the next SYN.
    pub fn next_syn(&self) -> SynSize {
        self.large.map_or(SynSize::Small, SynSize::Large)
    }

    /// The state.
    pub fn state(&self) -> PathState {
        match self.machine.state() {
            BackendState::Up => PathState::Ok,
            BackendState::Down => self.failure,
            _ if self.not_sent > 0 => PathState::Unable,
            _ => PathState::Unknown,
        }
    }

    /// Human-readable explanation of the state.
    pub fn detail(&self) -> Arc<str> {
        Arc::clone(&self.detail)
    }

    /// Makes the current or next probe include a large SYN.
    pub fn include_large(&mut self) {
        self.with_large = true;
    }

    /// The failure of the last probe that failed, with its explanation.
    pub fn last_failure(&self) -> (PathState, Arc<str>) {
        (self.failure, self.detail())
    }

    /// True if probes fail.
    pub fn is_down(&self) -> bool {
        self.machine.state() == BackendState::Down
    }

    /// Counts the result of the SYN that [`next_syn`](Self::next_syn) returned, given the interval of probes.
    pub fn observe(&mut self, result: SynResult, interval: Duration) -> Observed {
        let (was_down, was_about_to_fall) = (self.is_down(), self.machine.is_about_to_fall());
        let success = match &result {
            SynResult::NotSent { .. } => None,
            SynResult::Accepted { .. } => Some(true),
            SynResult::Refused | SynResult::Lost | SynResult::TooLarge => Some(false),
        };
        let sent = self.large.take();
        match (sent, result) {
            (_, SynResult::NotSent { detail }) => self.count_not_sent(detail),
            (None, SynResult::Accepted { limit }) => {
                let large = limit.map_or(self.packet_size, |limit| limit.min(self.packet_size));
                if self.with_large && large > self.small {
                    self.large = Some(large);
                    return Observed { delay: PACE, finished: None };
                }
                self.succeed();
            }
            (Some(_), SynResult::Accepted { .. }) => self.succeed(),
            (_, SynResult::Refused) => {
                self.fail(PathState::Refused, "a SYN to the VIP was answered by a reset: nothing listens on it");
            }
            (None, SynResult::Lost | SynResult::TooLarge) => {
                self.fail(PathState::Timeout, "no answer from the VIP to a SYN in the tunnel");
            }
            (Some(size), SynResult::Lost) => {
                self.fail(PathState::MtuTooSmall, format!("a packet of {size} bytes was lost, and a small one passed"));
            }
            (Some(size), SynResult::TooLarge) => {
                let detail = format!("a packet of {size} bytes is too large for this node's route to the backend");
                self.fail(PathState::MtuTooSmall, detail);
            }
        }
        let delay = match self.machine.cadence() {
            Cadence::Fast if self.not_sent == 0 => (interval / 10).max(PACE),
            _ => interval,
        };
        Observed { delay, finished: success.map(|success| Finished { success, was_down, was_about_to_fall }) }
    }

    fn succeed(&mut self) {
        self.not_sent = 0;
        self.machine.observe(true);
        // After a success with a large packet the next probe has only a small one.
        self.with_large = !self.with_large || self.machine.state() != BackendState::Up;
        if self.machine.state() == BackendState::Up {
            self.detail = Arc::from("");
        }
    }

    fn fail(&mut self, failure: PathState, detail: impl Into<Arc<str>>) {
        self.not_sent = 0;
        self.with_large = true;
        self.machine.observe(false);
        (self.failure, self.detail) = (failure, detail.into());
    }

    /// A path that worked becomes [`PathState::Unable`] after `fall` probes that could not be sent. One that failed stays
    /// as it was found.
    fn count_not_sent(&mut self, detail: Arc<str>) {
        self.not_sent = self.not_sent.saturating_add(1);
        let is_stale = self.machine.state() == BackendState::Up && self.not_sent >= self.fall;
        if is_stale {
            self.machine.reset();
        }
        if self.machine.state() == BackendState::Unknown {
            self.detail = detail;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const ACCEPTED: SynResult = SynResult::Accepted { limit: None };

    fn pair() -> Pair {
        Pair::new(1500, 44, 2, 3)
    }

    /// Observes results until the probe ends. Returns the sizes of the SYNs and the time to the next probe.
    fn probe(pair: &mut Pair, results: &[SynResult]) -> (Vec<SynSize>, Duration) {
        let (mut sizes, mut next) = (Vec::new(), Duration::ZERO);
        for result in results {
            sizes.push(pair.next_syn());
            next = pair.observe(result.clone(), INTERVAL).delay;
        }
        assert_eq!(pair.next_syn(), SynSize::Small, "the probe has ended");
        (sizes, next)
    }

    fn works(pair: &mut Pair) {
        while pair.state() != PathState::Ok || pair.with_large {
            pair.observe(ACCEPTED, INTERVAL);
        }
    }

    #[test]
    fn first_probe_determines_the_state() {
        let lost_large = [ACCEPTED, SynResult::Lost];
        for (results, state) in [
            (&[ACCEPTED, ACCEPTED][..], PathState::Ok),
            (&[SynResult::Lost], PathState::Timeout),
            (&[SynResult::Refused], PathState::Refused),
            (&lost_large, PathState::MtuTooSmall),
            (&[ACCEPTED, SynResult::TooLarge], PathState::MtuTooSmall),
            (&[ACCEPTED, SynResult::Refused], PathState::Refused),
            (&[SynResult::NotSent { detail: "no".into() }], PathState::Unable),
        ] {
            let mut pair = pair();
            assert_eq!(pair.state(), PathState::Unknown);
            probe(&mut pair, results);
            assert_eq!(pair.state(), state, "{results:?}");
            assert_eq!(pair.detail().is_empty(), state == PathState::Ok, "{results:?}");
        }
    }

    #[test]
    fn every_second_probe_of_a_working_path_has_a_large_syn() {
        let mut pair = pair();
        let large = [SynSize::Small, SynSize::Large(1500)];
        assert_eq!(probe(&mut pair, &[ACCEPTED, ACCEPTED]), (large.to_vec(), INTERVAL));
        assert_eq!(probe(&mut pair, &[ACCEPTED]), (vec![SynSize::Small], INTERVAL));
        assert_eq!(probe(&mut pair, &[ACCEPTED, ACCEPTED]), (large.to_vec(), INTERVAL));
    }

    #[test]
    fn large_syn_is_not_larger_than_the_backend_lets_clients_send() {
        let mut pair = pair();
        pair.observe(SynResult::Accepted { limit: Some(1456) }, INTERVAL);
        assert_eq!(pair.next_syn(), SynSize::Large(1456));
        let mut pair = Pair::new(1400, 44, 2, 3);
        pair.observe(SynResult::Accepted { limit: Some(1456) }, INTERVAL);
        assert_eq!(pair.next_syn(), SynSize::Large(1400));
        let mut pair = self::pair();
        pair.observe(SynResult::Accepted { limit: Some(44) }, INTERVAL);
        assert_eq!((pair.next_syn(), pair.state()), (SynSize::Small, PathState::Ok), "not larger than the small one");
    }

    #[test]
    fn path_falls_after_fall_failures_and_rises_after_rise_successes() {
        let mut pair = pair();
        works(&mut pair);
        assert_eq!(probe(&mut pair, &[SynResult::Lost]).1, PACE);
        probe(&mut pair, &[SynResult::Lost]);
        assert_eq!(pair.state(), PathState::Ok, "two of three failures");
        assert_eq!(probe(&mut pair, &[SynResult::Lost]).1, INTERVAL);
        assert_eq!(pair.state(), PathState::Timeout);

        let (sizes, next) = probe(&mut pair, &[ACCEPTED, ACCEPTED]);
        assert_eq!((sizes.len(), next, pair.state()), (2, PACE, PathState::Timeout), "one of two successes");
        probe(&mut pair, &[ACCEPTED, ACCEPTED]);
        assert_eq!(pair.state(), PathState::Ok);
        assert!(pair.detail().is_empty());
    }

    #[test]
    fn lost_large_packets_are_found_in_three_intervals() {
        let mut pair = pair();
        works(&mut pair);
        let mut time = probe(&mut pair, &[ACCEPTED]).1;
        for _ in 0..3 {
            assert_eq!(pair.state(), PathState::Ok);
            let small = pair.observe(ACCEPTED, INTERVAL).delay;
            time += small + pair.observe(SynResult::Lost, INTERVAL).delay.min(PACE);
        }
        assert_eq!(pair.state(), PathState::MtuTooSmall);
        assert!(time + PACE <= 3 * INTERVAL, "{time:?}");
    }

    #[test]
    fn failure_of_another_kind_replaces_the_state() {
        let mut pair = pair();
        probe(&mut pair, &[SynResult::Lost]);
        probe(&mut pair, &[SynResult::Refused]);
        assert_eq!(pair.state(), PathState::Refused);
        probe(&mut pair, &[ACCEPTED, SynResult::Lost]);
        assert_eq!(pair.state(), PathState::MtuTooSmall);
    }

    #[test]
    fn probes_that_could_not_be_sent_never_bring_a_path_down_or_up() {
        let unable = || SynResult::NotSent { detail: "no route".into() };
        let mut pair = pair();
        works(&mut pair);
        for expected in [PathState::Ok, PathState::Ok, PathState::Unable, PathState::Unable] {
            assert_eq!(probe(&mut pair, &[unable()]).1, INTERVAL);
            assert_eq!(pair.state(), expected);
        }
        assert_eq!(&*pair.detail(), "no route");
        probe(&mut pair, &[SynResult::Lost]);
        for _ in 0..5 {
            probe(&mut pair, &[unable()]);
            assert_eq!(pair.state(), PathState::Timeout, "observed before");
        }
    }
}
