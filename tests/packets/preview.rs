//! `maglev_model::preview` against packets: the share of new flows that a change moves, and the tracked flows that it keeps,
//! are those that were computed before. A real agent makes each change.

mod flows;
mod node;
mod world;

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use maglev_model::ServerMap;
use maglev_model::plan::{FlowChange, VipChange};
use maglev_model::preview::{NodeInputs, NodePreview};
use maglev_model::view::View;
use maglev_model::vip::{Service, VipKey};
use maglev_vpp_simulator::{Simulator, SimulatorOptions};

use self::flows::{FlowSource, Sent, Way};
use self::node::Node;
use self::world::{Edit, World};
use crate::lab::{BACKENDS, Lab, UDP, on_each_vpp, print};

/// Changes, each with packets to all VIPs before and after it.
const CHANGES: usize = 50;
/// Changes in a network.
const LAB_CHANGES: usize = 10;
/// Every this many changes, the session affinity of a VIP changes.
const AFFINITY_EVERY: usize = 12;
/// The difference between the computed and the measured share of moved flows, in percent of all flows.
const TOLERANCE: f64 = 1.0;

/// The weights of all servers of a VIP in VPP.
type Weights = ServerMap<u8>;

/// The flows of one VIP, and its servers, before a change.
struct Before {
    vip: VipKey,
    sticky: bool,
    flows: Vec<Sent>,
    weights: Weights,
}

/// The effect of the change as computed by `diff`, and by `whatif` if it knows the change.
fn previews(view: &View, before: &World, after: &World, edit: &Edit) -> NodePreview {
    let old = NodeInputs::from(view);
    assert_eq!(old.frontends, before.config().frontends);
    let health = after.health_after(edit, &view.health);
    let mut new = NodeInputs::new(&after.config(), health);
    new.assume_up(&old);
    let preview = NodePreview::new(view, &old, &new).unwrap();
    if let Some(what_if) = after.what_if(edit) {
        let mut new = what_if.apply(&old);
        new.assume_up(&old);
        assert_eq!(NodePreview::new(view, &old, &new).unwrap(), preview, "{edit:?}");
    }
    preview
}

/// The share of a part of the flows, in percent.
fn percent(part: usize, all: usize) -> f64 {
    part as f64 * 100.0 / all as f64
}

/// Compares the flows of a VIP after the change with its computed effect.
fn check_moved(before: &Before, after: &[Sent], weights: &Weights, change: Option<&FlowChange>, what: &str) {
    let moved: Vec<(IpAddr, Option<IpAddr>)> = before
        .flows
        .iter()
        .zip(after)
        .filter_map(|(old, new)| Some((old.server?, new.server)))
        .filter(|(old, new)| Some(*old) != *new)
        .collect();
    let unchanged = |server: &IpAddr| {
        before.weights.get(server).is_some_and(|weight| *weight > 0 && weights.get(server) == Some(weight))
    };
    let collateral = moved.iter().filter(|(old, new)| unchanged(old) && new.as_ref().is_some_and(unchanged)).count();
    let table = change.map(|change| change.table.as_ref().expect("VPP has reported the length"));
    let expected = table.map_or((0.0, 0.0), |table| (table.moved_percent(), table.percent(table.collateral)));
    let measured = (percent(moved.len(), after.len()), percent(collateral, after.len()));
    let differs = |(expected, measured): (f64, f64)| (expected - measured).abs() > TOLERANCE;
    assert!(!differs((expected.0, measured.0)), "{what}: {expected:?} % computed, {measured:?} % measured");
    assert!(!differs((expected.1, measured.1)), "{what}: collateral {expected:?} % computed, {measured:?} % measured");
    for (server, buckets) in table.iter().flat_map(|table| &table.from) {
        let measured = percent(moved.iter().filter(|(old, _)| old == server).count(), after.len());
        assert!(!differs((table.unwrap().percent(*buckets), measured)), "{what}: from {server}");
    }
}

/// Sends the flows again. Those that are computed to be kept reach the same server.
fn check_kept(before: &Before, again: &[Sent], change: Option<&FlowChange>, what: &str) -> usize {
    let is_lost = |server: &IpAddr| change.is_some_and(|change| change.flushed.contains(server));
    let kept: Vec<_> = before
        .flows
        .iter()
        .zip(again)
        .filter_map(|(old, new)| Some((old.server?, new.server)))
        .filter(|(old, _)| !is_lost(old))
        .collect();
    let broken = kept.iter().filter(|(old, new)| Some(*old) != *new).count();
    assert_eq!(broken, 0, "{what}: of {} flows that are kept", kept.len());
    kept.len()
}

