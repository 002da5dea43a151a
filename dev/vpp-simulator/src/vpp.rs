//! The state of a simulator: the current VPP, the active faults and the journal.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    faults::Faults,
    forward::DataPlane,
    journal::Journal,
    lb::Lb,
    options::{Release, SimulatorOptions},
    pool::Pool,
    traffic::Flows,
};

/// The bit that VPP sets in the index of clients on the socket.
const SOCKET_CLIENT: u32 = 1 << 31;

/// One run of VPP.
#[derive(Debug)]
pub struct Vpp {
    pub release: Release,
    pub lb: Lb,
    /// Process ID, unique per run.
    pub pid: u32,
    booted: Instant,
    /// Start time in Unix seconds.
    pub boot_time: u64,
    /// Offset added to the clock.
    ahead: Duration,
    clients: Pool<()>,
}

impl Vpp {
    fn new(options: &SimulatorOptions, run: u32) -> Self {
        let mut lb = Lb::new(options.release, options.garbage_collection, options.recompute);
        lb.flows = Flows::new(options.traffic);
        lb.fib.add_routes(options.routes);
        lb.plane = DataPlane::new(options.mtu);
        let boot_time = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        Self {
            release: options.release,
            lb,
            pid: options.pid.wrapping_add(run),
            booted: Instant::now(),
            boot_time,
            ahead: Duration::ZERO,
            clients: Pool::new(1),
        }
    }

    /// Registers a connection. Returns its client index.
    pub fn connect(&mut self) -> u32 {
        SOCKET_CLIENT | self.clients.insert(())
    }

    /// Unregisters the connection with this client index.
    pub fn disconnect(&mut self, client: u32) {
        self.clients.remove(client & !SOCKET_CLIENT);
    }

    pub fn connections(&self) -> usize {
        self.clients.len()
    }

    /// Executes the work that is due.
    pub fn catch_up(&mut self) {
        self.lb.advance_to(self.uptime());
    }

    /// The time since the start.
    pub fn uptime(&self) -> Duration {
        self.booted.elapsed() + self.ahead
    }

    /// Advances the clock.
    pub fn advance(&mut self, by: Duration) {
        self.ahead += by;
        self.catch_up();
    }
}

/// All state of a simulator, protected by one lock.
#[derive(Debug)]
pub struct SimulatorState {
    pub vpp: Vpp,
    pub faults: Faults,
    pub journal: Journal,
    /// False while VPP is stopped or has crashed.
    pub running: bool,
    /// True if packets are forwarded, in this run and all later ones, and no traffic is simulated.
    forwards: bool,
    run: u32,
}

impl SimulatorState {
    pub fn new(options: &SimulatorOptions) -> Self {
        Self {
            vpp: Vpp::new(options, 0),
            faults: Faults::default(),
            journal: Journal::default(),
            running: true,
            forwards: false,
            run: 0,
        }
    }

    /// Restarts VPP: clears state and faults, keeps the journal.
    pub fn reboot(&mut self, options: &SimulatorOptions) {
        self.run += 1;
        self.vpp = Vpp::new(options, self.run);
        self.faults = Faults::default();
        if self.forwards {
            self.vpp.lb.track_flows();
        }
    }

    /// Ends simulated traffic: from now on, counters and flows are those of packets.
    pub fn forward_packets(&mut self) {
        if !self.forwards {
            self.forwards = true;
            self.vpp.catch_up();
            self.vpp.lb.track_flows();
        }
    }
}
