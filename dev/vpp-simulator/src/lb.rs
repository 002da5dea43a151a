//! The state of the `lb` plugin and what its operations do to it. Pure: the time is handed in.
//!
//! The rules are those of VPP as recorded or as read in its source. Releases differ in weights and in
//! when garbage is collected. Where VPP itself would
//! die, [`Refusal::Fatal`] says so. `dispatch` calls it for the binary API, `cli` prints it, tests
//! edit it behind the agent's back.

mod garbage;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    fib::Fib,
    options::{GarbageCollection, Recompute, Release},
    pool::Pool,
    prefix::Prefix,
    traffic::Flows,
    vip::{Server, Vip, VipSettings, VipType, identity},
};
use maglev_model::{
    actual::{ActualConf, VppVip},
    table,
};

/// Above this VPP has no memory for a new-flow table (8 bytes a bucket).
const LONGEST_TABLE: u32 = 1 << 24;

/// Why the plugin did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing by that name, or it was removed.
    #[error("no such entry")]
    NoSuchEntry,
    /// A size that is no power of two.
    #[error("invalid memory size")]
    InvalidMemorySize,
    /// Another encapsulation on the same prefix, or a prefix that is none.
    #[error("invalid argument")]
    InvalidArgument,
    /// It is there already, or something that excludes it.
    #[error("value exists")]
    ValueExist,
    /// The family does not go with the encapsulation.
    #[error("invalid address family")]
    InvalidAddressFamily,
    /// VPP does not survive this.
    #[error("vpp ran out of memory")]
    Fatal,
}

impl Refusal {
    /// VPP's number for it (`vnet/error.h`).
    pub fn retval(self) -> i32 {
        match self {
            Self::NoSuchEntry => -6,
            Self::InvalidMemorySize => -70,
            Self::InvalidArgument => -73,
            Self::ValueExist => -81,
            Self::InvalidAddressFamily => -97,
            Self::Fatal => -1,
        }
    }
}

/// The plugin's state.
#[derive(Clone, Debug)]
pub struct Lb {
    pub(crate) release: Release,
    pub(crate) conf: ActualConf,
    pub(crate) vips: Pool<Vip>,
    pub(crate) servers: Pool<Server>,
    pub(crate) fib: Fib,
    /// What comes to the VIPs.
    pub(crate) flows: Flows,
    /// Index of each VIP that is not deleted.
    live: BTreeMap<VppVip, u32>,
    /// For NAT, the servers and ports whose packets are translated back. Whose VIP that is for, VPP
    /// does not tell apart.
    mappings: BTreeSet<(IpAddr, u16)>,
    crashed: bool,
    now: Duration,
    next_collection: Duration,
    collection: GarbageCollection,
    recompute: Recompute,
}

impl Lb {
    /// The plugin of a VPP that has just started.
    pub fn new(release: Release, collection: GarbageCollection, recompute: Recompute) -> Self {
        Self {
            release,
            conf: ActualConf {
                ipv4_source: std::net::Ipv4Addr::BROADCAST,
                ipv6_source: std::net::Ipv6Addr::from_bits(u128::MAX),
                sticky_buckets_per_core: 1024,
                flow_timeout: 40,
            },
            // Index 0 of both pools is VPP's placeholder for "nobody".
            vips: Pool::new(1),
            servers: Pool::new(1),
            fib: Fib::new(),
            flows: Flows::default(),
            live: BTreeMap::new(),
            mappings: BTreeSet::new(),
            crashed: false,
            now: Duration::ZERO,
            next_collection: collection.interval,
            collection,
            recompute,
        }
    }

    /// Lets the time since VPP's start become `now`, with the collections that fall due until then.
    pub fn advance_to(&mut self, now: Duration) {
        while self.release == Release::V26_10 && self.next_collection <= now {
            self.collect_garbage(self.next_collection);
            self.next_collection += self.collection.interval.max(Duration::from_millis(1));
        }
        self.now = now.max(self.now);
        self.count_traffic(self.now);
    }

