//! The custom resources of a simulation: three Frontends, three Backends, a HealthCheck and the node's settings.

use std::{net::IpAddr, time::Duration};

use fastrand::Rng;
use maglev_index::{Meta, NodeObject, Object, Stored, Unreadable};
use maglev_model::{
    Name,
    actual::VppVip,
    config::Revision,
    vip::{Protocol, Service, VipKey},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub const FRONTENDS: usize = 3;
pub const BACKENDS: usize = 3;
pub const FOREIGN_VIPS: usize = 5;
pub const NODE: &str = "node-a";
pub const SYNC_INTERVAL: Duration = Duration::from_secs(10);
pub const REMOVAL_HOLD: Duration = Duration::from_secs(20);

/// All objects as the API server has them.
#[derive(Clone)]
pub struct Objects {
    frontends: [Option<Value>; FRONTENDS],
    backends: [Value; BACKENDS],
    generation: i64,
}

impl Objects {
    pub fn new(rng: &mut Rng) -> Self {
        let backend = |number: usize| json!({"address": address(number), "healthCheckRef": {"name": "check"}});
        Self {
            frontends: std::array::from_fn(|number| Some(any_frontend(rng, number))),
            backends: std::array::from_fn(backend),
            generation: 1,
        }
    }

    /// Changes, deletes or creates a Frontend. Returns a description.
    pub fn change_frontend(&mut self, rng: &mut Rng) -> String {
        self.generation += 1;
        let number = rng.usize(0..FRONTENDS);
        let frontend = &mut self.frontends[number];
        match frontend {
            Some(_) if rng.u8(0..4) == 0 => *frontend = None,
            Some(spec) => {
                let other = any_frontend(rng, number);
                let fields =
                    ["pools", "pools", "pools", "sessionAffinity", "tableLength", "onBackendDown", "encap", "rampUp"];
                let field = *rng.choice(&fields).expect("there are fields");
                spec[field] = other[field].clone();
            }
            None => *frontend = Some(any_frontend(rng, number)),
        }
        format!("frontend f{number}: {}", frontend.as_ref().map_or("deleted".to_owned(), Value::to_string))
    }

    /// Changes the admin state of a Backend. Returns a description.
    pub fn change_backend(&mut self, rng: &mut Rng) -> String {
        self.generation += 1;
        let number = rng.usize(0..BACKENDS);
        let state = *rng.choice(&["Enabled", "Enabled", "Paused", "Disabled"]).expect("there are states");
        self.backends[number]["adminState"] = state.into();
        format!("backend b{number}: {state}")
    }

    /// Every object, as in a list.
    pub fn list(&self) -> Vec<Object> {
        let settings = json!({
            "vpp": {"ipv4SourceAddress": "192.0.2.254"},
            "sync": {
                "interval": seconds(SYNC_INTERVAL), "startupMinDelay": "3s", "startupMaxDelay": "15s",
                "massRemovalHold": seconds(REMOVAL_HOLD),
            },
        });
        let check = json!({
            "type": "TCP", "port": 80, "interval": "2s", "fastInterval": "500ms", "downInterval": "1s",
            "timeout": "400ms", "rise": 2, "fall": 2,
        });
        let mut objects = vec![
            Object::Node(NodeObject {
                name: NODE.to_owned(),
                addresses: vec!["192.0.2.250".parse().expect("an address")],
                ..NodeObject::default()
            }),
            Object::LoadBalancerConfig(stored(Name::cluster("settings"), 1, &settings)),
            Object::HealthCheck(stored(name("check"), 1, &check)),
        ];
        for (number, spec) in self.backends.iter().enumerate() {
            objects.push(Object::Backend(stored(name(&format!("b{number}")), self.generation, spec)));
        }
        for (number, spec) in self.frontends.iter().enumerate() {
            let object = |spec| Object::Frontend(stored(name(&format!("f{number}")), self.generation, spec));
            objects.extend(spec.as_ref().map(object));
        }
        objects
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

fn stored<S: DeserializeOwned>(name: Name, generation: i64, spec: &Value) -> Stored<S> {
    let revision = Revision { uid: format!("uid-{name}").into(), generation };
    let spec = S::deserialize(spec).map_err(|error| Unreadable { spec: spec.clone(), error: error.to_string() });
    Stored { meta: Meta { name, revision, created: jiff::Timestamp::UNIX_EPOCH }, spec }
}

fn name(text: &str) -> Name {
    Name::namespaced("shop", text)
}

/// The address of a Backend.
pub fn address(number: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, 1 + number as u8])
}

/// The VIP of a Frontend: two VIPs on one address, and one alone.
pub fn vip(number: usize) -> VipKey {
    let (host, port) = [(1, 80), (1, 81), (2, 80)][number];
    let port = std::num::NonZeroU16::new(port).expect("not 0");
    VipKey { address: IpAddr::from([203, 0, 113, host]), service: Service::Port { protocol: Protocol::Tcp, port } }
}

/// True if a Frontend of the simulation can claim `vip`.
pub fn is_own(vip: VppVip) -> bool {
    (0..FRONTENDS).any(|number| VppVip::from(self::vip(number)) == vip)
}

/// A VIP of another client of VPP: beside VIPs of Frontends, and alone.
pub fn foreign_vip(number: usize) -> VppVip {
    let foreign = |address: [u8; 4], length, protocol, port| VppVip { address: address.into(), length, protocol, port };
    [
        foreign([203, 0, 113, 1], 32, 6, 90),
        foreign([203, 0, 113, 2], 32, 6, 90),
        foreign([203, 0, 113, 2], 32, 255, 0),
        foreign([203, 0, 113, 0], 24, 6, 80),
        foreign([198, 51, 100, 7], 32, 17, 53),
    ][number]
}

fn any_frontend(rng: &mut Rng, number: usize) -> Value {
    let key = vip(number);
    let mut numbers: Vec<usize> = (0..BACKENDS).collect();
    rng.shuffle(&mut numbers);
    let primary = rng.usize(1..=BACKENDS);
    let members = |rng: &mut Rng, numbers: &[usize]| -> Vec<Value> {
        let weight = |rng: &mut Rng| *rng.choice(&[0, 1, 10, 10, 50, 100]).expect("there are weights");
        numbers.iter().map(|number| json!({"name": format!("b{number}"), "weight": weight(rng)})).collect()
    };
    let mut pools = vec![json!({"name": "primary", "backends": members(rng, &numbers[..primary])})];
    if primary < BACKENDS && rng.bool() {
        pools.push(json!({"name": "standby", "backends": members(rng, &numbers[primary..])}));
    }
    // VIPs of one address share the type of encapsulation.
    let encap =
        if number < 2 || rng.bool() { json!({"type": "GRE"}) } else { json!({"type": "L3DSR", "l3dsr": {"dscp": 7}}) };
    let ramp_up = if rng.bool() { json!({"duration": "10s", "steps": rng.u8(2..=8)}) } else { Value::Null };
    json!({
        "address": key.address, "protocol": "TCP", "port": key.service.port(), "encap": encap,
        "sessionAffinity": if rng.u8(0..4) == 0 { "ClientIP" } else { "None" },
        "onBackendDown": if rng.u8(0..4) == 0 { "Keep" } else { "Flush" },
        "tableLength": if rng.u8(0..4) == 0 { 512 } else { 256 },
        "rampUp": ramp_up,
        "pools": pools,
    })
}
