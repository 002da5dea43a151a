//! What an API server may do to whoever watches it: the agent's watches, the controller's and the dashboard's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use maglev_crd as crd;
use maglev_kube::objects::{ObjectKind, ObjectsWatch};
use maglev_kube::{ClusterWatch, KindNews};
use maglev_model::Name;
use maglev_model::config::Kind;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::line::Line;
use super::{Agent, DELAYS, READER, backend, delete, grant, place, withdraw};
use crate::harness::{Cluster, cluster, eventually, own_control_plane};

/// The names of a namespace's objects of a kind, as one of them sees them.
type Names = Box<dyn Fn(Kind, &str) -> BTreeSet<String>>;

/// Somebody who watches.
pub struct Watcher {
    who: &'static str,
    names: Names,
    _end: Option<DropGuard>,
}

fn own<'a>(names: impl Iterator<Item = &'a Name>, namespace: &str) -> BTreeSet<String> {
    names.filter(|name| name.namespace() == namespace).map(|name| name.name().to_owned()).collect()
}

impl Watcher {
    /// The agent, the controller and the dashboard, each watching through `client`.
    pub fn all(client: &Client, place: &str) -> [Self; 3] {
        [Self::agent(client.clone(), place), Self::controller(client.clone(), place), Self::dashboard(client.clone())]
    }

    fn agent(client: Client, place: &str) -> Self {
        let agent = Agent::start(client, place);
        let names = move |kind, namespace: &str| {
            // All of it, so that it lives as long as this.
            let agent: &Agent = &agent;
            let config = agent.config_rx.borrow();
            config.as_ref().map_or_else(BTreeSet::new, |config| match kind {
                Kind::Backend => own(config.backends.keys(), namespace),
                _ => own(config.frontends.keys(), namespace),
            })
        };
        Self { who: "the agent", names: Box::new(names), _end: None }
    }

    fn controller(client: Client, place: &str) -> Self {
        let (watch, mut news) = ClusterWatch::new(client, place, DELAYS);
        let end = CancellationToken::new();
        tokio::spawn(watch.run(end.clone()));
        let seen: Arc<Mutex<BTreeSet<(Kind, Name)>>> = Arc::default();
        let taken = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(KindNews { kind, gone, seen, .. }) = news.kinds.recv().await {
                let mut taken = taken.lock().unwrap();
                for name in gone {
                    taken.remove(&(kind, name));
                }
                taken.extend(seen.into_iter().map(|of| (kind, of.object.name())));
            }
        });
        let names = move |kind, namespace: &str| {
            let seen = seen.lock().unwrap();
            own(seen.iter().filter(|of| of.0 == kind).map(|of| &of.1), namespace)
        };
        Self { who: "the controller", names: Box::new(names), _end: Some(end.drop_guard()) }
    }

    fn dashboard(client: Client) -> Self {
        let (watch, objects) = ObjectsWatch::new(client, DELAYS);
        let end = CancellationToken::new();
        tokio::spawn(watch.run(end.clone()));
        let names = move |kind, namespace: &str| {
            let kind = if kind == Kind::Backend { ObjectKind::Backend } else { ObjectKind::Frontend };
            let objects = objects.borrow();
            own(objects.objects.keys().filter(|key| key.kind == kind).map(|key| &key.name), namespace)
        };
        Self { who: "the dashboard", names: Box::new(names), _end: Some(end.drop_guard()) }
    }

    /// Waits until these are the objects there are.
    pub async fn until_sees(&self, kind: Kind, namespace: &str, wanted: &[&str]) {
        let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let sees = async || ((self.names)(kind, namespace) == wanted).then_some(());
        eventually(&format!("{} sees {wanted:?}", self.who), sees).await;
    }
}

/// A line to the API server, and a client at its near end.
async fn line(cluster: &Cluster) -> (Line, Client) {
    let mut config = cluster.plane().config().await.unwrap();
    let line = Line::new(&config).await;
    config.cluster_url = format!("https://127.0.0.1:{}", line.port()).parse().unwrap();
    (line, Client::try_from(config).unwrap())
}

