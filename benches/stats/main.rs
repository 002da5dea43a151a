//! The cost of reading VPP's counters: 1,000,000 routes and 9 threads, of which the agent needs 500 VIPs and 2,500 backends.
//!
//! * **indexes**: the agent loads the words of the wanted indexes from the mapping.
//! * **copy**: the vectors of all routes are copied and added up, and the wanted elements are taken from the sums.
//!
//! Both read the same segment in the same process, with the wanted indexes adjacent (routes added after all others) and
//! scattered over all indexes. "anonymous" is the growth of the process's own memory, sampled
//! during the readings; "mapped" are the pages of VPP's segment that the process has touched, which belong to VPP.
//! `cargo bench --bench stats` takes a minute; it fails if the results differ.
#![expect(clippy::print_stdout, reason = "prints the results")]

mod segment;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hint::black_box,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use maglev_model::counters::{RouteCounters, VipPackets};
use maglev_vpp::stats::{StatsClient, StatsError, StatsIndexes, StatsReading, Value, View};

use segment::{Sizes, TO, VIA, VIPS};

const SIZES: Sizes = Sizes { routes: 1_000_000, vips: 512, threads: 9 };
const OUR_VIPS: u32 = 500;
const OUR_BACKENDS: u32 = 2_500;
const GOAL: (f64, f64) = (5.0, 5.0);
/// Interval between samples of the memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(1);

fn main() -> anyhow::Result<()> {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_some_and(|filter| !"stats".starts_with(&filter)) {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("stats.sock");
    println!("{} routes x {} threads; {OUR_VIPS} VIPs, {OUR_BACKENDS} backends", SIZES.routes, SIZES.threads);
    println!("  goal of the indexes: {} ms, {} MiB", GOAL.0, GOAL.1);
    for (placement, stride) in [("adjacent", 1), ("scattered", 300)] {
        let wanted = wanted(stride);
        segment::serve(&socket, segment::create(SIZES)?)?;
        let client = StatsClient::open(&socket, Duration::from_secs(5))?;
        fs::remove_file(&socket)?;
        report(&format!("{placement}: indexes"), 200, || StatsReading::read(&client, &wanted))?;
        let copied = report(&format!("{placement}: copy"), 5, || client.read(|view| copy(view, &wanted)))?;
        ensure!(copied == StatsReading::read(&client, &wanted)?, "the two readings differ");
    }
    Ok(())
}

/// The indexes of all VIPs and backends; `stride` is the distance between two routes.
fn wanted(stride: u32) -> StatsIndexes {
    let route = |number: u32| 1_000 + number * stride;
    StatsIndexes {
        vips: (1..=OUR_VIPS).collect(),
        to: (0..OUR_VIPS).map(route).collect(),
        via: (OUR_VIPS..OUR_VIPS + OUR_BACKENDS).map(route).collect(),
    }
}

/// Reads several times, and prints the times and the growth of memory. Returns the last reading.
fn report(
    name: &str,
    rounds: usize,
    read: impl Fn() -> Result<StatsReading, StatsError>,
) -> anyhow::Result<StatsReading> {
    let before = Memory::now()?;
    let anonymous = AtomicU64::new(0);
    let mut times = Vec::new();
    let last = thread::scope(|scope| {
        let (end_sampling, sampling) = mpsc::channel::<()>();
        scope.spawn({
            let anonymous = &anonymous;
            move || {
                while sampling.recv_timeout(SAMPLE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let now = Memory::now().map_or(0, |memory| memory.anonymous);
                    anonymous.fetch_max(now, Ordering::Relaxed);
                }
            }
        });
        let last = (0..rounds).map(|_| {
            let start = Instant::now();
            let reading = black_box(read());
            times.push(start.elapsed().as_secs_f64() * 1e3);
            reading
        });
        let last = last.last();
        drop(end_sampling);
        last
    });
    let first = times[0];
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() - 1) * part / 4];
    let grown = anonymous.into_inner().saturating_sub(before.anonymous) as f64 / 1024.0;
    let mapped = Memory::now()?.mapped.saturating_sub(before.mapped) as f64 / 1024.0;
    println!(
        "  {name:20} {:8.3} ms ({:.3}-{:.3}), first {first:.1} ms; anonymous +{grown:.1} MiB, mapped +{mapped:.1} MiB",
        at(2),
        at(1),
        at(3),
    );
    last.context("there are no rounds")?.map_err(Into::into)
}

/// Resident memory of this process in KiB.
struct Memory {
    anonymous: u64,
    mapped: u64,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
            anyhow::Ok(line.trim().trim_end_matches("kB").trim().parse()?)
        };
        Ok(Self { anonymous: field("RssAnon:")?, mapped: field("RssShmem:")? })
    }
}

/// Copies the vectors of all indexes.
fn copy(view: &View<'_>, wanted: &StatsIndexes) -> Result<StatsReading, StatsError> {
    let [boot_time, heartbeat] = view.find(["/sys/boottime", "/sys/heartbeat"]);
    let scalar = |entry: Option<_>| entry.map_or(Ok(0), |entry| view.scalar(entry, "a scalar"));
    let mut vips: BTreeMap<u32, [u64; 4]> = wanted.vips.iter().map(|index| (*index, [0; 4])).collect();
    for (kind, name) in VIPS.into_iter().enumerate() {
        let [Some(entry)] = view.find([name]) else { return Err(StatsError::WrongType("a kind")) };
        let Value::Simple(threads) = view.value(entry)? else { return Err(StatsError::WrongType("a kind")) };
        for (index, packets) in &mut vips {
            packets[kind] = threads.iter().map(|thread| thread[*index as usize]).sum();
        }
    }
    let packets =
        |[existing, first, untracked, no_server]: [u64; 4]| VipPackets { existing, first, untracked, no_server };
    Ok(StatsReading {
        boot_time: scalar(boot_time)?,
        heartbeat: scalar(heartbeat)?,
        vips: vips.into_iter().map(|(index, kinds)| (index, packets(kinds))).collect(),
        to: routes(view, TO, &wanted.to)?,
        via: routes(view, VIA, &wanted.via)?,
    })
}

fn routes(
    view: &View<'_>,
    name: &'static str,
    wanted: &BTreeSet<u32>,
) -> Result<BTreeMap<u32, RouteCounters>, StatsError> {
    let [Some(entry)] = view.find([name]) else { return Err(StatsError::WrongType(name)) };
    let Value::Combined(threads) = view.value(entry)? else { return Err(StatsError::WrongType(name)) };
    let mut sums = vec![RouteCounters::default(); threads.iter().map(Vec::len).max().unwrap_or(0)];
    for thread in threads {
        for (sum, counter) in sums.iter_mut().zip(thread) {
            *sum = RouteCounters { packets: sum.packets + counter.packets, bytes: sum.bytes + counter.bytes };
        }
    }
    Ok(wanted.iter().map(|index| (*index, sums[*index as usize])).collect())
}
