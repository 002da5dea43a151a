//! The state of the `lb` plugin and its operations. Pure: the time is a parameter.
//!
//! The rules are those of VPP, as recorded or from its source. Releases differ in weights and in garbage collection.
//! [`Refusal::Fatal`] marks operations that crash VPP. Used by `dispatch` for the binary API and by `cli`; tests change the
//! state directly.

mod garbage;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    fib::Fib,
    forward::{DataPlane, FlowTable, NO_SERVER},
    options::{DEFAULT_MTU, GarbageCollection, Recompute, Release},
    pool::Pool,
    prefix::Prefix,
    sticky::{Sticky, StickyTables},
    traffic::Flows,
    vip::{Server, Vip, VipSettings, VipType, identity},
};
use maglev_model::{
    actual::{ActualConf, VppVip},
    table,
};

/// Limit above which VPP has no memory for a new-flow table (8 bytes per bucket).
const LONGEST_TABLE: u32 = 1 << 24;

/// Reasons for rejecting a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such entry, or a removed one.
    #[error("no such entry")]
    NoSuchEntry,
    /// A size that is not a power of two.
    #[error("invalid memory size")]
    InvalidMemorySize,
    /// A conflicting encapsulation on the same prefix, or an invalid prefix.
    #[error("invalid argument")]
    InvalidArgument,
    /// The entry exists, or conflicts with another.
    #[error("value exists")]
    ValueExist,
    /// The address family does not match the encapsulation.
    #[error("invalid address family")]
    InvalidAddressFamily,
    /// VPP crashes.
    #[error("vpp ran out of memory")]
    Fatal,
}

impl Refusal {
    /// The error number (`vnet/error.h`).
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

#[derive(Clone, Debug)]
pub struct Lb {
    pub(crate) release: Release,
    pub(crate) conf: ActualConf,
    pub(crate) vips: Pool<Vip>,
    pub(crate) servers: Pool<Server>,
    pub(crate) fib: Fib,
    /// Simulated traffic to the VIPs.
    pub(crate) flows: Flows,
    pub(crate) sticky: Sticky,
    pub(crate) plane: DataPlane,
    /// Index of each VIP that is not deleted.
    pub(crate) live: BTreeMap<VppVip, u32>,
    /// For NAT, the servers and ports whose packets are translated back. VPP does not store the VIP with them.
    mappings: BTreeSet<(IpAddr, u16)>,
    crashed: bool,
    pub(crate) now: Duration,
    next_collection: Duration,
    collection: GarbageCollection,
    recompute: Recompute,
}

impl Lb {
    /// The state at VPP's start.
    pub fn new(release: Release, collection: GarbageCollection, recompute: Recompute) -> Self {
        Self {
            release,
            conf: ActualConf {
                ipv4_source: std::net::Ipv4Addr::BROADCAST,
                ipv6_source: std::net::Ipv6Addr::from_bits(u128::MAX),
                sticky_buckets_per_core: 1024,
                flow_timeout: 40,
            },
            // Index 0 of both pools is VPP's placeholder for `none`.
            vips: Pool::new(1),
            servers: Pool::new(1),
            fib: Fib::new(),
            flows: Flows::default(),
            sticky: Sticky::Simulated(StickyTables::default()),
            plane: DataPlane::new(DEFAULT_MTU),
            live: BTreeMap::new(),
            mappings: BTreeSet::new(),
            crashed: false,
            now: Duration::ZERO,
            next_collection: collection.interval,
            collection,
            recompute,
        }
    }

    /// Advances the time since VPP's start to `now`, with the garbage collections due until then.
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
        if conf.sticky_buckets_per_core != self.conf.sticky_buckets_per_core {
            self.sticky.clear();
        }
        self.conf = conf;
        Ok(())
    }

    pub fn conf(&self) -> ActualConf {
        self.conf
    }

    /// `lb_add_del_vip_v2` with `is_del` unset. Returns the index of the new VIP in the pool.
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

    /// Checks for conflicts between a VIP of `kind` and other VIPs on its prefix.
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

    /// `lb_add_del_vip_v2` with `is_del` set. Removes the servers as well; all stay in the pools until garbage collection.
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

