//! What an agent would report about an object as it is stored.

use jiff::Timestamp;
use kube::api::{Api, ListParams, ObjectMeta};
use maglev_crd::{Backend, Frontend};
use maglev_index::{Index, IndexOptions, Meta, Object, Stored};
use maglev_model::Name;
use maglev_model::change::Report;
use maglev_model::config::{Kind, Revision};
use maglev_model::event::ProgramResult;
use maglev_model::fingerprint::Fingerprint;

use crate::harness::Cluster;

/// The report of an agent that has programmed the Frontend as it is stored now.
pub async fn program(cluster: &Cluster, namespace: &str, name: &str) -> (Name, Report) {
    let client = cluster.client().await;
    let frontend = Api::<Frontend>::namespaced(client.clone(), namespace).get(name).await.unwrap();
    let backends = Api::<Backend>::namespaced(client, namespace).list(&ListParams::default()).await.unwrap();
    (Name::namespaced(namespace, name), resolved(backends.items, frontend))
}

/// The index of an agent that has listed these objects.
fn resolved(backends: Vec<Backend>, frontend: Frontend) -> Report {
    let meta = |metadata: &ObjectMeta| Meta {
        name: Name::namespaced(metadata.namespace.as_deref().unwrap(), metadata.name.as_deref().unwrap()),
        revision: Revision { uid: metadata.uid.as_deref().unwrap().into(), generation: metadata.generation.unwrap() },
        created: Timestamp::UNIX_EPOCH,
    };
    let (mut index, config_rx) = Index::new(IndexOptions { allow_loopback: false, ..IndexOptions::default() });
    let backends =
        backends.into_iter().map(|of| Object::Backend(Stored { meta: meta(&of.metadata), spec: Ok(of.spec) }));
    let of = meta(&frontend.metadata);
    let name = of.name.clone();
    index.reset(Kind::Backend, backends.collect());
    index.reset(Kind::Frontend, vec![Object::Frontend(Stored { meta: of, spec: Ok(frontend.spec) })]);
    for kind in [Kind::HealthCheck, Kind::LoadBalancerConfig, Kind::Node] {
        index.reset(kind, Vec::new());
    }
    let config = config_rx.borrow().clone().unwrap();
    let frontend = &config.frontends[&name];
    let Revision { uid, generation } = frontend.revision.clone();
    let (fingerprint, result) = (Fingerprint::of(frontend), ProgramResult::Programmed);
    Report { uid, generation, fingerprint, result, reason: "".into() }
}
