//! Mirror and lines have no gap and nothing twice, whatever happens to agent and connection.

use std::{collections::BTreeMap, sync::Mutex};

use proptest::prelude::*;

use super::{super::*, Running, quick, road::Road};
use maglev_telemetry::BusLimits;
use maglev_testkit::World;
use maglev_testkit::{AgentServer, agent_server::FEW};

#[derive(Clone, Debug)]
enum Step {
    /// So many changes.
    Change(u16),
    /// The connection breaks, and so many changes follow at once.
    Cut(u16),
    /// The agent starts anew.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u16..60).prop_map(Step::Change),
        2 => (0_u16..150).prop_map(Step::Cut),
        1 => Just(Step::Restart),
    ]
}

/// An agent, the way to it, and what it told so far.
struct Subject {
    node: AgentServer,
    world: World,
    end: AsOf,
}

impl Subject {
    async fn start(seed: u64, epoch: u64, limits: BusLimits) -> Self {
        let node = AgentServer::start(epoch, limits).await;
        Self { node, world: World::new(seed ^ epoch), end: AsOf { epoch, seq: 0 } }
    }

    fn change(&mut self, count: u16) {
        for _ in 0..count {
            match self.world.next() {
                (Some(event), change) => self.node.events.emit_change(event, change),
                (None, change) => self.node.events.change(change),
            }
            self.end.seq += 1;
        }
    }
}

/// The numbers of all lines that a consumer got, by epoch, in the order they came in.
type Told = Mutex<BTreeMap<u64, Vec<u64>>>;

async fn collect(mut updates: Updates, told: &Told) {
    while let Some(update) = updates.next().await {
        let Update::Next(update) = update else { panic!("updates were lost") };
        if let FleetUpdate::Followed(followed) = update {
            let seqs = followed.lines.iter().filter_map(|line| line.seq);
            told.lock().expect("nobody panics here").entry(followed.as_of.epoch).or_default().extend(seqs);
        }
    }
}

/// Returns how often something was missed.
async fn run(seed: u64, steps: Vec<Step>, limits: BusLimits) -> u64 {
    let mut subject = Subject::start(seed, 1, limits).await;
    let road = Road::to(subject.node.address).await;
    let mut fleet = Running::<View>::start(&[road.address], quick());
    let told = Told::default();
    let collecting = collect(fleet.handle.subscribe(), &told);
    let playing = async {
        let mut restarts = 1;
        for step in steps {
            match step {
                Step::Change(count) => subject.change(count),
                Step::Cut(count) => {
                    road.cut();
                    subject.change(count);
                }
                Step::Restart => {
                    restarts += 1;
                    let next = Subject::start(seed, restarts, limits).await;
                    road.lead(Some(next.node.address));
                    std::mem::replace(&mut subject, next).node.stop().await;
                    subject.change(3);
                }
            }
            let end = subject.end;
            let wanted = subject.node.settled(end.seq).await;
            let is_there = |state: &NodeState| state.reporting() && state.as_of == Some(end);
            let state = fleet.until("node-a", "the mirror is there", is_there).await;
            assert_eq!(state.view, wanted.view);
        }
        let cell = fleet.handle.0.cell("node-a").expect("it is there");
        let resyncs = cell.tally.resyncs.load(std::sync::atomic::Ordering::Relaxed);
        fleet.stop().await;
        // A restart that is noticed by a fetched state is no resync.
        resyncs.saturating_sub(restarts)
    };
    let (missed, ()) = tokio::join!(playing, collecting);
    for (epoch, seqs) in told.into_inner().expect("nobody panics here") {
        assert!(seqs.is_sorted_by(|a, b| a < b), "something came twice in {epoch}: {seqs:?}");
        let whole = seqs.last().zip(seqs.first()).is_none_or(|(last, first)| last - first + 1 == seqs.len() as u64);
        assert!(whole || missed > 0, "something is missing in {epoch}: {seqs:?}");
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
    fn the_mirror_equals_the_state_after_anything(seed: u64, steps in prop::collection::vec(step(), 1..10)) {
        runtime().block_on(run(seed, steps, FEW));
    }
}

#[test]
fn a_connection_that_breaks_costs_no_line_and_brings_none_twice() {
    let steps = [Step::Change(5), Step::Cut(40), Step::Cut(0), Step::Change(9), Step::Cut(30)];
    let missed = runtime().block_on(run(7, steps.to_vec(), BusLimits::default()));
    assert_eq!(missed, 0, "the agent keeps more than that");
}
