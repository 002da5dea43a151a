//! The speed of packets through one simulated VPP, on one thread.
//!
//! * **forward**: a `Forwarder` decides on each packet, counts it and encapsulates it.
//! * **copy**: each packet is copied behind room for a GRE header, and its CRC-32C is computed: the least that a program in
//!   user space does with a packet.
//!
//! Both handle the same packets in turns. The benchmark fails if a packet is in none or in several of the counters of its VIP.
//! `cargo bench --bench forward` takes a quarter of a minute.
#![expect(clippy::print_stdout, reason = "prints the results")]

use std::{hint::black_box, net::IpAddr, time::Instant};

use anyhow::{Context as _, ensure};
use etherparse::PacketBuilder;
use maglev_model::actual::VppVip;
use maglev_vpp_simulator::{Prefix, Recompute, Simulator, SimulatorOptions, Verdict, VipSettings, vip::identity};

const SERVERS: u8 = 16;
const STICKY_BUCKETS: u32 = 65_536;
const PACKETS_PER_ROUND: usize = 100_000;
const ROUNDS: usize = 15;
/// Packets per second.
const GOAL: f64 = 100_000.0;
const GRE4: u32 = 0;
const GRE6: u32 = 1;

struct Workload {
    name: &'static str,
    vips: u16,
    encap: u32,
    /// Flows at the same time. A flow of later rounds is new if there are more flows than packets in a round.
    flows: u32,
    /// Length of a packet.
    length: usize,
    mtu: u16,
}

const WORKLOADS: [Workload; 5] = [
    Workload { name: "established", vips: 1, encap: GRE4, flows: 10_000, length: 100, mtu: 1500 },
    Workload { name: "new-flows", vips: 1, encap: GRE4, flows: 1_600_000, length: 100, mtu: 1500 },
    Workload { name: "1000-vips", vips: 1000, encap: GRE4, flows: 50_000, length: 100, mtu: 1500 },
    Workload { name: "large", vips: 1, encap: GRE6, flows: 10_000, length: 1400, mtu: 1500 },
    Workload { name: "fragments", vips: 1, encap: GRE4, flows: 10_000, length: 1500, mtu: 1500 },
];

fn main() -> anyhow::Result<()> {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    println!("packets to {SERVERS} servers per VIP, {ROUNDS} rounds of {PACKETS_PER_ROUND}; goal {GOAL} packets/s");
    for workload in WORKLOADS.iter().filter(|workload| format!("forward/{}", workload.name).starts_with(&filter)) {
        run(workload)?;
    }
    Ok(())
}

fn run(workload: &Workload) -> anyhow::Result<()> {
    let options = SimulatorOptions { mtu: workload.mtu, recompute: Recompute::Lazy, ..SimulatorOptions::new("unused") };
    let simulator = Simulator::in_memory(options);
    let mut forwarder = simulator.forwarder();
    let vips = add_vips(&simulator, workload)?;
    let mut flows = (0..workload.flows).cycle();
    let (mut forward, mut copy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let numbers = flows.by_ref().take(PACKETS_PER_ROUND);
        let packets = numbers.map(|number| packet(workload, number)).collect::<Result<Vec<_>, _>>()?;
        let mut refused = 0;
        forward.push(nanoseconds_per_packet(&packets, |packet| {
            let verdict = forwarder.forward(packet, &mut |sent| {
                black_box(sent);
            });
            refused += u32::from(!matches!(verdict, Verdict::Forwarded(_)));
        }));
        ensure!(refused == 0, "{refused} packets were not forwarded");
        let mut buffer = Vec::new();
        copy.push(nanoseconds_per_packet(&packets, |packet| {
            buffer.clear();
            buffer.resize(24, 0);
            buffer.extend_from_slice(packet);
            black_box(crc32c::crc32c(&buffer));
        }));
    }
    check_counters(&simulator, &vips)?;
    report(workload, forward, copy);
    Ok(())
}

fn add_vips(simulator: &Simulator, workload: &Workload) -> anyhow::Result<Vec<VppVip>> {
    simulator.edit(|lb| {
        let mut conf = lb.conf();
        conf.ipv4_source = [192, 0, 2, 1].into();
        conf.sticky_buckets_per_core = STICKY_BUCKETS;
        lb.set_conf(conf)?;
        let settings = VipSettings { encap: workload.encap, table_length: 8192, ..VipSettings::default() };
        let add_vip = |number| {
            let prefix = Prefix::host(vip_address(number).into());
            lb.add_vip(prefix, 6, 80, settings)?;
            let vip = identity(prefix, 6, 80);
            for last in 1..=SERVERS {
                let server: IpAddr = match workload.encap {
                    GRE6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()].into(),
                    _ => [192, 0, 2, 100 + last].into(),
                };
                lb.add_as(vip, server, 10)?;
            }
            anyhow::Ok(vip)
        };
        (0..workload.vips).map(add_vip).collect()
    })
}

fn vip_address(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [203, 0, high, low]
}

/// A TCP packet of one flow to one of the VIPs.
fn packet(workload: &Workload, flow: u32) -> anyhow::Result<Vec<u8>> {
    let vip = u16::try_from(flow % u32::from(workload.vips))?;
    let [a, b, c, _] = flow.to_be_bytes();
    let source_port = (flow & 0xff) as u16 + 1024;
    let builder = PacketBuilder::ipv4([198, a, b, c], vip_address(vip), 64).tcp(source_port, 80, 1, 1024);
    let mut packet = Vec::with_capacity(workload.length);
    builder.write(&mut packet, &vec![7; workload.length - 40])?;
    Ok(packet)
}

fn nanoseconds_per_packet(packets: &[Vec<u8>], mut handle: impl FnMut(&[u8])) -> f64 {
    let start = Instant::now();
    for packet in packets {
        handle(packet);
    }
    start.elapsed().as_secs_f64() * 1e9 / packets.len() as f64
}

fn check_counters(simulator: &Simulator, vips: &[VppVip]) -> anyhow::Result<()> {
    let mut counted = 0;
    for vip in vips {
        let packets = simulator.packets(*vip).context("a VIP is gone")?;
        counted += packets.existing + packets.first + packets.untracked + packets.no_server;
    }
    let forwarded = (ROUNDS * PACKETS_PER_ROUND) as u64;
    ensure!(counted == forwarded, "{forwarded} packets, but {counted} in the counters");
    Ok(())
}

fn report(workload: &Workload, mut forward: Vec<f64>, mut copy: Vec<f64>) {
    let mut ratios: Vec<f64> = forward.iter().zip(&copy).map(|(forward, copy)| forward / copy).collect();
    for samples in [&mut forward, &mut copy, &mut ratios] {
        samples.sort_by(f64::total_cmp);
    }
    let at = |samples: &[f64], quarter: usize| samples[(samples.len() - 1) * quarter / 4];
    let quartiles = |samples: &[f64]| format!("({:.0}-{:.0})", at(samples, 1), at(samples, 3));
    println!(
        "  {:12} {:9.0} packets/s; {:5.0} ns/packet {}, copy {:4.0} ns {}, ratio {:.1}; each packet in one counter",
        workload.name,
        1e9 / at(&forward, 2),
        at(&forward, 2),
        quartiles(&forward),
        at(&copy, 2),
        quartiles(&copy),
        at(&ratios, 2),
    );
}
