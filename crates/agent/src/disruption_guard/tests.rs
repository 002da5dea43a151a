//! The rule by example.

mod sequences;

use maglev_model::{
    config::{AdminState, Backend, ForeignVips, Member, MemberTarget, Pool},
    desired::{DesiredEntry, desired_vip},
    health::{BackendHealth, BackendState},
    plan::{DueFlushes, RemovalPolicy, plan_address},
    vip::{TableLength, Weight},
    weights::effective_weights,
};
use maglev_testkit::objects::{backend, config, frontend, member, node_config, vip};

use super::*;

const HOLD: Duration = Duration::from_mins(5);
const WINDOW: Duration = Duration::from_mins(1);
const VIP: &str = "203.0.113.1";

/// A node with one VIP, whose VPP executes steps at once.
struct Node {
    guard: DisruptionGuard,
    now: Instant,
    config: Config,
    health: HealthSnapshot,
    actual: Actual,
}

fn server(number: u8) -> Backend {
    backend(&format!("b{number}"), &format!("192.0.2.{number}"))
}

fn pools(members: &[&[(u8, u8)]]) -> Vec<Pool> {
    let entry = |&(number, weight): &(u8, u8)| Member { weight: Weight::clamped(weight), ..member(server(number)) };
    let pool = |(index, members): (usize, &&[(u8, u8)])| Pool {
        name: format!("p{index}").into(),
        members: members.iter().map(entry).collect(),
    };
    members.iter().enumerate().map(pool).collect()
}

impl Node {
    /// A node whose VPP follows a Frontend with these pools (number and weight of each backend), and a budget in percent.
    fn new(members: &[&[(u8, u8)]], max_moved_percent: u8) -> Self {
        let budget = DisruptionBudget { max_moved_percent, window: WINDOW };
        let table_length = TableLength::new(1024).unwrap();
        let web = Frontend { disruption: Some(budget), table_length, ..frontend("web", vip(VIP), pools(members)) };
        let mut node = Self {
            guard: DisruptionGuard::default(),
            now: Instant::now(),
            config: config([web], node_config()),
            health: HealthSnapshot::default(),
            actual: Actual::default(),
        };
        for number in 1..=6 {
            let backend = Arc::new(server(number));
            node.config.backends.insert(backend.name.clone(), backend);
            node.know_state(number, BackendState::Up);
        }
        node.plan();
        node
    }

    fn set_state(&mut self, number: u8, state: BackendState) {
        self.know_state(number, state);
        self.plan();
    }

    fn know_state(&mut self, number: u8, state: BackendState) {
        let backend = server(number);
        let health = BackendHealth {
            address: backend.address,
            state,
            ever_known: true,
            in_doubt: false,
            history: Arc::default(),
        };
        self.health.backends.insert(backend.name.clone(), health);
    }

    fn configured(&self) -> Arc<Frontend> {
        Arc::clone(self.config.frontends.values().next().unwrap())
    }

    fn edit(&mut self, change: impl FnOnce(&mut Frontend)) {
        let mut web = (*self.configured()).clone();
        change(&mut web);
        web.revision.generation += 1;
        self.config.frontends.insert(web.name.clone(), Arc::new(web));
        self.plan();
    }

    fn set_pools(&mut self, members: &[&[(u8, u8)]]) {
        self.edit(|web| web.pools = pools(members));
    }

    fn set_admin_state(&mut self, number: u8, admin_state: AdminState) {
        let backend = Arc::new(Backend { admin_state, ..server(number) });
        self.config.backends.insert(backend.name.clone(), Arc::clone(&backend));
        let mut web = (*self.configured()).clone();
        for member in web.pools.iter_mut().flat_map(|pool| &mut pool.members) {
            if member.backend == backend.name {
                member.target = MemberTarget::Backend(Arc::clone(&backend));
            }
        }
        self.config.frontends.insert(web.name.clone(), Arc::new(web));
        self.plan();
    }

