//! The control plane of the tests and the sandbox: a real API server with RBAC that keeps its address after an outage.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use maglev_sandbox::assets::Assets;
use maglev_sandbox::control_plane::{ControlPlane, Options};
use maglev_sandbox::processes::Processes;

use super::harness::{cluster, eventually, own_control_plane, root};

#[tokio::test]
async fn api_server_has_the_pinned_version() {
    let version = cluster().await.client().await.apiserver_version().await.unwrap();
    let pins = std::fs::read_to_string(root().join("hack/kube/go.mod")).unwrap();
    assert!(pins.contains(&format!("k8s.io/kubernetes {}", version.git_version)), "{}", version.git_version);
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
}

#[tokio::test]
async fn service_account_has_no_rights_without_a_role() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("rbac").await;
    cluster.service_account(&namespace, "robot").await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client_as(&namespace, "robot").await, &namespace);
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let role = ["create", "role", "reader", "--verb=list", "--resource=configmaps", "-n", &namespace];
    cluster.kubectl(&role).await;
    let subject = format!("--serviceaccount={namespace}:robot");
    cluster.kubectl(&["create", "rolebinding", "reader", "--role=reader", &subject, "-n", &namespace]).await;
    eventually("the role is in effect", async || maps.list(&ListParams::default()).await.ok()).await;
}

#[tokio::test]
async fn api_server_keeps_its_address_and_data_after_an_outage() {
    let cluster = own_control_plane("outage", false).await;
    let client = cluster.client().await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let metadata = ObjectMeta { name: Some("stored".into()), ..ObjectMeta::default() };
    maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();

    cluster.plane().stop_api_server().await;
    assert!(maps.get("stored").await.is_err(), "a stopped API server does not answer");
    cluster.plane().start_api_server().await.unwrap();
    // The same client uses the old address.
    eventually("the object is available again", async || maps.get("stored").await.ok()).await;
}

#[tokio::test]
async fn controllers_create_the_default_service_account() {
    let cluster = own_control_plane("controllers", true).await;
    let namespace = cluster.namespace("controllers").await;
    let account = ["get", "serviceaccount", "default", "-n", &namespace, "-o", "name"];
    eventually("the namespace has its default ServiceAccount", async || {
        cluster.kubectl_with(&account, "").await.status.success().then_some(())
    })
    .await;
    cluster.kubectl(&["delete", "namespace", &namespace, "--timeout=30s"]).await;
}

#[tokio::test]
async fn child_that_cannot_start_is_reported_with_the_end_of_its_log() {
    let real = Assets::from_checkout(&root()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let fake = dir.path().join("assets");
    std::fs::create_dir(&fake).unwrap();
    for entry in std::fs::read_dir(real.dir()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), fake.join(entry.file_name())).unwrap();
    }
    std::fs::remove_file(fake.join("kube-apiserver")).unwrap();
    // Ends at once with an error about an unknown flag, as another release of the API server would.
    std::os::unix::fs::symlink("/bin/ls", fake.join("kube-apiserver")).unwrap();

    let options = Options::new(Assets::in_dir(&fake).unwrap());
    let started = ControlPlane::start(&dir.path().join("plane"), &Processes::start().unwrap(), options).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("kube-apiserver exited with exit status") && error.contains("etcd-servers"), "{error}");
}
