//! Reading the dashboard with a Kubernetes token (`dashboard.auth.mode: token`), with real users of a real API server.

use std::process::Stdio;
use std::sync::atomic::Ordering;

use maglev_dashboard::SignInMode;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{Site, user_clients};
use crate::harness::{Cluster, LIMIT, cluster, eventually, run};

const KINDS: &str = "backends.maglev.vpp.io,frontends.maglev.vpp.io,healthchecks.maglev.vpp.io,\
                     loadbalancerconfigs.maglev.vpp.io,maglevnodes.maglev.vpp.io";
const DOCUMENTS: [&str; 9] = [
    "summary",
    "state",
    "state/node-a",
    "frontend/shop/web",
    "object/Backend/shop/web-1",
    "object/MaglevNode/node-a",
    "maglevds",
    "version",
    "unknown",
];

async fn start(test: &str) -> Site {
    Site::new(test, async |cluster: &Cluster, namespace: &str, _| {
        let clients = user_clients(cluster, namespace).await;
        SignInMode::Token { clients, to_read: true, to_change: true }
    })
    .await
}

impl Site {
    /// The name of the ClusterRole and of its binding for `account`.
    fn viewer(&self, account: &str) -> String {
        format!("{}-{account}", self.namespace)
    }

    /// Allows an account to list every kind in all namespaces, and waits until the API server agrees.
    async fn allow_reading(&self, account: &str) {
        let (name, user) = (self.viewer(account), format!("{}:{account}", self.namespace));
        let resources = format!("--resource={KINDS}");
        self.cluster.kubectl(&["create", "clusterrole", &name, "--verb=get,list,watch", &resources]).await;
        let (role, subject) = (format!("--clusterrole={name}"), format!("--serviceaccount={user}"));
        self.cluster.kubectl(&["create", "clusterrolebinding", &name, &role, &subject]).await;
        let user = format!("--as=system:serviceaccount:{user}");
        eventually("the rights are in effect", async || {
            let args = ["auth", "can-i", "list", "maglevnodes.maglev.vpp.io", &user];
            self.cluster.kubectl_with(&args, "").await.status.success().then_some(())
        })
        .await;
    }

    async fn read_status(&self, user: &str) -> u16 {
        self.get(user, "summary").await.0
    }

    /// Opens the stream, and reads its first event.
    async fn stream(&self, user: &str) -> Stream {
        let mut curl = self.curl(user, "events");
        let mut process = curl.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut stream = Stream { lines, _process: process };
        while stream.next().await.expect("the stream is open") != "event: hello" {}
        stream
    }
}

