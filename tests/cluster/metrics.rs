//! The metrics of a running maglevd: accepted by `promtool`, equal to `docs/metrics.md`, consistent with the events,
//! and without series of deleted objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use maglev_rpc::client::AgentClient;
use maglev_sandbox::demo_backend::Mode;
use maglev_vpp_simulator::Traffic;
use regex::Regex;
use tonic::transport::Endpoint;

use super::{
    agent::node::{Node, VIP},
    harness::{eventually, root},
    promtool::promtool,
};

/// A Frontend with a missing Backend.
const WITH_PROBLEM: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: odd}
spec: {address: 203.0.113.81, protocol: TCP, port: 81, pools: [{name: primary, backends: [{name: one}, {name: missing}]}]}
";

/// A metric that exists only while a Frontend is not allowed although VPP has its VIP.
const CONDITIONAL: &str = "maglev_frontend_not_allowed";

/// A series with its value.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A scraped page of metrics.
#[derive(Debug)]
struct Scrape {
    text: String,
    types: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

impl Scrape {
    async fn fetch(node: &Node) -> Self {
        Self::parse(node.http_get("/metrics").await.expect("maglevd serves /metrics"))
    }

    fn parse(text: String) -> Self {
        let pair = Regex::new(r#"([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)""#).unwrap();
        let line = Regex::new(r"^(\w+)(?:\{(.*)\})? (\S+)$").unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let types = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let sample = |text: &str| {
            let parts = line.captures(text).unwrap_or_else(|| panic!("not a sample: {text}"));
            let labels = parts.get(2).map_or("", |labels| labels.as_str());
            let labels = pair.captures_iter(labels).map(|label| (label[1].to_owned(), label[2].to_owned())).collect();
            Sample { name: parts[1].to_owned(), labels, value: parts[3].parse().unwrap() }
        };
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        Self { text, types, samples }
    }

    /// The samples of a metric, including all parts of a histogram.
    fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
        let is_histogram = self.types.get(name).is_some_and(|kind| kind == "histogram");
        self.samples.iter().filter(move |sample| sample.name == name || is_histogram && parts.contains(&sample.name))
    }

    /// Every metric with its type and labels, as the rows of `docs/metrics.md`.
    fn rows(&self) -> BTreeSet<Row> {
        let row = |(name, kind): (&String, &String)| {
            let labels = self.samples(name).flat_map(|sample| sample.labels.keys()).filter(|label| *label != "le");
            Row { name: name.clone(), kind: kind.clone(), labels: labels.cloned().collect() }
        };
        self.types.iter().map(row).collect()
    }

    /// The sums of a metric's series by the value of one label, without sums of 0.
    fn sums(&self, name: &str, label: &str) -> BTreeMap<String, usize> {
        let mut sums = BTreeMap::new();
        for sample in self.samples(name).filter(|sample| sample.value > 0.0) {
            *sums.entry(sample.labels[label].clone()).or_default() += sample.value as usize;
        }
        sums
    }
}

/// A row of `docs/metrics.md`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    name: String,
    kind: String,
    labels: BTreeSet<String>,
}

fn documentation() -> String {
    fs::read_to_string(root().join("docs/metrics.md")).unwrap()
}

/// The rows of the tables in `page`.
fn documented_rows(page: &str) -> BTreeSet<Row> {
    let row = Regex::new(r"(?m)^\| `(maglev_\w+)` \| (\w+) \|([^|]*)\|").unwrap();
    let labels = |text: &str| text.split_whitespace().map(|label| label.trim_matches('`').to_owned()).collect();
    row.captures_iter(page)
        .map(|cells| Row { name: cells[1].to_owned(), kind: cells[2].to_owned(), labels: labels(&cells[3]) })
        .collect()
}

/// Checks that `promtool` accepts the metrics without warnings.
async fn assert_promtool_accepts(text: &str) {
    let check = promtool(&["check", "metrics"], text).await;
    let output = [check.stdout, check.stderr].concat();
    assert!(check.status.success() && output.is_empty(), "{}", String::from_utf8_lossy(&output));
}

/// Checks that every served metric is documented with its type and labels, and that `promtool` accepts the metrics.
pub async fn assert_documented(text: &str) {
    let served = Scrape::parse(text.to_owned()).rows();
    let documented = documented_rows(&documentation());
    let missing: Vec<&Row> = served.difference(&documented).collect();
    assert!(
        !served.is_empty() && missing.is_empty(),
        "not in docs/metrics.md with this type and these labels: {missing:#?}"
    );
    assert_promtool_accepts(text).await;
}

/// Number of log lines for each kind of change in VPP.
fn changes_in(log: &str) -> BTreeMap<String, usize> {
    let kind = Regex::new(r"(?m)^\S+ \w+ vpp-lb-sync-((?:vip|as)-[a-z-]+) ").unwrap();
    count(kind.captures_iter(log).map(|line| line[1].to_owned()))
}