    /// `lb_conf`. 0xffffffff keeps the number of buckets or the timeout.
    pub fn set_conf(&mut self, mut conf: ActualConf) -> Result<(), Refusal> {
        if conf.sticky_buckets_per_core == u32::MAX {
            conf.sticky_buckets_per_core = self.conf.sticky_buckets_per_core;
        }
        if conf.flow_timeout == u32::MAX {
            conf.flow_timeout = self.conf.flow_timeout;
        }
        if !passes_for_power_of_two(conf.sticky_buckets_per_core) {
            return Err(Refusal::InvalidMemorySize);
        }
        self.conf = conf;
        Ok(())
    }

    /// The global settings.
    pub fn conf(&self) -> ActualConf {
        self.conf
    }

    /// `lb_add_del_vip_v2` with `is_del` clear; returns the new VIP's index in the pool.
    pub fn add_vip(&mut self, prefix: Prefix, protocol: u8, port: u16, settings: VipSettings) -> Result<u32, Refusal> {
        let id = identity(prefix, protocol, port);
        let kind = VipType::new(prefix.address().is_ipv4(), settings.encap);
        self.check_neighbours(id, kind)?;
        if !passes_for_power_of_two(settings.table_length) {
            return Err(Refusal::InvalidMemorySize);
        }
        let kind = kind.ok_or(Refusal::InvalidAddressFamily)?;
        if settings.table_length == 0 || settings.table_length > LONGEST_TABLE {
            return Err(Refusal::Fatal);
        }
        let index = self.vips.insert(Vip::new(id, prefix, kind, settings, self.now));
        self.live.insert(id, index);
        self.fib.acquire(prefix);
        Ok(index)
    }

    /// Whether a VIP of `kind` may stand beside the others on its prefix.
    fn check_neighbours(&self, id: VppVip, kind: Option<VipType>) -> Result<(), Refusal> {
        let first = VppVip { protocol: 0, port: 0, ..id };
        let last = VppVip { protocol: 255, port: u16::MAX, ..id };
        let mut neighbours = self.live.range(first..=last).peekable();
        if self.live.contains_key(&id) {
            return Err(Refusal::ValueExist);
        }
        let all_ports = |id: &VppVip| id.port == 0;
        if neighbours.peek().is_some() && (all_ports(&id) || neighbours.clone().any(|(other, _)| all_ports(other))) {
            return Err(Refusal::ValueExist);
        }
        let differs = |index| self.vips.get(index).map(|vip| vip.kind) != kind;
        if neighbours.any(|(_, &index)| differs(index)) { Err(Refusal::InvalidArgument) } else { Ok(()) }
    }

    /// `lb_add_del_vip_v2` with `is_del` set. Its servers are removed with it; all of them stay in
    /// the pools until they are collected.
    pub fn remove_vip(&mut self, prefix: Prefix, protocol: u8, port: u16) -> Result<(), Refusal> {
        let index = self.live.remove(&identity(prefix, protocol, port)).ok_or(Refusal::NoSuchEntry)?;
        self.collect_servers(index, self.now);
        let vip = self.vips.get_mut(index).expect("a live VIP is in the pool");
        vip.used = false;
        for (_, &server) in vip.servers.iter() {
            let server = self.servers.get_mut(server).expect("a VIP's server is in the pool");
            (server.used, server.removed_at) = (false, self.now);
        }
        self.fib.release(prefix);
        self.changed(index);
        Ok(())
    }

