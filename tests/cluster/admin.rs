//! Operator changes from the dashboard against the real API server: the rights that they are written with, and the
//! refusals of the API server.
//!
//! No agent runs here, so the changes are forced. `tests/cluster/dashboard.rs` tests that agents apply them.

mod reading;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, ResourceExt, api::ListParams};
use maglev_crd::{self as crd, AdminState};
use maglev_dashboard::{Build, Dashboard, DashboardOptions, SignInMode, SignInOptions};
use maglev_fleet::{Fleet, FleetOptions, Source};
use maglev_kube::{ClientOptions, UserClients, operator_change::MANAGER};
use maglev_model::view::View;
use maglev_net::ConnectionLimits;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::{
    chart::template,
    harness::{Cluster, LIMIT, cluster, run},
};

/// A dashboard without agents, and a namespace with the Backend `a`.
struct Site {
    cluster: &'static Cluster,
    client: Client,
    namespace: String,
    address: SocketAddr,
    dir: PathBuf,
    /// Seconds by which the dashboard's clock is ahead.
    ahead: Arc<AtomicI64>,
    shutdown: CancellationToken,
}

impl Site {
    /// Starts the dashboard. `mode` is called with the namespace and the directory of the credentials.
    async fn new(test: &str, mode: impl AsyncFnOnce(&Cluster, &str, PathBuf) -> SignInMode) -> Self {
        let cluster = cluster().await;
        let namespace = cluster.namespace(test).await;
        let backend =
            "{apiVersion: maglev.vpp.io/v1alpha1, kind: Backend, metadata: {name: a}, spec: {address: 192.0.2.1}}";
        cluster.apply(&namespace, backend).await.unwrap();
        let dir = cluster.dir().join(&namespace);
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in [("username", "ada"), ("password", "lovelace"), ("key", &"k".repeat(32))] {
            fs::write(dir.join(file), text).unwrap();
        }
        for account in ["editor", "reader", "rightless"] {
            cluster.service_account(&namespace, account).await;
        }
        let rights = ["create", "rolebinding", "edits", "--clusterrole=cluster-admin", "-n", &namespace];
        cluster.kubectl(&[&rights[..], &[&format!("--serviceaccount={namespace}:editor")]].concat()).await;
        let reads =
            ["create", "role", "reads", "--verb=get,list", "--resource=backends.maglev.vpp.io", "-n", &namespace];
        cluster.kubectl(&reads).await;
        let reader = format!("--serviceaccount={namespace}:reader");
        cluster.kubectl(&["create", "rolebinding", "reads", "--role=reads", "-n", &namespace, &reader]).await;

        let mode = mode(cluster, &namespace, dir.clone()).await;
        let ahead = Arc::new(AtomicI64::new(0));
        let seconds = Arc::clone(&ahead);
        let clock = move || Timestamp::now() + SignedDuration::from_secs(seconds.load(Ordering::Relaxed));
        let sign_in = SignInOptions { mode, key_file: dir.join("key"), clock: Arc::new(clock) };
        let shutdown = CancellationToken::new();
        let address = serve(sign_in, &shutdown).await;
        Self { cluster, client: cluster.client().await, namespace, address, dir, ahead, shutdown }
    }

    /// A curl command with the cookies of `user`, for a path below `view/api/`.
    fn curl(&self, user: &str, path: &str) -> Command {
        let jar = self.dir.join(format!("{user}.jar")).display().to_string();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-N", "-b", &jar, "-c", &jar, &format!("http://{}/view/api/{path}", self.address)]);
        curl
    }

    /// Sends a request with the cookies of `user`. Returns the status and the body.
    async fn post(&self, user: &str, path: &str, csrf: &str, body: &Value) -> (u16, Value) {
        let headers = [
            format!("Origin: http://{}", self.address),
            "Content-Type: application/json".into(),
            format!("X-Maglev-CSRF: {csrf}"),
        ];
        let mut curl = self.curl(user, path);
        curl.args(["--data-binary", "@-"]).args(headers.iter().flat_map(|header| ["-H", header]));
        answer(&mut curl, &body.to_string()).await
    }

