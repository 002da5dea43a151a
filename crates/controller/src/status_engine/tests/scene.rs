//! A status engine, a store in place of the API server, and agents whose reports a test sends.

mod observed;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::observed::observed;
use crate::{
    digest::Digest,
    links::LinkUpdate,
    status::Status,
    status_engine::{Action, Key, Now, StatusEngine},
};
use maglev_crd::{BackendStatus, Condition, FrontendStatus, MaglevNodeStatus};
use maglev_index::NodeObject;
use maglev_kube::{KindUpdate, ObservedNode, StoredStatus, cluster_watch::BoundPod, status_writer::StatusKind};
use maglev_model::{
    Name,
    change::{Change, Report, VppInfo},
    config::{Kind, Revision},
    event::{FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode, Transition},
    view::View,
    weights::ActivePool,
};

const KINDS: [Kind; 5] =
    [Kind::HealthCheck, Kind::Backend, Kind::Frontend, Kind::LoadBalancerConfig, Kind::AddressPolicy];

pub struct Scene {
    pub(crate) engine: StatusEngine,
    pub(crate) now: Now,
    /// Spec and status of each object, in place of the API server.
    store: BTreeMap<Key, (Value, StoredStatus)>,
    version: u64,
    nodes: OrdMap<Name, ObservedNode>,
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

fn kind(text: &str) -> StatusKind {
    KINDS.into_iter().find(|kind| kind.as_str() == text).map_or(StatusKind::MaglevNode, StatusKind::Kind)
}

impl Scene {
    /// An engine that has listed everything, without objects; an agent is connected on each of the nodes.
    pub fn with_nodes(nodes: &[&str]) -> Self {
        let mut scene = Self::without_agents(nodes);
        nodes.iter().for_each(|node| scene.connect_agent(node));
        scene
    }

