//! The control plane that the tests of this binary share, and helpers for their clients, namespaces and tools.
//!
//! The control plane consists of etcd and the API server with the CRDs of `crds/` installed; the first test that needs
//! it starts it. There are no controllers: nothing finalizes a namespace, creates a ServiceAccount or schedules a pod.
//! A test that stops the API server or needs controllers starts its own control plane with [`own_control_plane`].

#![allow(dead_code, reason = "each module of this binary uses a part of the harness")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use maglev_sandbox::assets::{Assets, Tool};
use maglev_sandbox::control_plane::{ControlPlane, Credentials, Options};
use maglev_sandbox::processes::Processes;
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Maximum time that a test waits for a condition.
pub const LIMIT: Duration = Duration::from_secs(30);

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// A running control plane, usually with the CRDs installed.
pub struct Cluster {
    plane: ControlPlane,
    dir: PathBuf,
}

/// The shared control plane; the first caller starts it. It ends with the test process, even if that is killed.
pub async fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(|| start("shared", false)).await
}

/// A control plane for one test, with the CRDs installed. It ends when dropped.
pub async fn own_control_plane(name: &str, controllers: bool) -> Cluster {
    start(name, controllers).await
}

/// A control plane with controllers and without the CRDs: a cluster before the chart is installed.
pub async fn empty_control_plane(name: &str) -> Cluster {
    start_without_crds(name, true).await
}

async fn start(name: &str, controllers: bool) -> Cluster {
    let cluster = start_without_crds(name, controllers).await;
    cluster.install_crds().await;
    cluster
}

async fn start_without_crds(name: &str, controllers: bool) -> Cluster {
    let assets = Assets::from_checkout(&root()).await.unwrap();
    let dir = scratch(name);
    let options = Options { controllers, ..Options::new(assets) };
    let processes = Processes::start().unwrap();
    let plane = ControlPlane::start(&dir, &processes, options).await.unwrap();
    Cluster { plane, dir }
}

pub fn root() -> PathBuf {
    maglev_testkit::checkout().to_owned()
}

/// Creates a directory for this process under `target/` and removes the directories of processes that have ended.
pub fn scratch(name: &str) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    for old in fs::read_dir(&parent).into_iter().flatten().flatten() {
        let file_name = old.file_name();
        let pid = file_name.to_string_lossy().rsplit('-').next().unwrap_or_default().to_owned();
        if !Path::new("/proc").join(pid).exists() {
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let dir = parent.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

impl Cluster {
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Directory for the files of this cluster's tests.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// An administrator's client that runs in the calling test's runtime.
    pub async fn client(&self) -> Client {
        self.plane.client().await.unwrap()
    }

    /// Creates a namespace named after the test.
    pub async fn namespace(&self, test: &str) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client().await);
        let metadata = ObjectMeta { generate_name: Some(format!("{test}-")), ..ObjectMeta::default() };
        let object = Namespace { metadata, ..Namespace::default() };
        namespaces.create(&PostParams::default(), &object).await.unwrap().name_any()
    }

    /// Creates a ServiceAccount without any rights.
    pub async fn service_account(&self, namespace: &str, name: &str) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        let object = ServiceAccount { metadata, ..ServiceAccount::default() };
        accounts.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Writes a kubeconfig file with a token of the ServiceAccount.
    pub async fn kubeconfig_as(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.plane.issue_token(namespace, service_account).await.unwrap();
        let path = self.dir.join(format!("{namespace}-{service_account}.kubeconfig"));
        self.plane.write_kubeconfig(&path, namespace, &Credentials::Token(token)).unwrap();
        path
    }

    /// A client that authenticates as the ServiceAccount.
    pub async fn client_as(&self, namespace: &str, service_account: &str) -> Client {
        let config = Kubeconfig::read_from(self.kubeconfig_as(namespace, service_account).await).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    /// Runs kubectl as administrator; `-f -` reads `stdin`.
    pub async fn kubectl_with(&self, args: &[&str], stdin: &str) -> Output {
        run(self.tool(Tool::Kubectl).args(args), stdin).await
    }

    /// Runs kubectl as administrator and returns its standard output. Panics if kubectl fails.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        let output = self.kubectl_with(args, "").await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies manifests. `Err` holds kubectl's standard error.
    pub async fn apply(&self, namespace: &str, manifests: &str) -> Result<String, String> {
        let output = self.kubectl_with(&["apply", "--server-side", "-n", namespace, "-f", "-"], manifests).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap() + &stderr) } else { Err(stderr) }
    }

    /// Command for one of the control plane's tools, with the administrator's kubeconfig and without the user's own
    /// configuration.
    pub fn tool(&self, tool: Tool) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.plane.assets().path(tool));
        command.env("KUBECONFIG", self.plane.kubeconfig()).env("HOME", &self.dir).current_dir(root());
        command.kill_on_drop(true);
        command
    }

    async fn install_crds(&self) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client().await);
        let params = PatchParams::apply("maglev-tests").force();
        let mut names = Vec::new();
        for crd in committed_crds() {
            let applied = crds.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.unwrap();
            names.push(applied.name_any());
        }
        for name in names {
            let established = async || is_established(&crds.get(&name).await.unwrap()).then_some(());
            eventually(&format!("{name} is established"), established).await;
        }
    }
}

