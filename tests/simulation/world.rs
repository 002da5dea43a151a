//! One simulation: a node with VPP, a process of maglevd and backends, driven through random steps.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use maglev_vpp_simulator::{GarbageCollection, Recompute, Simulator, SimulatorOptions};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};

use crate::{
    clock,
    faults::Weather,
    monitor::Monitor,
    network::Network,
    objects::{self, Objects},
    planted::PlantedBug,
    prober::SimulatedProber,
    process::Process,
};

/// The parameters of one simulation.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    pub steps: u32,
    pub bug: Option<PlantedBug>,
    pub with_log: bool,
}

/// The result of one simulation.
pub struct Outcome {
    pub violation: Option<String>,
    pub log: String,
    /// Requests of the agent that change VPP.
    pub writes: u64,
    /// Simulated time.
    pub duration: Duration,
}

pub struct World {
    pub rng: Rng,
    pub options: Options,
    pub network: Arc<Network>,
    pub prober: SimulatedProber,
    pub objects: Objects,
    pub process: Option<Process>,
    /// Time at which the process is started again.
    pub restart_at: Instant,
    /// Time at which VPP is started again; `None` while it runs.
    pub vpp_start_at: Option<Instant>,
    /// End of the storm.
    pub calm_at: Option<Instant>,
    directory: TempDir,
}

/// Runs one simulation in a runtime of its own.
pub fn simulate(options: Options) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    // Backoffs and ids of holds draw from the thread's generator.
    fastrand::seed(options.seed);
    runtime.block_on(local.run_until(async {
        clock::start();
        let begin = Instant::now();
        let mut world = World::new(options);
        world.run().await;
        let mut monitor = world.network.monitor.lock();
        let violation = monitor.violation().map(str::to_owned);
        Outcome { violation, log: monitor.take_log(), writes: monitor.writes, duration: begin.elapsed() }
    }))
}

impl World {
    fn new(options: Options) -> Self {
        let mut rng = Rng::with_seed(options.seed);
        let directory = tempfile::tempdir().expect("a directory for the list of owned VIPs");
        let monitor = Arc::new(Mutex::new(Monitor::new(options.with_log)));
        let collection = GarbageCollection { interval: Duration::from_secs(20), ..GarbageCollection::default() };
        let simulator = Simulator::in_memory(SimulatorOptions {
            pid: 1000,
            recompute: Recompute::Lazy,
            garbage_collection: collection,
            ..SimulatorOptions::new(directory.path().join("api.sock"))
        });
        let network = Network::new(simulator, monitor, rng.fork(), options.bug);
        Self {
            prober: SimulatedProber::new(rng.fork()),
            objects: Objects::new(&mut rng),
            rng,
            options,
            network: Arc::new(network),
            process: None,
            restart_at: Instant::now(),
            vpp_start_at: None,
            calm_at: None,
            directory,
        }
    }

    async fn run(&mut self) {
        for step in 0..self.options.steps {
            self.network.monitor.lock().log(|| format!("step {step}"));
            self.act().await;
            let pause = self.pause();
            self.advance(pause).await;
            if self.has_failed() {
                return;
            }
        }
        self.rest().await;
        if !self.has_failed() {
            self.compare_events().await;
        }
    }

    pub fn has_failed(&self) -> bool {
        self.network.monitor.lock().violation().is_some()
    }

    pub fn log(&self, text: impl FnOnce() -> String) {
        self.network.monitor.lock().log(text);
    }

    pub fn violate(&self, text: &str) {
        self.network.monitor.lock().violate(text);
    }

    /// The time to the next step: often none, sometimes long.
    fn pause(&mut self) -> Duration {
        match self.rng.u8(0..16) {
            0..=3 => Duration::ZERO,
            4..=9 => Duration::from_millis(self.rng.u64(1..300)),
            10..=14 => Duration::from_millis(self.rng.u64(300..3000)),
            _ => Duration::from_millis(self.rng.u64(3000..20_000)),
        }
    }

    /// Lets the simulated time pass, and does what is due meanwhile.
    pub async fn advance(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        loop {
            self.do_due().await;
            let wake = self.next_due().map_or(end, |due| due.min(end));
            let Some(process) = &mut self.process else {
                sleep_until(wake).await;
                if wake >= end {
                    return;
                }
                continue;
            };
            tokio::select! {
                biased;
                () = process.pass_health() => {}
                () = sleep_until(wake) => if wake >= end {
                    return;
                }
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let process = match &self.process {
            Some(process) => process.list_at(),
            None => Some(self.restart_at),
        };
        [process, self.vpp_start_at, self.calm_at].into_iter().flatten().min()
    }

    async fn do_due(&mut self) {
        let now = Instant::now();
        if self.calm_at.is_some_and(|at| now >= at) {
            self.calm();
        }
        if self.vpp_start_at.is_some_and(|at| now >= at) {
            self.start_vpp().await;
        }
        if self.process.as_ref().is_some_and(Process::has_ended) {
            self.kill_process();
            self.restart_at = now + Duration::from_millis(self.rng.u64(0..5000));
        }
        if self.process.is_none() && now >= self.restart_at {
            self.start_process();
        }
        if let Some(process) = self.process.as_mut().filter(|process| process.list_at().is_some_and(|at| now >= at)) {
            self.network.monitor.lock().log(|| "objects listed".to_owned());
            process.list(&self.objects.list());
        }
    }

    /// Ends the storm.
    pub fn calm(&mut self) {
        self.calm_at = None;
        self.network.set_weather(Weather::default());
        self.log(|| "calm".to_owned());
    }

    /// Starts VPP after a stop or crash.
    pub async fn start_vpp(&mut self) {
        self.vpp_start_at = None;
        self.network.simulator.start_again().await.expect("no sockets");
        self.network.monitor.lock().vpp_restarted();
        self.observe_foreign_vips();
        self.log(|| "vpp started".to_owned());
    }

    /// Tells the monitor the foreign VIPs after a change of another client.
    pub fn observe_foreign_vips(&self) {
        let vips = self.network.simulator.snapshot().vips;
        let foreign = vips.keys().filter(|vip| !objects::is_own(**vip)).copied().collect();
        self.network.monitor.lock().foreign_vips(foreign);
    }

    fn start_process(&mut self) {
        let list_after = Duration::from_millis(self.rng.u64(0..3000));
        self.log(|| format!("process started, lists after {list_after:?}"));
        let socket = self.directory.path().join("api.sock");
        let seed = self.rng.u64(..);
        self.process = Some(Process::start(&self.network, &self.prober, &socket, seed, list_after, self.options.bug));
    }

    pub fn kill_process(&mut self) {
        self.process = None;
        self.log(|| "process ended".to_owned());
        PlantedBug::crashed(self.options.bug, self.directory.path());
    }
}
