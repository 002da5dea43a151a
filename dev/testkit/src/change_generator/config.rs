//! Random configurations: the objects of a node, and their changes.

use std::{collections::HashSet, net::Ipv6Addr, sync::Arc};

use maglev_model::{
    body_pattern::BodyPattern,
    change::{ConfigDelta, Problems},
    config::{
        AdminState, Backend, Check, Config, ConnectionMode, DisruptionBudget, ForeignVips, Frontend, HeaderValue,
        HealthCheck, Http, HttpMethod, Kind, Member, MemberTarget, NodeConfig, OnBackendDown, Pool, Probe, ProbeConf,
        RampUp, Standing, StatusRange, SyncConf, Tls, VppConf,
    },
    drain::{DrainConf, OnDeadline},
    name::Name,
    path::{PathMode, PathProbe},
    problem::{Problem, Reason},
    vip::{Dscp, Encap, Protocol, Service, TableLength, VipKey, Weight},
};

use super::{ChangeGenerator, change_all, set};

impl ChangeGenerator {
    /// Changes some objects and resolves references to changed objects, like the index.
    pub(crate) fn delta(&mut self) -> ConfigDelta {
        let old = self.config.clone();
        for name in self.names.clone().map(|name| Name::namespaced("shop", &name)) {
            match self.rng.u8(..9) {
                0 => {
                    let check = self.some(|generator| generator.check(&name));
                    set(&mut self.config.health_checks, &name, check);
                }
                1..3 => {
                    let backend = self.some(|generator| generator.backend(&name));
                    set(&mut self.config.backends, &name, backend);
                }
                3..5 => {
                    let frontend = self.some(|generator| generator.frontend(&name));
                    set(&mut self.config.frontends, &name, frontend);
                }
                _ => {}
            }
        }
        self.resolve();
        if self.rng.u8(..4) == 0 {
            self.config.node = Arc::new(self.node());
            self.config.claims_unknown = self.rng.bool();
        }
        let mut delta = ConfigDelta::between(Some(&old), &self.config);
        if self.rng.bool() {
            let problems = (0..self.rng.u8(..3)).map(|_| self.problem()).collect();
            let kind = Kind::ALL[self.rng.usize(..Kind::ALL.len())];
            delta.problems.push(((kind, self.name()), Problems { generation: self.rng.i64(..), problems }));
        }
        delta
    }

    /// Resolves references and conflicts: like in an index, at most one Frontend of a VIP is not withdrawn.
    fn resolve(&mut self) {
        let Config { health_checks, backends, frontends, .. } = &mut self.config;
        *backends = change_all(backends, |backend: &mut Backend| {
            if let Check::Probe(check) = &backend.check {
                let missing = || Check::Missing(Problem::new(Reason::HealthCheckNotFound, "", ""));
                backend.check = health_checks.get(&check.name).cloned().map_or_else(missing, Check::Probe);
            }
        });
        let mut claimed = HashSet::new();
        *frontends = change_all(frontends, |frontend: &mut Frontend| {
            if !matches!(frontend.standing, Standing::Withdrawn(_)) && !claimed.insert(frontend.vip) {
                frontend.standing = Standing::Withdrawn(Problem::new(Reason::Conflicted, "", ""));
            }
            for member in frontend.pools.iter_mut().flat_map(|pool| &mut pool.members) {
                if let MemberTarget::Backend(backend) = &member.target {
                    let unreadable = MemberTarget::Unreadable { address: None };
                    member.target = backends.get(&backend.name).cloned().map_or(unreadable, MemberTarget::Backend);
                }
            }
        });
    }

    pub fn check(&mut self, name: &Name) -> Arc<HealthCheck> {
        Arc::new(HealthCheck {
            name: name.clone(),
            revision: self.revision(),
            interval: self.duration(),
            fast_interval: self.duration(),
            down_interval: self.duration(),
            timeout: self.duration(),
            rise: self.rng.u8(..),
            fall: self.rng.u8(..),
            probe: self.probe(),
        })
    }

    fn probe(&mut self) -> Probe {
        let tls = |generator: &mut Self| Tls {
            server_name: generator.some(|generator| generator.text().to_string()),
            insecure_skip_verify: generator.rng.bool(),
            // Certificates and keys never leave an agent.
            authorities: None,
            client: None,
        };
        match self.rng.u8(..4) {
            0 => Probe::Icmp,
            1 => Probe::Tcp { port: self.port(), tls: self.some(tls) },
            2 => Probe::Grpc {
                port: self.port(),
                service: self.text().to_string(),
                connection: self.connection(),
                tls: self.some(tls),
            },
            _ => {
                let http = Http {
                    path: "/".into(),
                    host: self.some(|generator| generator.text().to_string()),
                    method: if self.rng.bool() { HttpMethod::Get } else { HttpMethod::Head },
                    connection: self.connection(),
                    expected_statuses: vec![StatusRange { from: self.rng.u16(..), to: self.rng.u16(..) }],
                    expected_text: None,
                    expected_body: self.some(|generator| BodyPattern::new(&generator.text())),
                    // Empty, since values are not sent.
                    headers: vec![
                        ("X-Probe".into(), HeaderValue::default()),
                        ("X-Other".into(), HeaderValue::default()),
                    ],
                };
                Probe::Http { port: self.port(), http, tls: self.some(tls) }
            }
        }
    }

