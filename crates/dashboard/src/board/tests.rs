use std::collections::BTreeMap;

use fastrand::Rng;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{document::Time, patch::tests::apply};
use maglev_fleet::{AsOf, CountersRead, Link, Target};
use maglev_model::{
    actual::LbDump,
    change::Fold as _,
    counters::{Counters, StatsSnapshot, VipCounters, VipPackets},
    view::View,
};
use maglev_testkit::World;

const NOW: Time = Time(Timestamp::UNIX_EPOCH);

/// What the page does: folds what it is told.
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

/// A document without what only a fetched one has.
fn folded(document: &impl serde::Serialize) -> Value {
    let mut json = patch::json(document);
    for fetched in ["now", "as_of", "node", "looked_for"] {
        json.as_object_mut().expect("a document").remove(fetched);
    }
    json
}

/// A document as its patches build it up: without what is empty from the start.
fn built(document: &Value) -> Value {
    let mut whole = json!({});
    let patch = patch::between(Some(&json!({})), Some(document)).unwrap_or_default();
    apply(&mut whole, &patch);
    whole
}

/// A node whose agent goes on by chance.
struct Node {
    world: World,
    rng: Rng,
    state: NodeState,
}

impl Node {
    fn new(name: &str, seed: u64) -> Self {
        let target = Target { pod: None, uid: "".into(), node: None, address: ([127, 0, 0, 1], 1).into() };
        let state = NodeState {
            node: name.into(),
            target,
            link: Link::Connecting,
            version: None,
            view: View::default(),
            as_of: None,
            dump: None,
            counters: None,
            last_seen: None,
        };
        Self { world: World::new(seed), rng: Rng::with_seed(seed), state }
    }

    fn go_on(&mut self, second: i64) {
        let at = Timestamp::from_second(second).expect("a time");
        let state = &mut self.state;
        match self.rng.u8(..12) {
            0 => {
                let links = [Link::Connected, Link::Connecting, Link::Unreachable { error: "x".into(), since: at }];
                state.link = links[self.rng.usize(..3)].clone();
            }
            1 => {
                let dump = LbDump { at, conf: self.world.conf(), actual: self.world.actual() };
                state.dump = self.rng.bool().then(|| Arc::new(dump));
            }
            2 => {
                let vips = state.view.vpp.iter().flat_map(|vpp| vpp.vips.keys());
                let packets = |rng: &mut Rng| VipPackets { no_server: rng.u64(..3), ..VipPackets::default() };
                let counted =
                    vips.map(|vip| (*vip, VipCounters { packets: Some(packets(&mut self.rng)), route: None }));
                let counters = Some(Counters { boot_time: 1, heartbeat: 1, vips: counted.collect() });
                let stats = Arc::new(StatsSnapshot { counters, ..StatsSnapshot::default() });
                state.counters = Some(Arc::new(CountersRead { at, stats }));
            }
            3 => state.link = Link::Connected,
            _ => {
                for _ in 0..self.rng.u8(1..4) {
                    state.view.apply(&self.world.change(), at);
                }
                let seq = state.as_of.map_or(1, |as_of| as_of.seq + 1);
                state.as_of = Some(AsOf { epoch: 7, seq });
            }
        }
    }
}

fn board() -> Board {
    Board::new(LookedFor::default(), "none")
}

fn check(page: &Page, board: &Board) -> Result<(), TestCaseError> {
    let glance = board.glance();
    let summary = folded(&glance.summary(NOW));
    for part in ["rows", "nodes", "problems", "transitions", "strip", "totals", "controller"] {
        let of = |document: &Value| document.get(part).cloned().filter(|part| *part != json!({}));
        prop_assert_eq!(of(&page.summary), of(&summary), "{}", part);
    }
    for (node, inputs) in &glance.nodes {
        let document = folded(&detail::node(inputs, NOW));
        let page = page.nodes.get(&**node).cloned().unwrap_or_default();
        for part in document.as_object().expect("a document").keys() {
            let of = |document: &Value| document.get(part).cloned().filter(|part| *part != json!({}));
            let of = |document: &Value| of(document).filter(|part| *part != json!(false));
            prop_assert_eq!(of(&page), of(&built(&document)), "{} of {}", part, node);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Every patch leads to what is: whatever happens, the page that folds has what the page that fetches gets.
    #[test]
    fn a_page_that_folds_has_what_a_page_that_fetches_gets(seed: u64, steps in 1_usize..120) {
        let mut rng = Rng::with_seed(seed);
        let mut nodes: Vec<_> = (0..3).map(|n| Node::new(&format!("node-{n}"), seed.wrapping_add(n))).collect();
        let (mut board, mut page, mut now) = (board(), Page::default(), Instant::now());
        page.summary = folded(&board.glance().summary(NOW));
        for step in 0..steps {
            let index = rng.usize(..3);
            if rng.u8(..30) == 0 {
                let gone = &mut nodes[index];
                page.fold(&board.flush(now));
                board.remove_node(&gone.state.node);
                page.fold(&board.flush(now));
                page.nodes.remove(&*gone.state.node);
                *gone = Node::new(&gone.state.node.clone(), rng.u64(..));
            } else {
                nodes[index].go_on(i64::try_from(step).expect("few"));
                board.set_node(nodes[index].state.clone());
            }
            if rng.u8(..3) == 0 {
                now += Duration::from_secs(rng.u64(..8));
                page.fold(&board.flush(now));
                check(&page, &board)?;
            }
        }
    }

    /// Replicas are interchangeable: one that saw every step and one that saw only the end show the same.
    #[test]
    fn two_replicas_show_the_same_for_the_same_place(seed: u64, steps in 1_usize..60) {
        let mut rng = Rng::with_seed(seed);
        let mut nodes: Vec<_> = (0..3).map(|n| Node::new(&format!("node-{n}"), seed.wrapping_add(n))).collect();
        let (mut old, mut new, now) = (board(), board(), Instant::now());
        for step in 0..steps {
            let node = &mut nodes[rng.usize(..3)];
            node.go_on(i64::try_from(step).expect("few"));
            old.set_node(node.state.clone());
            old.flush(now);
        }
        for node in &nodes {
            // What is not of a place: the rates, which need two readings.
            let state = NodeState { counters: None, ..node.state.clone() };
            old.set_node(state.clone());
            new.set_node(state);
        }
        for board in [&mut old, &mut new] {
            board.flush(now);
            board.flush(now + 2 * DISAGREE_AFTER);
        }
        let [one, other] = [&old, &new].map(|board| folded(&board.glance().summary(NOW)));
        for part in ["rows", "nodes", "problems", "strip", "totals"] {
            prop_assert_eq!(&one[part], &other[part], "{}", part);
        }
        for (one, other) in old.glance().nodes.values().zip(new.glance().nodes.values()) {
            prop_assert_eq!(patch::json(&detail::node(one, NOW)), patch::json(&detail::node(other, NOW)));
        }
    }
}
