//! Builders of resolved objects. Tests change single fields with struct update syntax or on the value.

use std::{net::IpAddr, sync::Arc, time::Duration};

use maglev_model::{
    Name,
    config::{
        AdminState, Backend, Check, Config, Frontend, HealthCheck, Listed, Member, MemberTarget, NodeConfig,
        OnBackendDown, Pool, Probe, Revision, Standing, SyncConf,
    },
    drain::DrainConf,
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};

/// Parses `namespace/name`; without a namespace, the object is in `default`.
pub fn name(text: &str) -> Name {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    Name::namespaced(namespace, name)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("the text is an IP address")
}

/// TCP port 80 of an address.
pub fn vip(address: &str) -> VipKey {
    let port = 80.try_into().expect("80 is not 0");
    VipKey { address: ip(address), service: Service::Port { protocol: Protocol::Tcp, port } }
}

/// A TCP check of port 80: every 2 s, timeout 1 s, rise 2, fall 3.
pub fn health_check(text: &str) -> HealthCheck {
    HealthCheck {
        name: name(text),
        revision: Revision::default(),
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_secs(2),
        down_interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        probe: Probe::Tcp { port: 80.try_into().expect("80 is not 0"), tls: None },
    }
}

/// An enabled Backend with the HealthCheck `default/check`.
pub fn backend(text: &str, address: &str) -> Backend {
    Backend {
        name: name(text),
        revision: Revision::default(),
        address: ip(address),
        admin_state: AdminState::Enabled,
        pause_cause: None,
        drain: DrainConf::default(),
        check: Check::Probe(Arc::new(health_check("check"))),
    }
}

/// A member of weight 10.
pub fn member(backend: impl Into<Arc<Backend>>) -> Member {
    let backend = backend.into();
    Member { backend: backend.name.clone(), weight: Weight::DEFAULT, target: MemberTarget::Backend(backend) }
}

/// A pool whose members all have weight 10.
pub fn pool(text: &str, members: &[&Backend]) -> Pool {
    Pool { name: text.into(), members: members.iter().map(|backend| member((*backend).clone())).collect() }
}

/// A served Frontend with GRE to IPv4 backends.
pub fn frontend(text: &str, vip: VipKey, pools: Vec<Pool>) -> Frontend {
    Frontend {
        name: name(text),
        revision: Revision { uid: text.into(), generation: 1 },
        vip,
        standing: Standing::Serving,
        pools,
        encap: Some(Encap::Gre4),
        sticky: false,
        on_backend_down: OnBackendDown::Flush,
        table_length: TableLength::new(1024).expect("1024 is a power of two"),
        path_probe: None,
        disruption: None,
        ramp_up: None,
    }
}

/// The settings of a node without a warm-up.
pub fn node_config() -> NodeConfig {
    let sync = SyncConf { startup_min_delay: Duration::ZERO, startup_max_delay: Duration::ZERO, ..SyncConf::default() };
    NodeConfig { internal_ipv4: Some([192, 0, 2, 254].into()), sync, ..NodeConfig::default() }
}

/// A configuration in which every kind has been listed.
pub fn config(frontends: impl IntoIterator<Item = Frontend>, node: NodeConfig) -> Config {
    let mut config = Config::new(Listed::when(|_| true).expect("every kind is listed"), Arc::new(node));
    for frontend in frontends {
        config.frontends.insert(frontend.name.clone(), Arc::new(frontend));
    }
    config
}