    /// The same, without connected agents.
    pub fn without_agents(nodes: &[&str]) -> Self {
        let now = Now { monotonic: Instant::now(), wall: "2026-11-23T02:00:00Z".parse().unwrap() };
        let mut scene = Self {
            engine: StatusEngine::new(false, true),
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

    /// A Frontend shop/web with the Backend shop/one, programmed and up on every node.
    pub fn programmed(nodes: &[&str]) -> Self {
        let mut scene = Self::with_nodes(nodes);
        scene.backend("shop/one", "10.0.0.1");
        scene.frontend("shop/web", &frontend_spec(&["one"]));
        scene.reconcile();
        for node in nodes {
            scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
            scene.report_state(node, "shop/web", FrontendState::Up);
        }
        scene.reconcile();
        assert_eq!(scene.condition("shop/web", "Ready"), "True Ready");
        scene
    }

    /// Replaces the engine by that of a new leader, which has received no agent's state.
    pub fn next_leader(&mut self) {
        self.engine = StatusEngine::new(false, true);
        self.list();
    }

    fn list(&mut self) {
        let update = |kind: Kind| {
            let own = self.store.iter().filter(move |(key, _)| key.0 == StatusKind::Kind(kind));
            let objects = own.map(|(key, (spec, stored))| observed(kind, &key.1, spec, stored)).collect();
            KindUpdate { kind, services: None, first: true, deleted: Vec::new(), objects }
        };
        self.engine.apply_kinds(KINDS.map(update).into());
        self.engine.set_nodes(self.nodes.clone(), self.now);
        self.engine.set_pods(&self.pods, self.now);
        self.publish_maglev_nodes();
        assert!(self.engine.is_listed());
    }

    pub fn publish_maglev_nodes(&mut self) {
        let own = self.store.iter().filter(|(key, _)| key.0 == StatusKind::MaglevNode);
        let maglev_nodes: OrdMap<Name, StoredStatus> =
            own.map(|(key, (_, stored))| (key.1.clone(), stored.clone())).collect();
        self.engine.set_maglev_nodes(&maglev_nodes, self.now);
    }

    pub fn node(&mut self, node: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let object = NodeObject { name: node.to_owned(), labels, ..NodeObject::default() };
        let node_object = ObservedNode { object, uid: format!("uid-{node}").into(), not_ready_since: None };
        self.nodes.insert(Name::cluster(node), node_object);
    }

    /// Sets the InternalIP of a Node and publishes all Nodes.
    pub fn node_address(&mut self, node: &str, address: &str) {
        let node = self.nodes.get_mut(&Name::cluster(node)).expect("the Node exists");
        node.object.addresses = vec![address.parse().unwrap()];
        self.publish_nodes();
    }

    /// Sets the annotation that drains a Node, and publishes all Nodes.
    pub fn drain_node(&mut self, node: &str, value: Option<&str>) {
        let node = self.nodes.get_mut(&Name::cluster(node)).expect("the Node exists");
        node.object.drain = value.map(str::to_owned);
        self.publish_nodes();
    }

    /// Makes a Node NotReady and publishes all Nodes.
    pub fn node_not_ready(&mut self, node: &str) {
        let now = self.now.wall;
        self.nodes.get_mut(&Name::cluster(node)).expect("the Node exists").not_ready_since = Some(now);
        self.publish_nodes();
    }

    /// Deletes a Node and publishes the others.
    pub fn delete_node(&mut self, node: &str) {
        self.nodes.remove(&Name::cluster(node));
        self.publish_nodes();
    }

    pub fn publish_nodes(&mut self) {
        self.engine.set_nodes(self.nodes.clone(), self.now);
    }

    pub fn publish_pods(&mut self) {
        self.engine.set_pods(&self.pods, self.now);
    }

    pub fn advance(&mut self, seconds: u64) {
        self.now.monotonic += std::time::Duration::from_secs(seconds);
        self.now.wall += jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap());
        self.engine.update_nodes(self.now);
        self.engine.update_tables(self.now);
    }

    /// Creates an object or changes its spec.
    pub fn object(&mut self, kind_name: &str, at: &str, spec: &Value) {
        let StatusKind::Kind(kind) = kind(kind_name) else { panic!("users do not write MaglevNodes") };
        self.version += 1;
        let key = (StatusKind::Kind(kind), name(at));
        let version = self.version.to_string();
        let uid: Arc<str> = format!("uid-{}-{at}", kind.as_str()).into();
        let (spec, stored) = match self.store.get(&key) {
            Some((_, before)) => {
                (spec.clone(), StoredStatus { generation: before.generation + 1, version, ..before.clone() })
            }
            None => (spec.clone(), StoredStatus { uid, generation: 1, version, status: Value::Null }),
        };
        let objects = vec![observed(kind, &key.1, &spec, &stored)];
        self.store.insert(key, (spec, stored));
        self.engine.apply_kinds(vec![KindUpdate { kind, services: None, first: false, deleted: Vec::new(), objects }]);
    }

    pub fn delete(&mut self, kind_name: &str, at: &str) {
        let StatusKind::Kind(kind) = kind(kind_name) else { panic!("users do not delete MaglevNodes") };
        self.store.remove(&(StatusKind::Kind(kind), name(at)));
        self.engine.apply_kinds(vec![KindUpdate {
            kind,
            services: None,
            first: false,
            deleted: vec![name(at)],
            objects: Vec::new(),
        }]);
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

    /// Connects an agent that has listed nothing yet but is connected to VPP.
    pub fn connect_agent(&mut self, node: &str) {
        self.engine.apply_link(LinkUpdate::Link(node.into(), Ok(())));
        self.reset(node, &View::default());
        let info = VppInfo { version: "26.10".to_owned(), ..VppInfo::default() };
        self.apply_change(node, Change::VppConnected(Arc::new(info)));
    }

    pub fn reset(&mut self, node: &str, view: &View) {
        let mut digest = Digest::default();
        maglev_model::view::Fold::reset(&mut digest, view);
        self.engine.apply_link(LinkUpdate::Reset(node.into(), digest));
    }

    pub fn apply_change(&mut self, node: &str, change: Change) {
        self.engine.apply_link(LinkUpdate::Changes(node.into(), vec![(change, self.now.wall)]));
    }

    /// Reports a result for the present version of a Frontend.
    pub fn report_program(&mut self, node: &str, at: &str, result: ProgramResult, reason: &str) {
        let report = self.program_report(at, result, reason);
        self.apply_change(node, Change::Report(name(at), report));
    }

    pub fn program_report(&self, at: &str, result: ProgramResult, reason: &str) -> Report {
        let config = self.engine.config.as_ref().unwrap();
        let frontend = &config.frontends[&name(at)];
        let Revision { uid, generation } = frontend.revision.clone();
        Report { uid, generation, fingerprint: Fingerprint::new(frontend), result, reason: reason.into() }
    }

    /// Reports Programmed with a fingerprint of another version of the algorithm.
    pub fn report_fingerprint_version(&mut self, node: &str, at: &str, version: u32) {
        let mut report = self.program_report(at, ProgramResult::Programmed, "");
        report.fingerprint = Fingerprint { version, hash: [7; 32] };
        self.apply_change(node, Change::Report(name(at), report));
    }

    pub fn report_state(&mut self, node: &str, at: &str, state: FrontendState) {
        self.apply_change(node, Change::Frontend(name(at), state, None));
    }

    pub fn report_active_pool(&mut self, node: &str, at: &str, pool: ActivePool) {
        self.apply_change(node, Change::ActivePool(name(at), pool));
    }

    pub fn report_health(&mut self, node: &str, at: &str, address: &str, state: &str) {
        let health = health(address, state, self.now.wall);
        self.apply_change(node, Change::Health(name(at), Some(health)));
    }

    /// Performs the actions for dirty objects until there are none. Returns the writes.
    pub fn reconcile(&mut self) -> Vec<String> {
        let mut written = BTreeSet::new();
        let mut rounds = 0;
        loop {
            let dirty = self.engine.take_dirty();
            if dirty.is_empty() {
                return written.into_iter().collect();
            }
            rounds += 1;
            assert!(rounds < 20, "the statuses do not converge: {written:?}");
            for key in dirty {
                if let Some(action) = self.engine.action(&key, self.now) {
                    written.insert(format!("{} {} {}", action.priority().as_str(), key.0.as_str(), key.1));
                    self.perform(key, action);
                }
            }
        }
    }

    fn perform(&mut self, key: Key, action: Action) {
        self.version += 1;
        let version = self.version.to_string();
        match action {
            Action::Write { from, status, .. } => {
                let stored = StoredStatus { version, status: status.to_value(), ..from };
                self.store.get_mut(&key).expect("only stored objects are written").1 = stored.clone();
                self.engine.set_written(key, stored);
            }
            Action::Create { .. } => {
                let uid = format!("uid-{}", key.1).into();
                let stored = StoredStatus { uid, generation: 1, version, status: Value::Null };
                self.store.insert(key.clone(), (Value::Null, stored.clone()));
                self.engine.set_written(key, stored);
            }
            Action::Delete { .. } => {
                self.store.remove(&key);
                self.publish_maglev_nodes();
            }
        }
    }

    pub fn status(&self, kind_name: &str, at: &str) -> Status {
        let key = (kind(kind_name), name(at));
        Status::from_value(key.0, &self.store.get(&key).expect("the object exists").1.status)
    }

    /// All stored statuses.
    pub fn statuses(&self) -> BTreeMap<String, Value> {
        let entry = |(key, (_, stored)): (&Key, &(Value, StoredStatus))| {
            (format!("{} {}", key.0.as_str(), key.1), stored.status.clone())
        };
        self.store.iter().map(entry).collect()
    }

    pub fn is_stored(&self, kind_name: &str, at: &str) -> bool {
        self.store.contains_key(&(kind(kind_name), name(at)))
    }

    /// `status reason` of a condition; empty without it.
    pub fn condition_of(&self, kind_name: &str, at: &str, condition: &str) -> String {
        let status = self.status(kind_name, at);
        let text = |condition: &Condition| format!("{} {}", condition.status, condition.reason);
        status.condition(condition).map(text).unwrap_or_default()
    }

    pub fn condition(&self, at: &str, condition: &str) -> String {
        self.condition_of("Frontend", at, condition)
    }

    pub fn message_of(&self, kind_name: &str, at: &str, condition: &str) -> String {
        let status = self.status(kind_name, at);
        status.condition(condition).map(|condition| condition.message.clone()).unwrap_or_default()
    }

    pub fn message(&self, at: &str, condition: &str) -> String {
        self.message_of("Frontend", at, condition)
    }

    pub fn frontend_status(&self, at: &str) -> FrontendStatus {
        let Status::Frontend(status) = self.status("Frontend", at) else { panic!("the status of a Frontend") };
        status
    }

    pub fn backend_status(&self, at: &str) -> BackendStatus {
        let Status::Backend(status) = self.status("Backend", at) else { panic!("the status of a Backend") };
        status
    }

    pub fn node_status(&self, at: &str) -> MaglevNodeStatus {
        let Status::MaglevNode(status) = self.status("MaglevNode", at) else { panic!("the status of a MaglevNode") };
        status
    }

    pub fn backend_summary(&self, at: &str) -> String {
        let BackendStatus { state, nodes_up, nodes_down, nodes_unknown, nodes_reporting, .. } = self.backend_status(at);
        let [up, down, unknown, all] =
            [nodes_up, nodes_down, nodes_unknown, nodes_reporting].map(|count| count.unwrap_or(-1));
        format!("{:?} {up} up {down} down {unknown} unknown of {all}", state.unwrap())
    }

    pub fn backend_note(&self, at: &str) -> Option<String> {
        self.engine.backend_note(&name(at), self.backend_status(at).state)
    }
}

/// The health of a backend as an agent reports it.
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
