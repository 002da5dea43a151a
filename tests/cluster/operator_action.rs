//! Changes by hand against the real API server: what they write, whose fields they leave alone, how long they last.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use maglev_crd::{Backend, Frontend};
use maglev_kube::operator_action::{MANAGER, last_writer, perform};
use maglev_kube::{ActionError, OperatorAction, Outcome, whoami};
use maglev_model::Name;
use maglev_model::by_hand::HandChange;
use maglev_model::config::AdminState;
use maglev_model::vip::Weight;
use serde_json::json;

use super::harness::{Cluster, cluster};

struct World {
    cluster: &'static Cluster,
    client: Client,
    namespace: String,
}

impl World {
    async fn new(test: &str) -> Self {
        let cluster = cluster().await;
        let world = Self { cluster, client: cluster.client().await, namespace: cluster.namespace(test).await };
        world.apply(&backend("a", "")).await.unwrap();
        world.apply(&frontend(&[("first", &["a", "b", "c"]), ("second", &["d"])], "")).await.unwrap();
        world
    }

    async fn apply(&self, manifest: &str) -> Result<String, String> {
        self.cluster.apply(&self.namespace, manifest).await
    }

    fn weight(&self, pool: &str, backend: &str, weight: u8) -> OperatorAction {
        let (pool, backend, weight) = (pool.into(), backend.into(), Weight::new(weight).unwrap());
        action(HandChange::Weight { frontend: self.name("web"), pool, backend, weight })
    }

    fn admin(&self, state: AdminState) -> OperatorAction {
        action(HandChange::AdminState { backend: self.name("a"), state })
    }

    fn name(&self, name: &str) -> Name {
        Name::namespaced(&self.namespace, name)
    }

    async fn perform(&self, action: &OperatorAction) -> Result<Outcome, ActionError> {
        perform(&self.client, action, &|_| Vec::new()).await
    }

    async fn frontend(&self) -> Frontend {
        Api::namespaced(self.client.clone(), &self.namespace).get("web").await.unwrap()
    }

    async fn backend(&self) -> Backend {
        Api::namespaced(self.client.clone(), &self.namespace).get("a").await.unwrap()
    }

    /// Every member with its weight, in the order of the object.
    async fn pools(&self) -> String {
        let pools = self.frontend().await.spec.pools;
        let member = |of: &maglev_crd::PoolBackend| match of.weight {
            Some(weight) => format!("{}={}", of.name, weight.get()),
            None => of.name.clone(),
        };
        let pool = |of: &maglev_crd::Pool| {
            format!("{}: {}", of.name, of.backends.iter().map(member).collect::<Vec<_>>().join(" "))
        };
        pools.iter().map(pool).collect::<Vec<_>>().join("; ")
    }
}

fn action(change: HandChange) -> OperatorAction {
    OperatorAction { change, by: "ada".into(), reason: Some("it is too hot".into()), force: false }
}

fn backend(name: &str, more: &str) -> String {
    format!(
        "{{apiVersion: maglev.vpp.io/v1alpha1, kind: Backend, metadata: {{name: {name}}}, spec: {{address: 192.0.2.1{more}}}}}"
    )
}

