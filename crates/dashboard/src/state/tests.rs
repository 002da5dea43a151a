mod disagreement;
mod path;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::{disagreements::DISAGREE_AFTER, *};
use crate::{document::Time, patch::tests::apply};
use maglev_fleet::{
    AgentTarget, AsOf, CountersRead, LinkState,
    survey::{StatusCounts, Survey, SustainedFaults},
};
use maglev_model::{
    actual::LbDump,
    counters::{Counters, StatsSnapshot, VipCounters, VipPackets},
    view::Fold as _,
    view::View,
};
use maglev_testkit::ChangeGenerator;

const NOW: Time = Time(Timestamp::UNIX_EPOCH);

/// The start of a test, `elapsed` later.
fn after(start: Instant, elapsed: Duration) -> Now {
    Now { monotonic: start + elapsed, wall: Timestamp::UNIX_EPOCH + elapsed }
}

/// A page, which folds the messages.
#[derive(Default)]
struct Page {
    summary: Value,
    nodes: BTreeMap<String, Value>,
}

impl Page {
    fn fold(&mut self, messages: &[Message]) {
        for message in messages {
            let data = message.data();
            match message.event() {
                "summary" => apply(&mut self.summary, &data["patch"]),
                "node" => {
                    let node = data["node"].as_str().expect("a name").to_owned();
                    apply(self.nodes.entry(node).or_default(), &data["patch"]);
                }
                _ => {}
            }
        }
    }
}

/// A document without the parts that only a fetched document has.
fn folded(document: &impl serde::Serialize) -> Value {
    let mut json = patch::to_json(document);
    for fetched in ["now", "as_of", "node", "looked_for"] {
        json.as_object_mut().expect("a document").remove(fetched);
    }
    json
}

/// A document built from patches, without initially empty parts.
fn built(document: &Value) -> Value {
    let mut whole = json!({});
    let patch = patch::between(Some(&json!({})), Some(document)).unwrap_or_default();
    apply(&mut whole, &patch);
    whole
}

/// A node with random changes.
struct Node {
    generator: ChangeGenerator,
    rng: Rng,
    state: NodeState,
}

impl Node {
    fn new(name: &str, seed: u64) -> Self {
        let target = AgentTarget::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
        let state = NodeState {
            node: name.into(),
            target,
            link: LinkState::Connecting,
            version: None,
            view: View::default(),
            as_of: None,
            dump: None,
            counters: None,
            last_seen: None,
        };
        Self { generator: ChangeGenerator::new(seed), rng: Rng::with_seed(seed), state }
    }

    fn change(&mut self, second: i64) {
        let at = Timestamp::from_second(second).expect("the time is in range");
        let state = &mut self.state;
        match self.rng.u8(..12) {
            0 => {
                let links = [
                    LinkState::Connected,
                    LinkState::Connecting,
                    LinkState::Unreachable { error: "x".into(), reason: "NoAnswer", since: at },
                ];
                state.link = links[self.rng.usize(..3)].clone();
            }
            1 => {
                let dump = LbDump { at, conf: self.generator.conf(), actual: self.generator.actual() };
                state.dump = self.rng.bool().then(|| Arc::new(dump));
            }
            2 => {
                let vips = state.view.vpp.iter().flat_map(|vpp| &vpp.vips);
                let counted = vips.map(|(vip, vip_state)| {
                    let packets = VipPackets { no_server: self.rng.u64(..3), ..VipPackets::default() };
                    let flows = vip_state.servers.keys().map(|address| (*address, self.rng.u32(..3))).collect();
                    (*vip, VipCounters { packets: Some(packets), flows, ..VipCounters::default() })
                });
                let vips = counted.collect();
                let Counters { backends, sticky_tables, interval, .. } = self.generator.counters();
                let counters = Some(Counters { boot_time: 1, heartbeat: 1, vips, backends, sticky_tables, interval });
                let stats = Arc::new(StatsSnapshot { counters, ..StatsSnapshot::default() });
                state.counters = Some(Arc::new(CountersRead { at, stats }));
            }
            3 => state.link = LinkState::Connected,
            _ => {
                for _ in 0..self.rng.u8(1..4) {
                    state.view.apply(&self.generator.change(), at);
                }
                let seq = state.as_of.map_or(1, |as_of| as_of.seq + 1);
                state.as_of = Some(AsOf { epoch: 7, seq });
            }
        }
    }
}

fn state() -> DashboardState {
    DashboardState::new(AgentSelector::default(), "none")
}

