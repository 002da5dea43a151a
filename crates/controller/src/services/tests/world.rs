//! A simulated API server with Services, Frontends and AddressPolicies, and leaders whose caches may be stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use imbl::OrdMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::objects::{at, by_hand, condition, service, stored};
use crate::services::{
    engine::ServiceEngine,
    plan::{FrontendWrite, ServicePlan},
};
use maglev_crd::Condition;
use maglev_index::{Meta, Object, Stored};
use maglev_kube::service_objects::{FrontendObject, ServiceObject, ServiceSpec};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};

pub fn name(text: &str) -> Name {
    let (namespace, short) = text.split_once('/').unwrap();
    Name::namespaced(namespace, short)
}

/// An AddressPolicy for all namespaces that gives addresses of `networks` to Services.
pub fn auto(networks: &[&str]) -> Value {
    json!({"frontends": {"addresses": networks, "assign": "Auto"}})
}

fn policy(policy: &str, spec: &Value) -> Object {
    let meta = Meta { name: Name::cluster(policy), revision: Revision::default(), created: at(0) };
    Object::AddressPolicy(Stored { meta, spec: Ok(serde_json::from_value(spec.clone()).unwrap()) })
}

#[derive(Default)]
pub struct World {
    /// Counts every write; also the time in seconds.
    pub clock: i64,
    pub services: BTreeMap<Name, ServiceObject>,
    pub frontends: BTreeMap<Name, FrontendObject>,
    pub policies: BTreeMap<String, Value>,
}

/// A replica that leads, or that has not noticed yet that another one does.
pub struct Leader {
    pub engine: ServiceEngine,
    seen: BTreeMap<Name, String>,
    seen_policies: BTreeSet<String>,
    is_listed: bool,
}

impl Default for Leader {
    fn default() -> Self {
        let engine = ServiceEngine::new(false);
        Self { engine, seen: BTreeMap::new(), seen_policies: BTreeSet::new(), is_listed: false }
    }
}

impl World {
    pub fn new(policies: &[(&str, Value)]) -> Self {
        let policies = policies.iter().map(|(policy, spec)| ((*policy).to_owned(), spec.clone())).collect();
        Self { policies, ..Self::default() }
    }

    fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    /// Creates a Service.
    pub fn create(&mut self, text: &str, change: impl FnOnce(&mut ServiceSpec)) {
        let now = self.tick();
        let mut object = service(text, change);
        (object.uid, object.created, object.version) = (format!("{text}-{now}").into(), at(now), now.to_string());
        self.services.insert(object.name.clone(), object);
    }

    /// Changes the spec of a Service.
    pub fn edit(&mut self, text: &str, change: impl FnOnce(&mut ServiceSpec)) {
        let now = self.tick();
        let Some(service) = self.services.get_mut(&name(text)) else { return };
        let Some(spec) = &mut service.spec else { return };
        change(Arc::make_mut(spec));
        service.version = now.to_string();
    }

    /// Sets the annotation with the requested addresses; removes it if empty.
    pub fn ask(&mut self, text: &str, addresses: &str) {
        self.edit(text, |spec| {
            spec.annotations.remove("address");
            if !addresses.is_empty() {
                spec.annotations.insert("address".to_owned(), addresses.to_owned());
            }
        });
    }

    pub fn delete(&mut self, text: &str) {
        self.tick();
        self.services.remove(&name(text));
    }

    /// Changes the type of a Service, as the API server does: the addresses leave its status.
    pub fn set_type(&mut self, text: &str, is_of_class: bool) {
        let now = self.tick();
        let Some(service) = self.services.get_mut(&name(text)) else { return };
        if !is_of_class {
            (service.spec, service.ingress) = (None, Vec::new());
        } else if service.spec.is_none() {
            service.spec = super::objects::service(text, |_| {}).spec;
        }
        service.version = now.to_string();
    }

    pub fn create_by_hand(&mut self, text: &str, address: &str) {
        let now = self.tick();
        self.frontends.entry(name(text)).or_insert_with(|| by_hand(&name(text), address, now));
    }

    /// Sets the conditions of all Frontends as the controller's other loop does: the oldest one has the VIP, and its
    /// namespace the address.
    pub fn set_conditions(&mut self) {
        let mut owners: BTreeMap<IpAddr, (Timestamp, String)> = BTreeMap::new();
        let mut by_age: Vec<(Timestamp, Name)> =
            self.frontends.values().map(|frontend| (frontend.created, frontend.name.clone())).collect();
        by_age.sort();
        let mut vips = BTreeSet::new();
        for (created, name) in by_age {
            let now = self.clock + 1;
            let Some(frontend) = self.frontends.get_mut(&name) else { continue };
            let Some(address) = frontend.address else { continue };
            let owner = owners.entry(address).or_insert((created, name.namespace().to_owned()));
            let is_accepted = owner.1 == name.namespace() && vips.insert((address, frontend.traffic));
            let (status, reason) = if is_accepted { ("True", "Accepted") } else { ("False", "Conflicted") };
            let conditions = vec![condition("Accepted", status, reason), condition("Programmed", status, reason)];
            if frontend.conditions != conditions {
                (frontend.conditions, frontend.version) = (conditions, now.to_string());
                self.clock = now;
            }
        }
    }

    fn apply(&mut self, write: &FrontendWrite) -> Option<FrontendObject> {
        let now = self.tick();
        let new = stored(&write.frontend, now);
        let object = match (self.frontends.get(&new.name), &write.base) {
            (None, None) => new,
            (Some(old), Some(base)) if old.uid != base.uid || old.version != base.version => return None,
            // The address cannot be changed, and the apply of a new object takes no field of another manager.
            (Some(old), _) if old.owner.is_none() || old.address != new.address => return None,
            (Some(old), _) => FrontendObject { spec: new.spec, version: new.version, owner: new.owner, ..old.clone() },
            (None, Some(_)) => return None,
        };
        self.frontends.insert(object.name.clone(), object.clone());
        Some(object)
    }

