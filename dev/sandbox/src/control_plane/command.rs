//! The command lines of the children, and the paths of their files.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::assets::{Assets, Tool};
use super::super::processes::Launch;
use super::SandboxError;
use super::kubeconfig::{self, Credentials};
use super::pki::{self, Authority, Subject};
use super::port::Ports;

/// Service addresses; the sandbox does not route them.
const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The IPv6 addresses of dual-stack Services.
const SERVICE_RANGE_V6: &str = "fd00:10:96::/112";
/// The address of the Service `kubernetes`: the first of [`SERVICE_RANGE`].
const FIRST_SERVICE: &str = "10.96.0.1";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Paths, ports and binaries of the children.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    assets: Assets,
    ports: Ports,
}

impl Layout {
    /// Creates the directories, and removes etcd's data of an earlier attempt, which is useless with new keys.
    pub fn new(dir: &Path, assets: Assets, ports: Ports) -> Result<Self, SandboxError> {
        fs::create_dir_all(dir).map_err(SandboxError::file("create", dir))?;
        let dir = dir.canonicalize().map_err(SandboxError::file("resolve", dir))?;
        let layout = Self { dir, assets, ports };
        let _ = fs::remove_dir_all(layout.etcd_data());
        for dir in [layout.pki(), layout.dir.join("logs")] {
            fs::create_dir_all(&dir).map_err(SandboxError::file("create", dir))?;
        }
        Ok(layout)
    }

    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    fn etcd_data(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    fn pki_file(&self, name: &str) -> String {
        self.pki().join(name).display().to_string()
    }

    fn kubeconfig_for(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.kubeconfig"))
    }

    fn launch(&self, tool: Tool) -> Launch {
        let name = tool.file_name();
        Launch::new(name, self.assets.path(tool), self.dir.join(format!("logs/{name}.log"))).dir(&self.dir)
    }

    /// Writes certificates, keys and kubeconfigs of all children and of the administrator.
    pub fn issue_all(&self, authority: &Authority) -> Result<(), SandboxError> {
        let pki = self.pki();
        let server = Subject::user("kube-apiserver").name("localhost").name("127.0.0.1").name(FIRST_SERVICE);
        let server = server.name("kubernetes.default.svc");
        authority.issue_files(&pki, "apiserver", &server)?;
        let kubelet_client = Subject::user("kube-apiserver-kubelet-client").group("system:masters");
        authority.issue_files(&pki, "apiserver-kubelet-client", &kubelet_client)?;
        pki::write_token_keys(&pki)?;
        let admin = Subject::user("sandbox-admin").group("system:masters");
        self.issue_kubeconfig(authority, &self.admin_kubeconfig(), &admin)?;
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let user = Subject::user(format!("system:{name}"));
            self.issue_kubeconfig(authority, &self.kubeconfig_for(name), &user)?;
        }
        Ok(())
    }

    fn issue_kubeconfig(&self, authority: &Authority, path: &Path, user: &Subject) -> Result<(), SandboxError> {
        let credentials = Credentials::Certificate(authority.issue(user)?);
        kubeconfig::write(path, &self.server(), authority.certificate_pem(), "default", &credentials)
    }

    pub fn etcd(&self) -> Launch {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd_client);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        self.launch(Tool::Etcd).args([
            "--name=sandbox".to_owned(),
            format!("--data-dir={}", self.etcd_data().display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=sandbox={peer}"),
            // A sandbox need not survive a power failure, and fsync is slow.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ])
    }

    pub fn api_server(&self) -> Launch {
        self.launch(Tool::ApiServer).args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd_client),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--secure-port={}", self.ports.api_server),
            format!("--client-ca-file={}", self.pki_file("ca.crt")),
            format!("--tls-cert-file={}", self.pki_file("apiserver.crt")),
            format!("--tls-private-key-file={}", self.pki_file("apiserver.key")),
            format!("--kubelet-client-certificate={}", self.pki_file("apiserver-kubelet-client.crt")),
            format!("--kubelet-client-key={}", self.pki_file("apiserver-kubelet-client.key")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--service-account-key-file={}", self.pki_file("service-account.pub")),
            format!("--service-account-signing-key-file={}", self.pki_file("service-account.key")),
            format!("--service-account-issuer={ISSUER}"),
            "--authorization-mode=Node,RBAC".to_owned(),
            format!("--service-cluster-ip-range={SERVICE_RANGE},{SERVICE_RANGE_V6}"),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
        ])
    }

    pub fn controller_manager(&self) -> Launch {
        let kubeconfig = self.kubeconfig_for("kube-controller-manager");
        self.launch(Tool::ControllerManager).args([
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--service-account-private-key-file={}", self.pki_file("service-account.key")),
            format!("--root-ca-file={}", self.pki_file("ca.crt")),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ])
    }

    pub fn scheduler(&self) -> Launch {
        let kubeconfig = self.kubeconfig_for("kube-scheduler");
        self.launch(Tool::Scheduler).args([
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ])
    }
}