/// Deletes the cluster-scoped objects of a test that still exist.
pub async fn delete_cluster_scoped(cluster: &Cluster, kinds: &[&str], names: &[&str]) {
    let kinds = kinds.join(",");
    let args = [&["delete", &kinds, "--ignore-not-found", "--wait=false"], names].concat();
    cluster.kubectl(&args).await;
}

/// The CRDs committed in `crds/`.
pub fn committed_crds() -> Vec<CustomResourceDefinition> {
    let mut files: Vec<_> =
        fs::read_dir(root().join("crds")).into_iter().flatten().map(|e| e.unwrap().path()).collect();
    files.sort();
    let parse = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).map(parse).collect()
}

/// Installs the CRD of Frontends as in version 0.1.0, which allowed encap type NAT.
pub async fn allow_nat(cluster: &Cluster) {
    let crd = committed_crds().into_iter().find(|crd| crd.spec.names.kind == "Frontend").unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    let encap = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/encap";
    let encap = crd.pointer_mut(encap).unwrap();
    encap["properties"]["nat"] = json!({
        "type": "object", "required": ["targetPort"], "properties": { "targetPort": { "type": "integer" } },
    });
    let rules = encap["x-kubernetes-validations"].as_array_mut().unwrap();
    let before = rules.len();
    rules.retain(|rule| !rule["rule"].as_str().unwrap().contains("NAT"));
    assert_eq!(rules.len(), before - 2, "the rules of NAT and of other types");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let output = cluster.kubectl_with(&apply, &crd.to_string()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Installs the committed CRD of Frontends, as an upgrade does, and waits until the API server refuses NAT. Returns the
/// message of the refusal.
pub async fn refuse_nat(cluster: &Cluster) -> String {
    let crd = root().join("crds/frontends.yaml");
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", crd.to_str().unwrap()]).await;
    let manifest = r#"{"apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Frontend", "metadata": {"name": "new-nat"}, "spec": {
        "address": "203.0.113.99", "protocol": "TCP", "port": 80, "pools": [{"name": "primary", "backends": []}],
        "encap": {"type": "NAT", "nat": {"targetPort": 8080}}}}"#;
    eventually("the API server refuses NAT", async || {
        let output = cluster.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], manifest).await;
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    })
    .await
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// Runs a command with `stdin` as its input until it ends, for at most twice [`LIMIT`].
pub async fn run(command: &mut tokio::process::Command, stdin: &str) -> Output {
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt;

    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    // Fails if the command ends without reading its input, which is no error.
    let write = tokio::spawn(async move { input.write_all(text.as_bytes()).await });
    let output =
        tokio::time::timeout(2 * LIMIT, child.wait_with_output()).await.expect("the command ends in time").unwrap();
    let _ = write.await;
    output
}

/// Polls until `poll` returns a value; panics with `condition` after [`LIMIT`].
pub async fn eventually<T>(condition: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {} s: {condition}", LIMIT.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
