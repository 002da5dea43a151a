//! The Service proxies of the nodes, in place of kube-proxy: they translate packets to a Service's address to an endpoint,
//! port included, and the endpoint's answers back. A flow stays with its endpoint.
//!
//! There is no masquerading: endpoints see the client's address with `externalTrafficPolicy: Cluster`, too. Session affinity,
//! fragments and IPv6 are not supported.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::service_rules::{Rules, ServiceAddress};
use super::translation::{End, Endpoints, endpoints, translated};

/// Time without a packet after which a flow is forgotten, while it is open and after its end.
const IDLE_OPEN: Duration = Duration::from_secs(3600);
const IDLE_CLOSED: Duration = Duration::from_secs(60);
/// Interval of looking for idle flows.
const SWEEP: Duration = Duration::from_secs(10);

/// A flow at one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FlowKey {
    node: Arc<str>,
    client: SocketAddrV4,
    service: ServiceAddress,
}

/// The answers of an endpoint to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AnswerKey {
    protocol: u8,
    endpoint: SocketAddrV4,
    client: SocketAddrV4,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    endpoint: SocketAddrV4,
    last_packet: Instant,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Flows {
    flows: HashMap<FlowKey, Flow>,
    answers: HashMap<AnswerKey, SocketAddrV4>,
    swept: Option<Instant>,
}

/// The proxies of all nodes, which have the same rules and flows of their own.
#[derive(Debug, Default)]
pub struct ServiceProxy {
    rules: Mutex<Arc<Rules>>,
    flows: Mutex<Flows>,
}

impl ServiceProxy {
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.lock() = Arc::new(rules);
    }

    /// The packet for the endpoint of its flow, and the endpoint's address. `None` if the destination is no Service, or has
    /// no endpoint.
    pub fn forward(&self, node: &Arc<str>, packet: &[u8], now: Instant) -> Option<(Ipv4Addr, Vec<u8>)> {
        let ends = endpoints(packet)?;
        let service = ServiceAddress { protocol: ends.protocol, address: ends.destination };
        let key = FlowKey { node: Arc::clone(node), client: ends.source, service };
        let rules = Arc::clone(&self.rules.lock());
        let endpoint = self.flows.lock().endpoint(key, ends, &rules, now)?;
        Some((*endpoint.ip(), translated(packet, End::Destination, endpoint)?))
    }

    /// The endpoint's answer with the address of the Service as its source. `None` for a packet without a flow.
    pub fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let ends = endpoints(packet)?;
        let key = AnswerKey { protocol: ends.protocol, endpoint: ends.source, client: ends.destination };
        let service = *self.flows.lock().answers.get(&key)?;
        translated(packet, End::Source, service)
    }

    /// Forgets the flows of an endpoint that is gone.
    pub fn forget(&self, endpoint: Ipv4Addr) {
        self.flows.lock().retain(|flow| *flow.endpoint.ip() != endpoint);
    }
}

impl Flows {
    fn endpoint(&mut self, key: FlowKey, ends: Endpoints, rules: &Rules, now: Instant) -> Option<SocketAddrV4> {
        // As in the kernel, a client that uses a port again after the end of a flow opens another one.
        if let Some(flow) = self.flows.get_mut(&key).filter(|flow| !(ends.opens && flow.is_closed)) {
            flow.last_packet = now;
            flow.is_closed |= ends.closes;
            return Some(flow.endpoint);
        }
        self.sweep(now);
        let targets = rules.targets(&key.node, key.service)?;
        let endpoint = *fastrand::choice(&targets)?;
        let answer = AnswerKey { protocol: ends.protocol, endpoint, client: ends.source };
        self.answers.insert(answer, key.service.address);
        self.flows.insert(key, Flow { endpoint, last_packet: now, is_closed: ends.closes });
        Some(endpoint)
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.retain(|flow| now.duration_since(flow.last_packet) < if flow.is_closed { IDLE_CLOSED } else { IDLE_OPEN });
    }

    fn retain(&mut self, keep: impl Fn(&Flow) -> bool) {
        self.flows.retain(|_, flow| keep(flow));
        let answer = |(key, flow): (&FlowKey, &Flow)| {
            let FlowKey { client, service, .. } = key;
            (AnswerKey { protocol: service.protocol, endpoint: flow.endpoint, client: *client }, service.address)
        };
        self.answers = self.flows.iter().map(answer).collect();
    }
}

#[cfg(test)]
mod tests;
