//! The dashboard in a sandbox, installed by the chart, with curl as its client. A second dashboard, with admin mode,
//! makes changes that the agents apply.

use std::{fs, net::TcpListener, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{
    harness::{LIMIT, eventually, run},
    sandbox::Sandbox,
};

/// The URL that the sandbox prints.
fn url(sandbox: &Sandbox) -> String {
    let output = sandbox.output();
    let line = output.lines().find_map(|line| line.trim().strip_prefix("dashboard "));
    line.unwrap_or_else(|| panic!("the sandbox prints no dashboard URL:\n{output}")).trim().to_owned()
}

/// A document of the dashboard at `url`.
pub async fn document(url: &str, path: &str) -> Option<Value> {
    let output = run(Command::new("curl").args(["-sS", "--fail", "--compressed", &format!("{url}{path}")]), "").await;
    serde_json::from_slice(&output.stdout).ok()
}

/// An event stream that curl reads.
struct Stream {
    lines: Lines<BufReader<ChildStdout>>,
    _curl: Child,
}

impl Stream {
    fn open(url: &str, query: &str, more: &[&str]) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-sSN", "-i", "--http1.1"]).args(more).arg(format!("{url}api/events{query}"));
        let mut curl = curl.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        Self { lines, _curl: curl }
    }

    /// Reads up to the first line that fulfils `matches`, and returns the lines.
    async fn until(&mut self, description: &str, matches: impl Fn(&str) -> bool) -> Vec<String> {
        let mut read = Vec::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let is_match = matches(&line);
                read.push(line);
                if is_match {
                    return true;
                }
            }
            false
        };
        let matched = tokio::time::timeout(LIMIT, reading).await.unwrap_or(false);
        assert!(matched, "{description} is not in\n{}", read.join("\n"));
        read
    }
}

#[tokio::test]
async fn dashboard_serves_live_state_of_a_cluster() {
    let sandbox = Sandbox::up("dashboard", &[]).await;
    let url = url(&sandbox);
    let is_complete =
        |summary: &Value| summary["totals"]["reporting"] == 2 && summary["rows"]["default/web"]["state"] == "up";
    let summary =
        eventually("both nodes report", async || document(&url, "api/summary").await.filter(is_complete)).await;
    assert_eq!((&summary["kubernetes"], &summary["looked_for"]["namespace"]), (&"watching".into(), &"default".into()));
    let cells = summary["rows"]["default/web"]["cells"].as_object().unwrap();
    assert_eq!(cells.keys().collect::<Vec<_>>(), ["node-a", "node-b"]);
    assert!(summary["nodes"]["node-a"]["pod"].as_str().unwrap().starts_with("default/maglevd-"), "{summary}");

    let page = document(&url, "api/frontend/default/web").await.unwrap();
    let object = &page["objects"]["Frontend default/web"];
    assert_eq!(
        (&object["generation"], &object["changed"]["by"]),
        (&1.into(), &"kubectl-client-side-apply".into()),
        "{object}"
    );
    let member =
        |node: &Value| node["frontends"]["default/web"]["pools"]["primary"]["members"]["default/web-1"].clone();
    // Buckets are read with VPP's state, traffic with its counters.
    let is_read = |node: &Value| {
        let rate = node["frontends"]["default/web"]["counters"]["first"]["rate"].as_f64();
        rate > Some(0.0) && member(node)["buckets"].as_u64() > Some(0)
    };
    let read = async || document(&url, "api/state/node-a").await.filter(is_read);
    let member = member(&eventually("traffic has a rate and the backend has buckets", read).await);
    assert_eq!((&member["effective"], &member["in_vpp"]), (&10.into(), &10.into()));

    let query = "?node=node-a&log=all&beats=default/web";
    let mut stream = Stream::open(&url, query, &["-H", "Accept-Encoding: gzip, br"]);
    let head = stream.until("hello", |line| line == "event: hello").await.join("\n");
    let head = head.to_lowercase();
    for header in
        ["200 ok", "content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no", "retry: 2000"]
    {
        assert!(head.contains(header), "{header} is not in\n{head}");
    }
    assert!(!head.contains("content-encoding"), "{head}");
    stream.until("a heartbeat", |line| line == "event: beats").await;

    sandbox.backend("web-3", "fail").await;
    let is_transition = |line: &str| line.contains("backend-transition") && line.contains("default/web-3");
    stream.until("the transition", is_transition).await;
    let is_weight_0 =
        |line: &str| line.contains("\"patch\"") && line.contains("default/web-3") && line.contains("\"in_vpp\":0");
    let read = stream.until("weight 0 in VPP", is_weight_0).await;
    let id = read.iter().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(stream);

    let down = |summary: &Value| summary["rows"]["default/web"]["up"] == 5;
    eventually("one backend is down", async || document(&url, "api/summary").await.filter(down)).await;
    sandbox.backend("web-3", "ok").await;
    eventually("all backends are up", async || {
        document(&url, "api/summary").await.filter(is_complete).filter(|summary| !down(summary))
    })
    .await;
    let mut resumed = Stream::open(&url, query, &["-H", &format!("Last-Event-ID: {id}")]);
    let replay = resumed
        .until("the missed transition", |line| line.contains("backend-transition") && line.contains("web-3"))
        .await;
    assert!(!replay.iter().any(|line| line == "event: resync"), "{replay:#?}");
    drop(resumed);

    stream_has_pings_ticks_and_numbered_ids(&url).await;
    unknown_last_event_id_causes_one_resync(&url).await;
    disconnected_clients_are_not_counted(&url).await;

    // A restarted agent makes its node silent, then reporting again.
    let mut stream = Stream::open(&url, "?log=all", &[]);
    let agent = &sandbox.agents().await[0];
    sandbox.kubectl(&["delete", agent, "--timeout=60s"]).await;
    stream.until("a node that does not report", |line| line.contains("\"reporting\":1")).await;
    stream.until("both nodes reporting", |line| line.contains("\"reporting\":2")).await;
}