struct Stream {
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Stream {
    async fn next(&mut self) -> Option<String> {
        tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("the stream goes on or ends").unwrap()
    }

    async fn until_end(mut self) {
        while self.next().await.is_some() {}
    }
}

#[tokio::test]
async fn only_users_who_may_list_every_kind_read_anything() {
    let site = start("read-token").await;
    site.allow_reading("editor").await;
    for path in DOCUMENTS.into_iter().chain(["events", "admin/unknown"]) {
        let (status, answer) = site.get("nobody", path).await;
        assert_eq!((status, &answer["reason"]), (401, &json!("NotSignedIn")), "{path}: {answer}");
    }
    let (status, session) = site.get("nobody", "session").await;
    assert_eq!((status, session), (200, json!({ "mode": "token", "to_read": true, "to_change": true })));

    for (account, missing) in [("rightless", "backends.maglev.vpp.io"), ("reader", "backends.maglev.vpp.io")] {
        let (status, answer) = site.post(account, "sign-in", "", &json!({ "token": site.token(account).await })).await;
        assert_eq!((status, &answer["reason"]), (403, &json!("NotAllowedToRead")), "{answer}");
        let text = format!("system:serviceaccount:{}:{account} may not list {missing}", site.namespace);
        assert!(answer["message"].as_str().unwrap().starts_with(&text), "{answer}");
        assert_eq!(site.read_status(account).await, 401, "no session has begun");
    }
    let (status, answer) = site.post("stranger", "sign-in", "", &json!({ "token": "no-token" })).await;
    assert_eq!((status, &answer["reason"]), (401, &json!("TokenRefused")));

    let csrf = site.sign_in("editor", &json!({ "token": site.token("editor").await })).await;
    for path in DOCUMENTS {
        let expected = if ["summary", "state", "maglevds", "version"].contains(&path) { 200 } else { 404 };
        assert_eq!(site.get("editor", path).await.0, expected, "{path}");
    }
    drop(site.stream("editor").await);
    // The same sign-in serves changes, with the user's own rights.
    let (status, answer) = site.post("editor", "admin/change", &csrf, &site.pause(true)).await;
    assert_eq!((status, &answer["new"]), (200, &json!("Paused")), "{answer}");
    // Five tries at once, then one every 12 s.
    let mut tries = 0;
    while site.post("stranger", "sign-in", "", &json!({ "token": "no-token" })).await.0 != 429 {
        tries += 1;
        assert!(tries < 50, "tries are not limited");
    }
}

#[tokio::test]
async fn stream_ends_with_the_session() {
    let site = start("read-ends").await;
    site.allow_reading("reader").await;
    let token = json!({ "token": site.token("reader").await });

    let csrf = site.sign_in("reader", &token).await;
    let stream = site.stream("reader").await;
    assert_eq!(site.post("reader", "sign-out", &csrf, &json!({})).await.0, 200);
    stream.until_end().await;
    assert_eq!(site.read_status("reader").await, 401, "signed out");

    // A page that only shows the stream stays signed in for eight hours; changes require activity.
    let csrf = site.sign_in("reader", &token).await;
    let stream = site.stream("reader").await;
    site.ahead.fetch_add(8 * 3600 - 60, Ordering::Relaxed);
    assert_eq!(site.read_status("reader").await, 200);
    let (status, answer) = site.post("reader", "admin/preview", &csrf, &site.pause(true)["change"]).await;
    assert_eq!((status, &answer["reason"]), (401, &json!("NotSignedIn")), "{answer}");
    assert_eq!(site.read_status("reader").await, 200);
    site.ahead.fetch_add(61, Ordering::Relaxed);
    stream.until_end().await;
    assert_eq!(site.read_status("reader").await, 401, "expired");

    site.sign_in("reader", &token).await;
    let stream = site.stream("reader").await;
    site.cluster.kubectl(&["delete", "clusterrolebinding", &site.viewer("reader")]).await;
    eventually("the API server has withdrawn the right", async || {
        let user = format!("--as=system:serviceaccount:{}:reader", site.namespace);
        let args = ["auth", "can-i", "list", "maglevnodes.maglev.vpp.io", &user];
        (!site.cluster.kubectl_with(&args, "").await.status.success()).then_some(())
    })
    .await;
    // The next check is due after a minute.
    site.ahead.fetch_add(61, Ordering::Relaxed);
    stream.until_end().await;
    assert_eq!(site.read_status("reader").await, 401, "no longer allowed");
}

#[tokio::test]
async fn program_refuses_modes_that_cannot_work() {
    let dir = tempfile::tempdir().unwrap();
    let key = format!("--admin-key-file={}", dir.path().join("key").display());
    let credentials = format!("--admin-credentials-dir={}", dir.path().display());
    let without_kubernetes = ["--server=127.0.0.1:9", "--auth-mode=token", &key];
    let two_modes = ["--auth-mode=token", "--admin-mode=basic", &key, &credentials];
    let without_key = ["--auth-mode=token"];
    let kubeconfig = cluster().await.plane().kubeconfig();
    for (flags, text) in [
        (
            &without_kubernetes[..],
            "--auth-mode=token cannot be used with --server: the API server decides who may read",
        ),
        (&two_modes[..], "--auth-mode=token cannot be used with --admin-mode=basic"),
        (&without_key[..], "--admin-key-file"),
    ] {
        let mut program = Command::new(maglev_testkit::binary("maglev-frontend"));
        program.env_clear().args(flags).args(["--http-addr=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"]);
        program.env("KUBECONFIG", &kubeconfig).kill_on_drop(true);
        let output = run(&mut program, "").await;
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && printed.contains(text), "{flags:?}: {printed}");
    }
}
