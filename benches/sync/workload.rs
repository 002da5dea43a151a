//! What is synced: 100 VIPs with 16 application servers each.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use maglev::model::{
    Name,
    actual::{ActualVip, VppVip},
    config::{
        AdminState, Backend, Check, Config, Frontend, HealthCheck, Listed, Member, NodeConfig, OnBackendDown, Pool,
        Probe, Revision, Standing, SyncConf, Target,
    },
    health::{BackendHealth, BackendState, HealthSnapshot},
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};

const VIPS: u8 = 100;
const SERVERS: u8 = 16;
const TABLE: u16 = 8192;

/// The VIPs of a VPP, without what differs from run to run.
pub(crate) type State = BTreeMap<VppVip, ActualVip>;

/// What is synced.
pub(crate) struct Workload {
    /// What the agent is to follow; every VIP is in 203.0.113.0/24.
    pub(crate) config: Config,
    /// All backends are up.
    pub(crate) health: HealthSnapshot,
}

impl Workload {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let sync =
            SyncConf { startup_min_delay: Duration::ZERO, startup_max_delay: Duration::ZERO, ..SyncConf::default() };
        let internal_ipv4 = Some(Ipv4Addr::new(192, 0, 2, 254));
        let node = NodeConfig { internal_ipv4, sync, ..NodeConfig::default() };
        let listed = Listed::when(|_| true).context("every kind is listed")?;
        let mut workload = Self { config: Config::new(listed, Arc::new(node)), health: HealthSnapshot::default() };
        let check = health_check()?;
        for vip in 1..=VIPS {
            workload.add(vip, &check)?;
        }
        Ok(workload)
    }

    fn add(&mut self, vip: u8, check: &Arc<HealthCheck>) -> anyhow::Result<()> {
        let mut members = Vec::new();
        for server in 1..=SERVERS {
            let address = Ipv4Addr::new(198, 18, vip, server).into();
            let backend = Backend {
                name: Name::namespaced("bench", &format!("server-{vip}-{server}")),
                revision: Revision::default(),
                address,
                admin_state: AdminState::Enabled,
                check: Check::Probe(Arc::clone(check)),
            };
            let up = BackendHealth {
                address,
                state: BackendState::Up,
                ever_known: true,
                in_doubt: false,
                history: Arc::default(),
            };
            self.health.backends.insert(backend.name.clone(), up);
            let name = backend.name.clone();
            members.push(Member { backend: name, weight: Weight::DEFAULT, target: Target::Backend(Arc::new(backend)) });
        }
        let name = Name::namespaced("bench", &format!("frontend-{vip}"));
        let frontend = Frontend {
            revision: Revision { uid: name.as_str().into(), generation: 1 },
            name: name.clone(),
            vip: key(vip)?,
            standing: Standing::Serving,
            pools: vec![Pool { name: "primary".into(), members }],
            encap: Some(Encap::Gre4),
            sticky: false,
            on_backend_down: OnBackendDown::Flush,
            table_length: TableLength::new(TABLE.into()).context("a power of two")?,
        };
        self.config.frontends.insert(name, Arc::new(frontend));
        Ok(())
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{VIPS} VIPs x {SERVERS} application servers, table {TABLE}, weight {}: {} requests",
            Weight::DEFAULT.get(),
            self.operations()
        )
    }

    /// Requests that change VPP.
    pub(crate) fn operations(&self) -> u32 {
        u32::from(VIPS) + u32::from(VIPS) * u32::from(SERVERS)
    }

    /// Whether `state` is what was wanted, to the last bucket.
    pub(crate) fn check(&self, state: &State) -> anyhow::Result<()> {
        ensure!(state.len() == usize::from(VIPS), "VPP has {} of the VIPs", state.len());
        for (vip, have) in state {
            let weights = have.ases.values().map(|of| of.weight);
            let right = weights.filter(|weight| *weight == Weight::DEFAULT.get()).count();
            let buckets: u32 = have.ases.values().map(|of| of.buckets).sum();
            ensure!(right == usize::from(SERVERS), "{vip} has {right} application servers of the right weight");
            ensure!(buckets == u32::from(TABLE), "{vip} has {buckets} buckets in its table");
        }
        Ok(())
    }
}

/// Whether a VIP may be one of ours: on a real VPP nothing else is touched.
pub(crate) fn is_benchs(vip: &VppVip) -> bool {
    let IpAddr::V4(address) = vip.address else { return false };
    matches!(address.octets(), [203, 0, 113, _] | [198, 51, 100, _])
}

fn key(vip: u8) -> anyhow::Result<VipKey> {
    let port = 80.try_into().context("a port")?;
    let address = Ipv4Addr::new(203, 0, 113, vip).into();
    Ok(VipKey { address, service: Service::Port { protocol: Protocol::Tcp, port } })
}

fn health_check() -> anyhow::Result<Arc<HealthCheck>> {
    let second = Duration::from_secs(1);
    Ok(Arc::new(HealthCheck {
        name: Name::namespaced("bench", "check"),
        revision: Revision::default(),
        interval: second,
        fast_interval: second,
        down_interval: second,
        timeout: second,
        rise: 2,
        fall: 3,
        probe: Probe::Tcp { port: 80.try_into().context("a port")?, tls: None },
    }))
}
