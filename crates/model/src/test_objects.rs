//! Builders of objects for this crate's tests. Other crates use those of `maglev-testkit`, which depends on this crate.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    config::{
        AdminState, Backend, Check, Frontend, HealthCheck, Member, MemberTarget, OnBackendDown, Pool, Probe, Revision,
        Standing,
    },
    drain::DrainConf,
    name::Name,
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};

pub fn name(name: &str) -> Name {
    Name::namespaced("shop", name)
}

/// An enabled Backend at 10.0.0.`last` that is not probed.
pub fn backend(name_text: &str, last: u8) -> Arc<Backend> {
    Arc::new(Backend {
        name: name(name_text),
        revision: Revision { uid: "u".into(), generation: 1 },
        address: [10, 0, 0, last].into(),
        admin_state: AdminState::Enabled,
        pause_cause: None,
        drain: DrainConf::default(),
        check: Check::None,
    })
}

/// A pool whose members all have weight 10.
pub fn pool(name: &str, members: &[&Arc<Backend>]) -> Pool {
    let member = |backend: &&Arc<Backend>| Member {
        backend: backend.name.clone(),
        weight: Weight::DEFAULT,
        target: MemberTarget::Backend(Arc::clone(backend)),
    };
    Pool { name: name.into(), members: members.iter().map(member).collect() }
}

/// A served Frontend on TCP port 80 with GRE to IPv4 backends.
pub fn frontend(name_text: &str, address: impl Into<IpAddr>, pools: Vec<Pool>) -> Arc<Frontend> {
    let service = Service::Port { protocol: Protocol::Tcp, port: 80.try_into().expect("80 is not 0") };
    Arc::new(Frontend {
        name: name(name_text),
        revision: Revision { uid: "u".into(), generation: 3 },
        vip: VipKey { address: address.into(), service },
        standing: Standing::Serving,
        pools,
        encap: Some(Encap::Gre4),
        sticky: false,
        on_backend_down: OnBackendDown::Flush,
        table_length: TableLength::new(8192).expect("a power of two"),
        path_probe: None,
        disruption: None,
        ramp_up: None,
    })
}

/// An ICMP check every second.
pub fn health_check() -> HealthCheck {
    let second = Duration::from_secs(1);
    HealthCheck {
        name: name("check"),
        revision: Revision::default(),
        interval: second,
        fast_interval: second,
        down_interval: second,
        timeout: second,
        rise: 2,
        fall: 3,
        probe: Probe::Icmp,
    }
}
