//! What a running maglevd serves on `/metrics`: to Prometheus' taste, as `docs/metrics.md` says, in step with its
//! events, and nothing of what is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use maglev_rpc::client::AgentClient;
use maglev_sandbox::demo_backend::Mode;
use regex::Regex;
use tonic::transport::Endpoint;

use super::{
    agent::node::Node,
    harness::{eventually, root},
    promtool::promtool,
};

/// A Frontend that has a problem.
const ODD: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: odd}
spec: {address: 203.0.113.81, protocol: TCP, port: 81, pools: [{name: primary, backends: [{name: one}, {name: nobody}]}]}
";

/// One series: its name, its labels and its value.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// What a scrape holds.
#[derive(Debug)]
struct Scrape {
    text: String,
    types: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

impl Scrape {
    async fn of(node: &Node) -> Self {
        Self::parse(node.ask("/metrics").await.expect("it answers"))
    }

    fn parse(text: String) -> Self {
        let pair = Regex::new(r#"([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)""#).unwrap();
        let line = Regex::new(r"^(\w+)(?:\{(.*)\})? (\S+)$").unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let types = types.map(|(name, of)| (name.to_owned(), of.to_owned())).collect();
        let sample = |text: &str| {
            let found = line.captures(text).unwrap_or_else(|| panic!("{text} is no sample"));
            let labels = found.get(2).map_or("", |labels| labels.as_str());
            let labels = pair.captures_iter(labels).map(|of| (of[1].to_owned(), of[2].to_owned())).collect();
            Sample { name: found[1].to_owned(), labels, value: found[3].parse().unwrap() }
        };
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        Self { text, types, samples }
    }

    /// The samples of a metric, a histogram's parts included.
    fn of_metric(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
        let is_histogram = self.types.get(name).is_some_and(|of| of == "histogram");
        self.samples.iter().filter(move |sample| sample.name == name || is_histogram && parts.contains(&sample.name))
    }

    /// Every metric with its type and its labels, as the page has them.
    fn rows(&self) -> BTreeSet<Row> {
        let row = |(name, of): (&String, &String)| {
            let labels = self.of_metric(name).flat_map(|sample| sample.labels.keys()).filter(|label| *label != "le");
            Row { name: name.clone(), kind: of.clone(), labels: labels.cloned().collect() }
        };
        self.types.iter().map(row).collect()
    }

    /// The sums of a metric's series by the value of one label; those of 0 left out.
    fn sums(&self, name: &str, label: &str) -> BTreeMap<String, usize> {
        let mut sums = BTreeMap::new();
        for sample in self.of_metric(name).filter(|sample| sample.value > 0.0) {
            *sums.entry(sample.labels[label].clone()).or_default() += sample.value as usize;
        }
        sums
    }
}

/// A row of the page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    name: String,
    kind: String,
    labels: BTreeSet<String>,
}

fn page() -> String {
    fs::read_to_string(root().join("docs/metrics.md")).unwrap()
}

/// Every row of `page`, or of a part of it.
fn rows_of(page: &str) -> BTreeSet<Row> {
    let row = Regex::new(r"(?m)^\| `(maglev_\w+)` \| (\w+) \|([^|]*)\|").unwrap();
    let labels = |text: &str| text.split_whitespace().map(|label| label.trim_matches('`').to_owned()).collect();
    row.captures_iter(page)
        .map(|of| Row { name: of[1].to_owned(), kind: of[2].to_owned(), labels: labels(&of[3]) })
        .collect()
}

/// Prometheus has nothing to say against `text`.
async fn judge(text: &str) {
    let judgement = promtool(&["check", "metrics"], text).await;
    let said = [judgement.stdout, judgement.stderr].concat();
    assert!(judgement.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Everything that some program serves is in the page, as it is served, and to Prometheus' taste.
pub async fn are_documented(text: &str) {
    let served = Scrape::parse(text.to_owned()).rows();
    let documented = rows_of(&page());
    let missing: Vec<&Row> = served.difference(&documented).collect();
    assert!(!served.is_empty() && missing.is_empty(), "docs/metrics.md does not have them so: {missing:#?}");
    judge(text).await;
}

/// How many lines of the log tell each kind of change.
fn changes_in(log: &str) -> BTreeMap<String, usize> {
    let kind = Regex::new(r"(?m)^\S+ \w+ vpp-lb-sync-((?:vip|as)-[a-z-]+) ").unwrap();
    count(kind.captures_iter(log).map(|of| of[1].to_owned()))
}

/// How many lines of the log tell each transition of a Backend.
fn transitions_in(log: &str) -> BTreeMap<String, usize> {
    let transition = Regex::new(r"(?m)^\S+ \w+ backend-transition name=(\S+) from=(\w+) to=(\w+)").unwrap();
    count(transition.captures_iter(log).map(|of| format!("{} {} {}", &of[1], &of[2], &of[3])))
}

fn count(all: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

fn transitions_of(scrape: &Scrape) -> BTreeMap<String, usize> {
    let of = |sample: &Sample| {
        let [backend, from, to] = ["backend", "from", "to"].map(|label| sample.labels[label].clone());
        (format!("{backend} {from} {to}"), sample.value as usize)
    };
    scrape.of_metric("maglev_backend_transitions_total").map(of).collect()
}

/// The value of a series, by the text before it.
fn value(scrape: &Scrape, series: &str) -> Option<String> {
    scrape.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[tokio::test]
async fn metrics_are_as_documented_in_step_with_events_and_end_with_their_objects() {
    let mut node = Node::start("metrics", 9, "interval: 200ms, timeout: 200ms").await;
    node.cluster.apply("default", ODD).await.unwrap();
    node.start_maglevd().await;
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    node.backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    node.until_ready().await;
    // Calls are counted once there was one.
    let channel = Endpoint::from_shared(format!("http://{}", node.grpc())).unwrap().connect().await.unwrap();
    assert_eq!(AgentClient::new(channel).version().await.unwrap().ready, Ok(()));

    let page = page();
    // What follows are other programs' metrics.
    let documented = rows_of(page.split("\n## Links to agents\n").next().unwrap());
    assert!(documented.len() > 20, "only {} rows were found", documented.len());
    eventually("it serves every metric of the page", async || {
        let served = Scrape::of(&node).await.rows();
        documented.is_subset(&served).then_some(())
    })
    .await;
    let scrape = Scrape::of(&node).await;
    let served = scrape.rows();
    let differ: Vec<&Row> = served.symmetric_difference(&documented).collect();
    assert!(differ.is_empty(), "served or in docs/metrics.md, but not the same in both: {differ:#?}");
    judge(&scrape.text).await;

    let weight = r#"maglev_frontend_pool_backend_effective_weight{frontend="default/web",pool="primary",backend="#;
    let problem = r#"maglev_config_problems{kind="Frontend",reason="BackendNotFound"}"#;
    let expected = [
        (format!(r#"{weight}"default/one"}}"#), "0"),
        (format!(r#"{weight}"default/two"}}"#), "10"),
        (r#"maglev_backend_state{backend="default/one",state="down"}"#.to_owned(), "1"),
        // At the top: rise and fall of the check are 2 and 3.
        (r#"maglev_backend_health{backend="default/two"}"#.to_owned(), "4"),
        (problem.to_owned(), "1"),
    ];
    eventually("the values are those of the node", async || {
        let scrape = Scrape::of(&node).await;
        expected.iter().all(|(series, wanted)| value(&scrape, series).as_deref() == Some(*wanted)).then_some(())
    })
    .await;

    node.backend("one", Mode::Ok);
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    eventually("counters and events agree", async || {
        let (before, scrape, after) = (node.log(), Scrape::of(&node).await, node.log());
        let changes = scrape.sums("maglev_vpp_lbsync_total", "kind");
        let agree = changes == changes_in(&before) && transitions_of(&scrape) == transitions_in(&before);
        (agree && before.len() == after.len()).then_some(())
    })
    .await;
    let told = transitions_in(&node.log());
    assert!(told.contains_key("default/one up down"), "{told:?}");
    assert_eq!(changes_in(&node.log()).get("vip-added"), Some(&2));

    node.cluster.kubectl(&["delete", "mfe", "web", "odd", "-n", "default"]).await;
    node.cluster.kubectl(&["delete", "mbe", "one", "-n", "default"]).await;
    eventually("nothing is left of what was deleted", async || {
        let text = Scrape::of(&node).await.text;
        let gone = ["default/web", "default/odd", "default/one", "203.0.113.80", "203.0.113.81"];
        (!gone.iter().any(|name| text.contains(name))).then_some(())
    })
    .await;
    let scrape = Scrape::of(&node).await;
    assert_eq!(value(&scrape, problem), None);
    assert_eq!(value(&scrape, r#"maglev_backend_state{backend="default/two",state="up"}"#).as_deref(), Some("1"));
    node.stop_maglevd().await;
}
