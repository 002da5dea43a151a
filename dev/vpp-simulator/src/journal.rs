//! What was asked of a simulated VPP: a count for each message, and every write with its answer.
//!
//! Counts and writes survive a restart of the simulated VPP, because a test asks about its agent.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use super::vip::VipSettings;
use maglev_model::actual::{ActualConf, VppVip};

/// Older writes are forgotten (they are still counted).
const REMEMBERED_WRITES: usize = 100_000;

/// A request that changes VPP's state, or would if it were not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Conf(ActualConf),
    AddVip(VppVip, VipSettings),
    RemoveVip(VppVip),
    /// `lb_add_del_as_v2`, adding with this weight.
    AddAs(VppVip, IpAddr, u8),
    RemoveAs {
        vip: VppVip,
        /// The application server.
        address: IpAddr,
        /// Whether its pinned flows go too.
        flush: bool,
    },
    SetWeight {
        vip: VppVip,
        /// The application server.
        address: IpAddr,
        /// The new weight.
        weight: u8,
        /// Whether its pinned flows go.
        flush: bool,
    },
    FlushVip(VppVip),
}

/// A [`Write`] and what VPP answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What was asked.
    pub write: Write,
    /// 0, or VPP's error number.
    pub retval: i32,
}

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// The journal of one simulator.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    requests: BTreeMap<&'static str, u64>,
    writes: VecDeque<Written>,
    forgotten: u64,
}

impl Journal {
    pub(crate) fn count(&mut self, message: &'static str) {
        *self.requests.entry(message).or_default() += 1;
    }

    pub(crate) fn wrote(&mut self, write: Write, retval: i32) {
        if self.writes.len() == REMEMBERED_WRITES {
            self.writes.pop_front();
            self.forgotten += 1;
        }
        self.writes.push_back(Written { write, retval });
    }

    pub(crate) fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.requests.clone()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.forgotten + self.writes.len() as u64)
    }

    pub(crate) fn writes_since(&self, mark: Mark) -> Vec<Written> {
        let skipped = usize::try_from(mark.0.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        self.writes.iter().skip(skipped).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_its_place_when_old_writes_are_forgotten() {
        let mut journal = Journal::default();
        let flush = |bits: u32| {
            let address = std::net::Ipv4Addr::from_bits(bits).into();
            Write::FlushVip(VppVip { address, length: 32, protocol: 255, port: 0 })
        };
        for bits in 0..REMEMBERED_WRITES as u32 {
            journal.wrote(flush(bits), 0);
        }
        let mark = journal.mark();
        assert_eq!(journal.writes_since(mark), []);
        journal.wrote(flush(7), -6);
        assert_eq!(journal.writes_since(mark), [Written { write: flush(7), retval: -6 }]);
    }
}
