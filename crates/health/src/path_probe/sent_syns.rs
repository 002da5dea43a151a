//! The SYNs whose answers are expected. All backends of a VIP answer from the same address and port, so answers are matched by
//! the sequence number that they acknowledge.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use tokio::time::Instant;

use super::packet::{Flow, Reply};
use maglev_model::path::PathKey;

/// Answers are expected for this time. A server repeats an unanswered SYN-ACK after 1, 3 and 7 s; each is answered by a reset.
const LIFETIME: Duration = Duration::from_secs(8);

/// A SYN that was sent.
#[derive(Clone, Debug)]
pub struct SentSyn {
    pub path: PathKey,
    pub flow: Flow,
    pub sequence: u32,
}

/// The SYNs of the last [`LIFETIME`].
#[derive(Debug, Default)]
pub struct SentSyns {
    by_acknowledged: HashMap<u32, SentSyn>,
    expiry: VecDeque<(Instant, u32)>,
}

impl SentSyns {
    /// Records a SYN with `data` bytes. A server may acknowledge the SYN alone or the data as well.
    pub fn record(&mut self, syn: &SentSyn, data: usize, now: Instant) {
        self.expire(now);
        let after_syn = syn.sequence.wrapping_add(1);
        let after_data = after_syn.wrapping_add(u32::try_from(data).unwrap_or(0));
        for acknowledged in [after_syn, after_data] {
            if self.by_acknowledged.insert(acknowledged, syn.clone()).is_none() {
                self.expiry.push_back((now + LIFETIME, acknowledged));
            }
        }
    }

    /// The SYN that `reply` from `from` answers.
    pub fn answered_by(&self, from: IpAddr, reply: &Reply) -> Option<&SentSyn> {
        self.by_acknowledged.get(&reply.acknowledged).filter(|syn| {
            (syn.flow.vip.ip(), syn.flow.vip.port(), syn.flow.source.port()) == (from, reply.vip_port, reply.port)
        })
    }

    fn expire(&mut self, now: Instant) {
        while let Some((_, acknowledged)) = self.expiry.pop_front_if(|(at, _)| *at <= now) {
            self.by_acknowledged.remove(&acknowledged);
        }
    }
}
