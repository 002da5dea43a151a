//! What one changed Backend costs in a small and in a large world. The work must follow the change,
//! not the world: 10,000 Backends may cost at most twice of what 100 do.
//!
//! `cargo bench --bench index` prints the times and the ratio, and fails if the ratio is above 2.
#![expect(clippy::print_stdout, reason = "the ratio is what this is run for")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use maglev_crd::{BackendSpec, FrontendSpec, HealthCheckSpec};
use maglev_index::{Index, IndexOptions, Meta, NodeObject, Object, Stored};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};
use serde_json::{Value, json};

/// Backends of one Frontend.
const MEMBERS: usize = 16;
/// Numbers of Backends.
const SIZES: [usize; 3] = [100, 1000, 10_000];
/// What `SIZES`' last may cost, times its first.
const LIMIT: f64 = 2.0;
/// Rounds of the comparison, each with all sizes; the fastest counts, which no other process slowed.
const ROUNDS: usize = 100;
/// Changes in a row of one round.
const CHANGES: usize = 50;

fn meta(name: &str, generation: i64) -> Meta {
    let revision = Revision { uid: name.into(), generation };
    Meta { name: Name::namespaced("bench", name), revision, created: jiff::Timestamp::UNIX_EPOCH }
}

fn decode<S: serde::de::DeserializeOwned>(name: &str, generation: i64, spec: Value) -> Stored<S> {
    Stored { meta: meta(name, generation), spec: Ok(serde_json::from_value(spec).expect("the spec is well-formed")) }
}

/// Backend `i`; every generation has another address.
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
        "address": format!("203.0.{}.{}", i / 250, i % 250 + 1), "protocol": "TCP", "port": 80,
        "pools": [{"name": "primary", "backends": members}],
    });
    Object::Frontend(decode::<FrontendSpec>(&format!("frontend-{i}"), 1, spec))
}

/// Which Backends are changed.
#[derive(Clone, Copy)]
enum Which {
    /// One: what it needs is in the processor's caches in every world, so the times compare the work.
    TheSame,
    /// All: a small world stays in the caches and a large one does not, so the times compare memory,
    /// too. For information.
    AllInTurn,
}

/// A listed world, and how many changes it has seen.
struct World {
    index: Index,
    size: usize,
    changes: usize,
}

impl World {
    fn new(size: usize) -> Self {
        let node_name = "node".to_owned();
        let options = IndexOptions { node_name: Some(node_name.clone()), ..IndexOptions::default() };
        let (mut index, _) = Index::new(options);
        let check = json!({"type": "TCP", "port": 80});
        let mut batch = index.batch();
        batch.reset(Kind::HealthCheck, vec![Object::HealthCheck(decode::<HealthCheckSpec>("tcp", 1, check))]);
        batch.reset(Kind::Backend, (0..size).map(|i| backend(i, 1)).collect());
        batch.reset(Kind::Frontend, (0..size.div_ceil(MEMBERS)).map(|i| frontend(i, size)).collect());
        batch.reset(Kind::LoadBalancerConfig, vec![]);
        let node = NodeObject { name: node_name, labels: BTreeMap::new(), addresses: vec![] };
        batch.reset(Kind::Node, vec![Object::Node(node)]);
        batch.publish();
        Self { index, size, changes: 0 }
    }

    /// The next change: of Backend 42 over and over, or of all in turn, far from the last one.
    fn next(&mut self, which: Which) -> Object {
        self.changes += 1;
        let i = match which {
            Which::TheSame => 42,
            Which::AllInTurn => self.changes * 37 % self.size,
        };
        backend(i, i64::try_from(self.changes + 1).expect("few enough changes"))
    }

    /// Time per change, over a run of them.
    fn run(&mut self, which: Which, changes: usize) -> Duration {
        let objects: Vec<Object> = (0..changes).map(|_| self.next(which)).collect();
        let start = Instant::now();
        for object in objects {
            let changes = black_box(self.index.apply(object));
            assert_eq!(changes.applied.len(), 1, "every change is one");
        }
        start.elapsed() / u32::try_from(changes).expect("few enough changes")
    }
}

/// The fastest round of each size.
fn fastest(which: Which) -> Vec<Duration> {
    let mut worlds: Vec<World> = SIZES.into_iter().map(World::new).collect();
    let mut fastest = vec![Duration::MAX; worlds.len()];
    for _ in 0..ROUNDS {
        for (world, fastest) in worlds.iter_mut().zip(&mut fastest) {
            *fastest = world.run(which, CHANGES).min(*fastest);
        }
    }
    fastest
}

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("one changed Backend");
    for size in SIZES {
        let mut world = World::new(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(|iterations| {
                let iterations = usize::try_from(iterations).expect("a number of iterations fits");
                world.run(Which::TheSame, iterations) * u32::try_from(iterations).expect("a number of iterations fits")
            });
        });
    }
    group.finish();
    criterion.final_summary();

    let ratio = report(Which::TheSame, "the same Backend changed");
    println!("ratio of 10000 to 100: {ratio:.2} (at most {LIMIT})");
    let in_turn = report(Which::AllInTurn, "every Backend changed in turn");
    println!("ratio of 10000 to 100, caches included: {in_turn:.2}");
    if ratio <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the times, and returns how the last compares to the first.
fn report(which: Which, title: &str) -> f64 {
    let times = fastest(which);
    for (size, time) in SIZES.iter().zip(&times) {
        println!("{title}, of {size}: {:.1} us", time.as_secs_f64() * 1e6);
    }
    times[SIZES.len() - 1].as_secs_f64() / times[0].as_secs_f64()
}
