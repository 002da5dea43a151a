//! The options of a dashboard.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;
use kube::Client;
use maglev_kube::UserClients;
use maglev_net::ConnectionLimits;

#[derive(Debug)]
pub struct DashboardOptions {
    /// Addresses to listen on.
    pub addresses: Vec<SocketAddr>,
    /// Limits of connections, over all addresses.
    pub connections: ConnectionLimits,
    /// Names that requests may have in `Host`, beside `localhost` and addresses; `*.example.org` allows all
    /// names below it, and `*` all names.
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies whose X-Forwarded-For is trusted.
    pub trusted_proxies: Vec<IpNet>,
    pub build: Build,
    /// The namespace of the agents; `None` for all namespaces.
    pub namespace: Option<String>,
    /// Interval between keep-alives on an event stream.
    pub ping: Duration,
    /// Messages buffered for one browser before it is disconnected; see [`DashboardOptions::DEFAULT_BUFFER`].
    pub buffer: usize,
    /// A random number that identifies this process in the ids of messages.
    pub replica: u64,
    /// Without it, nobody signs in: everybody may read, and operator changes are disabled.
    pub sign_in: Option<SignInOptions>,
}

impl DashboardOptions {
    /// A browser that reads this slowly is better off reconnecting.
    pub const DEFAULT_BUFFER: usize = 512;
}

#[derive(Clone, Debug)]
pub struct Build {
    pub version: &'static str,
    pub commit: &'static str,
    /// `None` if the build did not set it.
    pub build_date: Option<&'static str>,
}

/// Options of sign-in.
pub struct SignInOptions {
    pub mode: SignInMode,
    /// File with the secret that encrypts cookies, the same for all replicas; at least [`SignInOptions::KEY_BYTES`] bytes.
    /// A new secret takes effect after some seconds.
    pub key_file: PathBuf,
    pub clock: Clock,
}

impl SignInOptions {
    /// Shortest accepted secret.
    pub const KEY_BYTES: usize = 32;
}

/// Returns the present time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The authentication of users.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub enum SignInMode {
    /// By one username and password, for changes only. `client` writes the changes.
    Basic {
        /// Directory with the files `username` and `password`. New contents take effect after some seconds.
        credentials_dir: PathBuf,
        client: Client,
    },
    /// By a Kubernetes token, which also authorizes the user.
    Token {
        clients: UserClients,
        /// Reading requires a session of a user who may list every kind of maglev.vpp.io in all namespaces.
        to_read: bool,
        /// Users may make the changes that the API server allows them.
        to_change: bool,
    },
}

impl SignInMode {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "basic",
            Self::Token { .. } => "token",
        }
    }
}

impl fmt::Debug for SignInOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInOptions").field("mode", &self.mode.as_str()).finish_non_exhaustive()
    }
}
