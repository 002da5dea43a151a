//! The dashboard in a cluster: installed by the chart, finding agents by their pods, asked with curl. And one beside it
//! that lets people change things, whose changes the agents follow.

use std::{fs, net::TcpListener, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{
    harness::{LIMIT, eventually, run},
    up::Sandbox,
};

/// The URL that the sandbox prints.
fn url(sandbox: &Sandbox) -> String {
    let output = sandbox.output();
    let line = output.lines().find_map(|line| line.trim().strip_prefix("dashboard "));
    line.unwrap_or_else(|| panic!("no dashboard in\n{output}")).trim().to_owned()
}

async fn document(url: &str, path: &str) -> Option<Value> {
    let output = run(Command::new("curl").args(["-sS", "--fail", "--compressed", &format!("{url}{path}")]), "").await;
    serde_json::from_slice(&output.stdout).ok()
}

/// A stream that curl reads.
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

    /// Reads up to a line that is so; what was read.
    async fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut read = Vec::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let found = wanted(&line);
                read.push(line);
                if found {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(LIMIT, reading).await.unwrap_or(false);
        assert!(found, "{what} is not in\n{}", read.join("\n"));
        read
    }
}

#[tokio::test]
async fn it_shows_a_cluster_live() {
    let sandbox = Sandbox::up("dashboard", &[]).await;
    let url = url(&sandbox);
    let fine = |summary: &Value| summary["totals"]["reporting"] == 2 && summary["rows"]["default/web"]["state"] == "up";
    let summary = eventually("both nodes report", async || document(&url, "api/summary").await.filter(fine)).await;
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
    let rated = |node: &Value| node["frontends"]["default/web"]["counters"]["first"]["rate"].as_f64() > Some(0.0);
    let node = eventually("traffic has a rate", async || document(&url, "api/state/node-a").await.filter(rated)).await;
    let member = &node["frontends"]["default/web"]["pools"]["primary"]["members"]["default/web-1"];
    assert_eq!((&member["effective"], &member["in_vpp"]), (&10.into(), &10.into()));
    assert!(member["buckets"].as_u64() > Some(0), "{member}");

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
    let went = |line: &str| line.contains("backend-transition") && line.contains("default/web-3");
    stream.until("the transition", went).await;
    let weightless =
        |line: &str| line.contains("\"patch\"") && line.contains("default/web-3") && line.contains("\"in_vpp\":0");
    let read = stream.until("the weight in VPP", weightless).await;
    let id = read.iter().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(stream);

    let down = |summary: &Value| summary["rows"]["default/web"]["up"] == 5;
    eventually("one backend is down", async || document(&url, "api/summary").await.filter(down)).await;
    sandbox.backend("web-3", "ok").await;
    eventually("it is up again", async || document(&url, "api/summary").await.filter(fine).filter(|of| !down(of)))
        .await;
    let mut back = Stream::open(&url, query, &["-H", &format!("Last-Event-ID: {id}")]);
    let replay =
        back.until("what was missed", |line| line.contains("backend-transition") && line.contains("web-3")).await;
    assert!(!replay.iter().any(|line| line == "event: resync"), "{replay:#?}");
    drop(back);

    the_stream_tells_that_it_lives_and_where_it_is(&url).await;
    who_comes_from_elsewhere_fetches_everything(&url).await;
    who_is_gone_is_forgotten(&url).await;

    // An agent that goes and comes takes its node along.
    let mut stream = Stream::open(&url, "?log=all", &[]);
    let agent = &sandbox.agents().await[0];
    sandbox.kubectl(&["delete", agent, "--timeout=60s"]).await;
    stream.until("a node that is gone or silent", |line| line.contains("\"reporting\":1")).await;
    stream.until("it is back", |line| line.contains("\"reporting\":2")).await;
}

/// The ids of what was read, in their order.
fn ids(read: &[String]) -> Vec<&str> {
    read.iter().filter_map(|line| line.strip_prefix("id: ")).collect()
}

/// Each line comes on its own chunk, at once; a comment now and then keeps proxies awake; ids name replica and number.
async fn the_stream_tells_that_it_lives_and_where_it_is(url: &str) {
    let mut stream = Stream::open(url, "", &["-H", "Accept-Encoding: gzip, deflate, br, zstd"]);
    let read = stream.until("a ping", |line| line == ": ping").await;
    let tick = stream.until("a tick", |line| line.starts_with("data: {\"now\":")).await;
    assert!(tick.contains(&"event: tick".to_owned()) && ids(&tick).is_empty(), "{tick:#?}");
    let head = read.iter().take_while(|line| !line.is_empty());
    assert!(head.clone().any(|line| line == "transfer-encoding: chunked"), "{read:#?}");
    assert!(!head.clone().any(|line| line.starts_with("content-encoding")), "{read:#?}");
    let numbered = ids(&read);
    let (replica, _) = numbered[0].split_once('-').expect("replica and number");
    let numbers: Vec<u64> = numbered.iter().map(|id| id.split_once('-').unwrap().1.parse().unwrap()).collect();
    assert!(numbered.iter().all(|id| id.starts_with(replica)) && numbers.is_sorted(), "{numbered:?}");
    let version = document(url, "api/version").await.unwrap();
    assert_eq!(version["replica"], replica);
}

