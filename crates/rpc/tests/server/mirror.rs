//! Who follows as the contract says has the agent's state, whatever happens.

use proptest::prelude::*;

use maglev_model::{change::Fold as _, view::View};
use maglev_rpc::client::{AgentClient, Watch, WatchRequest};
use maglev_telemetry::AsOf;
use maglev_testkit::World;
use maglev_testkit::{AgentServer, agent_server::FEW, within};

/// What happens to a mirror and to what it mirrors.
#[derive(Clone, Debug)]
enum Step {
    /// So many changes while nobody reads, and then while the mirror follows.
    Change { before: u16, during: u16 },
    /// The connection breaks, and so many changes follow.
    Break { then: u16 },
    /// The agent starts anew, with an epoch of its own and nothing in its state.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u16..20, 0_u16..20).prop_map(|(before, during)| Step::Change { before, during }),
        2 => (0_u16..600, 0_u16..100).prop_map(|(before, during)| Step::Change { before, during }),
        2 => (0_u16..150).prop_map(|then| Step::Break { then }),
        1 => Just(Step::Restart),
    ]
}

/// A mirror as the contract describes it.
#[derive(Default)]
struct Mirror {
    view: View,
    as_of: Option<AsOf>,
    watch: Option<Watch>,
    resyncs: u32,
    dropped: u64,
}

impl Mirror {
    /// Follows until it has everything up to this number of that epoch.
    async fn follow(&mut self, client: &AgentClient, until: AsOf) {
        while self.as_of.is_none_or(|at| at.epoch != until.epoch || at.seq < until.seq) {
            match &mut self.watch {
                None => self.open(client).await,
                Some(watch) => match within(watch.next()).await {
                    Ok(Some(followed)) => {
                        self.dropped += followed.dropped;
                        if followed.resync {
                            self.resyncs += 1;
                            self.fetch(client).await;
                        }
                        let at = self.as_of.expect("a state was fetched before");
                        for line in followed.lines.iter().filter(|line| line.seq.is_some_and(|seq| seq > at.seq)) {
                            line.change.iter().for_each(|change| self.view.apply(change, line.time));
                        }
                        self.as_of = Some(if followed.as_of.seq > at.seq { followed.as_of } else { at });
                    }
                    Ok(None) | Err(_) => self.watch = None,
                },
            }
        }
    }

    async fn open(&mut self, client: &AgentClient) {
        if self.as_of.is_none() {
            self.fetch(client).await;
        }
        let request = WatchRequest { since: self.as_of, ..WatchRequest::default() };
        self.watch = Some(within(client.watch(request)).await.expect("there is room for a watcher"));
    }

    async fn fetch(&mut self, client: &AgentClient) {
        let snapshot = within(client.state()).await.expect("it answers");
        (self.view, self.as_of) = (snapshot.view, Some(snapshot.as_of));
    }
}

/// The node that is mirrored, and how much has happened there.
struct Subject {
    node: AgentServer,
    client: AgentClient,
    world: World,
    end: AsOf,
}

impl Subject {
    async fn start(seed: u64, epoch: u64) -> Self {
        let node = AgentServer::start(epoch, FEW).await;
        let client = node.client().await;
        Self { node, client, world: World::new(seed ^ epoch), end: AsOf { epoch, seq: 0 } }
    }

    fn change(&mut self) {
        match self.world.next() {
            (Some(event), change) => self.node.events.emit_change(event, change),
            (None, change) => self.node.events.change(change),
        }
        self.end.seq += 1;
    }
}

async fn run(seed: u64, steps: Vec<Step>) -> (u32, u64) {
    let (mut subject, mut mirror) = (Subject::start(seed, 1).await, Mirror::default());
    for (number, step) in (2..).zip(steps) {
        let during = match step {
            Step::Change { before, during } => {
                (0..before).for_each(|_| subject.change());
                subject.node.settled(subject.end.seq).await;
                during
            }
            Step::Break { then } => {
                mirror.watch = None;
                (0..then).for_each(|_| subject.change());
                0
            }
            Step::Restart => {
                let before = std::mem::replace(&mut subject, Subject::start(seed, number).await);
                before.node.stop().await;
                3
            }
        };
        let client = subject.client.clone();
        let until = AsOf { seq: subject.end.seq + u64::from(during), ..subject.end };
        let changes = async {
            for _ in 0..during {
                subject.change();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(changes, mirror.follow(&client, until));
        let snapshot = subject.node.settled(until.seq).await;
        assert_eq!((mirror.as_of, snapshot.as_of), (Some(until), until));
        assert_eq!(mirror.view, snapshot.view);
        let answered = within(client.state()).await.expect("it answers");
        assert_eq!((answered.as_of, answered.view), (until, mirror.view.clone()));
    }
    subject.node.stop().await;
    (mirror.resyncs, mirror.dropped)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_mirror_equals_the_state_after_anything(seed: u64, steps in prop::collection::vec(step(), 1..12)) {
        runtime().block_on(run(seed, steps));
    }
}

#[test]
fn a_mirror_that_was_too_slow_fetches_the_state_anew() {
    // More than sockets, windows and the bus hold together.
    let slow = Step::Change { before: 20_000, during: 0 };
    let begin = Step::Change { before: 1, during: 1 };
    let (resyncs, dropped) = runtime().block_on(run(7, vec![begin, slow]));
    assert!(resyncs > 0 && dropped > 0, "{resyncs} {dropped}");
}
