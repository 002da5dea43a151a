//! VPP's state as the drains of backends read it.

use std::net::IpAddr;

use super::SyncSession;
use crate::dataplane::ServerFlows;
use maglev_model::actual::{Actual, ActualConf};

/// VPP's state as of the last dump, plus the steps acknowledged since.
#[derive(Clone, Copy)]
pub struct ReadBack<'a> {
    session: &'a SyncSession,
    pub conf: &'a ActualConf,
    pub actual: &'a Actual,
    /// As of the last dump; absent for VIPs that were changed, and read back without one, since.
    pub flows: &'a ServerFlows,
    /// Number of the last dump in the session.
    pub number: u64,
    /// The process ID of VPP.
    pub pid: u32,
}

impl SyncSession {
    /// VPP's state; `None` before the first dump. `pid` is VPP's process ID.
    pub fn read_back(&self, pid: u32) -> Option<ReadBack<'_>> {
        let cached = self.cached.as_ref()?;
        let (conf, actual, flows) = (&cached.conf, &cached.actual, &cached.flows);
        Some(ReadBack { session: self, conf, actual, flows, number: cached.number, pid })
    }
}

impl ReadBack<'_> {
    /// True if the VIPs of `address` are as the last dump read them: no step was sent since.
    pub fn is_settled(&self, address: IpAddr) -> bool {
        !self.session.unverified.contains_key(&address) && !self.session.queue.is_in_flight(address)
    }
}
