//! What a test or the command line can choose about a simulated VPP.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::traffic::Traffic;

/// The VPP to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// The lb plugin with weights.
    #[default]
    #[value(name = "26.10")]
    V26_10,
    /// The last lb plugin without weights: it reads prefixes and encap in its own way, its dumps tell
    /// little, and it collects garbage only when it is called.
    #[value(name = "26.06")]
    V26_06,
}

/// When a change to a VIP's application servers computes its new-flow table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// With each change, before it is answered, as VPP does: this is what bounds a big sync.
    #[default]
    Eager,
    /// When bucket counts are read: for tests that load much and measure something else.
    Lazy,
}

/// When removed application servers and deleted VIPs leave VPP's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarbageCollection {
    /// From one collection to the next, and for how long a VIP is not looked at again.
    pub interval: Duration,
    /// How long ago an application server must have been removed.
    pub minimum_age: Duration,
}

impl Default for GarbageCollection {
    /// VPP's: every 60 s, what was removed more than 10 s ago.
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), minimum_age: Duration::from_secs(10) }
    }
}

/// What [`super::Simulator::start`] needs to know.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// The API socket. Its parent directories are made, an old socket file is replaced.
    pub api_socket: PathBuf,
    /// The stats socket, likewise; without it there is none.
    pub stats_socket: Option<PathBuf>,
    /// What comes to each VIP that [`super::Simulator::set_traffic`] says nothing of.
    pub traffic: Traffic,
    /// The VPP to be.
    pub release: Release,
    /// When removed things leave memory.
    pub garbage_collection: GarbageCollection,
    /// When tables are computed.
    pub recompute: Recompute,
}

impl SimulatorOptions {
    /// A VPP 26.10 at `api_socket` that behaves as the real one, or as the [`Release`] that is put in.
    pub fn new(api_socket: impl Into<PathBuf>) -> Self {
        Self {
            api_socket: api_socket.into(),
            stats_socket: None,
            traffic: Traffic::default(),
            release: Release::default(),
            garbage_collection: GarbageCollection::default(),
            recompute: Recompute::default(),
        }
    }
}
