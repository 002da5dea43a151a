//! What a simulator knows: the VPP that runs at the moment, the faults in force and the journal.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    faults::Faults,
    journal::Journal,
    lb::Lb,
    options::{Release, SimulatorOptions},
    pool::Pool,
    traffic::Flows,
};

/// The bit that VPP sets in the index of a client that came by the socket.
const SOCKET_CLIENT: u32 = 1 << 31;

/// One run of VPP, from start to end.
#[derive(Debug)]
pub struct Vpp {
    pub release: Release,
    pub lb: Lb,
    /// Its process id, or what it says is one: no two runs have the same.
    pub pid: u32,
    booted: Instant,
    /// When that was, in Unix seconds.
    pub boot_time: u64,
    /// How much later it is than the clock says.
    ahead: Duration,
    clients: Pool<()>,
}

impl Vpp {
    fn new(options: &SimulatorOptions, run: u32) -> Self {
        let mut lb = Lb::new(options.release, options.garbage_collection, options.recompute);
        lb.flows = Flows::new(options.traffic);
        let boot_time = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        Self {
            release: options.release,
            lb,
            pid: std::process::id().wrapping_add(run),
            booted: Instant::now(),
            boot_time,
            ahead: Duration::ZERO,
            clients: Pool::new(1),
        }
    }

    /// A connection was accepted; returns its client index.
    pub fn connect(&mut self) -> u32 {
        SOCKET_CLIENT | self.clients.insert(())
    }

    /// The connection of this client index is closed.
    pub fn disconnect(&mut self, client: u32) {
        self.clients.remove(client & !SOCKET_CLIENT);
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.clients.len()
    }

    /// Does what fell due since it was last looked at.
    pub fn catch_up(&mut self) {
        self.lb.advance_to(self.uptime());
    }

    /// The time since its start.
    pub fn uptime(&self) -> Duration {
        self.booted.elapsed() + self.ahead
    }

    /// Lets it be `by` later.
    pub fn advance(&mut self, by: Duration) {
        self.ahead += by;
        self.catch_up();
    }
}

/// All of a simulator's state; one lock holds it.
#[derive(Debug)]
pub struct World {
    pub vpp: Vpp,
    pub faults: Faults,
    pub journal: Journal,
    run: u32,
}

impl World {
    pub fn new(options: &SimulatorOptions) -> Self {
        Self { vpp: Vpp::new(options, 0), faults: Faults::default(), journal: Journal::default(), run: 0 }
    }

    /// VPP starts anew: nothing is left of its state and faults. The journal goes on.
    pub fn reboot(&mut self, options: &SimulatorOptions) {
        self.run += 1;
        self.vpp = Vpp::new(options, self.run);
        self.faults = Faults::default();
    }
}