    /// Plans the VIP, as the agent does, and applies the plan.
    fn plan(&mut self) {
        let wanted = self.configured();
        let (config, health) = (Some(&self.config), &self.health);
        let situation = Situation { now: self.now, config, health, actual: &self.actual, hold_for: HOLD };
        let in_force = self.guard.decide(&wanted, situation);
        let effective = effective_weights(&in_force, &self.health, self.actual.weights(in_force.vip.into()));
        let desired = desired_vip(&in_force, effective, &self.actual).unwrap();
        let desired = [(in_force.vip, DesiredEntry { frontend: in_force.name.clone(), vip: desired })].into();
        let owned_vips = [(in_force.vip, in_force.name.clone())].into();
        let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Keep, claims_unknown: false };
        let plan = plan_address(in_force.vip.address, &desired, &self.actual, &DueFlushes::new(), policy);
        let before = plan.changed_vips(&self.actual);
        self.guard.record(self.now, &plan, &before);
        plan.steps().for_each(|step| self.actual.apply(step));
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        for address in self.guard.tick(self.now) {
            assert_eq!(address, vip(VIP).address);
            self.plan();
        }
    }

    /// A new agent on the same VPP.
    fn restart(&mut self) {
        self.guard = DisruptionGuard::default();
        self.plan();
    }

    /// Weights in VPP, by the number of the backend.
    fn weights(&self) -> BTreeMap<u8, u8> {
        let vip = in_vpp(Some(&self.actual), vip(VIP)).expect("VPP has the VIP");
        let number = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        vip.ases.iter().map(|(address, server)| (number(address), server.weight)).collect()
    }

    fn holds(&self) -> Vec<(String, u16)> {
        let holds = self.guard.vips.values().filter_map(|guarded| guarded.hold.as_ref());
        holds.map(|hold| (hold.id.as_str().to_owned(), hold.moved_permille)).collect()
    }
}

#[test]
fn change_beyond_the_budget_is_held_with_its_share() {
    let mut node = Node::new(&[&[(1, 10), (2, 10), (3, 10)]], 20);
    node.set_pools(&[&[(1, 10), (2, 10)]]);
    assert_eq!(node.weights(), [(1, 10), (2, 10), (3, 10)].into(), "a third would move");
    let [(id, moved)] = &node.holds()[..] else { panic!("{:?}", node.holds()) };
    assert!((330..420).contains(moved), "{moved}");
    let new = node.guard.take_new_holds();
    assert_eq!((new.len(), new[0].id.as_str(), new[0].until), (1, id.as_str(), node.now + HOLD));
    assert_eq!(new[0].change, HeldChange { frontend: node.configured().name.clone(), moved_permille: *moved });
    node.plan();
    assert_eq!(node.guard.take_new_holds(), [], "published once");
    let accepted = node.guard.accept(&[Arc::from(id.as_str())].into());
    assert_eq!(accepted, [vip(VIP).address].into());
    node.plan();
    assert_eq!(node.weights(), [(1, 10), (2, 10)].into());
    let ended = node.guard.take_ended_holds();
    assert_eq!(ended.iter().map(|hold| hold.by).collect::<Vec<_>>(), [HoldEnd::Accepted]);
    assert_eq!(node.holds(), []);
}

#[test]
fn change_within_the_budget_takes_effect_until_the_window_is_full() {
    let mut node = Node::new(&[&[(1, 10), (2, 10), (3, 10), (4, 10), (5, 10)]], 30);
    node.set_pools(&[&[(1, 10), (2, 10), (3, 10), (4, 10)]]);
    assert_eq!(node.weights().len(), 4, "a fifth moves, and little else");
    node.set_pools(&[&[(1, 10), (2, 10), (3, 10)]]);
    assert_eq!(node.weights().len(), 4, "a quarter more is too much within the window");
    node.advance(WINDOW - Duration::from_secs(1));
    assert_eq!(node.weights().len(), 4);
    let timer = node.guard.next_timer().unwrap();
    assert_eq!(timer, node.now + Duration::from_secs(1), "the first change leaves the window then");
    node.advance(Duration::from_secs(1));
    assert_eq!(node.weights().len(), 3, "within the budget again");
    assert_eq!(node.holds(), []);
}

#[test]
fn hold_expires() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 5);
    node.set_pools(&[&[(1, 10)]]);
    node.guard.take_new_holds();
    node.advance(HOLD - Duration::from_secs(1));
    assert_eq!(node.weights().len(), 2);
    node.advance(Duration::from_secs(1));
    assert_eq!(node.weights().len(), 1);
    assert_eq!(node.guard.take_ended_holds()[0].by, HoldEnd::Expired);
}

#[test]
fn health_and_drains_are_not_held_but_count() {
    let mut node = Node::new(&[&[(1, 10), (2, 10), (3, 10), (4, 10)]], 30);
    node.set_state(1, BackendState::Down);
    assert_eq!(node.weights()[&1], 0);
    node.set_admin_state(2, AdminState::Paused);
    assert_eq!(node.weights()[&2], 0, "half of all buckets have moved");
    node.set_pools(&[&[(1, 10), (2, 10), (3, 10), (4, 11)]]);
    assert_eq!(node.weights()[&4], 10, "the budget is used up");
    node.set_state(1, BackendState::Up);
    assert_eq!(node.weights()[&1], 10, "a held VIP follows health");
    node.set_admin_state(2, AdminState::Enabled);
    assert_eq!(node.weights()[&2], 10, "and the admin state");
    node.set_admin_state(3, AdminState::Disabled);
    assert_eq!(node.weights(), [(1, 10), (2, 10), (3, 0), (4, 10)].into());
}