    /// The first address, the addresses of a Service in its status, and the reason of its condition Accepted.
    pub fn state(&self, text: &str) -> String {
        let service = &self.services[&name(text)];
        let accepted = service.conditions.iter().find(|found| found.type_ == crate::services::ACCEPTED);
        let reason = accepted.map_or("none", |accepted| &accepted.reason);
        let addresses: Vec<String> = service.ingress.iter().map(ToString::to_string).collect();
        format!("{} {reason}", addresses.join(",")).trim_start().to_owned()
    }

    /// The Frontends with their addresses.
    pub fn frontends(&self) -> Vec<String> {
        let text = |frontend: &FrontendObject| {
            format!("{} {}", frontend.name, frontend.address.map(|address| address.to_string()).unwrap_or_default())
        };
        self.frontends.values().map(text).collect()
    }

    /// Lets `leader` see everything and write until nothing is left to do.
    pub fn settle(&mut self, leader: &mut Leader) {
        for _ in 0..20 {
            leader.sync(self);
            let before = self.clock;
            leader.work(self, usize::MAX);
            self.set_conditions();
            if self.clock == before {
                return;
            }
        }
        panic!("the leader does not come to rest: {:?}", self.frontends());
    }
}

impl Leader {
    /// Delivers the present objects.
    pub fn sync(&mut self, world: &World) {
        let services: OrdMap<Name, ServiceObject> =
            world.services.iter().map(|(name, service)| (name.clone(), service.clone())).collect();
        self.engine.set_services(services);
        let deleted: Vec<Name> =
            self.seen.keys().filter(|name| !world.frontends.contains_key(*name)).cloned().collect();
        let version = |frontend: &FrontendObject| format!("{}-{}", frontend.uid, frontend.version);
        let changed =
            world.frontends.values().filter(|frontend| self.seen.get(&frontend.name) != Some(&version(frontend)));
        let changed: Vec<FrontendObject> = changed.cloned().collect();
        self.seen = world.frontends.values().map(|frontend| (frontend.name.clone(), version(frontend))).collect();
        let first = !std::mem::replace(&mut self.is_listed, true);
        self.engine.update_frontends(first, &deleted, changed);
        let policies: BTreeSet<String> =
            world.policies.iter().map(|(policy, spec)| format!("{policy}={spec}")).collect();
        if first || policies != self.seen_policies {
            let gone = |seen: &String| seen.split_once('=').map(|(policy, _)| policy.to_owned());
            let deleted = self.seen_policies.iter().filter_map(gone).filter(|gone| !world.policies.contains_key(gone));
            let deleted: Vec<Name> = deleted.map(|gone| Name::cluster(&gone)).collect();
            let objects = world.policies.iter().map(|(name, spec)| policy(name, spec)).collect();
            self.engine.update_grants(Kind::AddressPolicy, first, &deleted, objects);
            self.seen_policies = policies;
        }
        if first {
            for kind in [Kind::LoadBalancerConfig, Kind::Node] {
                self.engine.update_grants(kind, true, &[], Vec::new());
            }
        }
    }

    /// The plans of the dirty Services.
    pub fn plans(&mut self, now: i64) -> Vec<ServicePlan> {
        let dirty = self.engine.take_dirty(|_| false);
        let plans = dirty.iter().map(|name| self.engine.plan(name, at(now)));
        plans.filter(|plan| !plan.is_empty()).collect()
    }

    /// Plans the dirty Services, and sends at most `limit` writes.
    pub fn work(&mut self, world: &mut World, mut limit: usize) {
        let now = world.clock;
        for plan in self.plans(now) {
            self.send(world, &plan, &mut limit);
        }
    }

    /// Sends the writes of a plan, at most `limit`.
    pub fn send(&mut self, world: &mut World, plan: &ServicePlan, limit: &mut usize) {
        self.engine.mark(plan.name.clone());
        let mut may_send = || limit.checked_sub(1).is_some_and(|left| std::mem::replace(limit, left) > 0);
        for write in &plan.apply {
            if !may_send() {
                return;
            }
            let Some(object) = world.apply(write) else { return };
            self.engine.frontend_written(object, write.frontend.manifest.clone(), Instant::now());
        }
        for deletion in &plan.delete {
            if !may_send() {
                return;
            }
            if world.frontends.get(&deletion.name).is_some_and(|frontend| frontend.uid == deletion.uid) {
                world.tick();
                world.frontends.remove(&deletion.name);
            }
            self.engine.frontend_deleted(&deletion.name, &deletion.uid);
        }
        if let Some((from, new)) = plan.status.as_ref().filter(|_| may_send()) {
            let now = world.clock + 1;
            let Some(service) = world.services.get_mut(&from.name) else { return };
            if service.version != from.version {
                return;
            }
            let ingress = new.status["loadBalancer"]["ingress"].as_array();
            let ingress = ingress.into_iter().flatten().map(|entry| entry["ip"].as_str().unwrap().parse().unwrap());
            let conditions = new.status["conditions"].clone();
            service.ingress = ingress.collect();
            service.conditions =
                serde_json::from_value::<Option<Vec<Condition>>>(conditions).unwrap().unwrap_or_default();
            service.version = now.to_string();
            world.clock = now;
            self.engine.status_written(from.name.clone(), from.version.clone(), new);
        }
    }
}
