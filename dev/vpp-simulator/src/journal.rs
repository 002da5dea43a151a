//! The requests received by a simulated VPP: a count per message, and all writes with their results.
//!
//! Survives restarts of the simulated VPP.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use super::vip::VipSettings;
use maglev_model::actual::{ActualConf, VppVip};

/// Older writes are dropped, but still counted.
const MAX_WRITES: usize = 100_000;

/// A request that changes VPP's state unless rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Conf(ActualConf),
    AddVip(VppVip, VipSettings),
    RemoveVip(VppVip),
    /// `lb_add_del_as_v2`, add.
    AddAs(VppVip, IpAddr, u8),
    RemoveAs {
        vip: VppVip,
        address: IpAddr,
        /// True if pinned flows are flushed.
        flush: bool,
    },
    SetWeight {
        vip: VppVip,
        address: IpAddr,
        weight: u8,
        /// True if pinned flows are flushed.
        flush: bool,
    },
    FlushVip(VppVip),
}

/// A [`Write`] and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedWrite {
    pub write: Write,
    /// 0, or VPP's error number.
    pub retval: i32,
}

/// A position in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

#[derive(Debug, Default)]
pub(crate) struct Journal {
    requests: BTreeMap<&'static str, u64>,
    writes: VecDeque<RecordedWrite>,
    dropped: u64,
}

impl Journal {
    pub(crate) fn count(&mut self, message: &'static str) {
        *self.requests.entry(message).or_default() += 1;
    }

    pub(crate) fn record(&mut self, write: Write, retval: i32) {
        if self.writes.len() == MAX_WRITES {
            self.writes.pop_front();
            self.dropped += 1;
        }
        self.writes.push_back(RecordedWrite { write, retval });
    }

    pub(crate) fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.requests.clone()
    }

    /// Number of writes so far.
    pub(crate) fn writes(&self) -> u64 {
        self.dropped + self.writes.len() as u64
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.writes())
    }

    pub(crate) fn writes_since(&self, mark: Mark) -> Vec<RecordedWrite> {
        let skipped = usize::try_from(mark.0.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.writes.iter().skip(skipped).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_stays_valid_after_old_writes_are_dropped() {
        let mut journal = Journal::default();
        let flush = |bits: u32| {
            let address = std::net::Ipv4Addr::from_bits(bits).into();
            Write::FlushVip(VppVip { address, length: 32, protocol: 255, port: 0 })
        };
        for bits in 0..MAX_WRITES as u32 {
            journal.record(flush(bits), 0);
        }
        let mark = journal.mark();
        assert_eq!(journal.writes_since(mark), []);
        journal.record(flush(7), -6);
        assert_eq!(journal.writes_since(mark), [RecordedWrite { write: flush(7), retval: -6 }]);
    }
}