#[test]
fn recreate_moves_everything() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 99);
    node.edit(|web| web.sticky = true);
    assert_eq!(node.holds()[0].1, 1000);
    assert_eq!(in_vpp(Some(&node.actual), vip(VIP)).unwrap().sticky, Some(false));
    node.edit(|web| web.sticky = false);
    assert_eq!(node.holds(), [], "taken back");
    node.edit(|web| web.table_length = TableLength::new(2048).unwrap());
    assert_eq!(node.holds()[0].1, 1000);
}

#[test]
fn change_that_moves_nothing_takes_effect() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 1);
    node.set_pools(&[&[(1, 10), (2, 10)], &[(3, 10)]]);
    assert_eq!(node.weights(), [(1, 10), (2, 10), (3, 0)].into(), "a standby pool moves nothing");
}

#[test]
fn change_is_made_when_nothing_serves_without_it() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 1);
    node.set_pools(&[&[(3, 10), (4, 10)]]);
    assert_eq!(node.weights(), [(1, 10), (2, 10)].into());
    node.set_state(1, BackendState::Down);
    assert_eq!(node.weights(), [(1, 0), (2, 10)].into());
    node.set_state(2, BackendState::Down);
    assert_eq!(node.weights(), [(3, 10), (4, 10)].into());
}

#[test]
fn restarted_agent_holds_the_same_change() {
    let mut node = Node::new(&[&[(1, 10), (2, 10), (3, 10)]], 10);
    node.set_pools(&[&[(1, 10), (4, 40)]]);
    let before = (node.weights(), node.holds());
    assert_eq!(before.0, [(1, 10), (2, 10), (3, 10)].into());
    node.restart();
    let (weights, holds) = (node.weights(), node.holds());
    assert_eq!((&weights, &holds[0].0), (&before.0, &before.1[0].0));
    node.set_state(2, BackendState::Down);
    assert_eq!(node.weights()[&2], 0, "a server of before follows health");
    node.set_state(2, BackendState::Up);
    assert_eq!(node.weights()[&2], 10);
}

#[test]
fn restarted_agent_holds_a_change_of_weights() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 5);
    node.set_pools(&[&[(1, 10), (2, 90)]]);
    node.restart();
    assert_eq!(node.weights(), [(1, 10), (2, 10)].into());
    assert_eq!(node.holds().len(), 1);
}

#[test]
fn change_after_an_accepted_one_is_held() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 5);
    node.set_pools(&[&[(1, 10)]]);
    node.guard.accept(&[Arc::from(node.holds()[0].0.as_str())].into());
    // Configured before the accepted change was planned.
    node.set_pools(&[&[(2, 10)]]);
    assert_eq!(node.weights(), [(1, 10), (2, 10)].into());
}

#[test]
fn backend_with_a_held_change_of_its_address_follows_the_admin_state() {
    let mut node = Node::new(&[&[(1, 10), (2, 10), (3, 10)]], 5);
    let edit = |node: &mut Node, admin_state| {
        let moved = Backend { admin_state, ..backend("b1", "192.0.2.99") };
        let heavy = Member { weight: Weight::clamped(60), ..member(server(3)) };
        node.edit(|web| web.pools[0].members = vec![member(moved), member(server(2)), heavy].into());
    };
    edit(&mut node, AdminState::Enabled);
    assert_eq!(node.weights(), [(1, 10), (2, 10), (3, 10)].into());
    edit(&mut node, AdminState::Paused);
    assert_eq!(node.weights(), [(1, 0), (2, 10), (3, 10)].into(), "a drain, at the address of before");
}

#[test]
fn removed_budget_ends_the_hold() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 5);
    node.set_pools(&[&[(1, 10)]]);
    node.guard.take_new_holds();
    node.edit(|web| web.disruption = None);
    assert_eq!(node.weights().len(), 1);
    assert_eq!(node.guard.take_ended_holds()[0].by, HoldEnd::Obsolete);
}

#[test]
fn new_change_replaces_the_held_one() {
    let mut node = Node::new(&[&[(1, 10), (2, 10)]], 5);
    node.set_pools(&[&[(1, 10)]]);
    let first = node.holds();
    node.guard.take_new_holds();
    node.set_pools(&[&[(2, 10)]]);
    assert_ne!(node.holds()[0].0, first[0].0);
    node.guard.accept(&[Arc::from(first[0].0.as_str())].into());
    node.plan();
    assert_eq!(node.weights(), [(1, 10), (2, 10)].into(), "the old id accepts nothing");
    assert_eq!(node.guard.take_ended_holds().len(), 1, "the first hold");
}
