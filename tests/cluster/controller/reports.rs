//! The report of an agent about a stored object.

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
pub async fn programmed_report(cluster: &Cluster, namespace: &str, name: &str) -> (Name, Report) {
    let client = cluster.client().await;
    let frontend = Api::<Frontend>::namespaced(client.clone(), namespace).get(name).await.unwrap();
    let backends = Api::<Backend>::namespaced(client, namespace).list(&ListParams::default()).await.unwrap();
    (Name::namespaced(namespace, name), report(backends.items, frontend))
}

/// Resolves the Frontend with an agent's index, which has listed these objects.
fn report(backends: Vec<Backend>, frontend: Frontend) -> Report {
    let meta = |metadata: &ObjectMeta| Meta {
        name: Name::namespaced(metadata.namespace.as_deref().unwrap(), metadata.name.as_deref().unwrap()),
        revision: Revision { uid: metadata.uid.as_deref().unwrap().into(), generation: metadata.generation.unwrap() },
        created: Timestamp::UNIX_EPOCH,
    };
    let (mut index, config_rx) = Index::new(IndexOptions { allow_loopback: false, ..IndexOptions::default() });
    let backends = backends
        .into_iter()
        .map(|backend| Object::Backend(Stored { meta: meta(&backend.metadata), spec: Ok(backend.spec) }));
    let frontend_meta = meta(&frontend.metadata);
    let name = frontend_meta.name.clone();
    index.reset(Kind::Backend, backends.collect());
    index.reset(Kind::Frontend, vec![Object::Frontend(Stored { meta: frontend_meta, spec: Ok(frontend.spec) })]);
    for kind in [Kind::HealthCheck, Kind::LoadBalancerConfig, Kind::AddressPolicy, Kind::Node] {
        index.reset(kind, Vec::new());
    }
    let config = config_rx.borrow().clone().unwrap();
    let frontend = &config.frontends[&name];
    let Revision { uid, generation } = frontend.revision.clone();
    let (fingerprint, result) = (Fingerprint::new(frontend), ProgramResult::Programmed);
    Report { uid, generation, fingerprint, result, reason: "".into() }
}
