//! The objects to sync: VIPs with 16 application servers each.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use maglev_model::{
    Name,
    actual::{ActualVip, VppVip},
    config::{Backend, Check, Config, Frontend, HealthCheck, Member, MemberTarget, Pool},
    health::{BackendHealth, BackendState, HealthSnapshot},
    vip::{TableLength, VipKey, Weight},
};
use maglev_testkit::objects::{self, name, node_config};

const SERVERS: u16 = 16;
/// The number of VIPs in 203.0.113.0/24; further VIPs are in 198.18.0.0/16.
const DOCUMENTED: u16 = 250;
const TABLE: u16 = 8192;

/// The VIPs of a VPP, without values that differ between runs.
pub type State = BTreeMap<VppVip, ActualVip>;

/// A backend that several VIPs use.
pub struct Server {
    pub backend: Name,
    pub address: Ipv4Addr,
}

pub struct Workload {
    /// The agent's configuration. Every VIP satisfies [`is_bench_vip`].
    pub config: Config,
    /// The health, with all backends up.
    pub health: HealthSnapshot,
    /// Shared backends, if any: the first is used by all VIPs, every other by 15 VIPs.
    pub shared: Vec<Server>,
    vips: u16,
}

impl Workload {
    /// A workload of up to 4,000 VIPs that share no backend.
    pub fn new(vips: u16) -> anyhow::Result<Self> {
        Self::build(vips, false, |vip, server| vip * SERVERS + server)
    }

    /// A workload with one backend more than VIPs. All VIPs use the first backend; every other backend is used by 15
    /// VIPs. Consecutive backends have no VIP in common (for 1,000 VIPs).
    pub fn shared(vips: u16) -> anyhow::Result<Self> {
        Self::build(vips, true, |vip, server| if server == 0 { 0 } else { 1 + (vip + 63 * server) % vips })
    }

    fn build(vips: u16, shared: bool, number: impl Fn(u16, u16) -> u16) -> anyhow::Result<Self> {
        let config = objects::config([], node_config());
        let mut workload = Self { config, health: HealthSnapshot::default(), shared: Vec::new(), vips };
        let second = Duration::from_secs(1);
        let check = HealthCheck {
            interval: second,
            fast_interval: second,
            down_interval: second,
            ..objects::health_check("bench/check")
        };
        let check = Arc::new(check);
        for vip in 0..vips {
            let members = (0..SERVERS).map(|server| workload.member(number(vip, server), &check)).collect();
            workload.add(vip, members)?;
        }
        if shared {
            workload.shared = (0..=vips).map(server).collect();
        }
        Ok(workload)
    }

    /// Backend `number`, which is up.
    fn member(&mut self, number: u16, check: &Arc<HealthCheck>) -> Member {
        let Server { backend: name, address } = server(number);
        let address = address.into();
        let history = Arc::default();
        let up = BackendHealth { address, state: BackendState::Up, ever_known: true, in_doubt: false, history };
        self.health.backends.insert(name.clone(), up);
        // One value for all users of the backend, as in the index.
        let backend = self.config.backends.entry(name.clone()).or_insert_with(|| {
            let check = Check::Probe(Arc::clone(check));
            Arc::new(Backend { check, ..objects::backend(name.as_str(), &address.to_string()) })
        });
        objects::member(Arc::clone(backend))
    }

    fn add(&mut self, vip: u16, members: Vec<Member>) -> anyhow::Result<()> {
        let pool = Pool { name: "primary".into(), members: members.into() };
        let frontend = Frontend {
            table_length: TableLength::new(TABLE.into()).context("a power of two")?,
            ..objects::frontend(&format!("bench/frontend-{vip}"), key(vip), vec![pool])
        };
        self.config.frontends.insert(frontend.name.clone(), Arc::new(frontend));
        Ok(())
    }

    /// The workload as JSON, for `full_sync.py`.
    pub fn to_json(&self) -> String {
        let vips: BTreeMap<String, Vec<String>> = self
            .config
            .frontends
            .values()
            .map(|frontend| {
                let members = frontend.pools.iter().flat_map(|pool| &pool.members);
                let addresses = members.filter_map(|member| match &member.target {
                    MemberTarget::Backend(backend) => Some(backend.address.to_string()),
                    _ => None,
                });
                (frontend.vip.address.to_string(), addresses.collect())
            })
            .collect();
        serde_json::json!({"table": TABLE, "weight": Weight::DEFAULT.get(), "vips": vips}).to_string()
    }

    pub fn describe(&self) -> String {
        format!(
            "{} VIPs x {SERVERS} application servers, table {TABLE}, weight {}: {} requests",
            self.vips,
            Weight::DEFAULT.get(),
            self.operations()
        )
    }

    /// The number of requests that change VPP.
    pub fn operations(&self) -> u32 {
        u32::from(self.vips) + u32::from(self.vips) * u32::from(SERVERS)
    }

    /// Checks that `state` is the desired state, including the number of buckets.
    pub fn check(&self, state: &State) -> anyhow::Result<()> {
        ensure!(state.len() == usize::from(self.vips), "VPP has {} VIPs instead of {}", state.len(), self.vips);
        for (vip, actual) in state {
            let weights = actual.ases.values().map(|server| server.weight);
            let correct = weights.filter(|weight| *weight == Weight::DEFAULT.get()).count();
            let buckets: u32 = actual.ases.values().map(|server| server.buckets).sum();
            ensure!(correct == usize::from(SERVERS), "{vip} has {correct} application servers of the correct weight");
            ensure!(buckets == u32::from(TABLE), "{vip} has {buckets} buckets in its table instead of {TABLE}");
        }
        Ok(())
    }
}

/// True for the addresses of the benchmark. On a real VPP, no other VIP is touched.
pub fn is_bench_vip(vip: &VppVip) -> bool {
    let IpAddr::V4(address) = vip.address else { return false };
    matches!(address.octets(), [203, 0, 113, _] | [198, 51, 100, _] | [198, 18 | 19, ..])
}

fn server(number: u16) -> Server {
    let [high, low] = number.to_be_bytes();
    let backend = name(&format!("bench/server-{number}"));
    Server { backend, address: Ipv4Addr::new(198, 19, high, low) }
}

fn key(vip: u16) -> VipKey {
    let address = match u8::try_from(vip) {
        Ok(low) if vip < DOCUMENTED => Ipv4Addr::new(203, 0, 113, low + 1),
        _ => {
            let [high, low] = vip.to_be_bytes();
            Ipv4Addr::new(198, 18, high, low)
        }
    };
    objects::vip(&address.to_string())
}