/// Number of log lines for each transition of a Backend.
fn transitions_in(log: &str) -> BTreeMap<String, usize> {
    let transition = Regex::new(r"(?m)^\S+ \w+ backend-transition name=(\S+) from=(\w+) to=(\w+)").unwrap();
    count(transition.captures_iter(log).map(|line| format!("{} {} {}", &line[1], &line[2], &line[3])))
}

fn count(keys: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn transitions(scrape: &Scrape) -> BTreeMap<String, usize> {
    let transition = |sample: &Sample| {
        let [backend, from, to] = ["backend", "from", "to"].map(|label| sample.labels[label].clone());
        (format!("{backend} {from} {to}"), sample.value as usize)
    };
    scrape.samples("maglev_backend_transitions_total").map(transition).collect()
}

/// The value of a series, which is given with its labels.
fn value(scrape: &Scrape, series: &str) -> Option<String> {
    scrape.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[tokio::test]
async fn metrics_match_documentation_events_and_existing_objects() {
    let mut node = Node::start("metrics", 9, "interval: 200ms, timeout: 200ms").await;
    node.cluster.apply("default", WITH_PROBLEM).await.unwrap();
    node.start_maglevd().await;
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    node.set_backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    node.until_ready().await;
    // The metrics of sticky tables exist after the first packet.
    let traffic = Traffic { existing: 90, first: 10, packet_bytes: 100, ..Traffic::default() };
    node.simulator.set_traffic(VIP, traffic);
    // The metrics of gRPC calls exist after the first call.
    let channel = Endpoint::from_shared(format!("http://{}", node.grpc_address())).unwrap().connect().await.unwrap();
    assert_eq!(AgentClient::new(channel).version().await.unwrap().ready, Ok(()));

    let page = documentation();
    // The sections after this one are about other programs.
    let mut documented = documented_rows(page.split("\n## Links to agents\n").next().unwrap());
    documented.retain(|row| row.name != CONDITIONAL);
    assert!(documented.len() > 20, "only {} rows were found", documented.len());
    eventually("maglevd serves every documented metric", async || {
        let served = Scrape::fetch(&node).await.rows();
        documented.is_subset(&served).then_some(())
    })
    .await;
    let scrape = Scrape::fetch(&node).await;
    let served = scrape.rows();
    let differences = served.symmetric_difference(&documented).filter(|row| row.name != CONDITIONAL);
    let differences: Vec<&Row> = differences.collect();
    assert!(differences.is_empty(), "different in docs/metrics.md and /metrics: {differences:#?}");
    assert_promtool_accepts(&scrape.text).await;

    let weight = r#"maglev_frontend_pool_backend_effective_weight{frontend="default/web",pool="primary",backend="#;
    let problem = r#"maglev_config_problems{kind="Frontend",reason="BackendNotFound"}"#;
    let expected = [
        (format!(r#"{weight}"default/one"}}"#), "0"),
        (format!(r#"{weight}"default/two"}}"#), "10"),
        (r#"maglev_backend_state{backend="default/one",state="down"}"#.to_owned(), "1"),
        // The maximum of the health counter, since rise and fall are 2 and 3.
        (r#"maglev_backend_health{backend="default/two"}"#.to_owned(), "4"),
        (problem.to_owned(), "1"),
    ];
    eventually("the values match the node's state", async || {
        let scrape = Scrape::fetch(&node).await;
        expected.iter().all(|(series, number)| value(&scrape, series).as_deref() == Some(*number)).then_some(())
    })
    .await;

    node.set_backend("one", Mode::Ok);
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    eventually("counters and events agree", async || {
        let (before, scrape, after) = (node.log(), Scrape::fetch(&node).await, node.log());
        let changes = scrape.sums("maglev_vpp_lbsync_total", "kind");
        let agree = changes == changes_in(&before) && transitions(&scrape) == transitions_in(&before);
        (agree && before.len() == after.len()).then_some(())
    })
    .await;
    let transitions = transitions_in(&node.log());
    assert!(transitions.contains_key("default/one up down"), "{transitions:?}");
    assert_eq!(changes_in(&node.log()).get("vip-added"), Some(&2));

    node.cluster.kubectl(&["delete", "mfe", "web", "odd", "-n", "default"]).await;
    node.cluster.kubectl(&["delete", "mbe", "one", "-n", "default"]).await;
    eventually("no series of deleted objects is left", async || {
        let text = Scrape::fetch(&node).await.text;
        let deleted = ["default/web", "default/odd", "default/one", "203.0.113.80", "203.0.113.81"];
        (!deleted.iter().any(|name| text.contains(name))).then_some(())
    })
    .await;
    let scrape = Scrape::fetch(&node).await;
    assert_eq!(value(&scrape, problem), None);
    assert_eq!(value(&scrape, r#"maglev_backend_state{backend="default/two",state="up"}"#).as_deref(), Some("1"));
    node.stop_maglevd().await;
}