    /// `lb_add_del_as_v2` with `is_del` clear. A removed server comes back in its old slot.
    pub fn add_as(&mut self, vip: VppVip, address: IpAddr, weight: u8) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        if let Some(slot) = self.find_server(index, address) {
            let server = self.servers.get_mut(slot).expect("a found server is in the pool");
            if server.used {
                return Err(Refusal::ValueExist);
            }
            (server.used, server.weight) = (true, weight);
        } else {
            self.insert_server(index, address, weight)?;
        }
        self.changed(index);
        self.collect_servers(index, self.now);
        Ok(())
    }

    fn insert_server(&mut self, index: u32, address: IpAddr, weight: u8) -> Result<(), Refusal> {
        let vip = self.vips.get_mut(index).expect("a live VIP is in the pool");
        if vip.kind.has_ipv4_servers() != address.is_ipv4() {
            return Err(Refusal::InvalidAddressFamily);
        }
        if vip.kind.is_nat() {
            if vip.id.port == 0 {
                return Err(Refusal::Fatal);
            }
            self.mappings.insert((address, vip.target_port()));
        }
        let dpo = self.fib.acquire(Prefix::host(address));
        let server = Server { address, weight, used: true, removed_at: Duration::ZERO, buckets: 0, dpo };
        vip.servers.insert(self.servers.insert(server));
        Ok(())
    }

    /// `lb_add_del_as_v2` with `is_del` set. Removing a removed one again is fine with VPP.
    pub fn remove_as(&mut self, vip: VppVip, address: IpAddr) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        let slot = self.find_server(index, address).ok_or(Refusal::NoSuchEntry)?;
        self.collect_servers(index, self.now);
        if let Some(server) = self.servers.get_mut(slot) {
            (server.used, server.removed_at) = (false, self.now);
        }
        self.changed(index);
        Ok(())
    }

    /// `lb_as_set_weight`. VPP bounds no weight.
    pub fn set_weight(&mut self, vip: VppVip, address: IpAddr, weight: u8) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        let slot = self.find_server(index, address).ok_or(Refusal::NoSuchEntry)?;
        let server = self.servers.get_mut(slot).expect("a found server is in the pool");
        if !server.used {
            return Err(Refusal::NoSuchEntry);
        }
        server.weight = weight;
        self.changed(index);
        Ok(())
    }

    fn live_index(&self, vip: VppVip) -> Result<u32, Refusal> {
        let prefix = Prefix::new(vip.address, vip.length).ok_or(Refusal::NoSuchEntry)?;
        self.live.get(&identity(prefix, vip.protocol, vip.port)).copied().ok_or(Refusal::NoSuchEntry)
    }

    /// The slot of a VIP's server, live or removed.
    fn find_server(&self, vip: u32, address: IpAddr) -> Option<u32> {
        let slots = self.vips.get(vip)?.servers.iter().map(|(_, &slot)| slot);
        slots.into_iter().find(|&slot| self.servers.get(slot).is_some_and(|server| server.address == address))
    }

    /// A VIP's servers or weights changed: its table is computed now or when somebody looks.
    fn changed(&mut self, vip: u32) {
        match self.recompute {
            Recompute::Eager => self.fill_table(vip),
            Recompute::Lazy => self.vips.get_mut(vip).expect("a changed VIP is in the pool").stale = true,
        }
    }

    /// Computes the tables that were put off. Whoever reads bucket counts calls this first.
    pub fn settle(&mut self) {
        let stale: Vec<_> = self.vips.iter().filter(|(_, vip)| vip.stale).map(|(index, _)| index).collect();
        for vip in stale {
            self.fill_table(vip);
        }
    }

    fn fill_table(&mut self, vip: u32) {
        let vip = self.vips.get_mut(vip).expect("a VIP whose table is computed is in the pool");
        vip.stale = false;
        let slots: Vec<_> = vip.servers.iter().map(|(_, &slot)| slot).collect();
        let servers: Vec<_> = slots
            .iter()
            .filter_map(|&slot| self.servers.get(slot))
            .map(|server| (server.address, if server.used { server.weight } else { 0 }))
            .collect();
        let counts = table::shares(vip.settings.table_length, &servers);
        for (slot, count) in slots.into_iter().zip(counts) {
            self.servers.get_mut(slot).expect("a VIP's server is in the pool").buckets = count;
        }
    }

    /// Whether VPP died of something that no answer tells of.
    pub(crate) fn has_crashed(&self) -> bool {
        self.crashed
    }
}

/// VPP's `is_pow2`, for which 0 passes.
fn passes_for_power_of_two(value: u32) -> bool {
    value & value.wrapping_sub(1) == 0
}

#[cfg(test)]
mod tests;
