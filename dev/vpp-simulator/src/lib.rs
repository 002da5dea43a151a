//! A VPP with the `lb` plugin, as far as its binary API shows: a real Unix socket that speaks the
//! real protocol, with the plugin's state, error codes, bucket counts, ghosts and oddities, and
//! without packets.
//!
//! ```text
//!  client ── socket ── server ── dispatch ── requests ── lb (state)      ── model::table
//!                        │          └─ cli (show lb …)    ├ pool, vip, fib
//!  test  ── Simulator ───┴── faults, journal, snapshot ───┘
//!  client ── stats socket ── stats (segment) ── traffic ── lb
//! ```
//!
//! Tests hold a [`Simulator`]: they make it hang, lose replies, die or restart, change its state
//! behind the agent's back, and look at what it holds and what was asked of it. `maglev-sandbox vpp`
//! runs one alone. Recordings of a real VPP 26.10 and of a 26.06, which it can be too
//! ([`Release`]), are the measure of it (`tests/wire/simulator_recording.rs`).
//!
//! It speaks only the messages that we use; see `ids`.

mod cli;
mod dispatch;
mod faults;
mod fib;
mod ids;
pub mod journal;
pub mod lb;
mod legacy;
pub mod options;
mod pool;
pub mod prefix;
mod requests;
mod server;
pub mod snapshot;
mod stats;
mod traffic;
pub mod vip;
mod vpp;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use self::{
    faults::Faults,
    server::{Run, Shared},
    vpp::World,
};
use maglev_model::actual::VppVip;

pub use self::{
    journal::{Mark, Write, Written},
    lb::{Lb, Refusal},
    options::{GarbageCollection, Recompute, Release, SimulatorOptions},
    prefix::Prefix,
    snapshot::{AsSnapshot, Snapshot, VipSnapshot},
    traffic::Traffic,
    vip::VipSettings,
};

