//! A client that follows the contract mirrors the agent's state, whatever happens.

use proptest::prelude::*;

use maglev_model::view::{Fold as _, View};
use maglev_rpc::client::{AgentClient, EventStream, WatchRequest};
use maglev_telemetry::AsOf;
use maglev_testkit::ChangeGenerator;
use maglev_testkit::{AgentServer, agent_server::LOW_LIMITS, within};

/// A step of the agent or of the connection.
#[derive(Clone, Debug)]
enum Step {
    /// This many changes while the mirror does not read, and then while it does.
    Change { before: u16, during: u16 },
    /// The connection breaks, followed by this many changes.
    Break { then: u16 },
    /// The agent restarts, with a new epoch and an empty state.
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

/// A mirror as described in the contract.
#[derive(Default)]
struct Mirror {
    view: View,
    as_of: Option<AsOf>,
    stream: Option<EventStream>,
    resyncs: u32,
    dropped: u64,
}

impl Mirror {
    /// Follows up to this position.
    async fn follow(&mut self, client: &AgentClient, until: AsOf) {
        while self.as_of.is_none_or(|at| at.epoch != until.epoch || at.seq < until.seq) {
            match &mut self.stream {
                None => self.open(client).await,
                Some(stream) => match within(stream.next()).await {
                    Ok(Some(batch)) => {
                        self.dropped += batch.dropped;
                        if batch.resync {
                            self.resyncs += 1;
                            self.fetch(client).await;
                        }
                        let at = self.as_of.expect("a state was fetched before");
                        for line in batch.lines.iter().filter(|line| line.seq.is_some_and(|seq| seq > at.seq)) {
                            line.change.iter().for_each(|change| self.view.apply(change, line.time));
                        }
                        self.as_of = Some(if batch.as_of.seq > at.seq { batch.as_of } else { at });
                    }
                    Ok(None) | Err(_) => self.stream = None,
                },
            }
        }
    }

    async fn open(&mut self, client: &AgentClient) {
        if self.as_of.is_none() {
            self.fetch(client).await;
        }
        let request = WatchRequest { since: self.as_of, ..WatchRequest::default() };
        self.stream = Some(within(client.watch(request)).await.expect("there is room for a watcher"));
    }

    async fn fetch(&mut self, client: &AgentClient) {
        let snapshot = within(client.state()).await.expect("the agent answers");
        (self.view, self.as_of) = (snapshot.view, Some(snapshot.as_of));
    }
}

/// The mirrored agent, and its last position.
struct Subject {
    node: AgentServer,
    client: AgentClient,
    generator: ChangeGenerator,
    end: AsOf,
}

impl Subject {
    async fn start(seed: u64, epoch: u64) -> Self {
        let node = AgentServer::start(epoch, LOW_LIMITS).await;
        let client = node.client().await;
        Self { node, client, generator: ChangeGenerator::new(seed ^ epoch), end: AsOf { epoch, seq: 0 } }
    }

    fn change(&mut self) {
        self.generator.emit_next(&self.node.events);
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
                mirror.stream = None;
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
        let current = within(client.state()).await.expect("the agent answers");
        assert_eq!((current.as_of, current.view), (until, mirror.view.clone()));
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
    fn mirror_equals_the_state_after_any_steps(seed: u64, steps in prop::collection::vec(step(), 1..12)) {
        runtime().block_on(run(seed, steps));
    }
}

#[test]
fn slow_mirror_fetches_the_state_again() {
    // More than the buffers of sockets, HTTP/2 windows and bus together.
    let slow = Step::Change { before: 20_000, during: 0 };
    let begin = Step::Change { before: 1, during: 1 };
    let (resyncs, dropped) = runtime().block_on(run(7, vec![begin, slow]));
    assert!(resyncs > 0 && dropped > 0, "{resyncs} {dropped}");
}
