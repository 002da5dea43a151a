//! A Kubernetes control plane as child processes on loopback: etcd, kube-apiserver and, if pods are to be created and
//! scheduled, kube-controller-manager and kube-scheduler. RBAC is enabled.
//!
//! Used by `up` and by the tests. Nodes and pods are the task of `node`.
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
pub use pki::{Authority, IssuedCertificate, Subject};

use super::SandboxError;
use super::assets::Assets;
use super::processes::{Process, Processes};
use command::Layout;
use port::Ports;

/// Number of starts: another process can take a port after it was chosen.
const PORT_ATTEMPTS: u32 = 4;
/// Interval of readiness checks.
const POLL: Duration = Duration::from_millis(50);
/// Interval at which [`ControlPlane::supervise`] looks for children that have exited.
const SUPERVISION: Duration = Duration::from_millis(500);
/// Lifetime of a token of [`ControlPlane::issue_token`] in seconds: 30 days.
const TOKEN_SECONDS: i64 = 30 * 24 * 3600;

#[derive(Debug, Clone)]
pub struct Options {
    pub assets: Assets,
    /// Also run the controller manager and the scheduler: without them no pod is created or bound, no namespace is
    /// finalized and no ServiceAccount `default` is created.
    pub controllers: bool,
    /// Time limit for each step of the start (4 s on an idle machine, far more on a busy one).
    pub ready_within: Duration,
    /// Time between SIGTERM and SIGKILL for a child. A kill loses nothing: etcd holds the state.
    pub stop_within: Duration,
}

impl Options {
    /// etcd and the API server only, with long time limits.
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

/// A running control plane. Dropping it kills its children; [`ControlPlane::stop`] stops them in order.
#[derive(Debug)]
pub struct ControlPlane {
    layout: Layout,
    authority: Authority,
    options: Options,
    processes: Processes,
    admin: Kubeconfig,
    // Fields are dropped, and with them the children, in the order of declaration.
    controllers: Vec<Process>,
    api_server: Mutex<Option<Process>>,
    etcd: Process,
}

impl ControlPlane {
    /// Starts all children, with files in `dir`. Returns once the API server is ready and the controllers, if any, work.
    ///
    /// # Errors
    /// A child exited or was not ready in time; the error contains the end of its log.
    pub async fn start(dir: &Path, processes: &Processes, options: Options) -> Result<Self, SandboxError> {
        let mut attempt = 1;
        loop {
            match Self::try_start(dir, processes.clone(), options.clone()).await {
                Err(error) if error.is_port_taken() && attempt < PORT_ATTEMPTS => attempt += 1,
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
        // Sign of a working controller manager: no pod is admitted without this ServiceAccount.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        let created = async || match accounts.get_opt("default").await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("ServiceAccount default/default does not exist yet".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        self.until(&self.controllers[0], created).await?;
        Ok(self)
    }

    /// Repeats `check` until success, exit of `child` or etcd, or timeout.
    async fn until(&self, child: &Process, check: impl AsyncFn() -> Result<(), String>) -> Result<(), SandboxError> {
        let within = self.options.ready_within;
        let deadline = Instant::now() + within;
        loop {
            // etcd first: without etcd the other children exit as well.
            if let Some(error) = self.etcd.exit_error().or_else(|| child.exit_error()) {
                return Err(error);
            }
            let Err(last) = check().await else { return Ok(()) };
            if Instant::now() >= deadline {
                let (name, log) = (child.name().to_owned(), child.log().to_owned());
                return Err(SandboxError::NotReady { name, within, last, log, tail: child.log_tail() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts the API server unless it runs, with the same ports and data as before.
    ///
    /// # Errors
    /// The API server exited or was not ready in time.
    pub async fn start_api_server(&self) -> Result<(), SandboxError> {
        let mut slot = self.api_server.lock().await;
        if slot.as_ref().is_some_and(|running| running.exited().is_none()) {
            return Ok(());
        }
        let child = self.processes.spawn(self.layout.api_server()).await?;
        let client = self.client().await?;
        let ready = async || {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a constant request is well-formed");
            client.request_text(request).await.map(|_| ()).map_err(|error| error.to_string())
        };
        self.until(&child, ready).await?;
        *slot = Some(child);
        Ok(())
    }

    /// Stops the API server only, as in an outage. etcd keeps the data.
    pub async fn stop_api_server(&self) {
        if let Some(child) = self.api_server.lock().await.take() {
            child.stop(self.options.stop_within).await;
        }
    }

    /// Stops controllers, then the API server, then etcd (without etcd, an API server takes minutes to stop).
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

    /// Starts the API server again whenever it has exited, as a kubelet does. Returns an API server that does not start, or the
    /// exit of another child, as an error. [`ControlPlane::stop_api_server`] is no exit.
    pub async fn supervise(&self) -> SandboxError {
        loop {
            let api_server = self.api_server.lock().await.as_ref().and_then(Process::exit_error);
            let controller = self.controllers.iter().find_map(Process::exit_error);
            if let Some(error) = self.etcd.exit_error().or(controller) {
                return error;
            }
            if let Some(exit) = api_server {
                tracing::warn!(%exit, "the API server is started again");
                if let Err(error) = self.start_api_server().await {
                    return error;
                }
            }
            tokio::time::sleep(SUPERVISION).await;
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

    /// The certificate authority of the cluster; it signs the certificates of nodes as well.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    pub fn assets(&self) -> &Assets {
        &self.options.assets
    }

    /// The administrator's client configuration.
    ///
    /// # Errors
    /// The kubeconfig is invalid.
    pub async fn config(&self) -> Result<kube::Config, SandboxError> {
        let config = kube::Config::from_custom_kubeconfig(self.admin.clone(), &KubeConfigOptions::default()).await;
        config.map_err(|source| SandboxError::Kubeconfig {
            action: "use",
            path: self.layout.admin_kubeconfig(),
            source: Box::new(source),
        })
    }

    /// A new client for an administrator. A client belongs to the runtime that it was created in, so tests do not share one.
    ///
    /// # Errors
    /// The kubeconfig is invalid.
    pub async fn client(&self) -> Result<kube::Client, SandboxError> {
        let config = self.config().await?;
        kube::Client::try_from(config).map_err(SandboxError::api("create a client for the API server"))
    }

    /// A token of a ServiceAccount, like the tokens of its pods.
    ///
    /// # Errors
    /// The ServiceAccount does not exist.
    pub async fn issue_token(&self, namespace: &str, service_account: &str) -> Result<String, SandboxError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let issued = accounts.create_token_request(service_account, &PostParams::default(), &request).await;
        let issued = issued.map_err(SandboxError::api(format!("issue a token of {namespace}/{service_account}")))?;
        Ok(issued.status.map(|status| status.token).unwrap_or_default())
    }

    /// Writes a kubeconfig for this API server to `path`, readable by its owner only, with `namespace` as the default.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        namespace: &str,
        credentials: &Credentials,
    ) -> Result<(), SandboxError> {
        kubeconfig::write(path, &self.server(), self.authority.certificate_pem(), namespace, credentials)
    }
}
