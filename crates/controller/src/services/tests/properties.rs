//! Random operations against a model: no address is in two hands, none moves, and none is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use proptest::prelude::*;

use super::world::{Leader, World, auto};
use crate::services::{plan::ServicePlan, request::asks_for};
use maglev_kube::service_objects::{FrontendObject, ServiceObject};
use maglev_model::{Name, vip::Family};

/// Operations of one case.
const OPERATIONS: usize = 1000;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Create {
        service: u8,
        dual: bool,
        address: Option<u8>,
        port: u16,
    },
    Delete(u8),
    SetType(u8, bool),
    /// Asks for an address, or for none.
    Ask(u8, Option<u8>),
    SetPort(u8, u16),
    SetPolicies(u8),
    CreateByHand(u8, u8),
    DeleteByHand(u8),
    /// The leader sees everything and writes at most this number of objects.
    Work(usize),
    /// The leader writes without having seen anything new.
    WorkStale(usize),
    /// A new process leads. The writes of the former one that were under way arrive later.
    Restart {
        late: bool,
    },
    SetConditions,
}

fn operation() -> impl Strategy<Value = Operation> {
    let service = 0..10_u8;
    let address = || prop::option::of(0..12_u8);
    prop_oneof![
        6 => (service.clone(), any::<bool>(), address(), 80..83_u16).prop_map(|(service, dual, address, port)| {
            Operation::Create { service, dual, address, port }
        }),
        2 => service.clone().prop_map(Operation::Delete),
        1 => (service.clone(), any::<bool>()).prop_map(|(service, of_class)| Operation::SetType(service, of_class)),
        2 => (service.clone(), address()).prop_map(|(service, address)| Operation::Ask(service, address)),
        1 => (service, 80..83_u16).prop_map(|(service, port)| Operation::SetPort(service, port)),
        1 => (0..4_u8).prop_map(Operation::SetPolicies),
        1 => (0..3_u8, 0..12_u8).prop_map(|(number, address)| Operation::CreateByHand(number, address)),
        1 => (0..3_u8).prop_map(Operation::DeleteByHand),
        6 => (0..6_usize).prop_map(Operation::Work),
        3 => (0..4_usize).prop_map(Operation::WorkStale),
        2 => any::<bool>().prop_map(|late| Operation::Restart { late }),
        4 => Just(Operation::SetConditions),
    ]
}

fn text(service: u8) -> String {
    format!("{}/s{service}", ["a", "b"][usize::from(service % 2)])
}

fn address(number: u8) -> String {
    format!("203.0.113.{}", 16 + number)
}

struct Model {
    world: World,
    leader: Leader,
    /// The writes of a former leader that arrive later.
    late: Vec<(Leader, Vec<ServicePlan>)>,
    /// The addresses in the status of each Service, by uid, while it does not ask for others.
    published: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
}

impl Model {
    fn new() -> Self {
        let world = World::new(&[("pool", auto(&["203.0.113.16/29", "2001:db8::/64"]))]);
        Self { world, leader: Leader::default(), late: Vec::new(), published: BTreeMap::new() }
    }

    fn apply(&mut self, operation: Operation) {
        let world = &mut self.world;
        match operation {
            Operation::Create { service, dual, address: requested, port } => {
                if world.services.contains_key(&super::world::name(&text(service))) {
                    return;
                }
                world.create(&text(service), |spec| {
                    spec.ports[0].port = port.try_into().unwrap();
                    if dual {
                        spec.families.push(Family::V6);
                    }
                    spec.annotations.extend(requested.map(|requested| ("address".to_owned(), address(requested))));
                });
            }
            Operation::Delete(service) => world.delete(&text(service)),
            Operation::SetType(service, is_of_class) => {
                world.set_type(&text(service), is_of_class);
                self.forget(service);
            }
            Operation::Ask(service, requested) => self.ask(service, requested),
            Operation::SetPort(service, port) => {
                world.edit(&text(service), |spec| spec.ports[0].port = port.try_into().unwrap());
            }
            Operation::SetPolicies(number) => {
                let networks: [&[&str]; 4] = [
                    &["203.0.113.16/29", "2001:db8::/64"],
                    &["203.0.113.16/30"],
                    &["203.0.113.20/30", "203.0.113.16/32"],
                    &["198.51.100.0/31", "203.0.113.16/28", "2001:db8::/127"],
                ];
                world.policies.insert("pool".to_owned(), auto(networks[usize::from(number)]));
            }
            Operation::CreateByHand(number, requested) => {
                let wanted: IpAddr = address(requested).parse().unwrap();
                if !world.frontends.values().any(|frontend| frontend.address == Some(wanted)) {
                    world.create_by_hand(&format!("a/hand{number}"), &address(requested));
                }
            }
            Operation::DeleteByHand(number) => {
                world.frontends.remove(&Name::namespaced("a", &format!("hand{number}")));
            }
            Operation::Work(limit) => {
                self.leader.sync(world);
                self.leader.work(world, limit);
            }
            Operation::WorkStale(limit) => self.leader.work(world, limit),
            Operation::Restart { late } => {
                let mut former = std::mem::take(&mut self.leader);
                let plans = former.plans(world.clock);
                if late {
                    self.late.push((former, plans));
                }
                self.leader.sync(world);
            }
            Operation::SetConditions => world.set_conditions(),
        }
    }