/// What can go wrong with a simulator itself.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The API socket, or the stats socket, cannot be made or removed.
    #[error("cannot serve the api socket {} or its stats socket", path.display())]
    Socket {
        /// The API socket.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SimulatorError {
    /// A fixed word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "SocketFailed",
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// A simulated VPP.
///
/// It serves until it is stopped, dies, or is dropped, and can be started again each time. What it
/// was asked ([`Self::requests`], [`Self::writes_since`]) survives that; its state does not.
#[derive(Debug)]
pub struct Simulator {
    options: SimulatorOptions,
    shared: Arc<Shared>,
    run: Mutex<Option<Arc<Run>>>,
}

impl Simulator {
    /// Starts a VPP; when this returns, its socket takes connections.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub async fn start(options: SimulatorOptions) -> Result<Self, SimulatorError> {
        let shared = Arc::new(Shared::new(World::new(&options)));
        let simulator = Self { options, shared, run: Mutex::new(None) };
        let run = simulator.serve()?;
        *simulator.run.lock().await = Some(run);
        Ok(simulator)
    }

    fn serve(&self) -> Result<Arc<Run>, SimulatorError> {
        let run = Run::start(self.api_socket(), self.options.stats_socket.as_deref(), Arc::clone(&self.shared));
        run.map(Arc::new).map_err(|source| self.socket_failed(source))
    }

    fn socket_failed(&self, source: io::Error) -> SimulatorError {
        SimulatorError::Socket { path: self.options.api_socket.clone(), source }
    }

    fn remove_sockets(&self) -> io::Result<()> {
        self.options.stats_socket.as_deref().map_or(Ok(()), server::remove_file)?;
        server::remove_file(self.api_socket())
    }

    /// The API socket.
    pub fn api_socket(&self) -> &Path {
        &self.options.api_socket
    }

    /// Stops VPP and starts it anew: connections are closed, state and faults are gone, the process
    /// id is another.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub async fn restart(&self) -> Result<(), SimulatorError> {
        self.stop().await?;
        self.start_again().await
    }

    /// Stops VPP in good order: connections are closed, the socket file is removed.
    ///
    /// # Errors
    /// When the socket file cannot be removed.
    pub async fn stop(&self) -> Result<(), SimulatorError> {
        if let Some(run) = self.run.lock().await.take() {
            run.ended.cancel();
            run.finished().await;
        }
        self.remove_sockets().map_err(|source| self.socket_failed(source))
    }

    /// Starts a VPP that was stopped or has died. One that runs is left alone.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub async fn start_again(&self) -> Result<(), SimulatorError> {
        let mut run = self.run.lock().await;
        if let Some(old) = run.take() {
            if !old.ended.is_cancelled() {
                *run = Some(old);
                return Ok(());
            }
            old.finished().await;
        }
        self.shared.world().reboot(&self.options);
        self.shared.hang.send_replace(None);
        *run = Some(self.serve()?);
        Ok(())
    }

    /// Whether VPP runs: it was not stopped and did not die.
    pub async fn is_running(&self) -> bool {
        self.run.lock().await.as_ref().is_some_and(|run| !run.ended.is_cancelled())
    }

    /// Returns when VPP is dead or stopped and its connections are closed. As after a crash, the
    /// socket file is still there if it died.
    pub async fn wait_until_dead(&self) {
        let run = self.run.lock().await.clone();
        if let Some(run) = run {
            run.finished().await;
        }
    }

    /// For `duration`, VPP takes connections but answers nothing, not even the handshake. Then it
    /// does what it was asked meanwhile, as a VPP does whose main thread was busy.
    pub fn hang(&self, duration: Duration) {
        self.shared.hang.send_replace(Some(Instant::now() + duration));
    }

    /// Ends [`Self::hang`] early.
    pub fn wake(&self) {
        self.shared.hang.send_replace(None);
    }

    /// Holds back each reply for `delay` from now on; zero ends it.
    pub fn delay_replies(&self, delay: Duration) {
        self.shared.world().faults.delay = delay;
    }

    /// From now on the CLI prints the lines of VIPs in words that nobody knows, as another VPP might.
    pub fn garble_cli(&self, garbled: bool) {
        self.shared.world().faults.garbled_cli = garbled;
    }

    /// From now on a VIP that is added never sticks to the source address, whatever was asked.
    pub fn forget_sticky(&self, forget: bool) {
        self.shared.world().faults.forget_sticky = forget;
    }

    /// From now on no VIP is added, whatever is asked.
    pub fn refuse_vips(&self, refuse: bool) {
        self.shared.world().faults.refuse_vips = refuse;
    }

    /// The next request of this name (`lb_add_del_vip_v2`) is carried out, but not answered.
    pub fn swallow_next_reply(&self, request: &str) {
        self.shared.world().faults.swallow_next(request);
    }

    /// Ends every fault that is in force or waits for its request.
    pub fn heal(&self) {
        self.shared.world().faults = Faults::default();
        self.wake();
    }

    /// VPP dies of the `requests`th request from now, without answering it. [`Self::start_again`]
    /// brings it back.
    pub fn kill_after(&self, requests: u64) {
        self.shared.world().faults.die_after(requests);
    }

    /// Lets VPP's clock jump ahead, so that garbage falls due.
    pub fn advance(&self, by: Duration) {
        self.shared.world().vpp.advance(by);
    }

    /// From now on and until VPP ends, `traffic` comes to `vip`, also if it is added only later.
    pub fn set_traffic(&self, vip: impl Into<VppVip>, traffic: Traffic) {
        self.edit(|lb| lb.set_traffic(vip, traffic));
    }

    /// The process id that VPP answers to `control_ping`.
    pub fn pid(&self) -> u32 {
        self.shared.world().vpp.pid
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.world().vpp.connections()
    }

    /// What VPP holds now.
    pub fn snapshot(&self) -> Snapshot {
        self.edit(Snapshot::of)
    }

    /// Changes VPP's state behind the backs of its clients; the journal does not show it.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Lb) -> T) -> T {
        let mut world = self.shared.world();
        world.vpp.catch_up();
        change(&mut world.vpp.lb)
    }

    /// How often each message was received, since the first start.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.shared.world().journal.requests()
    }

    /// Now, for [`Self::writes_since`].
    pub fn mark(&self) -> Mark {
        self.shared.world().journal.mark()
    }

    /// The writes that were asked for since `mark`, in order, refused ones among them. The last
    /// 100,000 are remembered.
    pub fn writes_since(&self, mark: Mark) -> Vec<Written> {
        self.shared.world().journal.writes_since(mark)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(run) = self.run.get_mut().take() {
            run.ended.cancel();
            // Nobody is left to be told that it failed.
            let _ = self.remove_sockets();
        }
    }
}