/// Random changes, and the packets that show their effects.
struct Changes<'l> {
    random: Rng,
    world: World,
    node: Node,
    source: FlowSource<'l>,
    /// Sums over all changes and VIPs: changed VIPs, kept flows, flushed servers.
    changed: usize,
    kept: usize,
    flushed: usize,
}

impl<'l> Changes<'l> {
    async fn start(backends: u8, socket: &Path, way: Way<'l>) -> Self {
        let world = World::new(backends);
        let (node, source) = (Node::start(&world, socket).await, FlowSource::new(7, way));
        Self { random: Rng::with_seed(18), world, node, source, changed: 0, kept: 0, flushed: 0 }
    }

    async fn change(&mut self, affinity: bool) {
        let before = self.world.clone();
        let edit =
            if affinity { self.world.change_affinity(&mut self.random) } else { self.world.change(&mut self.random) };
        let preview = previews(&self.node.view(&before), &before, &self.world, &edit);
        // All flows of a VIP get other buckets.
        let rehashed = |vip: VipKey| matches!(edit, Edit::Affinity { vip: changed } if world::vip(changed) == vip);
        let mut old = Vec::new();
        for (vip, sticky) in before.vips() {
            let flows = self.source.send_new(vip, sticky, rehashed(vip)).await;
            old.push(Before { vip, sticky, flows, weights: self.node.weights(vip) });
        }
        self.node.apply(&self.world, &edit, &preview).await;
        for old in &old {
            let change = preview.vips.iter().find(|preview| preview.vip == old.vip).and_then(|vip| vip.change.as_ref());
            self.check(old, change, rehashed(old.vip), &format!("{edit:?}")).await;
        }
    }

    async fn check(&mut self, old: &Before, change: Option<&FlowChange>, rehashed: bool, what: &str) {
        // No flow is tracked after a recreate, so the same flows are new ones.
        let new = if rehashed {
            self.source.send_again(&old.flows).await
        } else {
            self.source.send_new(old.vip, old.sticky, false).await
        };
        check_moved(old, &new, &self.node.weights(old.vip), change, what);
        if !change.is_some_and(|change| matches!(change.vip, VipChange::Recreated(_))) {
            self.kept += check_kept(old, &self.source.send_again(&old.flows).await, change, what);
        }
        self.changed += usize::from(change.is_some());
        self.flushed += change.map_or(0, |change| change.flushed.len());
    }

    fn print(&self, name: &str, start: Instant) {
        let Self { changed, kept, flushed, .. } = self;
        let took = start.elapsed();
        print(&format!("{name}: {changed} changes of VIPs, {kept} flows kept, {flushed} servers flushed, {took:?}\n"));
        assert!(*changed > 3 && *kept > 10_000 && *flushed > 3);
    }
}

#[tokio::test]
async fn computed_effects_are_those_of_50_changes() {
    let (start, dir) = (Instant::now(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("api.sock");
    let simulator = Simulator::start(SimulatorOptions::new(&socket)).await.unwrap();
    let way = Way::Memory(Box::new(simulator.forwarder()));
    let mut changes = Changes::start(8, &socket, way).await;
    for number in 0..CHANGES {
        changes.change(number % AFFINITY_EVERY == 5).await;
    }
    let snapshot = simulator.snapshot();
    let untracked = snapshot.vips.keys().filter_map(|vip| simulator.packets(*vip)).map(|packets| packets.untracked);
    assert_eq!(untracked.sum::<u64>(), 0, "the sticky table is large enough");
    changes.print("without a network", start);
}

async fn computed_effects_are_those_that_the_client_sees(lab: Lab) {
    if !lab.vpps[0].has_weights().await {
        return;
    }
    let start = Instant::now();
    lab.client.configure("route add local 198.51.100.0/24 dev lo\n").unwrap();
    let mut changes = Changes::start(BACKENDS, lab.vpps[0].api_socket(), Way::Lab(&lab)).await;
    for (vip, _) in changes.world.clone().vips() {
        let Service::Port { port, .. } = vip.service else { panic!("the VIPs have ports") };
        lab.until_served((vip.address, port.get()).into(), UDP).await;
    }
    for _ in 0..LAB_CHANGES {
        changes.change(false).await;
    }
    changes.print("with a network", start);
}

on_each_vpp! {
    1 => computed_effects_are_those_that_the_client_sees,
}
