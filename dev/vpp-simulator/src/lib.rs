//! A simulated VPP with the `lb` plugin, as far as the binary API shows: a real Unix socket with the real protocol, and the
//! plugin's state, error codes, bucket counts, delayed garbage collection and quirks. A [`Forwarder`] forwards packets by the
//! plugin's rules; without one, traffic can be simulated.
//!
//! ```text
//!  client ── socket ── server ── dispatch ── requests ── lb (state)      ── model::table
//!                        │          └─ cli (show lb …)    ├ pool, vip, fib
//!  test  ── Simulator ───┴── faults, journal, snapshot ───┘
//!  client ── stats socket ── stats (segment) ── traffic ── lb, fib, sticky
//!  packet ── Forwarder ── forward ── lb, fib, sticky
//! ```
//!
//! Tests use a [`Simulator`] to make VPP hang, lose replies, crash or restart, to change its state without the agent, and to
//! inspect its state and the requests received. `maglev-sandbox vpp` runs one simulator. Recordings of VPP 26.10 and 26.06
//! ([`Release`]) define its behaviour (`tests/wire/simulator_recording.rs`).
//!
//! Only the messages that the agent uses are implemented; see `ids`.

mod cli;
mod dispatch;
mod faults;
mod fib;
mod forward;
mod hang;
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
mod sticky;
mod traffic;
pub mod vip;
mod vpp;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{io::DuplexStream, sync::Mutex, time::Instant};

use self::{
    faults::{Faults, Lie},
    server::{Run, Shared},
    vpp::SimulatorState,
};
use maglev_model::{actual::VppVip, counters::VipPackets};

pub use self::{
    forward::{Forwarder, Verdict},
    journal::{Mark, RecordedWrite, Write},
    lb::{Lb, Refusal},
    options::{GarbageCollection, Recompute, Release, SimulatorOptions},
    prefix::Prefix,
    snapshot::{AsSnapshot, Snapshot, VipSnapshot},
    traffic::{Sent, Traffic},
    vip::VipSettings,
};

/// Threads of a simulated VPP: the main thread and one worker. Simulated traffic passes both, packets pass the worker only.
pub(crate) const THREADS: usize = 2;
pub(crate) const WORKER: usize = 1;

#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// Failed to create or remove the API socket or the stats socket.
    #[error("cannot create or remove the API socket {} or its stats socket", path.display())]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A simulated VPP.
///
/// Serves until stopped, dropped or crashed, and can be restarted. The journal ([`Self::requests`], [`Self::writes_since`])
/// survives a restart; the state does not.
#[derive(Debug)]
pub struct Simulator {
    options: SimulatorOptions,
    shared: Arc<Shared>,
    /// True for a VPP without sockets.
    in_memory: bool,
    run: Mutex<Option<Arc<Run>>>,
}

