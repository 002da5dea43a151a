//! Supervises one process of a container: probes, stop requests, and failed liveness.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning};
use maglev_net::sleep_until_some;
use nix::sys::signal::Signal;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    container::{ContainerRun, next_stop},
    probe::{ProbeChange, Prober, Purpose},
};
use crate::processes::Process;

pub struct Supervision<'a> {
    container: &'a mut ContainerRun,
    /// Probers that have not been started yet.
    probers: Vec<Prober>,
    has_readiness: bool,
    probing: JoinSet<()>,
    change_tx: mpsc::Sender<ProbeChange>,
    change_rx: mpsc::Receiver<ProbeChange>,
    /// Time of SIGKILL, set after SIGTERM.
    deadline: Option<Instant>,
    /// The last stop request.
    stop: Option<Duration>,
}

impl<'a> Supervision<'a> {
    pub fn new(container: &'a mut ContainerRun, probers: Vec<Prober>) -> Self {
        let has_readiness = probers.iter().any(|prober| prober.is(Purpose::Readiness));
        let (change_tx, change_rx) = mpsc::channel(8);
        let probing = JoinSet::new();
        Self { container, probers, has_readiness, probing, change_tx, change_rx, deadline: None, stop: None }
    }

    /// Waits for the exit of the process. Returns true after a stop request, when the container is not to be restarted.
    pub async fn run(mut self, process: &Process, running: ContainerStateRunning) -> bool {
        let status = &mut self.container.status;
        status.state = Some(ContainerState { running: Some(running), ..ContainerState::default() });
        let startup = self.take(|prober| prober.is(Purpose::Startup));
        if startup.is_empty() {
            self.started();
        } else {
            self.launch(startup);
        }
        self.container.publish();
        loop {
            let deadline = self.deadline;
            tokio::select! {
                _ = process.wait() => return self.stop.is_some(),
                Some(change) = self.change_rx.recv() => self.handle_change(change, process),
                grace = next_stop(&mut self.container.stop_rx, self.stop) => {
                    self.stop = Some(grace);
                    self.terminate(process, grace);
                }
                () = sleep_until_some(deadline) => {
                    process.signal(Signal::SIGKILL);
                    self.deadline = None;
                }
            }
        }
    }

    fn take(&mut self, select: impl Fn(&Prober) -> bool) -> Vec<Prober> {
        let (taken, remaining) = std::mem::take(&mut self.probers).into_iter().partition(select);
        self.probers = remaining;
        taken
    }

    fn launch(&mut self, probers: Vec<Prober>) {
        for prober in probers {
            self.probing.spawn(prober.run(self.change_tx.clone()));
        }
    }

    /// Marks the container as started, and starts the readiness and liveness probes.
    fn started(&mut self) {
        self.container.status.started = Some(true);
        self.container.status.ready = !self.has_readiness;
        let rest = self.take(|_| true);
        self.launch(rest);
    }

    fn handle_change(&mut self, change: ProbeChange, process: &Process) {
        match change {
            ProbeChange { purpose: Purpose::Readiness, healthy } => self.container.status.ready = healthy,
            ProbeChange { purpose: Purpose::Startup, healthy: true } => self.started(),
            ProbeChange { purpose: Purpose::Liveness, healthy: true } => return,
            ProbeChange { purpose: Purpose::Startup | Purpose::Liveness, healthy: false } => {
                let name = &self.container.spec.name;
                tracing::info!(container = name, purpose = ?change.purpose, "a probe failed, restarting the container");
                let grace = self.grace(change.purpose);
                self.terminate(process, grace);
            }
        }
        self.container.publish();
    }

    fn grace(&self, purpose: Purpose) -> Duration {
        let spec = &self.container.spec;
        let probe = if purpose == Purpose::Startup { &spec.startup_probe } else { &spec.liveness_probe };
        let own = probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
        let seconds = own.or(self.container.pod.spec().termination_grace_period_seconds).unwrap_or(30);
        Duration::from_secs(seconds.try_into().unwrap_or(0))
    }

    /// Sends SIGTERM, and schedules SIGKILL after `grace` or at the earlier deadline of a previous call.
    fn terminate(&mut self, process: &Process, grace: Duration) {
        process.signal(Signal::SIGTERM);
        let deadline = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }
}
