//! A world, a store that stands for the API server, and agents that say what a test makes them say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    digest::Digest,
    links::LinkNews,
    status::Status,
    world::{Action, Key, Now, World},
};
use maglev_crd::{BackendStatus, FrontendStatus, MaglevNodeStatus};
use maglev_index::{Meta, NodeObject, Object, Stored, Unreadable};
use maglev_kube::{KindNews, NodeSeen, Seen, StoredStatus, cluster_watch::BoundPod, status_writer::Written};
use maglev_model::{
    Name,
    change::{Change, Report, VppInfo},
    config::{Kind, Revision},
    event::{FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode, Transition},
    view::View,
};

const KINDS: [Kind; 4] = [Kind::HealthCheck, Kind::Backend, Kind::Frontend, Kind::LoadBalancerConfig];

pub struct Scene {
    pub(crate) world: World,
    pub(crate) now: Now,
    /// Specs, generations and statuses, as the API server has them.
    store: BTreeMap<Key, (Value, StoredStatus)>,
    version: u64,
    nodes: OrdMap<Name, NodeSeen>,
    pub(crate) pods: OrdMap<Name, BoundPod>,
}

pub fn name(text: &str) -> Name {
    text.split_once('/').map_or_else(|| Name::cluster(text), |(namespace, name)| Name::namespaced(namespace, name))
}

