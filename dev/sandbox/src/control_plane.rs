//! A real Kubernetes control plane as child processes on loopback: etcd, kube-apiserver and, where pods must be made
//! and scheduled, kube-controller-manager and kube-scheduler. RBAC is on.
//!
//! Called by `up` and by the tests. It makes no Node and runs no pod; `node` does.
//!
//! ```text
//! DIR/pki/         authority, keys, certificates        DIR/etcd/   etcd's data
//! DIR/kubeconfig   for a cluster administrator          DIR/logs/   one file per child
//! ```

mod command;
mod kubeconfig;
mod pki;
mod port;

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use kubeconfig::{Credentials, write as write_kubeconfig};
pub use pki::{Authority, Issued, Subject};

use super::SandboxError;
use super::assets::Assets;
use super::processes::{Process, Processes};
use command::Layout;
use port::Ports;

/// How often the ports may be taken by somebody else between choosing and using them.
const PORT_ATTEMPTS: u32 = 4;
/// How often a readiness question is repeated.
const POLL: Duration = Duration::from_millis(50);
/// How long a token of [`ControlPlane::issue_token`] is good for, in seconds: 30 days.
const TOKEN_SECONDS: i64 = 30 * 24 * 3600;

/// What to start, and how patient to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the binaries are.
    pub assets: Assets,
    /// Also run the controller manager and the scheduler: without them no pod is made or bound, no namespace is
    /// finalised and no ServiceAccount `default` appears.
    pub controllers: bool,
    /// How long each step of the start may take (an idle machine needs 4 s, a busy one far more).
    pub ready_within: Duration,
    /// How long a child may take to end by itself before it is killed. Nothing is lost by a kill: etcd holds the state.
    pub stop_within: Duration,
}

impl Options {
    /// etcd and the API server only, with generous limits.
    pub fn new(assets: Assets) -> Self {
        let (ready_within, stop_within) = (Duration::from_secs(120), Duration::from_secs(5));
        Self { assets, controllers: false, ready_within, stop_within }
    }

    /// Adds the controller manager and the scheduler.
    pub fn with_controllers(mut self) -> Self {
        self.controllers = true;
        self
    }
}

/// A running control plane. Dropping it kills its children; [`ControlPlane::stop`] ends them in order.
#[derive(Debug)]
pub struct ControlPlane {
    layout: Layout,
    authority: Authority,
    options: Options,
    processes: Processes,
    admin: Kubeconfig,
    // Declared in the order in which they are to end when dropped.
    controllers: Vec<Process>,
    api_server: Mutex<Option<Process>>,
    etcd: Process,
}

impl ControlPlane {
    /// Starts everything under `dir` and returns once the API server says it is ready (and, with controllers, once they
    /// work).
    ///
    /// # Errors
    /// When a child ends or is not ready in time; the error shows the end of its log.
    pub async fn start(dir: &Path, processes: &Processes, options: Options) -> Result<Self, SandboxError> {
        let mut attempt = 1;
        loop {
            match Self::try_start(dir, processes.clone(), options.clone()).await {
                Err(err) if err.is_port_taken() && attempt < PORT_ATTEMPTS => attempt += 1,
                started => return started,
            }
        }
    }

    async fn try_start(dir: &Path, processes: Processes, options: Options) -> Result<Self, SandboxError> {
        let layout = Layout::new(dir, options.assets.clone(), Ports::choose()?)?;
        let authority = Authority::create(&layout.pki())?;
        layout.issue_all(&authority)?;
        let admin = Kubeconfig::read_from(layout.admin_kubeconfig()).map_err(|source| SandboxError::Kubeconfig {
            action: "read",
            path: layout.admin_kubeconfig(),
            source: Box::new(source),
        })?;
        let etcd = processes.spawn(layout.etcd()).await?;
        let api_server = Mutex::new(None);
        let plane = Self { layout, authority, options, processes, admin, controllers: Vec::new(), api_server, etcd };
        plane.start_api_server().await?;
        plane.start_controllers().await
    }