/// One `resync` after `hello`, and none for who comes back with its id.
async fn who_comes_from_elsewhere_fetches_everything(url: &str) {
    let mut stream = Stream::open(url, "", &["-H", "Last-Event-ID: abc-7"]);
    let read = stream.until("the first sign of life", |line| line == ": ping").await;
    let resyncs = read.iter().filter(|line| *line == "event: resync").count();
    assert_eq!(resyncs, 1, "{read:#?}");
    assert!(read.contains(&r#"data: {"reason":"other-replica"}"#.to_owned()), "{read:#?}");
    let resync = read.iter().position(|line| line == "event: resync").unwrap();
    let id = ids(&read[resync..])[0].to_owned();
    let mut again = Stream::open(url, &format!("?since={id}"), &[]);
    let read = again.until("the first sign of life", |line| line == ": ping").await;
    assert!(!read.contains(&"event: resync".to_owned()), "{read:#?}");
    assert!(read.iter().any(|line| line.contains("\"resumed\":true")), "{read:#?}");
}

/// Streams of an agent that are always open: the dashboard's, and that of the controller which leads.
const OWN: u32 = 2;

/// Clients that went away in the middle of it: nobody is counted, and no agent is asked for heartbeats any more.
async fn who_is_gone_is_forgotten(url: &str) {
    let (dashboard, agent) = (url.replace(":8080/view/", ":9092/metrics"), "http://127.0.1.1:9091/metrics");
    let clients = async || gauge(&dashboard, "maglev_dashboard_clients").await;
    let watchers = async || gauge(agent, "maglev_grpc_watchers").await;
    eventually("nobody is left of before", async || (clients().await == Some(0)).then_some(())).await;
    eventually("only those of states are open", async || (watchers().await == Some(OWN)).then_some(())).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = Stream::open(url, "?node=node-a&log=all&beats=default/web", &[]);
        stream.until("a heartbeat", |line| line == "event: beats").await;
        streams.push(stream);
    }
    eventually("all are counted", async || (clients().await == Some(5)).then_some(())).await;
    assert_eq!(watchers().await, Some(OWN + 1), "one stream of probes for all of them");
    drop(streams);
    eventually("none is left", async || (clients().await == Some(0)).then_some(())).await;
    eventually("nobody asks for probes", async || (watchers().await == Some(OWN)).then_some(())).await;
}

/// The value of a gauge without labels, by curl.
async fn gauge(url: &str, name: &str) -> Option<u32> {
    let output = run(Command::new("curl").args(["-sS", "--fail", url]), "").await;
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A dashboard of the sandbox's agents that one user may change things with.
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
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (http, metrics, dir) = (free(), free(), dir.display().to_string());
        let mut process = Command::new(maglev_testkit::binary("maglev-frontend"));
        process.args(["--namespace=default", "--admin-mode=basic", "--http-addr", &http, "--metrics-addr", &metrics]);
        process.args([format!("--admin-credentials-dir={dir}"), format!("--admin-key-file={dir}/key")]);
        process.arg("--kubeconfig").arg(sandbox.dir.join("kubeconfig"));
        let process =
            process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let (url, jar) = (format!("http://{http}"), format!("{dir}/jar"));
        let mut admin = Self { url, jar, csrf: String::new(), _process: process.unwrap() };
        let both = |summary: &Value| summary["totals"]["reporting"] == 2;
        let view = format!("{}/view/", admin.url);
        eventually("it knows both nodes", async || document(&view, "api/summary").await.filter(both)).await;
        let signed_in = admin.post("sign-in", &json!({ "user": "ada", "password": "lovelace" })).await;
        admin.csrf = signed_in["csrf"].as_str().unwrap().to_owned();
        admin
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-b", &self.jar, "-c", &self.jar, "--data-binary", "@-"]);
        curl.args(["-H", "Content-Type: application/json", "-H", &format!("X-Maglev-CSRF: {}", self.csrf)]);
        curl.args(["-H", &format!("Origin: {}", self.url), &format!("{}/admin/{path}", self.url)]);
        serde_json::from_slice(&run(&mut curl, &body.to_string()).await.stdout).unwrap()
    }
}

#[tokio::test]
async fn agents_follow_a_change_that_is_made_from_the_page() {
    let sandbox = Sandbox::up("admin", &[]).await;
    let admin = Admin::start(&sandbox).await;
    let pause = json!({ "field": "admin_state", "backend": "default/web-2", "state": "Paused" });
    let preview = admin.post("preview", &pause).await;
    assert_eq!((&preview["nodes"], &preview["leaves_unserved"]), (&json!(2), &json!([])), "{preview}");
    let touches = preview["touches"].as_array().unwrap();
    assert!(touches.contains(&json!("default/web")), "{preview}");

    let done = admin.post("change", &json!({ "change": pause, "reason": "disk" })).await;
    assert_eq!((&done["old"], &done["new"]), (&json!("Enabled (not set)"), &json!("Paused")), "{done}");
    assert_eq!((&done["in_effect_on"], &done["nodes"], &done["pending"]), (&json!(2), &json!(2), &json!({})), "{done}");
    let state = sandbox.kubectl(&["get", "backends.maglev.vpp.io", "web-2", "-o", "jsonpath={.spec.adminState}"]).await;
    assert_eq!(state, "Paused");
    for node in ["node-a", "node-b"] {
        let node = document(&url(&sandbox), &format!("api/state/{node}")).await.unwrap();
        let member = &node["frontends"]["default/web"]["pools"]["primary"]["members"]["default/web-2"];
        assert_eq!((&member["effective"], &member["in_vpp"]), (&json!(0), &json!(0)), "{member}");
    }

    let weight = |backend: &str| json!({ "field": "weight", "frontend": "default/web", "pool": "primary", "backend": backend, "weight": 50 });
    let done = admin.post("change", &json!({ "change": weight("web-1") })).await;
    assert_eq!((&done["new"], &done["in_effect_on"]), (&json!("50"), &json!(2)), "{done}");
    let missing = admin.post("change", &json!({ "change": weight("web-9") })).await;
    assert_eq!(missing["reason"], json!("NoSuchPart"), "{missing}");
}
