//! Restart neutrality: a started agent delays its writes until the health of the backends is known.

use std::time::Duration;

use tokio::time::Instant;

use maglev_model::config::SyncConf;

/// The writes that the warm-up allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// No writes.
    #[default]
    Closed,
    /// Only VIPs whose backends all have a health state.
    KnownOnly,
    /// All VIPs; backends without a health state keep VPP's weight.
    Open,
}

/// The timer of the warm-up. It starts with the first complete list of every kind, is monotonic, and is not restarted
/// by a relist, an edit or a reconnect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Warmup {
    listed: Option<Instant>,
    /// The warm-up ended early.
    over: bool,
}

impl Warmup {
    /// Starts the timer; later calls have no effect.
    pub fn listed(&mut self, now: Instant) {
        self.listed.get_or_insert(now);
    }

    /// Ends the warm-up: no VIP is waiting.
    pub fn finish(&mut self) {
        self.over = true;
    }

    /// The writes allowed at `now`.
    pub fn gate(&self, now: Instant, conf: &SyncConf) -> Gate {
        match self.listed.map(|listed| now.duration_since(listed)) {
            Some(_) if self.over => Gate::Open,
            Some(elapsed) if elapsed >= longest(conf) => Gate::Open,
            Some(elapsed) if elapsed >= conf.startup_min_delay => Gate::KnownOnly,
            _ => Gate::Closed,
        }
    }

    /// Time of the next change of the gate.
    pub fn next(&self, now: Instant, conf: &SyncConf) -> Option<Instant> {
        let listed = self.listed?;
        [conf.startup_min_delay, longest(conf)].into_iter().map(|delay| listed + delay).find(|at| *at > now)
    }
}

fn longest(conf: &SyncConf) -> Duration {
    conf.startup_max_delay.max(conf.startup_min_delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gate_opens_in_two_steps_after_the_first_list() {
        let conf = SyncConf::default();
        let start = Instant::now();
        let mut warmup = Warmup::default();
        assert_eq!(warmup.gate(start, &conf), Gate::Closed, "not listed");
        warmup.listed(start);
        warmup.listed(start + Duration::from_secs(20));
        for (seconds, gate) in
            [(0, Gate::Closed), (4, Gate::Closed), (5, Gate::KnownOnly), (29, Gate::KnownOnly), (30, Gate::Open)]
        {
            assert_eq!(warmup.gate(start + Duration::from_secs(seconds), &conf), gate, "{seconds} s");
        }
        assert_eq!(warmup.next(start, &conf), Some(start + Duration::from_secs(5)));
        assert_eq!(warmup.next(start + Duration::from_secs(5), &conf), Some(start + Duration::from_secs(30)));
        assert_eq!(warmup.next(start + Duration::from_secs(30), &conf), None);
    }

    #[test]
    fn warm_up_ends_early_if_no_vip_is_waiting() {
        let start = Instant::now();
        let mut warmup = Warmup::default();
        warmup.listed(start);
        warmup.finish();
        assert_eq!(warmup.gate(start + Duration::from_secs(6), &SyncConf::default()), Gate::Open);
    }

    #[test]
    fn zero_delays_open_the_gate_with_the_first_list() {
        let conf =
            SyncConf { startup_min_delay: Duration::ZERO, startup_max_delay: Duration::ZERO, ..SyncConf::default() };
        let start = Instant::now();
        let mut warmup = Warmup::default();
        assert_eq!(warmup.gate(start, &conf), Gate::Closed);
        warmup.listed(start);
        assert_eq!(warmup.gate(start, &conf), Gate::Open);
    }
}