/// The ids in these lines, in order.
fn ids(read: &[String]) -> Vec<&str> {
    read.iter().filter_map(|line| line.strip_prefix("id: ")).collect()
}

/// Checks that the stream is chunked and uncompressed, has pings that keep proxies from closing it, and has ids of
/// replica and number.
async fn stream_has_pings_ticks_and_numbered_ids(url: &str) {
    let mut stream = Stream::open(url, "", &["-H", "Accept-Encoding: gzip, deflate, br, zstd"]);
    let read = stream.until("a ping", |line| line == ": ping").await;
    let tick = stream.until("a tick", |line| line.starts_with("data: {\"now\":")).await;
    assert!(tick.contains(&"event: tick".to_owned()) && ids(&tick).is_empty(), "{tick:#?}");
    let head = read.iter().take_while(|line| !line.is_empty());
    assert!(head.clone().any(|line| line == "transfer-encoding: chunked"), "{read:#?}");
    assert!(!head.clone().any(|line| line.starts_with("content-encoding")), "{read:#?}");
    let numbered = ids(&read);
    let (replica, _) = numbered[0].split_once('-').expect("an id has replica and number");
    let numbers: Vec<u64> = numbered.iter().map(|id| id.split_once('-').unwrap().1.parse().unwrap()).collect();
    assert!(numbered.iter().all(|id| id.starts_with(replica)) && numbers.is_sorted(), "{numbered:?}");
    let version = document(url, "api/version").await.unwrap();
    assert_eq!(version["replica"], replica);
}

