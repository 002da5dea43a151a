//! The sandbox's backends: HTTP servers on loopback addresses with switchable behaviour.
//!
//! `maglev-sandbox up` starts the servers ([`DemoBackends::start`]); `maglev-sandbox backend NAME MODE --dir DIR`
//! ([`BackendArgs`]) and tests change their behaviour. The `Backend` objects with their addresses are in `examples/`.
//!
//! ```text
//!  maglev-sandbox backend ──line──► DIR/backends.sock ─► control ─┐
//!                                                   flap (seeded) ├─► Mode ─► server: one listener per backend
//!                                          DemoBackends::set_mode ┘
//! ```
//!
//! With packets ([`crate::packets`]), each backend also listens on the VIPs, in a network namespace of its own. The demo's
//! pods have the same server ([`PodArgs`]).

mod control;
mod echo;
mod flap;
mod place;
mod pod;
mod response;
mod server;
mod vip_servers;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use place::Place;
use server::{Server, Service};

pub use control::BackendArgs;
pub use flap::Flap;
pub use pod::PodArgs;
pub use response::BACKEND_HEADER;
pub(crate) use vip_servers::VipServers;

/// The port of the demo backends.
pub const PORT: u16 = 8080;

/// Behaviour of a backend for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Responds with 200 and its name.
    Ok,
    /// Responds with 503.
    Fail,
    /// Responds with 200 after three seconds.
    Slow,
    /// Accepts connections and never responds.
    Hang,
    /// Closes its port, so that connections are refused.
    Refuse,
}

impl Mode {
    /// All modes, in the order of help texts.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Fail, Self::Slow, Self::Hang, Self::Refuse];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Slow => "slow",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Errors of the demo backends and of the command that controls them.
#[derive(Debug, thiserror::Error)]
pub enum DemoBackendError {
    #[error("cannot listen on {address} for backend {name}")]
    Listen {
        name: String,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot create the control socket {}", path.display())]
    Control {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a sandbox is already running in {}", dir.display())]
    AlreadyRunning { dir: PathBuf },
    #[error("no sandbox is running in {}: start one with `maglev-sandbox up --dir {}`", dir.display(), dir.display())]
    NotRunning { dir: PathBuf },
    /// The connection to the sandbox broke.
    #[error("lost the connection to the sandbox in {}", dir.display())]
    Lost {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no backend {name:?} in the sandbox; existing: {existing}")]
    Unknown {
        name: String,
        /// Comma-separated names.
        existing: String,
    },
    #[error("{0}")]
    Refused(String),
    #[error("cannot listen for signals")]
    Signals {
        #[source]
        source: std::io::Error,
    },
}

impl DemoBackendError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "ListenFailed",
            Self::Control { .. } => "ControlSocketFailed",
            Self::AlreadyRunning { .. } => "AlreadyRunning",
            Self::NotRunning { .. } => "NotRunning",
            Self::Lost { .. } => "ConnectionLost",
            Self::Unknown { .. } => "UnknownBackend",
            Self::Refused(_) => "Refused",
            Self::Signals { .. } => "SignalsFailed",
        }
    }
}

#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The sandbox's directory, with the control socket `backends.sock`.
    pub dir: PathBuf,
    /// Name and address of each backend; port 0 selects a free port.
    pub backends: Vec<(String, SocketAddr)>,
    /// Response time of a slow backend.
    pub slow: Duration,
    /// Random failures.
    pub flap: Option<Flap>,
}

impl DemoOptions {
    /// The six backends of the demo: `web-1` … `web-4` on 127.0.2.1–4, `spare-1` and `spare-2` on 127.0.2.5–6, port [`PORT`].
    pub fn standard(dir: &Path) -> Self {
        let names = ["web-1", "web-2", "web-3", "web-4", "spare-1", "spare-2"];
        let address = |last| SocketAddr::from((Ipv4Addr::new(127, 0, 2, last), PORT));
        let backends = names.iter().zip(1..).map(|(name, last)| ((*name).to_owned(), address(last))).collect();
        Self { dir: dir.to_owned(), backends, slow: Duration::from_secs(3), flap: None }
    }
}

