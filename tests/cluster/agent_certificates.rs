//! The certificates of agents, which the leading controller makes with the rights and objects of the chart.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, api::DeleteParams};
use maglev_auth::{CertificateInfo, agent_name};
use maglev_kube::{AgentCertificates, LeaseLoop, LeaseOptions};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    chart::{NODES, helm},
    harness::{Cluster, cluster, eventually},
};

const DAY: Duration = Duration::from_hours(24);

/// Creates a namespace with the chart's objects and rights of the controller.
async fn install(cluster: &Cluster, name: &str) -> String {
    let namespace = cluster.namespace(name).await;
    cluster.apply(&namespace, &manifests(cluster, &namespace).await).await.unwrap();
    namespace
}

async fn manifests(cluster: &Cluster, namespace: &str) -> String {
    let args = ["template", "maglev", "charts/maglev", "--namespace", namespace, "--set", NODES];
    let only =
        ["rbac", "serviceaccount", "certificates"].map(|file| format!("--show-only=templates/controller/{file}.yaml"));
    helm(cluster, &[&args[..], &only.each_ref().map(String::as_str)].concat()).await.unwrap()
}

/// Leads and renews certificates as the controller's ServiceAccount, with a clock that is ahead.
async fn lead(cluster: &Cluster, namespace: &str, ahead: Duration) -> DropGuard {
    let client = cluster.client_as(namespace, "maglev-controller").await;
    let options = LeaseOptions::new(namespace, "maglev-controller", format!("test-{ahead:?}"));
    let (lease, shutdown) = (LeaseLoop::new(client.clone(), options), CancellationToken::new());
    let (namespace, end) = (namespace.to_owned(), shutdown.clone());
    let task = Box::new(move |leadership, end| {
        let clock = Arc::new(move || Timestamp::now() + ahead);
        AgentCertificates::new(client.clone(), &namespace, clock).run(leadership, end).boxed()
    });
    tokio::spawn(lease.run(task, shutdown));
    end.drop_guard()
}

struct Objects {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
}

impl Objects {
    async fn new(cluster: &Cluster, namespace: &str) -> Self {
        let client = cluster.client().await;
        Self { secrets: Api::namespaced(client.clone(), namespace), config_maps: Api::namespaced(client, namespace) }
    }

    /// Facts about the agents' certificate.
    async fn leaf(&self) -> Option<CertificateInfo> {
        let secret = self.secrets.get_opt("maglevd-tls").await.unwrap()?;
        CertificateInfo::from_pem(&secret.data?.get("tls.crt")?.0).ok()
    }

    async fn authority(&self) -> Option<CertificateInfo> {
        let secret = self.secrets.get("maglev-ca").await.unwrap();
        CertificateInfo::from_pem(&secret.data?.get("tls.crt")?.0).ok()
    }

    async fn bundle(&self) -> Option<String> {
        self.config_maps.get("maglev-ca").await.unwrap().data?.remove("ca.crt")
    }

    async fn until_leaf(&self, condition: impl Fn(&CertificateInfo) -> bool) -> CertificateInfo {
        eventually("the certificate is renewed", async || self.leaf().await.filter(&condition)).await
    }
}

#[tokio::test]
async fn leader_fills_the_charts_empty_objects_and_renews_them() {
    let cluster = cluster().await;
    let namespace = install(cluster, "agent-certificates").await;
    let objects = Objects::new(cluster, &namespace).await;
    assert_eq!((objects.leaf().await, objects.bundle().await), (None, None), "the chart renders no data");

    let term = lead(cluster, &namespace, Duration::ZERO).await;
    let first = objects.until_leaf(|_| true).await;
    assert_eq!(first.names, [agent_name(&namespace)]);
    let authority = objects.authority().await.unwrap();
    assert_eq!(first.authority_key_id, authority.key_id);
    assert_eq!(objects.bundle().await.unwrap().matches("BEGIN CERTIFICATE").count(), 1);
    drop(term);

    // An upgrade of the chart leaves the data alone.
    cluster.apply(&namespace, &manifests(cluster, &namespace).await).await.unwrap();
    assert_eq!(objects.leaf().await, Some(first.clone()));

    let term = lead(cluster, &namespace, 61 * DAY).await;
    let second = objects.until_leaf(|leaf| *leaf != first).await;
    assert_eq!(second.authority_key_id, authority.key_id, "the authority stays");
    drop(term);
}

#[tokio::test]
async fn deleted_object_is_reported_and_filled_again_once_it_exists() {
    let cluster = cluster().await;
    let namespace = install(cluster, "agent-certificates-lost").await;
    let objects = Objects::new(cluster, &namespace).await;
    let term = lead(cluster, &namespace, Duration::ZERO).await;
    let first = objects.until_leaf(|_| true).await;
    drop(term);
    objects.secrets.delete("maglevd-tls", &DeleteParams::default()).await.unwrap();

    let _term = lead(cluster, &namespace, DAY).await;
    // The controller has no right to create it.
    cluster.apply(&namespace, &manifests(cluster, &namespace).await).await.unwrap();
    let second = objects.until_leaf(|leaf| *leaf != first).await;
    assert_eq!(second.authority_key_id, first.authority_key_id);
}
