//! A running container process: its probes, and its end when it is asked to stop or no longer alive.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning};
use nix::sys::signal::Signal;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    container::{ContainerRun, next_stop},
    probe::{Prober, Purpose, Verdict},
};
use crate::processes::Process;

/// Watches over one process of a container.
pub struct Supervision<'a> {
    container: &'a mut ContainerRun,
    /// Those not started yet.
    probers: Vec<Prober>,
    has_readiness: bool,
    probing: JoinSet<()>,
    verdict_tx: mpsc::Sender<Verdict>,
    verdict_rx: mpsc::Receiver<Verdict>,
    /// When the process is killed, once it was asked to end.
    deadline: Option<Instant>,
    /// The stop that was obeyed last.
    stop: Option<Duration>,
}

impl<'a> Supervision<'a> {
    pub fn new(container: &'a mut ContainerRun, probers: Vec<Prober>) -> Self {
        let has_readiness = probers.iter().any(|prober| prober.is(Purpose::Readiness));
        let (verdict_tx, verdict_rx) = mpsc::channel(8);
        let probing = JoinSet::new();
        Self { container, probers, has_readiness, probing, verdict_tx, verdict_rx, deadline: None, stop: None }
    }

    /// Returns when the process has ended: whether because it was asked to stop for good.
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
                Some(verdict) = self.verdict_rx.recv() => self.heed(verdict, process),
                grace = next_stop(&mut self.container.stop_rx, self.stop) => {
                    self.stop = Some(grace);
                    self.ask_to_end(process, grace);
                }
                () = until(deadline) => {
                    process.signal(Signal::SIGKILL);
                    self.deadline = None;
                }
            }
        }
    }

    fn take(&mut self, which: impl Fn(&Prober) -> bool) -> Vec<Prober> {
        let (taken, left) = std::mem::take(&mut self.probers).into_iter().partition(which);
        self.probers = left;
        taken
    }

    fn launch(&mut self, probers: Vec<Prober>) {
        for prober in probers {
            self.probing.spawn(prober.run(self.verdict_tx.clone()));
        }
    }

    /// The container counts as started: readiness and liveness are probed from now on.
    fn started(&mut self) {
        self.container.status.started = Some(true);
        self.container.status.ready = !self.has_readiness;
        let rest = self.take(|_| true);
        self.launch(rest);
    }

    fn heed(&mut self, verdict: Verdict, process: &Process) {
        match verdict {
            Verdict { purpose: Purpose::Readiness, healthy } => self.container.status.ready = healthy,
            Verdict { purpose: Purpose::Startup, healthy: true } => self.started(),
            Verdict { purpose: Purpose::Liveness, healthy: true } => return,
            Verdict { purpose: Purpose::Startup | Purpose::Liveness, healthy: false } => {
                let name = &self.container.spec.name;
                tracing::info!(container = name, purpose = ?verdict.purpose, "a probe failed: the container is restarted");
                let grace = self.grace(verdict.purpose);
                self.ask_to_end(process, grace);
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

    /// SIGTERM now and SIGKILL after `grace`; a shorter grace shortens an earlier one.
    fn ask_to_end(&mut self, process: &Process, grace: Duration) {
        process.signal(Signal::SIGTERM);
        let wanted = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(wanted, |earlier| earlier.min(wanted)));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
