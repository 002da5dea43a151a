//! Operator changes against the real API server: the fields that they write, field ownership, and the audit trail.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use maglev_crd::{Backend, Frontend};
use maglev_kube::operator_change::{MANAGER, last_writer, write_change};
use maglev_kube::{ChangeError, ChangeRequest, WriteOutcome, whoami};
use maglev_model::Name;
use maglev_model::config::AdminState;
use maglev_model::operator_change::OperatorChange;
use maglev_model::vip::Weight;
use serde_json::json;

use super::harness::{Cluster, cluster};

/// A namespace with the Backend `a` and the Frontend `web`.
struct Fixture {
    cluster: &'static Cluster,
    client: Client,
    namespace: String,
}

impl Fixture {
    async fn new(test: &str) -> Self {
        let cluster = cluster().await;
        let fixture = Self { cluster, client: cluster.client().await, namespace: cluster.namespace(test).await };
        fixture.apply(&backend("a", "")).await.unwrap();
        fixture.apply(&frontend(&[("first", &["a", "b", "c"]), ("second", &["d"])], "")).await.unwrap();
        fixture
    }

    async fn apply(&self, manifest: &str) -> Result<String, String> {
        self.cluster.apply(&self.namespace, manifest).await
    }

    fn weight(&self, pool: &str, backend: &str, weight: u8) -> ChangeRequest {
        let (pool, backend, weight) = (pool.into(), backend.into(), Weight::new(weight).unwrap());
        request(OperatorChange::Weight { frontend: self.name("web"), pool, backend, weight })
    }

    fn admin(&self, state: AdminState) -> ChangeRequest {
        request(OperatorChange::AdminState { backend: self.name("a"), state })
    }

    fn name(&self, name: &str) -> Name {
        Name::namespaced(&self.namespace, name)
    }

    async fn perform(&self, request: &ChangeRequest) -> Result<WriteOutcome, ChangeError> {
        write_change(&self.client, request, &|_| Vec::new()).await
    }

    async fn frontend(&self) -> Frontend {
        Api::namespaced(self.client.clone(), &self.namespace).get("web").await.unwrap()
    }

    async fn backend(&self) -> Backend {
        Api::namespaced(self.client.clone(), &self.namespace).get("a").await.unwrap()
    }

    /// The pools and their members with weights, in the order of the object.
    async fn pools(&self) -> String {
        let pools = self.frontend().await.spec.pools;
        let member = |member: &maglev_crd::PoolBackend| match member.weight {
            Some(weight) => format!("{}={}", member.name, weight.get()),
            None => member.name.clone(),
        };
        let pool = |pool: &maglev_crd::Pool| {
            format!("{}: {}", pool.name, pool.named_backends().iter().map(member).collect::<Vec<_>>().join(" "))
        };
        pools.iter().map(pool).collect::<Vec<_>>().join("; ")
    }
}

/// The reason of each change, with a sequence that makes a terminal print bold.
const REASON: &str = "it is \u{1b}[1mtoo hot";

fn request(change: OperatorChange) -> ChangeRequest {
    ChangeRequest { change, by: "ada".into(), reason: Some(REASON.into()), force: false }
}

fn backend(name: &str, more: &str) -> String {
    format!(
        "{{apiVersion: maglev.vpp.io/v1alpha1, kind: Backend, metadata: {{name: {name}}}, spec: {{address: 192.0.2.1{more}}}}}"
    )
}

/// Manifest of the Frontend. `weight` is inserted after the name of the member `c`.
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
async fn weights_survive_reapplied_manifests_and_keep_the_order() {
    let fixture = Fixture::new("weights").await;
    let first = fixture.perform(&fixture.weight("first", "c", 50)).await.unwrap();
    assert_eq!((&*first.old, &*first.new, first.written), ("10 (not set)", "50", true));
    let second = fixture.perform(&fixture.weight("second", "d", 0)).await.unwrap();
    assert_eq!(second.generation, first.generation + 1);
    assert_eq!(fixture.pools().await, "first: a b c=50; second: d=0");
    let again = fixture.perform(&fixture.weight("first", "c", 50)).await.unwrap();
    assert_eq!((again.written, again.generation), (false, second.generation), "the weight is already set");
    // The manifest has no weights.
    fixture.apply(&frontend(&[("first", &["a", "b", "c"]), ("second", &["d"])], "")).await.unwrap();
    assert_eq!(fixture.pools().await, "first: a b c=50; second: d=0");
}

#[tokio::test]
async fn member_removed_from_the_manifest_disappears_with_its_weight() {
    let fixture = Fixture::new("dropped").await;
    fixture.perform(&fixture.weight("first", "c", 50)).await.unwrap();
    fixture.perform(&fixture.weight("first", "a", 20)).await.unwrap();
    fixture.apply(&frontend(&[("first", &["a", "b"]), ("second", &["d"])], "")).await.unwrap();
    assert_eq!(fixture.pools().await, "first: a=20 b; second: d");
    fixture.apply(&frontend(&[("first", &["a", "b"])], "")).await.unwrap();
    assert_eq!(fixture.pools().await, "first: a=20 b");
}