#[tokio::test]
async fn a_version_that_the_api_server_has_forgotten_is_listed_anew() {
    let cluster = own_control_plane("forgotten", false).await;
    let place = place(&cluster, "forgotten").await;
    cluster.apply(&place, &(backend("one", "192.0.2.1") + &backend("two", "192.0.2.2"))).await.unwrap();
    let (mut line, client) = line(&cluster).await;
    let watchers = Watcher::all(&client, &place);
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, &place, &["one", "two"]).await;
    }
    let backends: Api<crd::Backend> = Api::namespaced(cluster.client().await, &place);
    let before = backends.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();

    line.cut().await;
    cluster.apply(&place, &backend("three", "192.0.2.3")).await.unwrap();
    delete(&cluster, &place, "one").await;
    // It knows what happened since it started, and nothing of before.
    cluster.plane().stop_api_server().await;
    cluster.plane().start_api_server().await.unwrap();
    let backends: Api<crd::Backend> = Api::namespaced(cluster.client().await, &place);
    let expired = eventually("it answers what came after the version of before", async || {
        let mut events = backends.watch(&WatchParams::default(), &before).await.ok()?.boxed();
        match events.next().await? {
            Ok(WatchEvent::Error(status)) => Some(status.code),
            Ok(event) => panic!("it remembers: {event:?}"),
            Err(_) => None,
        }
    })
    .await;
    assert_eq!(expired, 410);
    line.join().await;
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, &place, &["two", "three"]).await;
    }
}

#[tokio::test]
async fn connections_that_fall_silent_without_an_end_are_noticed() {
    let cluster = cluster().await;
    let place = place(cluster, "silent").await;
    cluster.apply(&place, &backend("one", "192.0.2.1")).await.unwrap();
    let (line, client) = line(cluster).await;
    let watchers = Watcher::all(&client, &place);
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, &place, &["one"]).await;
    }
    line.silence();
    cluster.apply(&place, &backend("two", "192.0.2.2")).await.unwrap();
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, &place, &["one", "two"]).await;
    }
}

const FRONTEND: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: NAME}
spec: {address: 203.0.113.ADDRESS, pools: [{name: primary, backends: [{name: one}]}]}
";

#[tokio::test]
async fn a_kind_that_cannot_be_read_stays_as_it_was_and_holds_up_no_other() {
    let cluster = cluster().await;
    let place = place(cluster, "partial").await;
    cluster.service_account(&place, "agent").await;
    let reader = READER.replace("PLACE", &place);
    let rest = reader.replace("['*']", "[healthchecks, frontends, loadbalancerconfigs, maglevnodes]");
    let rest = rest.replace("resources: [nodes]", "resources: [nodes, pods]");
    let only = "
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: PLACE-backends}
rules: [{apiGroups: [maglev.vpp.io], resources: [backends], verbs: [get, list, watch]}]
";
    cluster.apply(&place, &(rest + &only.replace("PLACE", &place))).await.unwrap();
    for role in ["lists", "crds", "backends"] {
        grant(cluster, &place, role).await;
    }
    let frontend = |name: &str, address: &str| FRONTEND.replace("NAME", name).replace("ADDRESS", address);
    cluster.apply(&place, &(backend("one", "192.0.2.1") + "---" + &frontend("web", "151"))).await.unwrap();
    let watchers = Watcher::all(&cluster.client_as(&place, "agent").await, &place);
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, &place, &["one"]).await;
        watcher.until_sees(Kind::Frontend, &place, &["web"]).await;
    }

    withdraw(cluster, &place, "backends").await;
    let who = format!("system:serviceaccount:{place}:agent");
    let may = ["auth", "can-i", "list", "backends.maglev.vpp.io", "--as", &who];
    let withdrawn = async || (!cluster.kubectl_with(&may, "").await.status.success()).then_some(());
    eventually("Backends may not be read", withdrawn).await;
    delete(cluster, &place, "one").await;
    cluster.apply(&place, &backend("two", "192.0.2.2")).await.unwrap();
    cluster.apply(&place, &frontend("api", "152")).await.unwrap();
    for watcher in &watchers {
        watcher.until_sees(Kind::Frontend, &place, &["api", "web"]).await;
    }
    grant(cluster, &place, "backends").await;
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, &place, &["two"]).await;
    }
    cluster.kubectl(&["delete", "mfe", "api", "web", "-n", &place]).await;
}