#[derive(Debug)]
pub(crate) struct DemoBackend {
    name: String,
    address: SocketAddr,
    slow: Duration,
    mode: watch::Sender<Mode>,
    responses: AtomicU64,
}

/// The running backends. Clones share them.
#[derive(Clone, Debug)]
pub struct DemoBackends {
    backends: Arc<[Arc<DemoBackend>]>,
    tasks: TaskTracker,
}

impl DemoBackends {
    /// Listens on all addresses and on the control socket, and serves until `shutdown`.
    ///
    /// # Errors
    /// [`DemoBackendError::Listen`], [`DemoBackendError::Control`] or [`DemoBackendError::AlreadyRunning`]. No task runs then.
    pub async fn start(options: DemoOptions, shutdown: CancellationToken) -> Result<Self, DemoBackendError> {
        let control = control::Control::bind(&options.dir).await?;
        let mut bound = Vec::with_capacity(options.backends.len());
        for (name, address) in options.backends {
            bound.push(listen(name, address, options.slow).await?);
        }
        let backends = bound.iter().map(|(backend, _)| Arc::clone(backend)).collect();
        let this = Self { backends, tasks: TaskTracker::new() };
        for (backend, listener) in bound {
            let place = Place { address: backend.address, namespace: None };
            let server = Server { backend, place, listener: Some(listener), service: Service::Http };
            this.tasks.spawn(server.run(shutdown.clone()));
        }
        this.tasks.spawn(control.run(this.clone(), shutdown.clone()));
        if let Some(flap) = options.flap {
            this.tasks.spawn(flap.run(this.clone(), shutdown));
        }
        this.tasks.close();
        Ok(this)
    }

    /// Waits for the end of all tasks, after the shutdown passed to [`DemoBackends::start`].
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }

    /// All backends, in the order of [`Self::list`].
    pub(crate) fn servers(&self) -> impl Iterator<Item = Arc<DemoBackend>> {
        self.backends.iter().cloned()
    }

    /// Name, address and current mode of all backends, in order.
    pub fn list(&self) -> Vec<(String, SocketAddr, Mode)> {
        self.backends.iter().map(|b| (b.name.clone(), b.address, *b.mode.borrow())).collect()
    }

    /// Changes the mode of a backend and returns the previous mode. Pending requests are not affected, except that
    /// [`Mode::Refuse`] closes all connections.
    ///
    /// # Errors
    /// [`DemoBackendError::Unknown`].
    pub fn set_mode(&self, name: &str, mode: Mode) -> Result<Mode, DemoBackendError> {
        Ok(self.find(name)?.mode.send_replace(mode))
    }

    /// Number of responses so far, with any status.
    ///
    /// # Errors
    /// [`DemoBackendError::Unknown`].
    pub fn responses(&self, name: &str) -> Result<u64, DemoBackendError> {
        Ok(self.find(name)?.responses.load(Ordering::Relaxed))
    }

    fn find(&self, name: &str) -> Result<&DemoBackend, DemoBackendError> {
        self.backends.iter().map(Arc::as_ref).find(|b| b.name == name).ok_or_else(|| DemoBackendError::Unknown {
            name: name.to_owned(),
            existing: self.backends.iter().map(|b| b.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

async fn listen(
    name: String,
    requested: SocketAddr,
    slow: Duration,
) -> Result<(Arc<DemoBackend>, TcpListener), DemoBackendError> {
    let fail = |source| DemoBackendError::Listen { name: name.clone(), address: requested, source };
    let listener = Place { address: requested, namespace: None }.listen().await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let mode = watch::Sender::new(Mode::Ok);
    Ok((Arc::new(DemoBackend { name, address, slow, mode, responses: AtomicU64::new(0) }), listener))
}

#[cfg(test)]
mod tests;
