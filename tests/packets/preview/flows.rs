//! New flows to the VIPs, one for each bucket of the longest table, so that shares of flows are shares of buckets.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use etherparse::PacketBuilder;
use fastrand::Rng;
use maglev_model::flow_hash::FlowHash;
use maglev_model::trace::Flow;
use maglev_model::vip::{Service, VipKey};
use maglev_vpp_simulator::{Forwarder, Verdict};

use super::world::LONGEST_TABLE;
use crate::lab::{LIMIT, Lab, PROBE_TIMEOUT, exchange_datagram, first_word, server};

/// Flows of a sample that covers the buckets of two hashes.
const SAMPLE: usize = 32_768;
/// Number of buckets of the sticky table.
pub const STICKY_BUCKETS: u32 = 1 << 20;

/// A flow whose first packet was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    flow: Flow,
    /// `None` if VPP dropped the packet, since no server has a weight.
    pub server: Option<IpAddr>,
}

/// The way of the packets.
pub enum Way<'l> {
    /// Into a simulated VPP, from any client.
    Memory(Box<Forwarder>),
    /// From the client of a lab to the backends, which answer.
    Lab(&'l Lab),
}

/// Sends flows, no two of which share a bucket of the sticky table: none is untracked.
pub struct FlowSource<'l> {
    random: Rng,
    way: Way<'l>,
    used: BTreeSet<u32>,
}

impl<'l> FlowSource<'l> {
    pub fn new(seed: u64, way: Way<'l>) -> Self {
        Self { random: Rng::with_seed(seed), way, used: BTreeSet::new() }
    }

    /// Sends a new flow for each bucket, in order of the buckets; or a random sample of all flows.
    pub async fn send_new(&mut self, vip: VipKey, sticky: bool, sample: bool) -> Vec<Sent> {
        let flows = if sample {
            (0..SAMPLE).map(|_| self.random_flow(vip)).collect()
        } else {
            self.flow_per_bucket(vip, sticky)
        };
        self.send(flows).await
    }

    pub async fn send_again(&mut self, flows: &[Sent]) -> Vec<Sent> {
        self.send(flows.iter().map(|sent| sent.flow).collect()).await
    }

    async fn send(&mut self, flows: Vec<Flow>) -> Vec<Sent> {
        match &mut self.way {
            Way::Memory(forwarder) => flows.into_iter().map(|flow| forward(forwarder, flow)).collect(),
            Way::Lab(lab) => lab.in_client(move || flows.into_iter().map(exchange).collect()).await.unwrap(),
        }
    }

    fn flow_per_bucket(&mut self, vip: VipKey, sticky: bool) -> Vec<Flow> {
        let mut by_bucket: Vec<Option<Flow>> = vec![None; LONGEST_TABLE as usize];
        let mut missing = by_bucket.len();
        while missing > 0 {
            let (flow, hash) = self.draw(vip, sticky);
            let bucket = &mut by_bucket[(hash & (LONGEST_TABLE - 1)) as usize];
            if bucket.is_none() && self.used.insert(hash & (STICKY_BUCKETS - 1)) {
                *bucket = Some(flow);
                missing -= 1;
            }
        }
        by_bucket.into_iter().flatten().collect()
    }

    /// A flow with a bucket of its own, both with and without session affinity.
    fn random_flow(&mut self, vip: VipKey) -> Flow {
        loop {
            let (flow, hash_without) = self.draw(vip, false);
            let buckets = [hash_without, hash(&flow, true)].map(|hash| hash & (STICKY_BUCKETS - 1));
            if buckets[0] != buckets[1] && buckets.iter().all(|bucket| !self.used.contains(bucket)) {
                self.used.extend(buckets);
                return flow;
            }
        }
    }

    fn draw(&mut self, vip: VipKey, sticky: bool) -> (Flow, u32) {
        let Service::Port { protocol, port } = vip.service else { panic!("the VIPs have ports") };
        let client = match self.way {
            Way::Memory(_) => Ipv4Addr::from_bits(self.random.u32(..)),
            Way::Lab(_) => Ipv4Addr::new(198, 51, 100, self.random.u8(2..=254)),
        };
        let source = (client, self.random.u16(1024..));
        let flow = Flow::new(protocol, source.into(), (vip.address, port.get()).into()).unwrap();
        let hash = hash(&flow, sticky);
        (flow, hash)
    }
}

fn forward(forwarder: &mut Forwarder, flow: Flow) -> Sent {
    let server = match forwarder.forward(&packet(&flow), &mut |_| {}) {
        Verdict::Forwarded(server) => Some(server),
        Verdict::NoServer => None,
        other => panic!("{flow:?}: {other:?}"),
    };
    Sent { flow, server }
}

/// Sends a datagram, which the backend answers with its name; again while the backends do not listen after a recreate.
fn exchange(flow: Flow) -> io::Result<Sent> {
    let start = Instant::now();
    let answer = loop {
        match exchange_datagram(flow.source(), flow.destination(), PROBE_TIMEOUT) {
            Err(error) if start.elapsed() > LIMIT => {
                return Err(io::Error::new(error.kind(), format!("{flow:?}: {error}")));
            }
            Err(_) => {}
            Ok(answer) => break answer,
        }
    };
    let name = first_word(&answer);
    let number = name.strip_prefix("web-").and_then(|number| number.parse().ok());
    Ok(Sent { flow, server: Some(server(number.expect("the name of a backend"))) })
}

fn hash(flow: &Flow, sticky: bool) -> u32 {
    flow.key(sticky).hash(FlowHash::Crc32c)
}

fn packet(flow: &Flow) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (flow.source().ip(), flow.destination().ip()) else {
        panic!("the VIPs are IPv4")
    };
    let (source, destination) = (source.octets(), destination.octets());
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(source, destination, 64).udp(flow.source().port(), flow.destination().port());
    builder.write(&mut packet, b"hello").unwrap();
    packet
}