    fn connection(&mut self) -> ConnectionMode {
        if self.rng.bool() { ConnectionMode::New } else { ConnectionMode::Reuse }
    }

    fn backend(&mut self, name: &Name) -> Arc<Backend> {
        let check = match self.rng.u8(..4) {
            0 => Check::Missing(self.problem()),
            1 => Check::NotSupported(self.problem()),
            _ => self.listed_check().map_or(Check::None, Check::Probe),
        };
        use AdminState::{Disabled, Enabled, Paused};
        Arc::new(Backend {
            name: name.clone(),
            revision: self.revision(),
            address: self.address(),
            admin_state: [Enabled, Paused, Disabled][self.rng.usize(..3)],
            pause_cause: self.some(Self::text).filter(|cause| !cause.is_empty()),
            drain: self.drain_conf(),
            check,
        })
    }

    fn drain_conf(&mut self) -> DrainConf {
        let on_deadline = if self.rng.bool() { OnDeadline::Flush } else { OnDeadline::Keep };
        DrainConf { deadline: self.some(Self::duration), on_deadline }
    }

    fn listed_check(&mut self) -> Option<Arc<HealthCheck>> {
        let name = self.name();
        self.config.health_checks.get(&name).cloned()
    }

    fn frontend(&mut self, name: &Name) -> Arc<Frontend> {
        let standing = match self.rng.u8(..4) {
            0 => Standing::Held(self.problem()),
            1 => Standing::Withdrawn(self.problem()),
            _ => Standing::Serving,
        };
        let pool = |generator: &mut Self| Pool {
            name: generator.text(),
            members: (0..generator.rng.u8(..4)).map(|_| generator.member()).collect(),
        };
        let service = match self.rng.u8(..3) {
            0 => Service::AllPorts,
            1 => Service::Port { protocol: Protocol::Tcp, port: self.port() },
            _ => Service::Port { protocol: Protocol::Udp, port: self.port() },
        };
        Arc::new(Frontend {
            name: name.clone(),
            revision: self.revision(),
            vip: VipKey { address: self.address(), service },
            standing,
            pools: (0..self.rng.u8(..3)).map(|_| pool(self)).collect(),
            encap: self.some(Self::encap),
            sticky: self.rng.bool(),
            on_backend_down: if self.rng.bool() { OnBackendDown::Flush } else { OnBackendDown::Keep },
            table_length: TableLength::new(256 << self.rng.u32(..8)).expect("a power of two in the range"),
            path_probe: self.some(Self::path_probe),
            disruption: self.some(Self::disruption),
            ramp_up: self.some(Self::ramp_up),
        })
    }

    fn disruption(&mut self) -> DisruptionBudget {
        DisruptionBudget { max_moved_percent: self.rng.u8(1..=100), window: self.duration() }
    }

    fn ramp_up(&mut self) -> RampUp {
        RampUp { duration: self.duration(), steps: self.rng.u8(..) }
    }

    fn path_probe(&mut self) -> PathProbe {
        PathProbe {
            mode: if self.rng.bool() { PathMode::Report } else { PathMode::Require },
            interval: self.duration(),
            packet_size: self.rng.u16(..),
        }
    }

    fn encap(&mut self) -> Encap {
        match self.rng.u8(..3) {
            0 => Encap::Gre4,
            1 => Encap::Gre6,
            _ => Encap::L3dsr(Dscp::new(self.rng.u8(..64)).expect("the range ends at 63")),
        }
    }

    fn member(&mut self) -> Member {
        let weight = Weight::clamped(self.rng.u8(..));
        let backend = self.name();
        let target = match self.config.backends.get(&backend).cloned().filter(|_| self.rng.u8(..4) > 0) {
            Some(backend) => MemberTarget::Backend(backend),
            None => MemberTarget::Unreadable { address: self.some(Self::address) },
        };
        Member { backend, weight, target }
    }

    fn node(&mut self) -> NodeConfig {
        let v6 = Some(Ipv6Addr::LOCALHOST);
        NodeConfig {
            load_balancer_config: self.some(|_| Name::cluster("edge")),
            internal_ipv4: self.some(|generator| generator.v4(1)),
            internal_ipv6: v6.filter(|_| self.rng.bool()),
            vpp: VppConf {
                ipv4_source: self.some(|generator| generator.v4(2)),
                ipv6_source: v6.filter(|_| self.rng.bool()),
                sticky_buckets_per_core: self.some(|generator| generator.rng.u32(..)),
                flow_timeout: self.some(|generator| generator.rng.u32(..)),
                max_table_entries: self.rng.u32(..),
            },
            sync: SyncConf {
                interval: self.duration(),
                startup_min_delay: self.duration(),
                startup_max_delay: self.duration(),
                foreign_vips: if self.rng.bool() { ForeignVips::Keep } else { ForeignVips::Remove },
                mass_removal_hold: self.duration(),
            },
            probe: ProbeConf {
                ipv4_source: self.some(|generator| generator.v4(3)),
                ipv6_source: v6.filter(|_| self.rng.bool()),
                transition_history: self.rng.usize(..),
                fail_open: self.rng.bool(),
            },
        }
    }
}
