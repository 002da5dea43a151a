//! Addresses and Frontends of Services, on a real API server.

mod families;
mod kills;
mod lifecycle;
mod refusals;
mod weights;

use std::{ops::Deref, time::Duration};

use maglev_controller::ControllerOptions;
use serde_json::{Value, json};

use super::{Replica, agents::Agents, install_controller_rights, lock_control_plane};
use crate::harness::{Cluster, eventually, run};

/// A controller with `--services` on the control plane of these tests, and an AddressPolicy for the test's namespace.
struct Scene {
    cluster: Box<dyn Deref<Target = Cluster>>,
    namespace: String,
    replica: Option<Replica>,
}

impl Scene {
    /// Starts a controller; `networks` are given to Services of the namespace that ask for no address.
    async fn start(test: &str, networks: &[&str]) -> Self {
        Self::start_on(Box::new(lock_control_plane().await), test, networks).await
    }

    async fn start_on(cluster: Box<dyn Deref<Target = Cluster>>, test: &str, networks: &[&str]) -> Self {
        let mut scene = Self::without_controller(cluster, test, networks).await;
        scene.lead("first").await;
        scene
    }

    async fn without_controller(cluster: Box<dyn Deref<Target = Cluster>>, test: &str, networks: &[&str]) -> Self {
        let namespace = install_controller_rights(&cluster, test).await;
        let scene = Self { cluster, namespace, replica: None };
        scene.set_policy(networks).await;
        scene
    }

    async fn set_policy(&self, networks: &[&str]) {
        let policy = json!({
            "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "AddressPolicy", "metadata": {"name": self.namespace},
            "spec": {
                "namespaces": {"names": [self.namespace]},
                "frontends": {"addresses": networks, "assign": "Auto"},
                "backends": {"addresses": ["0.0.0.0/0", "::/0"]},
            },
        });
        self.cluster.apply(&self.namespace, &policy.to_string()).await.unwrap();
    }

    /// Starts a replica that leads as soon as no other one does.
    async fn lead(&mut self, identity: &str) {
        let options = ControllerOptions {
            services: true,
            collect_for: Duration::from_secs(1),
            ..ControllerOptions::new(&self.namespace, identity)
        };
        self.replica = Some(Replica::start_with(&self.cluster, options, &Agents::default()).await);
    }

    /// Ends the replica as SIGKILL does.
    async fn kill(&mut self) {
        if let Some(replica) = self.replica.take() {
            replica.kill().await;
        }
    }

    /// The manifest of a Service of the class with the port 80.
    fn service(&self, name: &str, spec: &Value) -> Value {
        let mut merged = json!({
            "type": "LoadBalancer", "loadBalancerClass": "maglev.vpp.io/vpp", "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        });
        for (field, value) in spec.as_object().unwrap() {
            merged[field] = value.clone();
        }
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": self.namespace}, "spec": merged,
        })
    }

    async fn apply(&self, manifest: &Value) {
        self.cluster.apply(&self.namespace, &manifest.to_string()).await.unwrap();
    }

    /// Creates a Service; `spec` adds to its spec.
    async fn create(&self, name: &str, spec: &Value) {
        self.apply(&self.service(name, spec)).await;
    }

    /// Creates a Service that asks for `addresses`.
    async fn create_asking(&self, name: &str, addresses: &str, spec: &Value) {
        let mut service = self.service(name, spec);
        service["metadata"]["annotations"] = json!({"maglev.vpp.io/address": addresses});
        self.apply(&service).await;
    }

    async fn patch(&self, object: &str, patch: &Value) {
        let patch = patch.to_string();
        self.cluster.kubectl(&["patch", object, "-n", &self.namespace, "--type=merge", "-p", &patch]).await;
    }

    async fn get(&self, object: &str) -> Value {
        let text = self.cluster.kubectl(&["get", object, "-n", &self.namespace, "-o", "json"]).await;
        serde_json::from_str(&text).unwrap()
    }

    /// The Frontends of the namespace with their addresses and the targets of their pools.
    async fn frontends(&self) -> Vec<String> {
        let listed = self.get("mfe").await;
        let text = |frontend: &Value| {
            let spec = &frontend["spec"];
            let service = &spec["pools"][0]["service"];
            let parts = [
                &frontend["metadata"]["name"],
                &spec["address"],
                &service["targets"],
                &service["externalTrafficPolicy"],
            ];
            parts.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        };
        listed["items"].as_array().unwrap().iter().map(text).collect()
    }

    async fn until_frontends(&self, expected: &[&str]) {
        eventually(&format!("the Frontends are {expected:?}"), async || {
            (self.frontends().await == expected).then_some(())
        })
        .await;
    }

    /// The addresses in the status of a Service, and the reason of its condition Accepted.
    async fn state(&self, service: &str) -> String {
        let service = self.get(&format!("svc/{service}")).await;
        let ingress = service["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
        assert!(ingress.iter().all(|entry| entry["ipMode"] == "VIP"), "{ingress:?}");
        let addresses: Vec<&str> = ingress.iter().filter_map(|entry| entry["ip"].as_str()).collect();
        format!("{} {}", addresses.join(","), condition(&service, "Accepted", "reason")).trim().to_owned()
    }

    async fn until_state(&self, service: &str, expected: &str) {
        eventually(&format!("Service {service} is {expected:?}"), async || {
            (self.state(service).await == expected).then_some(())
        })
        .await;
    }

    /// The message of the condition Accepted.
    async fn message(&self, service: &str) -> String {
        condition(&self.get(&format!("svc/{service}")).await, "Accepted", "message")
    }

    /// Waits for an Event about a Service.
    async fn until_event(&self, service: &str, reason: &str) {
        eventually(&format!("Event {reason} about {service}"), async || {
            let described = self.cluster.kubectl(&["describe", "svc", service, "-n", &self.namespace]).await;
            described.contains(reason).then_some(())
        })
        .await;
    }

    /// The words that maglevc prints, line by line.
    async fn maglevc(&self, args: &[&str]) -> String {
        let mut command = tokio::process::Command::new(maglev_testkit::binary("maglevc"));
        command.args(args).env_clear().env("KUBECONFIG", self.cluster.plane().kubeconfig());
        let output = run(command.env("HOME", self.cluster.dir()).kill_on_drop(true), "").await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        text.lines().map(line).collect()
    }

    /// Stops the controller and deletes the objects of the test.
    async fn end(mut self) {
        self.cluster.kubectl(&["delete", "svc,mfe", "--all", "-n", &self.namespace]).await;
        if let Some(replica) = self.replica.take() {
            replica.stop().await;
        }
        self.cluster.kubectl(&["delete", "mfe", "--all", "-n", &self.namespace]).await;
        self.cluster.kubectl(&["delete", "mpol", &self.namespace, "--ignore-not-found"]).await;
    }
}

/// A field of a condition that the controller sets.
fn condition(service: &Value, kind: &str, field: &str) -> String {
    let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let kind = format!("maglev.vpp.io/{kind}");
    let found = conditions.iter().find(|condition| condition["type"] == *kind);
    found.and_then(|condition| condition[field].as_str()).unwrap_or_default().to_owned()
}