fn check(page: &Page, state: &DashboardState) -> Result<(), TestCaseError> {
    let snapshot = state.snapshot();
    let summary = folded(&snapshot.summary(NOW));
    for part in
        ["rows", "nodes", "problems", "transitions", "strip", "totals", "healthy", "differing_percent", "controller"]
    {
        let value = |document: &Value| document.get(part).cloned().filter(|part| *part != json!({}));
        prop_assert_eq!(value(&page.summary), value(&summary), "{}", part);
    }
    // Incremental counts equal those of a survey of all nodes.
    let nodes: Vec<NodeState> = snapshot.nodes.values().map(|inputs| inputs.state.clone()).collect();
    let faults = SustainedFaults { dropping: &|_, _| false, disagree: &|_| false };
    let counts = StatusCounts::from(&Survey::new(&nodes, &faults));
    prop_assert_eq!(Totals::from(&counts), snapshot.totals);
    let ProblemCounts { backends_down, down, standby, .. } = ProblemCounts::from(&counts);
    let shown = &snapshot.problem_counts;
    prop_assert_eq!((backends_down, down, standby), (shown.backends_down, shown.down, shown.standby));
    for (node, inputs) in &snapshot.nodes {
        let document = folded(&detail::node(inputs, NOW));
        let page = page.nodes.get(&**node).cloned().unwrap_or_default();
        for part in document.as_object().expect("a document").keys() {
            let present = |part: &Value| *part != json!({}) && *part != json!(false);
            let value = |document: &Value| document.get(part).cloned().filter(present);
            prop_assert_eq!(value(&page), value(&built(&document)), "{} of {}", part, node);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn folded_messages_equal_the_fetched_documents(seed: u64, steps in 1_usize..120) {
        let mut rng = Rng::with_seed(seed);
        let mut nodes: Vec<_> = (0..3).map(|n| Node::new(&format!("node-{n}"), seed.wrapping_add(n))).collect();
        let (mut state, mut page) = (state(), Page::default());
        let (start, mut elapsed) = (Instant::now(), Duration::ZERO);
        page.summary = folded(&state.snapshot().summary(NOW));
        for step in 0..steps {
            let index = rng.usize(..3);
            if rng.u8(..30) == 0 {
                let node = &mut nodes[index];
                page.fold(&state.flush(after(start, elapsed)));
                state.remove_node(&node.state.node);
                page.fold(&state.flush(after(start, elapsed)));
                page.nodes.remove(&*node.state.node);
                *node = Node::new(&node.state.node.clone(), rng.u64(..));
            } else {
                nodes[index].change(i64::try_from(step).expect("few"));
                state.set_node(nodes[index].state.clone());
            }
            if rng.u8(..3) == 0 {
                elapsed += Duration::from_secs(rng.u64(..8));
                page.fold(&state.flush(after(start, elapsed)));
                check(&page, &state)?;
            }
        }
    }

    #[test]
    fn replicas_at_the_same_position_have_equal_documents(seed: u64, steps in 1_usize..60) {
        let mut rng = Rng::with_seed(seed);
        let mut nodes: Vec<_> = (0..3).map(|n| Node::new(&format!("node-{n}"), seed.wrapping_add(n))).collect();
        let (mut old, mut new, start) = (state(), state(), Instant::now());
        for step in 0..steps {
            let node = &mut nodes[rng.usize(..3)];
            node.change(i64::try_from(step).expect("few"));
            old.set_node(node.state.clone());
            old.flush(after(start, Duration::ZERO));
        }
        for node in &nodes {
            // Rates do not belong to a position, since they need two readings.
            let state = NodeState { counters: None, ..node.state.clone() };
            old.set_node(state.clone());
            new.set_node(state);
        }
        for state in [&mut old, &mut new] {
            state.flush(after(start, Duration::ZERO));
            state.flush(after(start, 2 * DISAGREE_AFTER));
        }
        let [one, other] = [&old, &new].map(|state| folded(&state.snapshot().summary(NOW)));
        for part in ["rows", "nodes", "problems", "strip", "differing_percent", "totals"] {
            prop_assert_eq!(&one[part], &other[part], "{}", part);
        }
        for (one, other) in old.snapshot().nodes.values().zip(new.snapshot().nodes.values()) {
            prop_assert_eq!(patch::to_json(&detail::node(one, NOW)), patch::to_json(&detail::node(other, NOW)));
        }
    }
}
