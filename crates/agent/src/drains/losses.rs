//! Causes by which flows of a draining backend moved before their end. Pure.

use maglev_model::drain::DrainLosses;

/// The state of VPP that the causes show in.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// The process ID of VPP.
    pub pid: u32,
    /// The size of the sticky tables.
    pub sticky_buckets: u32,
    /// Packets of untracked flows to all VIPs of the backend; `None` if VPP's counters cannot be read.
    pub untracked: Option<u64>,
}

/// The causes since the start of a drain.
#[derive(Debug, Default)]
pub struct LossWatch {
    last: Option<Signs>,
    losses: DrainLosses,
}

impl LossWatch {
    /// Takes the present state. Returns all causes since the start of the drain.
    pub fn observe(&mut self, signs: Signs) -> DrainLosses {
        let Some(last) = self.last.replace(signs) else { return self.losses };
        if last.pid != signs.pid {
            // A new VPP counts from 0, and gets its sticky tables from the agent.
            self.losses.vpp_restarted = true;
            return self.losses;
        }
        self.losses.sticky_tables_resized |= last.sticky_buckets != signs.sticky_buckets;
        match (last.untracked, signs.untracked) {
            (Some(before), Some(now)) => self.losses.untracked |= now > before,
            // The next reading is compared with the last one.
            (before, None) => self.last = Some(Signs { untracked: before, ..signs }),
            (None, Some(_)) => {}
        }
        self.losses
    }

    /// The causes as of the last state.
    pub fn losses(&self) -> DrainLosses {
        self.losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Signs = Signs { pid: 7, sticky_buckets: 1024, untracked: Some(100) };

    fn after(states: &[Signs]) -> DrainLosses {
        let mut watch = LossWatch::default();
        for signs in states {
            watch.observe(*signs);
        }
        watch.losses()
    }

    #[test]
    fn each_cause_is_kept_until_the_drain_ends() {
        assert_eq!(after(&[START, START]), DrainLosses::default());
        let resized = Signs { sticky_buckets: 4096, ..START };
        assert_eq!(after(&[START, resized, START, START]), DrainLosses { sticky_tables_resized: true, ..START_LOSSES });
        let untracked = Signs { untracked: Some(101), ..START };
        assert_eq!(after(&[START, untracked, untracked]), DrainLosses { untracked: true, ..START_LOSSES });
        let unread = Signs { untracked: None, ..START };
        assert_eq!(after(&[START, unread, untracked]), DrainLosses { untracked: true, ..START_LOSSES });
        assert_eq!(after(&[unread, untracked]), DrainLosses::default(), "nothing to compare with");
    }

    #[test]
    fn restarted_vpp_is_one_cause_whatever_it_counts() {
        let restarted = Signs { pid: 8, sticky_buckets: 2, untracked: Some(0) };
        let started = Signs { pid: 8, sticky_buckets: 2, untracked: Some(0) };
        assert_eq!(after(&[START, restarted, started]), DrainLosses { vpp_restarted: true, ..START_LOSSES });
    }

    const START_LOSSES: DrainLosses =
        DrainLosses { untracked: false, vpp_restarted: false, sticky_tables_resized: false };
}
