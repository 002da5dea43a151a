//! One container: started, probed, restarted with growing pauses, stopped. Run by `pod_worker`; tells its state on the pod's board.

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
    log_file::{LAST_WORDS, LogFile},
    pod::RunningPod,
    registry::ContainerLogs,
    restart_delay::RestartDelay,
    status::{Containers, RestartPolicy},
    supervision::Supervision,
    volumes::Mounts,
};
use crate::processes::Process;

/// Which container of the pod.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    Init(usize),
    Main(usize),
}

impl Slot {
    pub fn of(self, containers: &mut Containers) -> &mut ContainerStatus {
        match self {
            Self::Init(index) => &mut containers.init[index],
            Self::Main(index) => &mut containers.main[index],
        }
    }
}

/// A request to stop: `Some(grace)` once the container shall end. It may be shortened.
pub type StopRx = watch::Receiver<Option<Duration>>;

/// Waits until a stop other than `seen` is asked for.
pub async fn next_stop(stop_rx: &mut StopRx, seen: Option<Duration>) -> Duration {
    let asked = stop_rx.wait_for(|stop| stop.is_some() && *stop != seen).await.ok().and_then(|stop| *stop);
    match asked {
        Some(grace) => grace,
        // The worker, which holds the other end, is gone, and so is what would wait here.
        None => std::future::pending().await,
    }
}

/// A container from its first start to its last end.
pub struct ContainerRun {
    pub pod: Arc<RunningPod>,
    pub mounts: Arc<Mounts>,
    pub spec: Container,
    pub slot: Slot,
    pub policy: RestartPolicy,
    pub logs: Arc<ContainerLogs>,
    pub board: Arc<watch::Sender<Containers>>,
    pub stop_rx: StopRx,
    pub status: ContainerStatus,
}

/// How one run ended.
struct Ended {
    ran: Duration,
    stopped: bool,
    terminated: ContainerStateTerminated,
}

impl ContainerRun {
    /// Runs it until it has ended for good: the exit code, or `None` if it was stopped.
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
                    self.wait_for_better(&error);
                    let pause = self.pod.node.timings.retry;
                    if self.pause(pause).await {
                        return None;
                    }
                    continue;
                }
            };
            let (code, last) = (ended.terminated.exit_code, ended.terminated);
            self.show(ContainerState { terminated: Some(last.clone()), ..ContainerState::default() });
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

    /// Waits before a restart; true when asked to stop instead.
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
        self.show(waiting("CrashLoopBackOff", message));
        let stopped = self.pause(pause).await;
        if stopped {
            // Nothing waits any more: what is left is how it ended.
            self.status.last_state = before;
            self.show(ended);
        }
        stopped
    }

    fn wait_for_better(&mut self, error: &ConfigError) {
        tracing::info!(pod = self.pod.name(), container = self.spec.name, %error, "a container cannot start yet");
        self.show(waiting(error.reason(), error.to_string()));
    }

    /// Waits; true when asked to stop meanwhile.
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
        if let Some(oldest) = self.logs.begin(Arc::clone(&log)) {
            oldest.delete();
        }
        self.status.container_id =
            Some(format!("sandbox://{}-{}-{}", self.pod.uid(), self.spec.name, self.status.restart_count));
        let running = ContainerStateRunning { started_at: Some(started_at.clone()) };
        let stopped = Supervision::new(self, prepared.probers).run(&process, running).await;
        let exit = process.wait().await;
        let abort = copying.abort_handle();
        if tokio::time::timeout(LAST_WORDS, copying).await.is_err() {
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

    /// Shows a state in which the container does not run.
    fn show(&mut self, state: ContainerState) {
        self.status.ready = false;
        self.status.started = Some(false);
        self.status.state = Some(state);
        self.publish();
    }

    /// Puts the present status on the pod's board.
    pub fn publish(&self) {
        self.board.send_modify(|containers| self.slot.of(containers).clone_from(&self.status));
    }
}

/// The state of a container that waits for something.
pub fn waiting(reason: &str, message: String) -> ContainerState {
    let waiting =
        ContainerStateWaiting { reason: Some(reason.to_owned()), message: Some(message).filter(|m| !m.is_empty()) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(exit: ExitStatus, started_at: Time, container_id: Option<String>) -> ContainerStateTerminated {
    // As a shell and container runtimes count: 128 + signal.
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