    async fn start_controllers(mut self) -> Result<Self, SandboxError> {
        if !self.options.controllers {
            return Ok(self);
        }
        for launch in [self.layout.controller_manager(), self.layout.scheduler()] {
            self.controllers.push(self.processes.spawn(launch).await?);
        }
        // The first sign of work that anybody needs: without it no pod is admitted.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        let made = async || match accounts.get_opt("default").await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("no ServiceAccount default/default yet".to_owned()),
            Err(err) => Err(err.to_string()),
        };
        self.until(&self.controllers[0], made).await?;
        Ok(self)
    }

    /// Asks `question` until it answers `Ok`, `child` or etcd ends, or the time is over.
    async fn until(&self, child: &Process, question: impl AsyncFn() -> Result<(), String>) -> Result<(), SandboxError> {
        let within = self.options.ready_within;
        let deadline = Instant::now() + within;
        loop {
            // etcd first: when it is gone, the others end for that reason.
            if let Some(err) = self.etcd.exit_error().or_else(|| child.exit_error()) {
                return Err(err);
            }
            let Err(last) = question().await else { return Ok(()) };
            if Instant::now() >= deadline {
                let (name, log) = (child.name().to_owned(), child.log().to_owned());
                return Err(SandboxError::NotReady { name, within, last, log, tail: child.log_tail() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts the API server, on the ports and data it had before; nothing happens when it runs.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub async fn start_api_server(&self) -> Result<(), SandboxError> {
        let mut slot = self.api_server.lock().await;
        if slot.as_ref().is_some_and(|running| running.exited().is_none()) {
            return Ok(());
        }
        let child = self.processes.spawn(self.layout.api_server()).await?;
        let client = self.client().await?;
        let ready = async || {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a constant request is well-formed");
            client.request_text(request).await.map(|_| ()).map_err(|err| err.to_string())
        };
        self.until(&child, ready).await?;
        *slot = Some(child);
        Ok(())
    }

    /// Ends the API server alone, as in an outage. etcd keeps the data.
    pub async fn stop_api_server(&self) {
        if let Some(child) = self.api_server.lock().await.take() {
            child.stop(self.options.stop_within).await;
        }
    }

    /// Ends every child: controllers, then the API server, then etcd (an API server without etcd takes minutes).
    pub async fn stop(self) {
        for child in &self.controllers {
            child.signal(nix::sys::signal::Signal::SIGTERM);
        }
        for child in &self.controllers {
            child.stop(self.options.stop_within).await;
        }
        self.stop_api_server().await;
        self.etcd.stop(self.options.stop_within).await;
    }

    /// Waits until one of the children ends by itself and returns that as an error. An API server stopped by
    /// [`ControlPlane::stop_api_server`] does not count.
    pub async fn failed(&self) -> SandboxError {
        loop {
            let api_server = self.api_server.lock().await.as_ref().and_then(Process::exit_error);
            let controller = self.controllers.iter().find_map(Process::exit_error);
            if let Some(err) = self.etcd.exit_error().or(api_server).or(controller) {
                return err;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The administrator's kubeconfig file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.admin_kubeconfig()
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        self.layout.server()
    }

    /// The one authority that signs and is trusted by everything here; nodes get their certificates from it.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where the binaries are.
    pub fn assets(&self) -> &Assets {
        &self.options.assets
    }

    /// The administrator's client configuration.
    ///
    /// # Errors
    /// When the kubeconfig cannot be understood.
    pub async fn config(&self) -> Result<kube::Config, SandboxError> {
        let config = kube::Config::from_custom_kubeconfig(self.admin.clone(), &KubeConfigOptions::default()).await;
        config.map_err(|source| SandboxError::Kubeconfig {
            action: "use",
            path: self.layout.admin_kubeconfig(),
            source: Box::new(source),
        })
    }

    /// A new client for an administrator. It belongs to the runtime it is made in, so each test makes its own.
    ///
    /// # Errors
    /// When the kubeconfig cannot be understood.
    pub async fn client(&self) -> Result<kube::Client, SandboxError> {
        let config = self.config().await?;
        kube::Client::try_from(config).map_err(SandboxError::api("make a client for the API server"))
    }

    /// A token of a ServiceAccount, as its pods would get it.
    ///
    /// # Errors
    /// When there is no such ServiceAccount.
    pub async fn issue_token(&self, namespace: &str, service_account: &str) -> Result<String, SandboxError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let wanted = TokenRequest { spec, ..TokenRequest::default() };
        let issued = accounts.create_token_request(service_account, &PostParams::default(), &wanted).await;
        let issued = issued.map_err(SandboxError::api(format!("issue a token of {namespace}/{service_account}")))?;
        Ok(issued.status.map(|status| status.token).unwrap_or_default())
    }

    /// Writes a kubeconfig for this API server to `path` (readable by its owner only). `namespace` is the default one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        namespace: &str,
        credentials: &Credentials,
    ) -> Result<(), SandboxError> {
        kubeconfig::write(path, &self.server(), self.authority.certificate_pem(), namespace, credentials)
    }
}
