//! Keeps a session with VPP: takes the lock, connects with backoff, and owns the current session.

use std::{
    collections::BTreeSet, fs::File, net::IpAddr, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::{
    AgentError, AgentOptions,
    dataplane::{Dataplane, DataplaneError, SessionEnd, VppConnector},
    lock::{AgentLock, LockError},
    state::AgentState,
    sync_session::{Intervals, ReadBack, SessionEvent, SyncSession},
    turn_budget::TurnBudget,
};
use maglev_model::{
    actual::Actual,
    change::VppInfo,
    event::{Event, Events},
};
use maglev_net::{Backoff, LogThrottle};

/// Delays between two attempts to connect: doubling, with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Limit of the reply deadline, which doubles after a session that expired and is reset by the first complete dump.
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

type Connecting = BoxFuture<'static, Result<Arc<Dataplane>, DataplaneError>>;

/// Interval of the checks of the lock file between passes.
const LOCK_CHECK: Duration = Duration::from_secs(1);

/// Owns the lock and the session with VPP, and reconnects when the session ends.
pub struct SessionManager {
    connector: VppConnector,
    events: Events,
    socket: PathBuf,
    holder: String,
    lock: Option<AgentLock>,
    lock_logged: bool,
    /// Time of the last check of the lock file.
    lock_checked: Instant,
    /// Held open to detect its deletion.
    directory: Option<File>,
    phase: Phase,
    backoff: Backoff,
    intervals: Intervals,
    first_deadline: Duration,
    deadline: Duration,
    log_throttle: LogThrottle,
    /// Process id of the VPP of the last session.
    last_pid: Option<u32>,
}

enum Phase {
    Waiting(Instant),
    Connecting(Connecting),
    Up(Box<SyncSession>),
}

/// An event of the session manager.
pub enum ManagerEvent {
    /// The retry delay has passed.
    Retry,
    /// The result of an attempt to connect.
    Connected(Result<Arc<Dataplane>, DataplaneError>),
    /// An event of the session.
    Session(SessionEvent),
}

impl SessionManager {
    pub fn new(connector: VppConnector, events: Events, options: &AgentOptions) -> Self {
        Self {
            connector,
            events,
            socket: options.api_socket.clone(),
            holder: format!("maglevd of node {}, process {}", options.node_name, std::process::id()),
            lock: None,
            lock_logged: false,
            lock_checked: Instant::now(),
            directory: None,
            phase: Phase::Waiting(Instant::now()),
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY).with_jitter(),
            intervals: Intervals { ping: options.ping_interval, garbage: options.garbage_interval },
            first_deadline: options.deadline,
            deadline: options.deadline,
            log_throttle: LogThrottle::default(),
            last_pid: None,
        }
    }

    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    pub fn is_synced(&self) -> bool {
        self.session().is_some_and(SyncSession::synced)
    }

    pub fn actual(&self) -> Option<&Actual> {
        self.session().and_then(SyncSession::actual)
    }

    /// VPP's state; `None` without a session and before its first dump.
    pub fn read_back(&self) -> Option<ReadBack<'_>> {
        self.session()?.read_back(self.last_pid?)
    }

    fn session(&self) -> Option<&SyncSession> {
        match &self.phase {
            Phase::Up(session) => Some(session),
            _ => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut SyncSession> {
        match &mut self.phase {
            Phase::Up(session) => Some(session),
            _ => None,
        }
    }

    pub fn enqueue(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        if let Some(session) = self.session_mut() {
            session.enqueue(addresses);
        }
    }

    pub fn forget_failures(&mut self, addresses: &BTreeSet<IpAddr>) {
        if let Some(session) = self.session_mut() {
            session.forget_failures(addresses);
        }
    }

    pub fn gate_opened(&mut self) {
        if let Some(session) = self.session_mut() {
            session.gate_opened();
        }
    }

    pub fn request_pass(&mut self) {
        if let Some(session) = self.session_mut() {
            session.request_pass();
        }
    }

    pub fn pump(&mut self, state: &mut AgentState, now: Instant, budget: &mut TurnBudget) {
        if now >= self.lock_checked + LOCK_CHECK {
            self.check_lock(state, now);
        }
        if let Some(session) = self.session_mut() {
            session.pump(state, now, budget);
        }
    }

    /// The session's next timer.
    pub fn next_timer(&self) -> Option<Instant> {
        self.session().map(SyncSession::next_timer)
    }

    /// Waits for the next event. Cancel safe.
    pub async fn wait(&mut self) -> ManagerEvent {
        match &mut self.phase {
            Phase::Waiting(until) => {
                sleep_until(*until).await;
                ManagerEvent::Retry
            }
            Phase::Connecting(connecting) => ManagerEvent::Connected(connecting.await),
            Phase::Up(session) => ManagerEvent::Session(session.wait().await),
        }
    }

    pub fn handle(&mut self, event: ManagerEvent, state: &mut AgentState) -> Result<(), AgentError> {
        let now = Instant::now();
        match event {
            ManagerEvent::Retry => self.try_connect(now)?,
            ManagerEvent::Connected(Ok(dataplane)) => self.connected(dataplane, state, now),
            ManagerEvent::Connected(Err(error)) => self.connect_failed(&error.to_string(), now),
            ManagerEvent::Session(SessionEvent::Closed(ended)) => {
                state.dump.send_replace(None);
                self.session_ended(&ended, now);
            }
            ManagerEvent::Session(event) => self.in_session(event, state, now),
        }
        Ok(())
    }

    /// Ends the session if the lock file was removed or replaced: another agent may have locked a new file. The lock is
    /// then taken again, or waited for, before VPP is contacted.
    fn check_lock(&mut self, state: &AgentState, now: Instant) {
        self.lock_checked = now;
        let Some(Err(error)) = self.lock.as_ref().map(AgentLock::check) else { return };
        tracing::warn!(%error, "ending the session with VPP until the lock is taken again");
        self.lock = None;
        self.lock_logged = false;
        if self.session().is_some() {
            state.dump.send_replace(None);
            self.events.emit(Event::VppDisconnect { reason: error.to_string() });
        }
        self.phase = Phase::Waiting(now);
    }

    fn in_session(&mut self, event: SessionEvent, state: &mut AgentState, now: Instant) {
        // A dump begins a pass, or verifies what was written, as a check does.
        if matches!(event, SessionEvent::Dump(_) | SessionEvent::SpotCheck(_)) {
            self.check_lock(state, now);
        }
        let Some(session) = self.session_mut() else { return };
        match event {
            SessionEvent::Dump(reply) => session.dump_received(state, reply, now),
            SessionEvent::SpotCheck(reply) => session.spot_check_received(state, reply, now),
            SessionEvent::JobFinished(done) => session.job_finished(state, *done, now),
            SessionEvent::Pong(result) => session.pong(&result),
            SessionEvent::ConfWritten(result) => session.conf_written(state, result, now),
            SessionEvent::GarbageCollected(result) => session.garbage_collected(result, now),
            SessionEvent::Closed(_) => {}
        }
        if session.has_dump() {
            self.deadline = self.first_deadline;
            self.backoff.reset();
        }
    }

    fn try_connect(&mut self, now: Instant) -> Result<(), AgentError> {
        self.check_directory()?;
        if self.lock.is_none() {
            match AgentLock::try_take(&self.socket, &self.holder) {
                Ok(lock) => self.lock = Some(lock),
                Err(error) => {
                    self.lock_failed(&error, now);
                    return Ok(());
                }
            }
        }
        self.phase = Phase::Connecting(self.connector.connect(self.deadline));
        Ok(())
    }

    fn lock_failed(&mut self, error: &LockError, now: Instant) {
        match error {
            LockError::Held { .. } => {
                if !std::mem::replace(&mut self.lock_logged, true) {
                    tracing::warn!(%error, "waiting for the lock of this VPP");
                }
                self.phase = Phase::Waiting(now + Duration::from_secs(1));
            }
            LockError::Io { source, .. } => self.connect_failed(&format!("{error}: {source}"), now),
            LockError::Lost(_) => self.connect_failed(&error.to_string(), now),
        }
    }

    /// Detects the deletion of the mounted directory: VPP would never appear in it again.
    fn check_directory(&mut self) -> Result<(), AgentError> {
        let Some(path) = self.socket.parent() else { return Ok(()) };
        let deleted = |directory: &File| directory.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if self.directory.as_ref().is_some_and(deleted) {
            return Err(AgentError::SocketDirectoryDeleted(path.to_owned()));
        }
        if self.directory.is_none() {
            self.directory = File::open(path).ok();
        }
        Ok(())
    }

    fn connect_failed(&mut self, error: &str, now: Instant) {
        let warn = self.log_throttle.admit("connect").is_some();
        self.events.emit(Event::VppConnectFailed { error: error.to_owned(), warn });
        self.wait_to_retry(now);
    }

    fn wait_to_retry(&mut self, now: Instant) {
        self.phase = Phase::Waiting(now + self.backoff.next_delay());
    }

    fn connected(&mut self, dataplane: Arc<Dataplane>, state: &mut AgentState, now: Instant) {
        let info = dataplane.info().clone();
        let same_process = self.last_pid.replace(info.pid).is_none_or(|last| last == info.pid);
        if !same_process {
            state.flushes.clear();
            state.held_servers.clear_flushes();
        }
        state.recreates.connected(same_process);
        self.log_throttle.reset();
        let vpp_info = VppInfo {
            version: info.version,
            build_date: info.build_date,
            pid: info.pid,
            capabilities: info.capabilities,
        };
        self.events.emit(Event::VppConnect { info: Arc::new(vpp_info), api: info.api, stats: info.stats });
        self.phase = Phase::Up(Box::new(SyncSession::new(dataplane, now, self.intervals)));
    }

    fn session_ended(&mut self, ended: &SessionEnd, now: Instant) {
        if ended.expired {
            self.deadline = (self.deadline * 2).min(LONGEST_DEADLINE);
        }
        self.events.emit(Event::VppDisconnect { reason: ended.reason.clone() });
        self.wait_to_retry(now);
    }
}
