//! Ten large nodes with the same objects, transitions and traffic.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use maglev_model::{
    ServerMap,
    actual::{Actual, ActualAs, ActualConf, ActualEncap, ActualVip, LbDump, VppVip},
    change::Change,
    config::{Frontend, MemberTarget},
    counters::{Counters, StatsSnapshot, VipCounters, VipPackets},
    health::BackendState,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use maglev_benches::large_node::{BACKENDS, LargeNode, emit_transition};

pub const NODES: usize = 10;
/// Transitions on each node.
pub const TRANSITIONS_PER_SECOND: u32 = 10;

/// The agents and their objects.
pub struct Fleet {
    pub agents: Vec<Agent>,
    objects: LargeNode,
}

impl Fleet {
    pub async fn start() -> anyhow::Result<Self> {
        let objects = LargeNode::default();
        let actual = Actual { vips: objects.frontends.iter().map(vip).collect(), weightless: false };
        let conf = ActualConf {
            ipv4_source: [10, 0, 0, 1].into(),
            ipv6_source: std::net::Ipv6Addr::LOCALHOST,
            sticky_buckets_per_core: 1024,
            flow_timeout: 40,
        };
        let actual = Arc::new(actual);
        let dump = Arc::new(LbDump { at: Timestamp::now(), conf, actual: Actual::clone(&actual) });
        let mut agents = Vec::new();
        for number in 0..NODES {
            let agent = Agent::start(&format!("node-{number}")).await?;
            objects.emit(&agent.events);
            agent.events.emit_change(Change::VppState(conf, Arc::clone(&actual)));
            agent.events.emit_change(Change::Synced(0));
            agent.dumps.send_replace(Some(Arc::clone(&dump)));
            agents.push(agent);
        }
        Ok(Self { agents, objects })
    }

    /// Emits transitions on every node, and packets to every VIP, until `end`.
    pub async fn run(&self, end: CancellationToken) {
        let mut ticks = interval(Duration::from_secs(1) / TRANSITIONS_PER_SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for turn in 0_u32.. {
            if end.run_until_cancelled(ticks.tick()).await.is_none() {
                return;
            }
            // Spread over the list. The Backend was up initially, because it goes down first.
            let number = turn as usize / 2 * 7919 * 3 + 1;
            let backend = &self.objects.backends[number % (BACKENDS - 1)];
            let (from, to) = match turn % 2 {
                0 => (BackendState::Up, BackendState::Down),
                _ => (BackendState::Down, BackendState::Up),
            };
            let counters = turn.is_multiple_of(TRANSITIONS_PER_SECOND).then(|| Arc::new(self.counters(turn)));
            for agent in &self.agents {
                emit_transition(&agent.events, backend, from, to);
                if let Some(counters) = &counters {
                    agent.counters.send_replace(Some(Arc::clone(counters)));
                }
            }
        }
    }

    fn counters(&self, turn: u32) -> StatsSnapshot {
        let vips = self.objects.frontends.iter().enumerate().map(|(number, frontend)| {
            let packets = VipPackets { existing: u64::from(turn) * (number as u64 + 1), ..VipPackets::default() };
            (VppVip::from(frontend.vip), VipCounters { packets: Some(packets), ..VipCounters::default() })
        });
        let vips = vips.collect();
        let counters = Counters { boot_time: 1, heartbeat: u64::from(turn), vips, ..Counters::default() };
        StatsSnapshot { version: "26.10".to_owned(), pid: 1, counters: Some(counters), ..StatsSnapshot::default() }
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        for agent in self.agents {
            agent.stop().await?;
        }
        Ok(())
    }
}

/// The state of a Frontend in VPP, with all Backends at their weight.
fn vip(frontend: &Arc<Frontend>) -> (VppVip, ActualVip) {
    let mut ases = ServerMap::default();
    for member in frontend.pools.iter().flat_map(|pool| &pool.members) {
        if let MemberTarget::Backend(backend) = &member.target {
            ases.insert(backend.address, ActualAs { weight: member.weight.get(), buckets: 102 });
        }
    }
    let encap = ActualEncap { kind: 0, dscp: 0, target_port: 0 };
    let vip = ActualVip { encap: Some(encap), sticky: Some(false), table_length: Some(1024), pool_index: None, ases };
    (VppVip::from(frontend.vip), vip)
}
