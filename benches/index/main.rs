//! The cost of one changed Backend in a small and in a large index. The work must depend on the change, not on the size:
//! with 10,000 Backends a change may take at most twice as long as with 100. Nor may it depend on the number of
//! AddressPolicies: with 100 of them, a change of one of 10,000 Backends may take at most 10 % longer than without any.
//!
//! `cargo bench --bench index` prints the times and the ratios, and fails if one of them is above its limit.
#![expect(clippy::print_stdout, reason = "prints the results")]

use std::{
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use maglev_crd::{AddressPolicySpec, BackendSpec, FrontendSpec, HealthCheckSpec};
use maglev_index::{Index, IndexOptions, Meta, NodeObject, Object, Stored};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};
use serde_json::{Value, json};

/// Backends per Frontend.
const MEMBERS: usize = 16;
/// Numbers of Backends.
const SIZES: [usize; 3] = [100, 1000, 10_000];
/// The maximum ratio of the time for the last of `SIZES` to the time for the first.
const LIMIT: f64 = 2.0;
/// Number of AddressPolicies in the comparison with none. All of them select the namespace.
const POLICIES: usize = 100;
/// The maximum ratio of the time with them to the time without.
const POLICY_LIMIT: f64 = 1.1;
/// Rounds of the comparison, each with all sizes. The fastest round counts, because no other process slowed it.
const ROUNDS: usize = 100;
/// Consecutive changes of one round.
const CHANGES: usize = 50;

fn meta(name: &str, generation: i64) -> Meta {
    let revision = Revision { uid: name.into(), generation };
    Meta { name: Name::namespaced("bench", name), revision, created: jiff::Timestamp::UNIX_EPOCH }
}

fn decode<S: serde::de::DeserializeOwned>(name: &str, generation: i64, spec: Value) -> Stored<S> {
    Stored { meta: meta(name, generation), spec: Ok(serde_json::from_value(spec).expect("the spec is well-formed")) }
}

/// Backend `i`. Its address differs in every generation.
fn backend(i: usize, generation: i64) -> Object {
    let spec = json!({
        "address": format!("10.{}.{}.{}", generation % 200, i / 250, i % 250 + 1),
        "healthCheckRef": {"name": "tcp"},
    });
    Object::Backend(decode::<BackendSpec>(&format!("backend-{i}"), generation, spec))
}

fn frontend(i: usize, backends: usize) -> Object {
    let first = i * MEMBERS;
    let members: Vec<Value> =
        (first..backends.min(first + MEMBERS)).map(|backend| json!({"name": format!("backend-{backend}")})).collect();
    let spec = json!({
        "address": format!("203.0.{}.{}", i / 250, i % 250 + 1), "protocol": "TCP", "port": 80, "tableLength": 256,
        "pools": [{"name": "primary", "backends": members}],
    });
    Object::Frontend(decode::<FrontendSpec>(&format!("frontend-{i}"), 1, spec))
}

/// AddressPolicy `i`: two of the networks of all Backends, and limits that no object exceeds.
fn policy(i: usize) -> Object {
    let spec = json!({
        "frontends": {"addresses": ["203.0.0.0/16"], "ports": [{"protocol": "TCP", "from": 80}]},
        "backends": {
            "addresses": [format!("10.{}.0.0/16", 2 * i), format!("10.{}.0.0/16", 2 * i + 1)],
            "except": [format!("10.{}.255.0/24", 2 * i)],
        },
        "probes": {"types": ["TCP"], "ports": [{"from": 80}]},
        "limits": {"frontends": 100_000, "backends": 100_000, "probesPerSecond": 1_000_000},
    });
    let mut stored = decode::<AddressPolicySpec>(&format!("policy-{i}"), 1, spec);
    stored.meta.name = Name::cluster(&format!("policy-{i}"));
    Object::AddressPolicy(stored)
}

/// The Backends that are changed.
#[derive(Clone, Copy)]
enum Pattern {
    /// One Backend: its data stays in the processor's caches at every size, so the times compare the work.
    Same,
    /// All Backends: a small index stays in the caches and a large one does not, so the times compare memory, too. For
    /// information.
    InTurn,
}

/// An index with objects, and the number of changes applied so far.
struct Fixture {
    index: Index,
    size: usize,
    changes: usize,
}

impl Fixture {
    fn new(size: usize) -> Self {
        Self::with_policies(size, 0)
    }