    async fn get(&self, user: &str, path: &str) -> (u16, Value) {
        answer(&mut self.curl(user, path), "").await
    }

    /// Signs in and returns the CSRF token.
    async fn sign_in(&self, user: &str, credentials: &Value) -> String {
        let (status, answer) = self.post(user, "sign-in", "", credentials).await;
        assert_eq!(status, 200, "{answer}");
        answer["csrf"].as_str().unwrap().to_owned()
    }

    async fn token(&self, account: &str) -> String {
        self.cluster.plane().issue_token(&self.namespace, account).await.unwrap()
    }

    fn pause(&self, force: bool) -> Value {
        let change = json!({ "field": "admin_state", "backend": format!("{}/a", self.namespace), "state": "Paused" });
        json!({ "change": change, "reason": "it is too hot", "force": force })
    }

    async fn backend(&self) -> crd::Backend {
        Api::namespaced(self.client.clone(), &self.namespace).get("a").await.unwrap()
    }

    async fn events(&self) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        events.list(&ListParams::default()).await.unwrap().items
    }
}

/// Runs curl. Returns the status and the body.
async fn answer(curl: &mut Command, body: &str) -> (u16, Value) {
    let output = run(curl.args(["-w", "\n%{http_code}"]), body).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let (answer, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(answer).unwrap())
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn serve(sign_in: SignInOptions, shutdown: &CancellationToken) -> SocketAddr {
    let fleet = Fleet::<View>::new(Source::Addresses(Vec::new()), FleetOptions::default());
    let options = DashboardOptions {
        addresses: vec![([127, 0, 0, 1], 0).into()],
        connections: ConnectionLimits::DASHBOARD,
        allowed_hosts: vec!["lb.example".to_owned()],
        trusted_proxies: Vec::new(),
        build: Build { version: "1.2.3", commit: "abc", build_date: None },
        namespace: None,
        ping: LIMIT,
        buffer: DashboardOptions::DEFAULT_BUFFER,
        replica: 1,
        sign_in: Some(sign_in),
    };
    let dashboard = Dashboard::new(fleet.handle(), None, options, &Registry::new()).unwrap();
    let mut bound = dashboard.bound().remove(0);
    tokio::spawn(fleet.run(shutdown.clone()));
    tokio::spawn(dashboard.run(shutdown.clone()));
    let bound = tokio::time::timeout(LIMIT, bound.wait_for(Option::is_some)).await.unwrap();
    bound.unwrap().unwrap()
}

async fn token_mode(cluster: &Cluster, namespace: &str, _: PathBuf) -> SignInMode {
    let clients = user_clients(cluster, namespace).await;
    SignInMode::Token { clients, to_read: false, to_change: true }
}

async fn user_clients(cluster: &Cluster, namespace: &str) -> UserClients {
    // The dashboard's own ServiceAccount has no rights, so every request uses the user's.
    let kubeconfig = Some(cluster.kubeconfig_as(namespace, "rightless").await);
    UserClients::new(ClientOptions { kubeconfig, ..ClientOptions::default() }).await.unwrap()
}

#[tokio::test]
async fn change_is_made_with_the_users_token_and_audited() {
    let site = Site::new("admin-token", token_mode).await;
    let csrf = site.sign_in("editor", &json!({ "token": site.token("editor").await })).await;
    let (status, answer) = site.post("editor", "admin/change", &csrf, &site.pause(false)).await;
    assert_eq!((status, &answer["reason"]), (409, &json!("NoAgentAnswers")), "{answer}");
    assert_eq!(site.backend().await.spec.admin_state, None);

    let (status, answer) = site.post("editor", "admin/change", &csrf, &site.pause(true)).await;
    let editor = format!("system:serviceaccount:{}:editor", site.namespace);
    assert_eq!((status, &answer["old"], &answer["new"]), (200, &json!("Enabled (not set)"), &json!("Paused")));
    assert_eq!((&answer["by"], &answer["written"], answer.get("event_failed")), (&json!(editor), &json!(true), None));
    let backend = site.backend().await;
    assert_eq!(backend.spec.admin_state, Some(AdminState::Paused));
    assert_eq!(backend.annotations()["maglev.vpp.io/operator-action-by"], editor);
    assert_eq!(backend.annotations()["maglev.vpp.io/operator-action-reason"], "it is too hot");
    let managers: Vec<_> = backend.managed_fields().iter().filter_map(|entry| entry.manager.as_deref()).collect();
    assert!(managers.contains(&MANAGER), "{managers:?}");
    let note = site.events().await[0].note.clone().unwrap();
    assert!(note.starts_with(&format!("{editor} set adminState of Backend {}/a", site.namespace)), "{note}");

    let (status, _) = site.post("editor", "sign-out", &csrf, &json!({})).await;
    assert_eq!(status, 200);
    let (status, answer) = site.post("editor", "admin/change", &csrf, &site.pause(true)).await;
    assert_eq!((status, &answer["reason"]), (401, &json!("NotSignedIn")));
}

#[tokio::test]
async fn read_only_token_changes_nothing() {
    let site = Site::new("admin-reader", token_mode).await;
    let csrf = site.sign_in("reader", &json!({ "token": site.token("reader").await })).await;
    let (status, answer) = site.post("reader", "admin/change", &csrf, &site.pause(true)).await;
    let reader = format!("system:serviceaccount:{}:reader", site.namespace);
    assert_eq!((status, &answer["reason"]), (403, &json!("ApiRefused")), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(&reader) && message.contains("cannot patch resource"), "{message}");
    assert_eq!(site.backend().await.spec.admin_state, None);

    for token in ["", "x", "two words", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"] {
        let (status, answer) = site.post("stranger", "sign-in", "", &json!({ "token": token })).await;
        assert_eq!((status, &answer["reason"]), (401, &json!("TokenRefused")), "{token:?}: {answer}");
    }
    assert_eq!(site.events().await.len(), 0);
}

#[tokio::test]
async fn password_sign_in_uses_the_dashboards_rights() {
    for (account, allowed) in [("editor", true), ("reader", false)] {
        let site = Site::new("admin-basic", async |cluster: &Cluster, namespace: &str, credentials_dir| {
            let client = cluster.client_as(namespace, account).await;
            SignInMode::Basic { credentials_dir, client }
        })
        .await;
        let csrf = site.sign_in("ada", &json!({ "user": "ada", "password": "lovelace" })).await;
        let (status, answer) = site.post("ada", "admin/change", &csrf, &site.pause(true)).await;
        let backend = site.backend().await;
        if allowed {
            assert_eq!((status, &answer["by"]), (200, &json!("dashboard user ada")), "{answer}");
            assert_eq!(backend.spec.admin_state, Some(AdminState::Paused));
            assert_eq!(backend.annotations()["maglev.vpp.io/operator-action-by"], "dashboard user ada");
        } else {
            assert_eq!((status, &answer["reason"]), (403, &json!("ApiRefused")), "{answer}");
            assert_eq!(backend.spec.admin_state, None);
        }
    }
}

/// Renders the templates of the dashboard's admin mode.
async fn admin_templates(values: &str) -> Result<String, String> {
    let only =
        ["--show-only", "templates/dashboard/admin-rbac.yaml", "--show-only", "templates/dashboard/deployment.yaml"];
    template(cluster().await, "maglev", &[&["--set", values], &only[..]].concat()).await
}

#[tokio::test]
async fn chart_grants_write_rights_only_in_the_named_namespaces() {
    let secrets = "dashboard.admin.keySecret.name=key,dashboard.admin.credentialsSecret.name=who";
    let basic =
        admin_templates(&format!("dashboard.admin.mode=basic,dashboard.admin.namespaces={{shop,blog}},{secrets}"))
            .await;
    let basic = basic.unwrap();
    for expected in [
        "- --admin-mode=basic",
        "- --admin-key-file=/etc/maglev/admin-key/key",
        "- --admin-credentials-dir=/etc/maglev/admin-credentials",
        "secretName: key",
        "secretName: who",
        "namespace: shop",
        "namespace: blog",
    ] {
        assert!(basic.contains(expected), "{expected} is not in\n{basic}");
    }
    assert_eq!(basic.matches("kind: RoleBinding").count(), 2, "{basic}");
    assert!(!basic.contains("kind: ClusterRoleBinding"), "{basic}");
    let nowhere = admin_templates(&format!("dashboard.admin.mode=basic,{secrets}")).await.unwrap();
    assert!(!nowhere.contains("RoleBinding"), "{nowhere}");
    let values = "dashboard.admin.mode=token,dashboard.admin.keySecret.name=key";
    let token = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    assert!(token.contains("- --admin-mode=token") && !token.contains("admin-credentials"), "{token}");
    let off = template(cluster().await, "maglev", &[]).await.unwrap();
    for rendered in [token, off] {
        let dashboard: Vec<_> =
            rendered.split("\n---").filter(|part| part.contains("templates/dashboard/rbac.yaml")).collect();
        assert_eq!(dashboard.len(), 4, "the dashboard has a Role, a ClusterRole and their bindings");
        for verb in ["patch", "update", "create", "delete", "*"] {
            assert!(!dashboard.concat().contains(verb), "{verb} is in {dashboard:?}");
        }
        assert!(!rendered.contains("dashboard/admin-rbac.yaml"), "{rendered}");
    }
}

#[tokio::test]
async fn chart_mounts_the_key_for_reading_and_grants_nothing() {
    let values = "dashboard.auth.mode=token,dashboard.admin.keySecret.name=key,dashboard.ingress.enabled=true";
    let rendered = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    let expected = [
        "- --auth-mode=token\n",
        "- --admin-key-file=/etc/maglev/admin-key/key\n",
        "secretName: key\n",
        "fsGroup: 65532\n",
    ];
    for expected in expected {
        assert!(rendered.contains(expected), "{expected} is not in\n{rendered}");
    }
    assert!(!rendered.contains("--admin-mode") && rendered.contains("kind: Ingress"), "{rendered}");
    let roles = |rendered: &str| {
        let is_role = |part: &&str| part.contains("\nkind: ClusterRole\n") || part.contains("\nkind: Role\n");
        rendered.split("\n---").filter(is_role).map(str::to_owned).collect::<Vec<_>>()
    };
    let open = template(cluster().await, "maglev", &[]).await.unwrap();
    assert_eq!(roles(&rendered), roles(&open), "the API server is asked with the user's own token");
    assert!(!open.contains("--auth-mode") && !open.contains("admin-key"), "{open}");
}

#[tokio::test]
async fn chart_refuses_incomplete_admin_values() {
    for (values, text) in [
        ("dashboard.admin.mode=token", "dashboard.admin.keySecret.name"),
        ("dashboard.admin.mode=basic,dashboard.admin.keySecret.name=key", "dashboard.admin.credentialsSecret.name"),
        ("dashboard.admin.mode=token,dashboard.admin.keySecret.name=key,dashboard.admin.namespaces={a}", "own rights"),
        ("dashboard.admin.namespaces={a}", "dashboard.admin.mode=basic"),
        ("dashboard.admin.mode=maybe", "/dashboard/admin/mode"),
        ("dashboard.auth.mode=token", "dashboard.admin.keySecret.name"),
        (
            "dashboard.auth.mode=token,dashboard.admin.mode=basic,dashboard.admin.keySecret.name=key,\
             dashboard.admin.credentialsSecret.name=who",
            "Set dashboard.admin.mode to token or off",
        ),
        ("dashboard.auth.mode=basic", "/dashboard/auth/mode"),
        ("dashboard.ingress.enabled=true", "dashboard.auth.mode=token or dashboard.auth.allowAnonymous=true"),
        (
            "dashboard.ingress.enabled=true,dashboard.admin.mode=token,dashboard.admin.keySecret.name=key",
            "allowAnonymous",
        ),
    ] {
        let error = admin_templates(values).await.unwrap_err();
        assert!(error.contains(text), "{values}: {error}");
    }
}