impl Simulator {
    /// Starts VPP. Returns once its socket accepts connections.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub async fn start(options: SimulatorOptions) -> Result<Self, SimulatorError> {
        let shared = Arc::new(Shared::new(SimulatorState::new(&options)));
        let simulator = Self { options, shared, in_memory: false, run: Mutex::new(None) };
        let run = simulator.serve()?;
        *simulator.run.lock().await = Some(run);
        Ok(simulator)
    }

    /// A VPP without sockets; clients connect with [`Self::connect`]. Its path and stats socket are unused.
    pub fn in_memory(options: SimulatorOptions) -> Self {
        let shared = Arc::new(Shared::new(SimulatorState::new(&options)));
        Self { options, shared, in_memory: true, run: Mutex::new(Some(Arc::new(Run::in_memory()))) }
    }

    /// Connects a client to a VPP without sockets.
    ///
    /// # Errors
    /// VPP is stopped or has crashed.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let run = self.run.lock().await.clone().filter(|run| self.in_memory && !run.ended.is_cancelled());
        let run = run.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(run.connect(Arc::clone(&self.shared)))
    }

    fn serve(&self) -> Result<Arc<Run>, SimulatorError> {
        if self.in_memory {
            return Ok(Arc::new(Run::in_memory()));
        }
        let run = Run::start(&self.options, Arc::clone(&self.shared));
        run.map(Arc::new).map_err(|source| self.socket_failed(source))
    }

    fn socket_failed(&self, source: io::Error) -> SimulatorError {
        SimulatorError::Socket { path: self.options.api_socket.clone(), source }
    }

    fn remove_sockets(&self) -> io::Result<()> {
        if self.in_memory {
            return Ok(());
        }
        self.options.stats_socket.as_deref().map_or(Ok(()), server::remove_file)?;
        server::remove_file(self.api_socket())
    }

    pub fn api_socket(&self) -> &Path {
        &self.options.api_socket
    }

    /// Restarts VPP: connections are closed, state and faults are lost, the process ID changes.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub async fn restart(&self) -> Result<(), SimulatorError> {
        self.stop().await?;
        self.start_again().await
    }

    /// Stops VPP: connections are closed, the socket file is removed.
    ///
    /// # Errors
    /// The socket file cannot be removed.
    pub async fn stop(&self) -> Result<(), SimulatorError> {
        if let Some(run) = self.run.lock().await.take() {
            self.shared.state().running = false;
            run.ended.cancel();
            run.finished().await;
        }
        self.remove_sockets().map_err(|source| self.socket_failed(source))
    }

    /// Starts VPP after a stop or crash. Does nothing if VPP runs.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub async fn start_again(&self) -> Result<(), SimulatorError> {
        let mut run = self.run.lock().await;
        if let Some(old) = run.take() {
            if !old.ended.is_cancelled() {
                *run = Some(old);
                return Ok(());
            }
            old.finished().await;
        }
        self.shared.state().reboot(&self.options);
        self.shared.hang.set(None);
        *run = Some(self.serve()?);
        self.shared.state().running = true;
        Ok(())
    }

    /// True unless VPP was stopped or has crashed.
    pub async fn is_running(&self) -> bool {
        self.run.lock().await.as_ref().is_some_and(|run| !run.ended.is_cancelled())
    }

    /// Waits until VPP is stopped or crashed and its connections are closed. After a crash the socket file is still there, as
    /// with a real VPP.
    pub async fn wait_until_dead(&self) {
        let run = self.run.lock().await.clone();
        if let Some(run) = run {
            run.finished().await;
        }
    }

    /// For `duration`, VPP accepts connections but sends nothing, not even the handshake. Then it handles the requests received
    /// meanwhile, like a VPP whose main thread was busy.
    pub fn hang(&self, duration: Duration) {
        self.shared.hang.set(Some(Instant::now() + duration));
    }

    /// Ends [`Self::hang`] early.
    pub fn wake(&self) {
        self.shared.hang.set(None);
    }

    /// Delays each reply by `delay` from now on; zero disables the delay.
    pub fn delay_replies(&self, delay: Duration) {
        self.shared.state().faults.delay = delay;
    }

    /// Makes the CLI print lines of VIPs in an unknown format from now on.
    pub fn garble_cli(&self, garbled: bool) {
        self.shared.state().faults.garbled_cli = garbled;
    }

    /// Makes new VIPs non-sticky from now on, regardless of the request.
    pub fn forget_sticky(&self, forget: bool) {
        self.shared.state().faults.forget_sticky = forget;
    }

    /// Rejects all new VIPs from now on.
    pub fn refuse_vips(&self, refuse: bool) {
        self.shared.state().faults.refuse_vips = refuse;
    }

    /// Executes the next request of this name (such as `lb_add_del_vip_v2`) without sending its reply.
    pub fn swallow_next_reply(&self, request: &str) {
        self.shared.state().faults.swallow_next(request);
    }

    /// Executes the next request of this name, but gives its reply the context of the next request.
    pub fn confuse_next_reply(&self, request: &str) {
        self.shared.state().faults.confuse_next(request);
    }

    /// Answers the next request of this name falsely: as if the state had been changed by `change`. The state stays as it
    /// was before the request, so a write has no effect.
    pub fn lie_next(&self, request: &str, change: impl FnOnce(&mut Lb) + Send + 'static) {
        self.shared.state().faults.lie_next(request, Lie::new(change));
    }

    /// Ends the next output of the CLI that contains `text` after `text`.
    pub fn cut_next_cli(&self, text: &str) {
        self.shared.state().faults.cut_next(text);
    }

    /// Clears all faults.
    pub fn heal(&self) {
        self.shared.state().faults = Faults::default();
        self.wake();
    }

    /// Crashes VPP on the `requests`-th request from now, without a reply. [`Self::start_again`] restarts it.
    pub fn kill_after(&self, requests: u64) {
        self.shared.state().faults.die_after(requests);
    }

    /// Advances VPP's clock, such as for garbage collection.
    pub fn advance(&self, by: Duration) {
        self.shared.state().vpp.advance(by);
    }

    /// A forwarder of packets, for one task or thread. It stays valid while VPP is stopped and restarted.
    ///
    /// From the first call on, no traffic is simulated: [`Self::set_traffic`] and [`SimulatorOptions::traffic`] have no effect,
    /// and all counters are those of packets.
    pub fn forwarder(&self) -> Forwarder {
        self.shared.state().forward_packets();
        Forwarder::new(Arc::clone(&self.shared))
    }

    /// Simulates `traffic` to `vip` until VPP stops, also if the VIP is added later.
    pub fn set_traffic(&self, vip: impl Into<VppVip>, traffic: Traffic) {
        self.edit(|lb| lb.set_traffic(vip, traffic));
    }

    /// The counters of a VIP; `None` for an unknown VIP.
    pub fn packets(&self, vip: impl Into<VppVip>) -> Option<VipPackets> {
        self.edit(|lb| lb.packets(vip.into()))
    }

    /// The packets and bytes that the traffic made for the server address since VPP's start, regardless of the counters.
    pub fn sent(&self, address: IpAddr) -> Sent {
        self.edit(|lb| lb.sent(address))
    }

    /// Moves the route to a server to another index, whose counters start at 0.
    pub fn restack(&self, address: IpAddr) {
        self.edit(|lb| lb.restack(address));
    }

    /// Sets the counters of all routes to 0.
    pub fn clear_route_counters(&self) {
        self.edit(Lb::clear_route_counters);
    }

    /// The process ID in replies to `control_ping`.
    pub fn pid(&self) -> u32 {
        self.shared.state().vpp.pid
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.state().vpp.connections()
    }

    /// The current state of VPP.
    pub fn snapshot(&self) -> Snapshot {
        self.edit(Snapshot::new)
    }

    /// Changes VPP's state without a client; not recorded in the journal.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Lb) -> T) -> T {
        let mut state = self.shared.state();
        state.vpp.catch_up();
        change(&mut state.vpp.lb)
    }

    /// Number of requests per message since the first start.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.shared.state().journal.requests()
    }

    /// Number of writes since the first start, including rejected ones.
    pub fn writes(&self) -> u64 {
        self.shared.state().journal.writes()
    }

    /// The current position, for [`Self::writes_since`].
    pub fn mark(&self) -> Mark {
        self.shared.state().journal.mark()
    }

    /// The writes since `mark` in order, including rejected ones. Limited to the last 100,000.
    pub fn writes_since(&self, mark: Mark) -> Vec<RecordedWrite> {
        self.shared.state().journal.writes_since(mark)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(run) = self.run.get_mut().take() {
            self.shared.state().running = false;
            run.ended.cancel();
            // Errors cannot be reported from `drop`.
            let _ = self.remove_sockets();
        }
    }
}