    fn with_policies(size: usize, policies: usize) -> Self {
        let node_name = "node".to_owned();
        let options = IndexOptions { node_name: Some(node_name.clone()), ..IndexOptions::default() };
        let (mut index, _) = Index::new(options);
        let check = json!({"type": "TCP", "port": 80});
        let mut batch = index.batch();
        batch.reset(Kind::HealthCheck, vec![Object::HealthCheck(decode::<HealthCheckSpec>("tcp", 1, check))]);
        batch.reset(Kind::Backend, (0..size).map(|i| backend(i, 1)).collect());
        batch.reset(Kind::Frontend, (0..size.div_ceil(MEMBERS)).map(|i| frontend(i, size)).collect());
        batch.reset(Kind::LoadBalancerConfig, vec![]);
        batch.reset(Kind::AddressPolicy, (0..policies).map(policy).collect());
        let node = NodeObject { name: node_name, ..NodeObject::default() };
        batch.reset(Kind::Node, vec![Object::Node(node)]);
        batch.publish();
        Self { index, size, changes: 0 }
    }

    /// The next change: of Backend 42 each time, or of a Backend far from the last one.
    fn next(&mut self, pattern: Pattern) -> Object {
        self.changes += 1;
        let i = match pattern {
            Pattern::Same => 42,
            Pattern::InTurn => self.changes * 37 % self.size,
        };
        backend(i, i64::try_from(self.changes + 1).expect("few enough changes"))
    }

    /// The average time per change.
    fn run(&mut self, pattern: Pattern, changes: usize) -> Duration {
        let objects: Vec<Object> = (0..changes).map(|_| self.next(pattern)).collect();
        let start = Instant::now();
        for object in objects {
            let changes = black_box(self.index.apply(object));
            assert_eq!(changes.applied.len(), 1, "every change is applied once");
        }
        start.elapsed() / u32::try_from(changes).expect("few enough changes")
    }
}

/// The fastest round of each index.
fn fastest(pattern: Pattern, mut fixtures: Vec<Fixture>) -> Vec<Duration> {
    let mut fastest = vec![Duration::MAX; fixtures.len()];
    for _ in 0..ROUNDS {
        for (fixture, fastest) in fixtures.iter_mut().zip(&mut fastest) {
            *fastest = fixture.run(pattern, CHANGES).min(*fastest);
        }
    }
    fastest
}

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("one changed Backend");
    for size in SIZES {
        let mut fixture = Fixture::new(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(|iterations| {
                let iterations = usize::try_from(iterations).expect("a number of iterations fits");
                fixture.run(Pattern::Same, iterations) * u32::try_from(iterations).expect("a number of iterations fits")
            });
        });
    }
    group.finish();
    criterion.final_summary();

    let ratio = report(Pattern::Same, "the same Backend changed");
    println!("ratio of 10000 to 100: {ratio:.2} (at most {LIMIT})");
    let in_turn = report(Pattern::InTurn, "every Backend changed in turn");
    println!("ratio of 10000 to 100, caches included: {in_turn:.2}");
    let policy_ratio = report_policies();
    if ratio <= LIMIT && policy_ratio <= POLICY_LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the times. Returns the ratio of the last to the first.
fn report(pattern: Pattern, title: &str) -> f64 {
    let times = fastest(pattern, SIZES.into_iter().map(Fixture::new).collect());
    for (size, time) in SIZES.iter().zip(&times) {
        println!("{title}, of {size}: {:.1} us", time.as_secs_f64() * 1e6);
    }
    times[SIZES.len() - 1].as_secs_f64() / times[0].as_secs_f64()
}

/// Prints the times with and without AddressPolicies. Returns their ratio.
fn report_policies() -> f64 {
    let size = SIZES[SIZES.len() - 1];
    let fixtures = [0, POLICIES].map(|policies| Fixture::with_policies(size, policies)).into();
    let times = fastest(Pattern::Same, fixtures);
    for (policies, time) in [0, POLICIES].iter().zip(&times) {
        println!("one of {size} Backends changed, {policies} AddressPolicies: {:.1} us", time.as_secs_f64() * 1e6);
    }
    let ratio = times[1].as_secs_f64() / times[0].as_secs_f64();
    println!("ratio of {POLICIES} AddressPolicies to none: {ratio:.2} (at most {POLICY_LIMIT})");
    ratio
}
