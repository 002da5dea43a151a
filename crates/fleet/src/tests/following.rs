//! The mirror has no gap and no line is delivered twice, whatever happens to agent and connection.

use std::{collections::BTreeMap, sync::Mutex};

use proptest::prelude::*;

use super::{super::*, TestFleet, fast_timings, forwarder::Forwarder};
use maglev_telemetry::BusLimits;
use maglev_testkit::ChangeGenerator;
use maglev_testkit::{AgentServer, agent_server::LOW_LIMITS};

#[derive(Clone, Debug)]
enum Step {
    /// This many changes.
    Change(u16),
    /// The connection breaks, followed at once by this many changes.
    Cut(u16),
    /// The agent restarts.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u16..60).prop_map(Step::Change),
        2 => (0_u16..150).prop_map(Step::Cut),
        1 => Just(Step::Restart),
    ]
}

/// An agent, and its last position.
struct Subject {
    node: AgentServer,
    generator: ChangeGenerator,
    end: AsOf,
}

impl Subject {
    async fn start(seed: u64, epoch: u64, limits: BusLimits) -> Self {
        let node = AgentServer::start(epoch, limits).await;
        Self { node, generator: ChangeGenerator::new(seed ^ epoch), end: AsOf { epoch, seq: 0 } }
    }

    fn change(&mut self, count: u16) {
        for _ in 0..count {
            self.generator.emit_next(&self.node.events);
            self.end.seq += 1;
        }
    }
}

/// Sequence numbers of all lines that a consumer received, by epoch, in order of arrival.
type ReceivedLines = Mutex<BTreeMap<u64, Vec<u64>>>;

async fn collect(mut updates: Updates, received: &ReceivedLines) {
    while let Some(update) = updates.next().await {
        let Update::Next(update) = update else { panic!("updates were lost") };
        if let FleetUpdate::Followed(followed) = update {
            let seqs = followed.lines.iter().filter_map(|line| line.seq);
            received.lock().expect("not poisoned").entry(followed.as_of.epoch).or_default().extend(seqs);
        }
    }
}

/// Returns the number of missed events that required a complete state.
async fn run(seed: u64, steps: Vec<Step>, limits: BusLimits) -> u64 {
    let mut subject = Subject::start(seed, 1, limits).await;
    let forwarder = Forwarder::new(subject.node.address).await;
    let mut fleet = TestFleet::<View>::start(&[forwarder.address], fast_timings());
    let received = ReceivedLines::default();
    let collecting = collect(fleet.handle.subscribe(), &received);
    let playing = async {
        // The first connection is to the first agent, so that the number of resyncs is known.
        let is_connected = |state: &NodeState| state.reporting() && state.as_of == Some(AsOf { epoch: 1, seq: 0 });
        fleet.until("node-a", "the first agent is followed", is_connected).await;
        let mut restarts = 1;
        for step in steps {
            match step {
                Step::Change(count) => subject.change(count),
                Step::Cut(count) => {
                    forwarder.cut();
                    subject.change(count);
                }
                Step::Restart => {
                    restarts += 1;
                    let next = Subject::start(seed, restarts, limits).await;
                    forwarder.redirect(Some(next.node.address));
                    std::mem::replace(&mut subject, next).node.stop().await;
                    subject.change(3);
                }
            }
            let end = subject.end;
            let expected = subject.node.settled(end.seq).await;
            let in_sync = |state: &NodeState| state.reporting() && state.as_of == Some(end);
            let state = fleet.until("node-a", "the mirror is in sync", in_sync).await;
            assert_eq!(state.view, expected.view);
        }
        let cell = fleet.handle.0.cell("node-a").expect("the node exists");
        let resyncs = cell.link_counters.resyncs.load(std::sync::atomic::Ordering::Relaxed);
        fleet.stop().await;
        // A restart that is detected by a fetched state is no resync.
        resyncs.saturating_sub(restarts)
    };
    let (missed, ()) = tokio::join!(playing, collecting);
    for (epoch, seqs) in received.into_inner().expect("not poisoned") {
        assert!(seqs.is_sorted_by(|a, b| a < b), "a line was delivered twice in {epoch}: {seqs:?}");
        let whole = seqs.last().zip(seqs.first()).is_none_or(|(last, first)| last - first + 1 == seqs.len() as u64);
        assert!(whole || missed > 0, "a line is missing in {epoch}: {seqs:?}");
    }
    subject.node.stop().await;
    missed
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn mirror_equals_the_state_after_any_steps(seed: u64, steps in prop::collection::vec(step(), 1..10)) {
        runtime().block_on(run(seed, steps, LOW_LIMITS));
    }
}

#[test]
fn broken_connection_loses_and_repeats_no_line() {
    let steps = [Step::Change(5), Step::Cut(40), Step::Cut(0), Step::Change(9), Step::Cut(30)];
    let missed = runtime().block_on(run(7, steps.to_vec(), BusLimits::default()));
    assert_eq!(missed, 0, "the agent retains more events than that");
}
