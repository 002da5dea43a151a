//! The sandbox's backends: live HTTP servers on loopback addresses whose health can be toggled.
//!
//! `maglev-sandbox up` starts them ([`DemoBackends::start`]); `maglev-sandbox backend NAME MODE --dir DIR` ([`BackendArgs`]) and tests
//! change how they behave. They know nothing of Kubernetes: the `Backend` objects that point at them are in `examples/`.
//!
//! ```text
//!  maglev-sandbox backend ──line──► DIR/backends.sock ─► control ─┐
//!                                                   flap (seeded) ├─► Mode ─► server: one listener per backend
//!                                          DemoBackends::set_mode ┘
//! ```

mod control;
mod flap;
mod server;

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

pub use control::BackendArgs;
pub use flap::Flap;

/// The port every demo backend listens on.
pub const PORT: u16 = 8080;

/// How a backend behaves towards the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Answers 200 with its name.
    Ok,
    /// Answers 503.
    Fail,
    /// Answers 200, but only after three seconds.
    Slow,
    /// Accepts the connection and never answers.
    Hang,
    /// Closes its port: connections are refused.
    Refuse,
}

impl Mode {
    /// All modes, in the order help and errors name them.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Fail, Self::Slow, Self::Hang, Self::Refuse];

    /// The word typed for it.
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

/// What can go wrong with the demo backends, on the serving and on the asking side.
#[derive(Debug, thiserror::Error)]
pub enum DemoBackendError {
    /// A backend's address cannot be listened on.
    #[error("could not listen on {address} for backend {name}")]
    Listen {
        /// The backend.
        name: String,
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The control socket cannot be made.
    #[error("could not make the control socket {}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another sandbox serves this directory.
    #[error("a sandbox is already running in {}", dir.display())]
    AlreadyRunning {
        /// The sandbox's directory.
        dir: PathBuf,
    },
    /// Nobody answers in this directory.
    #[error("no sandbox is running in {}: start one with `maglev-sandbox up --dir {}`", dir.display(), dir.display())]
    NotRunning {
        /// The directory that was asked for.
        dir: PathBuf,
    },
    /// The sandbox was there, but the conversation broke off.
    #[error("lost the sandbox in {} while asking it", dir.display())]
    Lost {
        /// The sandbox's directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No backend of that name.
    #[error("no backend {name:?} in the sandbox: it has {known}")]
    Unknown {
        /// What was typed.
        name: String,
        /// The names there are, with commas.
        known: String,
    },
    /// The sandbox refused the request.
    #[error("{0}")]
    Refused(String),
}

impl DemoBackendError {
    /// A fixed word for the kind of error.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "ListenFailed",
            Self::Control { .. } => "ControlSocketFailed",
            Self::AlreadyRunning { .. } => "AlreadyRunning",
            Self::NotRunning { .. } => "NotRunning",
            Self::Lost { .. } => "ConnectionLost",
            Self::Unknown { .. } => "UnknownBackend",
            Self::Refused(_) => "Refused",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

/// Which backends to run and how.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The sandbox's directory; the control socket `backends.sock` is made in it.
    pub dir: PathBuf,
    /// Name and address of each backend; port 0 takes a free one.
    pub backends: Vec<(String, SocketAddr)>,
    /// How long a slow backend takes to answer.
    pub slow: Duration,
    /// Let backends come and go at random.
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

/// One backend: where it listens, how it behaves, what it has done.
#[derive(Debug)]
struct DemoBackend {
    name: String,
    address: SocketAddr,
    slow: Duration,
    mode: watch::Sender<Mode>,
    answered: AtomicU64,
}

/// The running backends; a clone refers to the same ones.
#[derive(Clone, Debug)]
pub struct DemoBackends {
    backends: Arc<[Arc<DemoBackend>]>,
    tasks: TaskTracker,
}

impl DemoBackends {
    /// Listens on every address and on the control socket, and serves until `shutdown`.
    ///
    /// # Errors
    /// [`DemoBackendError::Listen`], [`DemoBackendError::Control`] or [`DemoBackendError::AlreadyRunning`]; nothing is left running then.
    pub async fn start(options: DemoOptions, shutdown: CancellationToken) -> Result<Self, DemoBackendError> {
        let control = control::Control::bind(&options.dir).await?;
        let mut bound = Vec::with_capacity(options.backends.len());
        for (name, address) in options.backends {
            bound.push(listen(name, address, options.slow).await?);
        }
        let backends = bound.iter().map(|(backend, _)| Arc::clone(backend)).collect();
        let this = Self { backends, tasks: TaskTracker::new() };
        for (backend, listener) in bound {
            this.tasks.spawn(server::Server { backend, listener }.run(shutdown.clone()));
        }
        this.tasks.spawn(control.run(this.clone(), shutdown.clone()));
        if let Some(flap) = options.flap {
            this.tasks.spawn(flap.run(this.clone(), shutdown));
        }
        this.tasks.close();
        Ok(this)
    }

    /// Returns once everything has ended, after the shutdown given to [`DemoBackends::start`].
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }

    /// Name, address and present mode of every backend, in their order.
    pub fn list(&self) -> Vec<(String, SocketAddr, Mode)> {
        self.backends.iter().map(|b| (b.name.clone(), b.address, *b.mode.borrow())).collect()
    }

    /// Changes how a backend behaves and returns how it did before. Requests already waiting for an answer are not affected, except that
    /// [`Mode::Refuse`] breaks every connection.
    ///
    /// # Errors
    /// [`DemoBackendError::Unknown`].
    pub fn set_mode(&self, name: &str, mode: Mode) -> Result<Mode, DemoBackendError> {
        Ok(self.find(name)?.mode.send_replace(mode))
    }

    /// How many requests the backend has answered, with whatever status.
    ///
    /// # Errors
    /// [`DemoBackendError::Unknown`].
    pub fn answered(&self, name: &str) -> Result<u64, DemoBackendError> {
        Ok(self.find(name)?.answered.load(Ordering::Relaxed))
    }

    fn find(&self, name: &str) -> Result<&DemoBackend, DemoBackendError> {
        self.backends.iter().map(Arc::as_ref).find(|b| b.name == name).ok_or_else(|| DemoBackendError::Unknown {
            name: name.to_owned(),
            known: self.backends.iter().map(|b| b.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

async fn listen(
    name: String,
    wanted: SocketAddr,
    slow: Duration,
) -> Result<(Arc<DemoBackend>, TcpListener), DemoBackendError> {
    let fail = |source| DemoBackendError::Listen { name: name.clone(), address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let mode = watch::Sender::new(Mode::Ok);
    Ok((Arc::new(DemoBackend { name, address, slow, mode, answered: AtomicU64::new(0) }), listener))
}

#[cfg(test)]
mod tests;