/// Checks that a client with another replica's id gets one `resync`, and none once it has an id of this replica.
async fn unknown_last_event_id_causes_one_resync(url: &str) {
    let mut stream = Stream::open(url, "", &["-H", "Last-Event-ID: abc-7"]);
    let read = stream.until("a ping", |line| line == ": ping").await;
    let resyncs = read.iter().filter(|line| *line == "event: resync").count();
    assert_eq!(resyncs, 1, "{read:#?}");
    assert!(read.contains(&r#"data: {"reason":"other-replica"}"#.to_owned()), "{read:#?}");
    let resync = read.iter().position(|line| line == "event: resync").unwrap();
    let id = ids(&read[resync..])[0].to_owned();
    let mut again = Stream::open(url, &format!("?since={id}"), &[]);
    let read = again.until("a ping", |line| line == ": ping").await;
    assert!(!read.contains(&"event: resync".to_owned()), "{read:#?}");
    assert!(read.iter().any(|line| line.contains("\"resumed\":true")), "{read:#?}");
}

/// Streams of an agent that are always open: those of the dashboard and of the leading controller.
const PERMANENT_STREAMS: u32 = 2;

/// Checks that disconnected clients are not counted and that agents send no probe events for them.
async fn disconnected_clients_are_not_counted(url: &str) {
    let (dashboard, agent) = (url.replace(":8080/view/", ":9092/metrics"), "http://127.0.1.1:9091/metrics");
    let clients = async || gauge(&dashboard, "maglev_dashboard_clients").await;
    let watchers = async || gauge(agent, "maglev_grpc_watchers").await;
    eventually("the clients of earlier tests are disconnected", async || (clients().await == Some(0)).then_some(()))
        .await;
    eventually("only the permanent streams are open", async || {
        (watchers().await == Some(PERMANENT_STREAMS)).then_some(())
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = Stream::open(url, "?node=node-a&log=all&beats=default/web", &[]);
        stream.until("a heartbeat", |line| line == "event: beats").await;
        streams.push(stream);
    }
    eventually("all clients are counted", async || (clients().await == Some(5)).then_some(())).await;
    assert_eq!(watchers().await, Some(PERMANENT_STREAMS + 1), "one stream of probe events serves all clients");
    drop(streams);
    eventually("no client is counted", async || (clients().await == Some(0)).then_some(())).await;
    eventually("the stream of probe events is closed", async || {
        (watchers().await == Some(PERMANENT_STREAMS)).then_some(())
    })
    .await;
}

/// The value of a gauge without labels.
async fn gauge(url: &str, name: &str) -> Option<u32> {
    let output = run(Command::new("curl").args(["-sS", "--fail", url]), "").await;
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A dashboard of the sandbox's agents with admin mode, and the session of its user.
struct Admin {
    url: String,
    jar: String,
    csrf: String,
    _process: Child,
}

impl Admin {
    async fn start(sandbox: &Sandbox) -> Self {
        let dir = sandbox.dir.join("admin");
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in [("username", "ada"), ("password", "lovelace"), ("key", &*"k".repeat(32))] {
            fs::write(dir.join(file), text).unwrap();
        }
        // The credentials that a pod of the dashboard has in its volumes.
        let token = ["create", "token", "maglev-frontend", "--audience=maglevd.maglev.vpp.io"];
        let authorities = ["get", "configmap", "maglev-ca", "-o", r"jsonpath={.data.ca\.crt}"];
        fs::write(dir.join("token"), sandbox.kubectl(&token).await).unwrap();
        fs::write(dir.join("ca.crt"), sandbox.kubectl(&authorities).await).unwrap();
        let free_address = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (http, metrics, dir) = (free_address(), free_address(), dir.display().to_string());
        let mut process = Command::new(maglev_testkit::binary("maglev-frontend"));
        process.args(["--namespace=default", "--admin-mode=basic", "--http-addr", &http, "--metrics-addr", &metrics]);
        process.args([format!("--admin-credentials-dir={dir}"), format!("--admin-key-file={dir}/key")]);
        process.args([format!("--agent-ca-file={dir}/ca.crt"), format!("--agent-token-file={dir}/token")]);
        process.arg("--kubeconfig").arg(sandbox.dir.join("kubeconfig"));
        let process =
            process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let (url, jar) = (format!("http://{http}"), format!("{dir}/jar"));
        let mut admin = Self { url, jar, csrf: String::new(), _process: process.unwrap() };
        let both_report = |summary: &Value| summary["totals"]["reporting"] == 2;
        let view = format!("{}/view/", admin.url);
        eventually("both nodes report", async || document(&view, "api/summary").await.filter(both_report)).await;
        let signed_in = admin.post("sign-in", &json!({ "user": "ada", "password": "lovelace" })).await;
        admin.csrf = signed_in["csrf"].as_str().unwrap().to_owned();
        admin
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-b", &self.jar, "-c", &self.jar, "--data-binary", "@-"]);
        curl.args(["-H", "Content-Type: application/json", "-H", &format!("X-Maglev-CSRF: {}", self.csrf)]);
        curl.args(["-H", &format!("Origin: {}", self.url), &format!("{}/view/api/{path}", self.url)]);
        serde_json::from_slice(&run(&mut curl, &body.to_string()).await.stdout).unwrap()
    }
}

#[tokio::test]
async fn agents_apply_changes_from_the_dashboard() {
    let sandbox = Sandbox::up("admin", &[]).await;
    let admin = Admin::start(&sandbox).await;
    let pause = json!({ "field": "admin_state", "backend": "default/web-2", "state": "Paused" });
    let preview = admin.post("admin/preview", &pause).await;
    assert_eq!((&preview["nodes"], &preview["leaves_unserved"]), (&json!(2), &json!([])), "{preview}");
    let touches = preview["touches"].as_array().unwrap();
    assert!(touches.contains(&json!("default/web")), "{preview}");
    let is_effect = |effect: &Value| {
        let text = effect.as_str().unwrap();
        text.starts_with("default/web, ")
            && text.contains("new flows moved ")
            && text.contains("(from web-2 ")
            && text.ends_with("; tracked flows kept")
    };
    assert!(preview["effects"].as_array().unwrap().iter().any(is_effect), "{preview}");

    let outcome = admin.post("admin/change", &json!({ "change": pause, "reason": "disk" })).await;
    assert_eq!((&outcome["old"], &outcome["new"]), (&json!("Enabled (not set)"), &json!("Paused")), "{outcome}");
    assert_eq!(
        (&outcome["in_effect_on"], &outcome["nodes"], &outcome["pending"]),
        (&json!(2), &json!(2), &json!({})),
        "{outcome}"
    );
    let state = sandbox.kubectl(&["get", "backends.maglev.vpp.io", "web-2", "-o", "jsonpath={.spec.adminState}"]).await;
    assert_eq!(state, "Paused");
    for node in ["node-a", "node-b"] {
        eventually(&format!("the document of {node} has the weights"), async || {
            let node = document(&url(&sandbox), &format!("api/state/{node}")).await?;
            let member = &node["frontends"]["default/web"]["pools"]["primary"]["members"]["default/web-2"];
            (member["effective"] == 0 && member["in_vpp"] == 0).then_some(())
        })
        .await;
    }

    let weight = |backend: &str| json!({ "field": "weight", "frontend": "default/web", "pool": "primary", "backend": backend, "weight": 50 });
    let outcome = admin.post("admin/change", &json!({ "change": weight("web-1") })).await;
    assert_eq!((&outcome["new"], &outcome["in_effect_on"]), (&json!("50"), &json!(2)), "{outcome}");
    let missing = admin.post("admin/change", &json!({ "change": weight("web-9") })).await;
    assert_eq!(missing["reason"], json!("NoSuchPart"), "{missing}");
}
