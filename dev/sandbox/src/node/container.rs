//! One container: start, probes, restarts with back-off, stop. Run by `pod_worker`, which receives the container's status.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use tokio::sync::watch;

use super::{
    config_error::ConfigError,
    launch::{self, Prepared},
    log_file::{DRAIN_LIMIT, LogFile},
    pod::RunningPod,
    registry::ContainerLogs,
    restart_delay::RestartDelay,
    status::{Containers, RestartPolicy},
    supervision::Supervision,
    volumes::Mounts,
};
use crate::processes::Process;

/// The index of a container in its pod.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    Init(usize),
    Main(usize),
}

impl Slot {
    pub fn status_mut(self, containers: &mut Containers) -> &mut ContainerStatus {
        match self {
            Self::Init(index) => &mut containers.init[index],
            Self::Main(index) => &mut containers.main[index],
        }
    }
}

/// Stop request: `Some(grace)` once the container has to stop. The grace period can be shortened.
pub type StopRx = watch::Receiver<Option<Duration>>;

/// Waits for a stop request other than `previous`.
pub async fn next_stop(stop_rx: &mut StopRx, previous: Option<Duration>) -> Duration {
    let request = stop_rx.wait_for(|stop| stop.is_some() && *stop != previous).await.ok().and_then(|stop| *stop);
    match request {
        Some(grace) => grace,
        // The worker has been dropped, and this future is about to be dropped, too.
        None => std::future::pending().await,
    }
}

/// A container, over all its restarts.
pub struct ContainerRun {
    pub pod: Arc<RunningPod>,
    pub mounts: Arc<Mounts>,
    pub spec: Container,
    pub slot: Slot,
    pub policy: RestartPolicy,
    pub logs: Arc<ContainerLogs>,
    pub containers_tx: Arc<watch::Sender<Containers>>,
    pub stop_rx: StopRx,
    pub status: ContainerStatus,
}

/// The end of one run.
struct Ended {
    ran: Duration,
    stopped: bool,
    terminated: ContainerStateTerminated,
}

impl ContainerRun {
    /// Runs the container until its final end. Returns the exit code, or `None` after a stop request.
    pub async fn run(mut self) -> Option<i32> {
        let timings = &self.pod.node.timings;
        let mut delay = RestartDelay::new(timings.restart_base, timings.restart_max);
        loop {
            if self.stop_rx.borrow().is_some() {
                return None;
            }
            let ended = match self.run_once().await {
                Ok(ended) => ended,
                Err(error) => {
                    self.report_error(&error);
                    let pause = self.pod.node.timings.retry;
                    if self.pause(pause).await {
                        return None;
                    }
                    continue;
                }
            };
            let (code, last) = (ended.terminated.exit_code, ended.terminated);
            self.set_state(ContainerState { terminated: Some(last.clone()), ..ContainerState::default() });
            if ended.stopped || !self.policy.restarts(code) {
                return (!ended.stopped).then_some(code);
            }
            if self.back_off(&last, delay.after_run(ended.ran)).await {
                return None;
            }
            self.status.restart_count += 1;
            self.status.last_state = Some(ContainerState { terminated: Some(last), ..ContainerState::default() });
        }
    }

    /// Waits before a restart. Returns true on a stop request.
    async fn back_off(&mut self, last: &ContainerStateTerminated, pause: Duration) -> bool {
        if pause.is_zero() {
            return false;
        }
        let ended = ContainerState { terminated: Some(last.clone()), ..ContainerState::default() };
        let before = self.status.last_state.replace(ended.clone());
        let (name, pod) = (&self.spec.name, &self.pod);
        let message = format!(
            "back-off {pause:?} restarting failed container={name} pod={}_{}({})",
            pod.name(),
            pod.namespace(),
            pod.uid()
        );
        self.set_state(waiting("CrashLoopBackOff", message));
        let stopped = self.pause(pause).await;
        if stopped {
            // No restart follows, so the state is that of the last run.
            self.status.last_state = before;
            self.set_state(ended);
        }
        stopped
    }

    fn report_error(&mut self, error: &ConfigError) {
        tracing::info!(pod = self.pod.name(), container = self.spec.name, %error, "cannot start a container");
        self.set_state(waiting(error.reason(), error.to_string()));
    }

    /// Waits. Returns true on a stop request.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            _ = next_stop(&mut self.stop_rx, None) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    async fn run_once(&mut self) -> Result<Ended, ConfigError> {
        let prepared = launch::prepare(&self.pod, &self.mounts, &self.spec, self.slot).await?;
        let dir = self.pod.log_dir(&self.spec.name);
        let log = LogFile::create(&dir, self.status.restart_count);
        let log = log.map_err(|source| ConfigError::File { path: dir, source })?;
        let (started, started_at) = (Instant::now(), Time(Timestamp::now()));
        let (process, copying) = self.start(&prepared, &log).await?;
        if let Some(oldest) = self.logs.rotate(Arc::clone(&log)) {
            oldest.delete();
        }
        self.status.container_id =
            Some(format!("sandbox://{}-{}-{}", self.pod.uid(), self.spec.name, self.status.restart_count));
        let running = ContainerStateRunning { started_at: Some(started_at.clone()) };
        let stopped = Supervision::new(self, prepared.probers).run(&process, running).await;
        let exit = process.wait().await;
        let abort = copying.abort_handle();
        if tokio::time::timeout(DRAIN_LIMIT, copying).await.is_err() {
            abort.abort();
            log.close();
        }
        let terminated = terminated(exit, started_at, self.status.container_id.clone());
        Ok(Ended { ran: started.elapsed(), stopped, terminated })
    }

    async fn start(
        &self,
        prepared: &Prepared,
        log: &Arc<LogFile>,
    ) -> Result<(Process, tokio::task::JoinHandle<()>), ConfigError> {
        let fail = |source| ConfigError::File { path: self.pod.log_dir(&self.spec.name), source };
        let (path, receiver) = log.pipe().map_err(fail)?;
        let started = self.pod.node.processes.spawn(prepared.launch(&self.pod, &self.spec.name, &path)).await;
        let _ = std::fs::remove_file(&path);
        let process = started.map_err(|source| ConfigError::Start { source })?;
        Ok((process, tokio::spawn(Arc::clone(log).copy(receiver))))
    }

    /// Publishes a state of a container that does not run.
    fn set_state(&mut self, state: ContainerState) {
        self.status.ready = false;
        self.status.started = Some(false);
        self.status.state = Some(state);
        self.publish();
    }

    pub fn publish(&self) {
        self.containers_tx.send_modify(|containers| self.slot.status_mut(containers).clone_from(&self.status));
    }
}

/// The state of a waiting container.
pub fn waiting(reason: &str, message: String) -> ContainerState {
    let waiting =
        ContainerStateWaiting { reason: Some(reason.to_owned()), message: Some(message).filter(|m| !m.is_empty()) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(exit: ExitStatus, started_at: Time, container_id: Option<String>) -> ContainerStateTerminated {
    // As in shells and container runtimes: 128 + signal.
    let exit_code = exit.code().or_else(|| exit.signal().map(|signal| 128 + signal)).unwrap_or(255);
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    ContainerStateTerminated {
        container_id,
        exit_code,
        finished_at: Some(Time(Timestamp::now())),
        reason: Some(reason.to_owned()),
        started_at: Some(started_at),
        ..ContainerStateTerminated::default()
    }
}
