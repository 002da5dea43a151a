//! Restart neutrality: when a started agent may begin to write.

use std::time::Duration;

use tokio::time::Instant;

use maglev_model::config::SyncConf;

/// What may be written now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Nothing, by any path.
    #[default]
    Closed,
    /// VIPs all of whose backends are known.
    KnownOnly,
    /// Everything; backends that are still unknown keep VPP's weight.
    Open,
}

/// The clock of the warm-up. It starts with the first complete list of everything, is monotonic, and
/// no relist, edit or reconnect starts it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Warmup {
    listed: Option<Instant>,
    /// Nothing waits any more.
    over: bool,
}

impl Warmup {
    /// Everything is listed; only the first call counts.
    pub fn listed(&mut self, now: Instant) {
        self.listed.get_or_insert(now);
    }

    /// Every VIP was released: there is nothing left to wait for.
    pub fn finish(&mut self) {
        self.over = true;
    }

    /// What may be written at `now`.
    pub fn gate(&self, now: Instant, conf: &SyncConf) -> Gate {
        match self.listed.map(|listed| now.duration_since(listed)) {
            Some(_) if self.over => Gate::Open,
            Some(elapsed) if elapsed >= longest(conf) => Gate::Open,
            Some(elapsed) if elapsed >= conf.startup_min_delay => Gate::KnownOnly,
            _ => Gate::Closed,
        }
    }

    /// When the gate opens further, if it does.
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
    fn the_gate_opens_in_two_steps_after_the_first_list() {
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
    fn it_is_over_early_when_nothing_waits() {
        let start = Instant::now();
        let mut warmup = Warmup::default();
        warmup.listed(start);
        warmup.finish();
        assert_eq!(warmup.gate(start + Duration::from_secs(6), &SyncConf::default()), Gate::Open);
    }

    #[test]
    fn with_both_delays_zero_it_opens_with_the_first_list() {
        let conf =
            SyncConf { startup_min_delay: Duration::ZERO, startup_max_delay: Duration::ZERO, ..SyncConf::default() };
        let start = Instant::now();
        let mut warmup = Warmup::default();
        assert_eq!(warmup.gate(start, &conf), Gate::Closed);
        warmup.listed(start);
        assert_eq!(warmup.gate(start, &conf), Gate::Open);
    }
}