/// `weights` follows the names of the first pool's last member.
fn frontend(pools: &[(&str, &[&str])], weight: &str) -> String {
    let member = |name: &&str| format!("{{name: {name}{}}}", if *name == "c" { weight } else { "" });
    let pool = |(name, members): &(&str, &[&str])| {
        format!("{{name: {name}, backends: [{}]}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
    };
    let pools: Vec<_> = pools.iter().map(pool).collect();
    format!(
        "{{apiVersion: maglev.vpp.io/v1alpha1, kind: Frontend, metadata: {{name: web}}, spec: {{address: 203.0.113.10, pools: [{}]}}}}",
        pools.join(", ")
    )
}

#[tokio::test]
async fn two_weights_in_a_row_both_hold_and_no_order_changes() {
    let world = World::new("weights").await;
    let first = world.perform(&world.weight("first", "c", 50)).await.unwrap();
    assert_eq!((&*first.old, &*first.new, first.written), ("10 (not set)", "50", true));
    let second = world.perform(&world.weight("second", "d", 0)).await.unwrap();
    assert_eq!(second.generation, first.generation + 1);
    assert_eq!(world.pools().await, "first: a b c=50; second: d=0");
    let again = world.perform(&world.weight("first", "c", 50)).await.unwrap();
    assert_eq!((again.written, again.generation), (false, second.generation), "it has that value already");
    // The manifest, which says nothing of weights, is applied again.
    world.apply(&frontend(&[("first", &["a", "b", "c"]), ("second", &["d"])], "")).await.unwrap();
    assert_eq!(world.pools().await, "first: a b c=50; second: d=0");
}

#[tokio::test]
async fn a_member_that_the_manifest_drops_disappears_with_its_weight() {
    let world = World::new("dropped").await;
    world.perform(&world.weight("first", "c", 50)).await.unwrap();
    world.perform(&world.weight("first", "a", 20)).await.unwrap();
    world.apply(&frontend(&[("first", &["a", "b"]), ("second", &["d"])], "")).await.unwrap();
    assert_eq!(world.pools().await, "first: a=20 b; second: d");
    world.apply(&frontend(&[("first", &["a", "b"])], "")).await.unwrap();
    assert_eq!(world.pools().await, "first: a=20 b");
}

#[tokio::test]
async fn a_field_of_another_manager_is_taken_by_force_only() {
    let world = World::new("owned").await;
    let manifest = frontend(&[("first", &["a", "b", "c"]), ("second", &["d"])], ", weight: 30");
    world.apply(&manifest).await.unwrap();
    let mut wanted = world.weight("first", "c", 50);
    let error = world.perform(&wanted).await.unwrap_err();
    assert_eq!(error.reason(), "OwnedByOther");
    assert!(error.to_string().contains("belongs to kubectl (Apply)"), "{error}");
    assert_eq!(world.pools().await, "first: a b c=30; second: d");
    wanted.force = true;
    let done = world.perform(&wanted).await.unwrap();
    assert_eq!((done.taken_from, &*done.old), (vec!["kubectl (Apply)".to_owned()], "30"));
    // The other one is told whose the field is now.
    let refused = world.apply(&manifest).await.unwrap_err();
    assert!(refused.contains(MANAGER) && refused.contains("weight"), "{refused}");
    assert_eq!(world.pools().await, "first: a b c=50; second: d");
}

#[tokio::test]
async fn who_why_and_when_stand_in_annotations_and_in_an_event() {
    let world = World::new("account").await;
    world.perform(&world.admin(AdminState::Paused)).await.unwrap();
    let backend = world.backend().await;
    assert_eq!(backend.spec.admin_state, Some(maglev_crd::AdminState::Paused));
    let notes = backend.annotations();
    let object = format!("{}/a", world.namespace);
    assert_eq!(
        notes["maglev.vpp.io/operator-action"],
        format!("adminState of Backend {object}: Enabled (not set) -> Paused")
    );
    assert_eq!(notes["maglev.vpp.io/operator-action-by"], "ada");
    assert_eq!(notes["maglev.vpp.io/operator-action-reason"], "it is too hot");
    notes["maglev.vpp.io/operator-action-at"].parse::<jiff::Timestamp>().unwrap();
    let writer = last_writer(&backend.metadata).unwrap();
    assert_eq!((&*writer.manager, writer.by.as_deref()), (MANAGER, Some("ada")));

    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let event = events.list(&ListParams::default()).await.unwrap().items.remove(0);
    let note = format!("ada set adminState of Backend {object} from Enabled (not set) to Paused: it is too hot");
    assert_eq!((event.reason.as_deref(), event.note.as_deref()), (Some("AdminStateChanged"), Some(&*note)));
    let about = event.regarding.unwrap();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("Backend"), Some("a")));

    // The next one has no reason: the old one must not stand beside it.
    let silent = OperatorAction { reason: None, ..world.admin(AdminState::Enabled) };
    let done = world.perform(&silent).await.unwrap();
    assert_eq!((&*done.old, &*done.new), ("Paused", "Enabled"));
    assert!(!world.backend().await.annotations().contains_key("maglev.vpp.io/operator-action-reason"));
}

#[tokio::test]
async fn what_would_leave_a_frontend_unserved_is_refused_unless_forced() {
    let world = World::new("unserved").await;
    let left = [world.name("web")];
    let mut wanted = world.admin(AdminState::Disabled);
    let error = perform(&world.client, &wanted, &|_| left.to_vec()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("it would leave {}/web without", world.namespace)), "{error}");
    assert_eq!(world.backend().await.spec.admin_state, None);
    wanted.force = true;
    perform(&world.client, &wanted, &|_| left.to_vec()).await.unwrap();
    assert_eq!(world.backend().await.spec.admin_state, Some(maglev_crd::AdminState::Disabled));
}

#[tokio::test]
async fn what_is_not_there_is_named_beside_what_is() {
    let world = World::new("missing").await;
    for (pool, backend, says) in [
        ("third", "a", "has no pool third: there is first, second"),
        ("first", "d", "has no backend in pool first d: there is a, b, c"),
    ] {
        let error = world.perform(&world.weight(pool, backend, 1)).await.unwrap_err().to_string();
        assert!(error.ends_with(says), "{error}");
    }
    let gone = HandChange::AdminState { backend: world.name("gone"), state: AdminState::Paused };
    let error = world.perform(&action(gone)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no Backend {}/gone", world.namespace));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_between_is_seen_and_neither_is_lost() {
    let world = World::new("between").await;
    let tries = AtomicUsize::new(0);
    let meddle = |_: &HandChange| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            let api: Api<Frontend> = Api::namespaced(world.client.clone(), &world.namespace);
            let move_away = json!({"spec": {"pools": [{"name": "zero", "backends": []}, {"name": "first", "backends": [{"name": "c"}]}]}});
            let write = async { api.patch("web", &PatchParams::default(), &Patch::Merge(&move_away)).await };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(write)).unwrap();
        }
        Vec::new()
    };
    let done = perform(&world.client, &world.weight("first", "c", 50), &meddle).await.unwrap();
    assert_eq!((tries.into_inner(), done.written), (2, true));
    assert_eq!(world.pools().await, "zero: ; first: c=50");
}

#[tokio::test]
async fn the_api_server_says_who_we_are() {
    let world = World::new("whoami").await;
    world.cluster.service_account(&world.namespace, "robot").await;
    let robot = world.cluster.client_as(&world.namespace, "robot").await;
    assert_eq!(whoami(&robot).await.unwrap(), format!("system:serviceaccount:{}:robot", world.namespace));
    let error = perform(&robot, &world.admin(AdminState::Paused), &|_| Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read Backend {}/a", world.namespace));
    assert!(error.is_transient());
}
