//! Options of a simulated VPP, for tests and the command line.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::traffic::Traffic;

/// MTU of VPP's interfaces by default.
pub(crate) const DEFAULT_MTU: u16 = 9000;

/// Simulated releases of VPP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// The lb plugin with weights.
    #[default]
    #[value(name = "26.10")]
    V26_10,
    /// The last release of the lb plugin without weights: different layout of prefixes and encap, incomplete dumps, and
    /// garbage collection only on request.
    #[value(name = "26.06")]
    V26_06,
}

/// Time at which a changed VIP's new-flow table is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// On each change, before the reply, like VPP. Limits the speed of large syncs.
    #[default]
    Eager,
    /// Only before bucket counts are read, for tests and benchmarks that do not measure the computation.
    Lazy,
}

/// Garbage collection of removed application servers and deleted VIPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarbageCollection {
    /// Interval of the periodic collection, and minimum interval per VIP.
    pub interval: Duration,
    /// Minimum time since the removal of an application server.
    pub minimum_age: Duration,
}

impl Default for GarbageCollection {
    /// The values of VPP: every 60 s, 10 s after the removal.
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), minimum_age: Duration::from_secs(10) }
    }
}

/// Options of [`super::Simulator::start`].
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// The API socket. Directories are created, an existing socket file is replaced.
    pub api_socket: PathBuf,
    /// The stats socket; `None` disables it.
    pub stats_socket: Option<PathBuf>,
    /// Simulated traffic to each VIP without a call of [`super::Simulator::set_traffic`]. Ends with the first
    /// [`super::Simulator::forwarder`].
    pub traffic: Traffic,
    /// MTU of the interface towards the backends, for forwarded packets: 9000 by default, as in VPP.
    pub mtu: u16,
    pub release: Release,
    pub garbage_collection: GarbageCollection,
    pub recompute: Recompute,
    /// Number of routes beside those of the plugin. Each has counters in the stats segment.
    pub routes: u32,
    /// Process ID of the first run; each restart adds 1.
    pub pid: u32,
}

impl SimulatorOptions {
    /// VPP 26.10 at `api_socket`, with the defaults of a real VPP.
    pub fn new(api_socket: impl Into<PathBuf>) -> Self {
        Self {
            api_socket: api_socket.into(),
            stats_socket: None,
            traffic: Traffic::default(),
            mtu: DEFAULT_MTU,
            release: Release::default(),
            garbage_collection: GarbageCollection::default(),
            recompute: Recompute::default(),
            routes: 0,
            pid: std::process::id(),
        }
    }
}
