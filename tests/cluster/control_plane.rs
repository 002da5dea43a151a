//! The control plane itself: it is a real one, with RBAC, and comes back on its old address after an outage.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use maglev_sandbox::assets::Assets;
use maglev_sandbox::control_plane::{ControlPlane, Options};
use maglev_sandbox::processes::Processes;

use super::harness::{cluster, eventually, own_control_plane, root};

#[tokio::test]
async fn it_says_the_pinned_version() {
    let version = cluster().await.client().await.apiserver_version().await.unwrap();
    let pins = std::fs::read_to_string(root().join("hack/kube/go.mod")).unwrap();
    assert!(pins.contains(&format!("k8s.io/kubernetes {}", version.git_version)), "{}", version.git_version);
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
}

#[tokio::test]
async fn a_service_account_may_do_nothing_until_it_is_allowed_to() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("rbac").await;
    cluster.service_account(&namespace, "nobody").await;
    let nobody: Api<ConfigMap> = Api::namespaced(cluster.client_as(&namespace, "nobody").await, &namespace);
    let refused = nobody.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let role = ["create", "role", "reader", "--verb=list", "--resource=configmaps", "-n", &namespace];
    cluster.kubectl(&role).await;
    let subject = format!("--serviceaccount={namespace}:nobody");
    cluster.kubectl(&["create", "rolebinding", "reader", "--role=reader", &subject, "-n", &namespace]).await;
    eventually("the role counts", async || nobody.list(&ListParams::default()).await.ok()).await;
}

#[tokio::test]
async fn after_an_outage_the_api_server_has_its_address_and_data_again() {
    let cluster = own_control_plane("outage", false).await;
    let client = cluster.client().await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let metadata = ObjectMeta { name: Some("kept".into()), ..ObjectMeta::default() };
    maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();

    cluster.plane().stop_api_server().await;
    assert!(maps.get("kept").await.is_err(), "nobody answers while it is stopped");
    cluster.plane().start_api_server().await.unwrap();
    // The same client, which knows only the old address.
    eventually("the object is back", async || maps.get("kept").await.ok()).await;
}

#[tokio::test]
async fn controllers_make_what_no_person_made() {
    let cluster = own_control_plane("controllers", true).await;
    let namespace = cluster.namespace("made").await;
    let account = ["get", "serviceaccount", "default", "-n", &namespace, "-o", "name"];
    eventually("the namespace gets its ServiceAccount", async || {
        cluster.kubectl_with(&account, "").await.status.success().then_some(())
    })
    .await;
    cluster.kubectl(&["delete", "namespace", &namespace, "--timeout=30s"]).await;
}

#[tokio::test]
async fn a_child_that_cannot_start_is_named_with_the_end_of_its_log() {
    let real = Assets::from_checkout(&root()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let fake = dir.path().join("assets");
    std::fs::create_dir(&fake).unwrap();
    for entry in std::fs::read_dir(real.dir()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), fake.join(entry.file_name())).unwrap();
    }
    std::fs::remove_file(fake.join("kube-apiserver")).unwrap();
    // A Go test binary or an old release would end the same way: at once, with a word about a flag.
    std::os::unix::fs::symlink("/bin/ls", fake.join("kube-apiserver")).unwrap();

    let options = Options::new(Assets::in_dir(&fake).unwrap());
    let started = ControlPlane::start(&dir.path().join("plane"), &Processes::start().unwrap(), options).await;
    let err = started.unwrap_err().to_string();
    assert!(err.contains("kube-apiserver exited with exit status") && err.contains("etcd-servers"), "{err}");
}