    fn ask(&mut self, service: u8, requested: Option<u8>) {
        // The Service may have moved to the address that it has asked for until now, or be on the way.
        let moves = self.world.services.get(&super::world::name(&text(service))).and_then(|service| {
            let former: IpAddr = service.spec.as_ref()?.annotations.get("address")?.parse().ok()?;
            Some(!self.published.get(&service.uid)?.contains(&former))
        });
        self.world.ask(&text(service), &requested.map(address).unwrap_or_default());
        if requested.is_some() || moves == Some(true) {
            self.forget(service);
        }
    }

    fn forget(&mut self, service: u8) {
        let object = self.world.services.get(&super::world::name(&text(service)));
        if let Some(object) = object {
            self.published.remove(&object.uid);
        }
    }

    /// Lets late writes arrive, and the leader come to rest.
    fn settle(&mut self) {
        for (mut former, plans) in std::mem::take(&mut self.late) {
            // The status of a Service is written for one version only, so only Frontends can arrive late.
            for mut plan in plans {
                plan.status = None;
                let mut limit = usize::MAX;
                former.send(&mut self.world, &plan, &mut limit);
            }
        }
        self.world.settle(&mut self.leader);
    }

    fn check(&mut self) {
        self.check_hands();
        self.check_moves();
        self.check_losses();
    }

    /// No address is in two hands.
    fn check_hands(&self) {
        let frontends: Vec<&FrontendObject> = self.world.frontends.values().collect();
        for (index, frontend) in frontends.iter().enumerate() {
            for other in &frontends[index + 1..] {
                if frontend.address != other.address {
                    continue;
                }
                let services = [frontend, other].map(|frontend| frontend.owner.as_ref().map(|owner| &owner.service));
                let [Some(service), Some(neighbour)] = services else {
                    panic!("{} and {} have one address", frontend.name, other.name)
                };
                let shares = service.namespace() == neighbour.namespace() && frontend.traffic != other.traffic;
                assert!(service == neighbour || shares, "{} and {} have one address", frontend.name, other.name);
            }
        }
    }

    /// No published address leaves a Service that does not ask for another one.
    fn check_moves(&mut self) {
        let services = self.world.services.values().filter(|service| service.spec.is_some());
        let mut published = BTreeMap::new();
        for service in services {
            let now: BTreeSet<IpAddr> = service.ingress.iter().copied().collect();
            if let Some(before) = self.published.get(&service.uid) {
                // A Service moves once it can have another address that it asks for. A Frontend that is made by hand
                // meanwhile can still take that address.
                let requested = service.spec.as_ref().and_then(|spec| spec.annotations.get("address"));
                let moves = requested.is_some_and(|asks| before.iter().all(|address| address.to_string() != *asks));
                assert!(moves || before.is_subset(&now), "{} had {before:?} and has {now:?}", service.name);
            }
            published.insert(Arc::clone(&service.uid), now);
        }
        self.published = published;
    }

    /// A Service without an address that asks for none finds every address in use, and no Frontend is left over.
    fn check_losses(&self) {
        let used: BTreeSet<IpAddr> = self.world.frontends.values().filter_map(|frontend| frontend.address).collect();
        for service in self.world.services.values() {
            let Some(spec) = &service.spec else { continue };
            let is_idle = service.ingress.is_empty() && !spec.annotations.contains_key("address");
            if is_idle {
                let free = self.assigned_addresses().into_iter().find(|address| !used.contains(address));
                assert_eq!(
                    free,
                    None,
                    "{} has no address: {:?}",
                    service.name,
                    self.world.state(service.name.as_str())
                );
            }
        }
        for frontend in self.world.frontends.values() {
            let Some(owner) = &frontend.owner else { continue };
            let is_owned = |service: &&ServiceObject| service.uid == owner.uid && service.spec.is_some();
            let service = self.world.services.get(&owner.service).filter(is_owned);
            let service = service.unwrap_or_else(|| panic!("{} is left over", frontend.name));
            let address = frontend.address.unwrap();
            let is_known =
                service.ingress.contains(&address) || service.spec.as_ref().is_some_and(|spec| asks_for(spec, address));
            assert!(is_known, "{} is on {address}, which is not in the status of its Service", frontend.name);
        }
    }

    /// The IPv4 addresses that the policy gives to Services.
    fn assigned_addresses(&self) -> Vec<IpAddr> {
        let networks = self.world.policies["pool"]["frontends"]["addresses"].as_array().unwrap();
        let ranges = networks.iter().filter_map(|network| {
            let network: maglev_crd::Network = network.as_str()?.parse().ok()?;
            let range = maglev_index::AddressRange::assignable(network.get());
            (!range.is_ipv6()).then_some(range)
        });
        ranges.flat_map(|range| std::iter::successors(Some(range.first()), move |last| range.after(*last))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_address_is_in_two_hands_moved_or_lost(
        operations in prop::collection::vec((operation(), 0..5_u8), OPERATIONS..=OPERATIONS)
    ) {
        let mut model = Model::new();
        for (operation, settles) in operations {
            model.apply(operation);
            if settles == 0 {
                model.settle();
                model.check();
            }
        }
        model.settle();
        model.check();
    }
}