pub fn frontend_spec(backends: &[&str]) -> Value {
    let backends: Vec<Value> = backends.iter().map(|name| json!({ "name": name })).collect();
    let pools = json!([{ "name": "primary", "backends": backends }]);
    json!({ "address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools })
}

fn kind(text: &str) -> Written {
    KINDS.into_iter().find(|kind| kind.as_str() == text).map_or(Written::MaglevNode, Written::Kind)
}

impl Scene {
    /// A listed world without objects, and agents that answer on these nodes.
    pub fn with_nodes(nodes: &[&str]) -> Self {
        let mut scene = Self::unheard(nodes);
        nodes.iter().for_each(|node| scene.hear(node));
        scene
    }

    /// The same, but no agent was heard yet.
    pub fn unheard(nodes: &[&str]) -> Self {
        let now = Now { monotonic: Instant::now(), wall: "2026-11-23T02:00:00Z".parse().unwrap() };
        let mut scene = Self {
            world: World::new(false),
            now,
            store: BTreeMap::new(),
            version: 1,
            nodes: OrdMap::new(),
            pods: OrdMap::new(),
        };
        for node in nodes {
            scene.node(node, &[]);
            scene.pods.insert(Name::namespaced("lb", &format!("maglevd-{node}")), BoundPod { node: (*node).into() });
        }
        scene.list();
        scene
    }

    /// A Frontend shop/web with a Backend shop/one, which every node has programmed and up.
    pub fn programmed(nodes: &[&str]) -> Self {
        let mut scene = Self::with_nodes(nodes);
        scene.backend("shop/one", "10.0.0.1");
        scene.frontend("shop/web", &frontend_spec(&["one"]));
        scene.settle();
        for node in nodes {
            scene.reports(node, "shop/web", ProgramResult::Programmed, "");
            scene.state(node, "shop/web", FrontendState::Up);
        }
        scene.settle();
        assert_eq!(scene.said("shop/web", "Ready"), "True Ready");
        scene
    }

    /// A new leader's world over the same cluster; it has heard nobody yet.
    pub fn next_leader(&mut self) {
        self.world = World::new(false);
        self.list();
    }

    fn list(&mut self) {
        let of = |kind: Kind| {
            let own = self.store.iter().filter(move |(key, _)| key.0 == Written::Kind(kind));
            let seen = own.map(|(key, (spec, stored))| seen(kind, &key.1, spec, stored)).collect();
            KindNews { kind, first: true, gone: Vec::new(), seen }
        };
        self.world.take_kinds(KINDS.map(of).into());
        self.world.take_nodes(self.nodes.clone(), self.now);
        self.world.take_pods(&self.pods, self.now);
        self.tell_maglev_nodes();
        assert!(self.world.is_listed());
    }

    pub fn tell_maglev_nodes(&mut self) {
        let own = self.store.iter().filter(|(key, _)| key.0 == Written::MaglevNode);
        let found: OrdMap<Name, StoredStatus> = own.map(|(key, (_, stored))| (key.1.clone(), stored.clone())).collect();
        self.world.take_maglev_nodes(&found, self.now);
    }

    pub fn node(&mut self, node: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let object = NodeObject { name: node.to_owned(), labels, addresses: Vec::new() };
        let seen = NodeSeen { object, uid: format!("uid-{node}").into(), not_ready_since: None };
        self.nodes.insert(Name::cluster(node), seen);
    }

    pub fn tell_nodes(&mut self) {
        self.world.take_nodes(self.nodes.clone(), self.now);
    }

    pub fn tell_pods(&mut self) {
        self.world.take_pods(&self.pods, self.now);
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now.monotonic += std::time::Duration::from_secs(seconds);
        self.now.wall += jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap());
        self.world.look_at_nodes(self.now);
    }

    /// A person creates an object or changes its spec.
    pub fn object(&mut self, of: &str, at: &str, spec: &Value) {
        let Written::Kind(of) = kind(of) else { panic!("nobody types a MaglevNode") };
        self.version += 1;
        let key = (Written::Kind(of), name(at));
        let version = self.version.to_string();
        let uid: Arc<str> = format!("uid-{}-{at}", of.as_str()).into();
        let (spec, stored) = match self.store.get(&key) {
            Some((_, before)) => {
                (spec.clone(), StoredStatus { generation: before.generation + 1, version, ..before.clone() })
            }
            None => (spec.clone(), StoredStatus { uid, generation: 1, version, status: Value::Null }),
        };
        let seen = vec![seen(of, &key.1, &spec, &stored)];
        self.store.insert(key, (spec, stored));
        self.world.take_kinds(vec![KindNews { kind: of, first: false, gone: Vec::new(), seen }]);
    }

    pub fn delete(&mut self, of: &str, at: &str) {
        let Written::Kind(of) = kind(of) else { panic!("nobody deletes a MaglevNode") };
        self.store.remove(&(Written::Kind(of), name(at)));
        self.world.take_kinds(vec![KindNews { kind: of, first: false, gone: vec![name(at)], seen: Vec::new() }]);
    }

    pub fn frontend(&mut self, at: &str, spec: &Value) {
        self.object("Frontend", at, spec);
    }

    pub fn backend(&mut self, at: &str, address: &str) {
        self.object("Backend", at, &json!({ "address": address }));
    }

    pub fn probed(&mut self, at: &str, address: &str, check: &str) {
        self.object("Backend", at, &json!({ "address": address, "healthCheckRef": { "name": check } }));
    }

    pub fn check(&mut self, at: &str) {
        self.object("HealthCheck", at, &json!({ "type": "TCP", "port": 80 }));
    }

    /// An agent's link comes up, and it says that it knows nothing yet.
    pub fn hear(&mut self, node: &str) {
        self.world.take_link(LinkNews::Link(node.into(), Ok(())));
        self.reset(node, &View::default());
        let info = VppInfo { version: "26.10".to_owned(), ..VppInfo::default() };
        self.tell(node, Change::VppConnected(Arc::new(info)));
    }

    pub fn reset(&mut self, node: &str, view: &View) {
        let mut digest = Digest::default();
        maglev_model::change::Fold::reset(&mut digest, view);
        self.world.take_link(LinkNews::Reset(node.into(), digest));
    }

    pub fn tell(&mut self, node: &str, change: Change) {
        self.world.take_link(LinkNews::Changes(node.into(), vec![(change, self.now.wall)]));
    }

    /// An agent reports about the present version of a Frontend.
    pub fn reports(&mut self, node: &str, at: &str, result: ProgramResult, reason: &str) {
        let report = self.report(at, result, reason);
        self.tell(node, Change::Report(name(at), report));
    }

    pub fn report(&self, at: &str, result: ProgramResult, reason: &str) -> Report {
        let config = self.world.config.as_ref().unwrap();
        let frontend = &config.frontends[&name(at)];
        let Revision { uid, generation } = frontend.revision.clone();
        Report { uid, generation, fingerprint: Fingerprint::of(frontend), result, reason: reason.into() }
    }

    /// The same with a fingerprint that tells this build nothing.
    pub fn reports_of_version(&mut self, node: &str, at: &str, version: u32) {
        let mut report = self.report(at, ProgramResult::Programmed, "");
        report.fingerprint = Fingerprint { version, hash: [7; 32] };
        self.tell(node, Change::Report(name(at), report));
    }

    pub fn state(&mut self, node: &str, at: &str, state: FrontendState) {
        self.tell(node, Change::Frontend(name(at), state, None));
    }

    pub fn health(&mut self, node: &str, at: &str, address: &str, state: &str) {
        let health = health(address, state, self.now.wall);
        self.tell(node, Change::Health(name(at), Some(health)));
    }

    /// Looks at what was touched and writes what has to be, until all is well. Returns what was written.
    pub fn settle(&mut self) -> Vec<String> {
        let mut written = BTreeSet::new();
        let mut rounds = 0;
        loop {
            let touched = self.world.take_touched();
            if touched.is_empty() {
                return written.into_iter().collect();
            }
            rounds += 1;
            assert!(rounds < 20, "it never comes to rest: {written:?}");
            for key in touched {
                if let Some(action) = self.world.action(&key, self.now) {
                    written.insert(format!("{} {} {}", action.class().as_str(), key.0.as_str(), key.1));
                    self.carry_out(key, action);
                }
            }
        }
    }

    fn carry_out(&mut self, key: Key, action: Action) {
        self.version += 1;
        let version = self.version.to_string();
        match action {
            Action::Write { from, status, .. } => {
                let stored = StoredStatus { version, status: status.value(), ..from };
                self.store.get_mut(&key).expect("only what is stored is written").1 = stored.clone();
                self.world.take_written(key, stored);
            }
            Action::Make { .. } => {
                let uid = format!("uid-{}", key.1).into();
                let stored = StoredStatus { uid, generation: 1, version, status: Value::Null };
                self.store.insert(key.clone(), (Value::Null, stored.clone()));
                self.world.take_written(key, stored);
            }
            Action::Remove { .. } => {
                self.store.remove(&key);
                self.tell_maglev_nodes();
            }
        }
    }

    pub fn status(&self, of: &str, at: &str) -> Status {
        let key = (kind(of), name(at));
        Status::read(key.0, &self.store.get(&key).expect("it is stored").1.status)
    }

    /// Every status that is stored.
    pub fn statuses(&self) -> BTreeMap<String, Value> {
        let of = |(key, (_, stored)): (&Key, &(Value, StoredStatus))| {
            (format!("{} {}", key.0.as_str(), key.1), stored.status.clone())
        };
        self.store.iter().map(of).collect()
    }

    pub fn is_stored(&self, of: &str, at: &str) -> bool {
        self.store.contains_key(&(kind(of), name(at)))
    }

    /// `status reason` of a condition; empty where there is none.
    pub fn said_of(&self, of: &str, at: &str, condition: &str) -> String {
        let status = self.status(of, at);
        status.condition(condition).map(|of| format!("{} {}", of.status, of.reason)).unwrap_or_default()
    }

    pub fn said(&self, at: &str, condition: &str) -> String {
        self.said_of("Frontend", at, condition)
    }

    pub fn message_of(&self, of: &str, at: &str, condition: &str) -> String {
        self.status(of, at).condition(condition).map(|of| of.message.clone()).unwrap_or_default()
    }

    pub fn message(&self, at: &str, condition: &str) -> String {
        self.message_of("Frontend", at, condition)
    }

    pub fn frontend_status(&self, at: &str) -> FrontendStatus {
        let Status::Frontend(status) = self.status("Frontend", at) else { panic!("it is a Frontend") };
        status
    }

    pub fn backend_status(&self, at: &str) -> BackendStatus {
        let Status::Backend(status) = self.status("Backend", at) else { panic!("it is a Backend") };
        status
    }

    pub fn node_status(&self, at: &str) -> MaglevNodeStatus {
        let Status::MaglevNode(status) = self.status("MaglevNode", at) else { panic!("it is a MaglevNode") };
        status
    }

    pub fn backend_said(&self, at: &str) -> String {
        let BackendStatus { state, nodes_up, nodes_down, nodes_unknown, nodes_reporting, .. } = self.backend_status(at);
        let [up, down, unknown, all] =
            [nodes_up, nodes_down, nodes_unknown, nodes_reporting].map(|count| count.unwrap_or(-1));
        format!("{:?} {up} up {down} down {unknown} unknown of {all}", state.unwrap())
    }

    pub fn sentence(&self, at: &str) -> Option<String> {
        self.world.sentence(&name(at), self.backend_status(at).state)
    }
}

/// A backend's health as an agent tells it.
pub fn health(address: &str, state: &str, at: Timestamp) -> BackendHealth {
    let (state, code) = match state {
        "up" => (BackendState::Up, Some(ProbeCode::L4Ok)),
        "down" => (BackendState::Down, Some(ProbeCode::L4Timeout)),
        _ => (BackendState::Unknown, None),
    };
    let transition = Transition { from: BackendState::Unknown, to: state, at, code };
    let ever_known = code.is_some();
    let history = if ever_known { Arc::from([transition]) } else { Arc::from([]) };
    BackendHealth { address: address.parse().unwrap(), state, ever_known, in_doubt: false, history }
}

fn seen(kind: Kind, name: &Name, spec: &Value, stored: &StoredStatus) -> Seen {
    fn of<S: DeserializeOwned>(meta: Meta, spec: &Value) -> Stored<S> {
        let spec = S::deserialize(spec).map_err(|error| Unreadable { spec: spec.clone(), error: error.to_string() });
        Stored { meta, spec }
    }
    let revision = Revision { uid: Arc::clone(&stored.uid), generation: stored.generation };
    // "web" is older than what wants its address.
    let created = Timestamp::from_second(if name.as_str() == "shop/web" { 1 } else { 2 }).unwrap();
    let meta = Meta { name: name.clone(), revision, created };
    let object = match kind {
        Kind::HealthCheck => Object::HealthCheck(of(meta, spec)),
        Kind::Backend => Object::Backend(of(meta, spec)),
        Kind::Frontend => Object::Frontend(of(meta, spec)),
        Kind::LoadBalancerConfig => Object::LoadBalancerConfig(of(meta, spec)),
        Kind::Node => unreachable!("nodes come another way"),
    };
    Seen { object, stored: stored.clone() }
}