#[tokio::test]
async fn field_of_another_manager_is_changed_only_by_force() {
    let fixture = Fixture::new("owned").await;
    let manifest = frontend(&[("first", &["a", "b", "c"]), ("second", &["d"])], ", weight: 30");
    fixture.apply(&manifest).await.unwrap();
    let mut change = fixture.weight("first", "c", 50);
    let error = fixture.perform(&change).await.unwrap_err();
    assert_eq!(error.reason(), "OwnedByOther");
    assert!(error.to_string().contains("is managed by kubectl (Apply)"), "{error}");
    assert_eq!(fixture.pools().await, "first: a b c=30; second: d");
    change.force = true;
    let outcome = fixture.perform(&change).await.unwrap();
    assert_eq!((outcome.taken_from, &*outcome.old), (vec!["kubectl (Apply)".to_owned()], "30"));
    // The other manager's apply now conflicts with the operator's change.
    let refused = fixture.apply(&manifest).await.unwrap_err();
    assert!(refused.contains(MANAGER) && refused.contains("weight"), "{refused}");
    assert_eq!(fixture.pools().await, "first: a b c=50; second: d");
}

#[tokio::test]
async fn change_is_audited_in_annotations_and_an_event() {
    let fixture = Fixture::new("account").await;
    fixture.perform(&fixture.admin(AdminState::Paused)).await.unwrap();
    let backend = fixture.backend().await;
    assert_eq!(backend.spec.admin_state, Some(maglev_crd::AdminState::Paused));
    let annotations = backend.annotations();
    let object = format!("{}/a", fixture.namespace);
    assert_eq!(
        annotations["maglev.vpp.io/operator-action"],
        format!("adminState of Backend {object}: Enabled (not set) -> Paused")
    );
    assert_eq!(annotations["maglev.vpp.io/operator-action-by"], "ada");
    assert_eq!(annotations["maglev.vpp.io/operator-action-reason"], REASON);
    annotations["maglev.vpp.io/operator-action-at"].parse::<jiff::Timestamp>().unwrap();
    let writer = last_writer(&backend.metadata).unwrap();
    assert_eq!((&*writer.manager, writer.by.as_deref()), (MANAGER, Some("ada")));

    let events: Api<Event> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let event = events.list(&ListParams::default()).await.unwrap().items.remove(0);
    let reason = "it is \\u{1b}[1mtoo hot";
    let note = format!("ada set adminState of Backend {object} from Enabled (not set) to Paused: {reason}");
    assert_eq!((event.reason.as_deref(), event.note.as_deref()), (Some("AdminStateChanged"), Some(&*note)));
    let regarding = event.regarding.unwrap();
    assert_eq!((regarding.kind.as_deref(), regarding.name.as_deref()), (Some("Backend"), Some("a")));

    // A change without a reason removes the reason of the previous change.
    let without_reason = ChangeRequest { reason: None, ..fixture.admin(AdminState::Enabled) };
    let outcome = fixture.perform(&without_reason).await.unwrap();
    assert_eq!((&*outcome.old, &*outcome.new), ("Paused", "Enabled"));
    assert!(!fixture.backend().await.annotations().contains_key("maglev.vpp.io/operator-action-reason"));
}

#[tokio::test]
async fn change_that_leaves_a_frontend_unserved_is_refused_unless_forced() {
    let fixture = Fixture::new("unserved").await;
    let unserved = [fixture.name("web")];
    let mut change = fixture.admin(AdminState::Disabled);
    let error = write_change(&fixture.client, &change, &|_| unserved.to_vec()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("this would leave {}/web without", fixture.namespace)), "{error}");
    assert_eq!(fixture.backend().await.spec.admin_state, None);
    change.force = true;
    write_change(&fixture.client, &change, &|_| unserved.to_vec()).await.unwrap();
    assert_eq!(fixture.backend().await.spec.admin_state, Some(maglev_crd::AdminState::Disabled));
}

#[tokio::test]
async fn unknown_names_are_reported_with_the_existing_names() {
    let fixture = Fixture::new("missing").await;
    for (pool, backend, message) in [
        ("third", "a", "spec.pools has no pool third; it has first, second"),
        ("first", "d", "pool first has no backend d; it has a, b, c"),
    ] {
        let error = fixture.perform(&fixture.weight(pool, backend, 1)).await.unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    }
    let unknown = OperatorChange::AdminState { backend: fixture.name("missing"), state: AdminState::Paused };
    let error = fixture.perform(&request(unknown)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no Backend {}/missing", fixture.namespace));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_write_is_not_overwritten() {
    let fixture = Fixture::new("between").await;
    let tries = AtomicUsize::new(0);
    let write_concurrently = |_: &OperatorChange| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            let api: Api<Frontend> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
            let reordered_pools = json!({"spec": {"pools": [{"name": "zero", "backends": []}, {"name": "first", "backends": [{"name": "c"}]}]}});
            let write = async { api.patch("web", &PatchParams::default(), &Patch::Merge(&reordered_pools)).await };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(write)).unwrap();
        }
        Vec::new()
    };
    let outcome = write_change(&fixture.client, &fixture.weight("first", "c", 50), &write_concurrently).await.unwrap();
    assert_eq!((tries.into_inner(), outcome.written), (2, true));
    assert_eq!(fixture.pools().await, "zero: ; first: c=50");
}

#[tokio::test]
async fn whoami_returns_the_service_account() {
    let fixture = Fixture::new("whoami").await;
    fixture.cluster.service_account(&fixture.namespace, "robot").await;
    let robot = fixture.cluster.client_as(&fixture.namespace, "robot").await;
    assert_eq!(whoami(&robot).await.unwrap(), format!("system:serviceaccount:{}:robot", fixture.namespace));
    let error = write_change(&robot, &fixture.admin(AdminState::Paused), &|_| Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read Backend {}/a", fixture.namespace));
    assert_eq!(error.reason(), "ApiRefused");
}
