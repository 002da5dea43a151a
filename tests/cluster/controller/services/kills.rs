//! Controllers as processes that end with SIGKILL between two writes for a Service. The API server refuses the later write
//! until then, so the process is killed exactly there.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::{super::process::Process, Scene};
use crate::{controller::lock_control_plane, harness::eventually};

impl Scene {
    async fn process(&self, dir: &Path, name: &str) -> Process {
        let kubeconfig = self.cluster.kubeconfig_as(&self.namespace, "maglev-controller").await;
        Process::start_with(dir, name, &self.namespace, &kubeconfig, &["--services"])
    }

    /// Grants or removes the controller's right to write the status of Services.
    async fn allow_status(&self, is_allowed: bool) {
        let name = format!("{}:maglev-controller", self.namespace);
        let role = self.cluster.kubectl(&["get", "clusterrole", &name, "-o", "json"]).await;
        let mut role: Value = serde_json::from_str(&role).unwrap();
        let status = json!({"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]});
        let rules = role["rules"].as_array_mut().unwrap();
        rules.retain(|rule| *rule != status);
        if is_allowed {
            rules.push(status);
        }
        self.cluster.kubectl_with(&["replace", "-f", "-"], &role.to_string()).await;
        let account = format!("system:serviceaccount:{}:maglev-controller", self.namespace);
        eventually(&format!("the controller may write statuses: {is_allowed}"), async || {
            let args = ["auth", "can-i", "patch", "services", "--subresource=status", "--as", &account];
            (self.cluster.kubectl_with(&args, "").await.status.success() == is_allowed).then_some(())
        })
        .await;
    }

    /// Lets the API server refuse the Frontend `name` of this namespace.
    async fn refuse_frontend(&self, name: &str) {
        let namespace = &self.namespace;
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["maglev.vpp.io"], "apiVersions": ["*"], "operations": ["CREATE"],
                    "resources": ["frontends"],
                }]},
                "validations": [{"expression": format!("object.metadata.name != '{name}'")}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {
                "policyName": namespace, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            },
        });
        self.apply(&policy).await;
        self.apply(&binding).await;
        let frontend = json!({
            "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Frontend", "metadata": {"name": name},
            "spec": {"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": [{"name": "p", "backends": []}]},
        })
        .to_string();
        eventually(&format!("the API server refuses Frontend {name}"), async || {
            let args = ["create", "--dry-run=server", "-n", namespace, "-f", "-"];
            (!self.cluster.kubectl_with(&args, &frontend).await.status.success()).then_some(())
        })
        .await;
    }

    /// The uids of the Frontends by name.
    async fn uids(&self) -> BTreeMap<String, String> {
        let listed = self.get("mfe").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let uid = |frontend: &Value| (text(&frontend["metadata"]["name"]), text(&frontend["metadata"]["uid"]));
        listed["items"].as_array().unwrap().iter().map(uid).collect()
    }

    /// Deletes the Lease of a process that was killed, which expires later.
    async fn expire_lease(&self) {
        self.cluster.kubectl(&["delete", "lease", "maglev-controller", "-n", &self.namespace]).await;
    }
}

const PORTS: [(&str, u16); 2] = [("tls", 443), ("http", 80)];

fn two_ports() -> Value {
    let port = |(name, port)| json!({"name": name, "port": port, "targetPort": 8080});
    json!({"ports": PORTS.map(port)})
}

#[tokio::test]
async fn address_survives_a_controller_that_is_killed_before_the_status() {
    let cluster = Box::new(lock_control_plane().await);
    let scene = Scene::without_controller(cluster, "svc-killed", &["203.0.121.0/29"]).await;
    let dir = tempfile::tempdir().unwrap();
    scene.allow_status(false).await;
    let first = scene.process(dir.path(), "first").await;
    scene.create("web", &two_ports()).await;
    let frontends = ["web-443-tcp 203.0.121.1 Nodes Cluster", "web-80-tcp 203.0.121.1 Nodes Cluster"];
    scene.until_frontends(&frontends).await;
    first.until_logged("cannot write for service").await;
    first.kill().await;
    assert_eq!(scene.state("web").await, "", "the status was not written");
    let uids = scene.uids().await;

    scene.expire_lease().await;
    scene.allow_status(true).await;
    // Another address would be the first one now.
    scene.set_policy(&["198.51.102.0/29", "203.0.121.0/29"]).await;
    scene.create("next", &json!({})).await;
    let mut second = scene.process(dir.path(), "second").await;
    scene.until_state("web", "203.0.121.1 Accepted").await;
    scene.until_state("next", "198.51.102.1 Accepted").await;
    let now = scene.uids().await;
    assert!(uids.iter().all(|(name, uid)| now.get(name) == Some(uid)), "{uids:?} became {now:?}");
    second.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn service_is_completed_after_a_controller_that_is_killed_between_its_frontends() {
    let cluster = Box::new(lock_control_plane().await);
    let scene = Scene::without_controller(cluster, "svc-half", &["203.0.125.0/29"]).await;
    let dir = tempfile::tempdir().unwrap();
    scene.refuse_frontend("half-80-tcp").await;
    let first = scene.process(dir.path(), "first").await;
    scene.create("half", &two_ports()).await;
    scene.until_frontends(&["half-443-tcp 203.0.125.1 Nodes Cluster"]).await;
    first.until_logged("cannot write for service").await;
    first.kill().await;
    assert_eq!(scene.state("half").await, "");

    scene.expire_lease().await;
    let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
    scene.cluster.kubectl(&["delete", kinds, &scene.namespace]).await;
    scene.set_policy(&["198.51.103.0/29", "203.0.125.0/29"]).await;
    let mut second = scene.process(dir.path(), "second").await;
    scene.until_state("half", "203.0.125.1 Accepted").await;
    let frontends = ["half-443-tcp 203.0.125.1 Nodes Cluster", "half-80-tcp 203.0.125.1 Nodes Cluster"];
    assert_eq!(scene.frontends().await, frontends);
    second.stop().await;
    scene.end().await;
}