    /// Changes the settings of a VIP, which VPP never does.
    pub fn set_settings(&mut self, vip: VppVip, settings: VipSettings) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        let vip = self.vips.get_mut(index).expect("a live VIP is in the pool");
        vip.kind = VipType::new(vip.prefix.address().is_ipv4(), settings.encap).ok_or(Refusal::InvalidAddressFamily)?;
        vip.settings = settings;
        vip.new_flows.clear();
        Ok(())
    }

    /// Removes a VIP without a trace, which VPP never does.
    pub fn forget_vip(&mut self, vip: VppVip) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        self.live.remove(&vip);
        let servers = self.vips.remove(index).map(|vip| vip.servers);
        servers.iter().flat_map(Pool::iter).for_each(|(_, &slot)| self.sticky.flush(slot));
        Ok(())
    }

    /// Removes a server of a VIP without a trace, which VPP never does.
    pub fn forget_as(&mut self, vip: VppVip, address: IpAddr) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        let slot = self.find_server(index, address).ok_or(Refusal::NoSuchEntry)?;
        let servers = &mut self.vips.get_mut(index).expect("a live VIP is in the pool").servers;
        let place = servers.iter().find(|(_, other)| **other == slot).map(|(place, _)| place);
        place.and_then(|place| servers.remove(place));
        self.servers.remove(slot);
        self.sticky.flush(slot);
        Ok(())
    }

    /// `lb_add_del_as_v2` with `is_del` unset. A removed server is restored in its old slot.
    pub fn add_as(&mut self, vip: VppVip, address: IpAddr, weight: u8) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        if let Some(slot) = self.find_server(index, address) {
            let server = self.servers.get_mut(slot).expect("the index of a server is in the pool");
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

    /// `lb_add_del_as_v2` with `is_del` set. VPP accepts the removal of a removed server.
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

    /// `lb_as_set_weight`. VPP does not limit weights.
    pub fn set_weight(&mut self, vip: VppVip, address: IpAddr, weight: u8) -> Result<(), Refusal> {
        let index = self.live_index(vip)?;
        let slot = self.find_server(index, address).ok_or(Refusal::NoSuchEntry)?;
        let server = self.servers.get_mut(slot).expect("the index of a server is in the pool");
        if !server.used {
            return Err(Refusal::NoSuchEntry);
        }
        server.weight = weight;
        self.changed(index);
        Ok(())
    }

    /// Removes the flows of a live or removed server (`is_flush`).
    pub fn flush(&mut self, vip: VppVip, address: IpAddr) {
        if let Ok(index) = self.live_index(vip)
            && let Some(slot) = self.find_server(index, address)
        {
            self.sticky.flush(slot);
        }
    }

    /// Entries of the sticky tables that refer to a server; `None` for an unknown server.
    pub fn sticky_flows(&self, vip: VppVip, address: IpAddr) -> Option<u64> {
        let index = self.live_index(vip).ok()?;
        Some(self.sticky.flows(self.find_server(index, address)?))
    }

    /// Index of the route to a server; `None` if no VIP has the server.
    pub fn dpo(&self, address: IpAddr) -> Option<u32> {
        self.servers.iter().find(|(_, server)| server.address == address).map(|(_, server)| server.dpo)
    }

    /// Moves the route to a server to another index. VPP tells no client.
    pub fn restack(&mut self, address: IpAddr) {
        let Some(dpo) = self.fib.restack(Prefix::host(address)) else { return };
        for (_, server) in self.servers.iter_mut().filter(|(_, server)| server.address == address) {
            server.dpo = dpo;
        }
    }

    /// Sets the counters of all routes to 0.
    pub fn clear_route_counters(&mut self) {
        self.fib.clear_counters();
    }

    pub(crate) fn live_index(&self, vip: VppVip) -> Result<u32, Refusal> {
        let prefix = Prefix::new(vip.address, vip.length).ok_or(Refusal::NoSuchEntry)?;
        self.live.get(&identity(prefix, vip.protocol, vip.port)).copied().ok_or(Refusal::NoSuchEntry)
    }

    /// The slot of a VIP's server, live or removed.
    fn find_server(&self, vip: u32, address: IpAddr) -> Option<u32> {
        let slots = self.vips.get(vip)?.servers.iter().map(|(_, &slot)| slot);
        slots.into_iter().find(|&slot| self.servers.get(slot).is_some_and(|server| server.address == address))
    }

    /// Computes the table of a changed VIP now, or marks it as stale.
    fn changed(&mut self, vip: u32) {
        match self.recompute {
            Recompute::Eager => self.fill_table(vip),
            Recompute::Lazy => self.vips.get_mut(vip).expect("a changed VIP is in the pool").stale = true,
        }
    }

    /// Computes stale tables. Must be called before bucket counts are read.
    pub fn settle(&mut self) {
        let stale: Vec<_> = self.vips.iter().filter(|(_, vip)| vip.stale).map(|(index, _)| index).collect();
        for vip in stale {
            self.fill_table(vip);
        }
    }

    pub(crate) fn fill_table(&mut self, vip: u32) {
        let vip = self.vips.get_mut(vip).expect("a VIP whose table is computed is in the pool");
        vip.stale = false;
        let slots: Vec<_> = vip.servers.iter().map(|(_, &slot)| slot).collect();
        let servers: Vec<_> = slots
            .iter()
            .filter_map(|&slot| self.servers.get(slot))
            .map(|server| (server.address, if server.used { server.weight } else { 0 }))
            .collect();
        let buckets = table::fill(vip.settings.table_length, &servers);
        for &slot in &slots {
            self.servers.get_mut(slot).expect("a VIP's server is in the pool").buckets = 0;
        }
        let slot_of = |server: u32| slots.get(server as usize).copied().unwrap_or(NO_SERVER);
        for &server in &buckets {
            if let Some(server) = self.servers.get_mut(slot_of(server)) {
                server.buckets += 1;
            }
        }
        if matches!(self.sticky, Sticky::Tracked(_)) {
            vip.new_flows = buckets.into_iter().map(slot_of).collect();
        }
    }

    /// Ends simulated traffic, in favour of packets.
    pub(crate) fn track_flows(&mut self) {
        self.sticky = Sticky::Tracked(FlowTable::default());
    }

    /// Numbers of VIPs and application servers, garbage included.
    pub fn pool_sizes(&self) -> (usize, usize) {
        (self.vips.len(), self.servers.len())
    }

    /// True if VPP crashed without a reply that reports the crash.
    pub(crate) fn has_crashed(&self) -> bool {
        self.crashed
    }
}

/// VPP's `is_pow2`, which accepts 0.
fn passes_for_power_of_two(value: u32) -> bool {
    value & value.wrapping_sub(1) == 0
}

#[cfg(test)]
mod tests;
