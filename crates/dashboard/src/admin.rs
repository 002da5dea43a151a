//! Changes by hand from the page: who may make them, and how they get here.
//!
//! ```text
//! POST ─▶ guard: same origin? JSON? ─▶ session: cookie? CSRF header? ─▶ actions ─▶ fleet::by_hand ─▶ API server
//!                      └─▶ sign_in: tries, password or token ─▶ cookie, sealed
//! ```
//!
//! Two modes. `basic`: one user and password from files; the write is our own ServiceAccount's. `token`: the user's own
//! Kubernetes token, with which the write is sent; we have no right to write then. The token is nowhere but in the
//! sealed cookie and in the requests made with it.

mod actions;
mod cookie;
mod credentials;
mod guard;
mod rate;
mod refused;
mod revoked;
mod session;
mod sign_in;

use std::{fmt, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::{any, get, post},
};
use jiff::Timestamp;
use kube::Client;

use self::{cookie::Sealer, credentials::Credentials, rate::Tries, revoked::Revoked};
use super::{Error, routes};
use maglev_fleet::FleetHandle;
use maglev_kube::UserClients;

/// No request needs more; a long token is some 3 KiB.
const MAX_BODY: usize = 16 * 1024;

/// How people who change things are known.
pub struct AdminOptions {
    pub mode: AdminMode,
    /// The file with the secret that cookies are sealed with, the same for all replicas; at least
    /// [`AdminOptions::KEY_BYTES`] bytes. It is read for each request, so that a new one holds at once.
    pub key_file: PathBuf,
    /// What time it is.
    pub clock: Clock,
}

impl AdminOptions {
    /// The shortest secret that cookies may be sealed with.
    pub const KEY_BYTES: usize = 32;
}

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Who may change things.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub enum AdminMode {
    /// Whoever knows the password; the changes are written by `client`.
    Basic {
        /// A directory with the files `username` and `password`, read for each request.
        credentials_dir: PathBuf,
        client: Client,
    },
    /// Whoever has a token that the API server takes; the changes are written with it.
    Token(UserClients),
}

impl AdminMode {
    fn word(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "basic",
            Self::Token(_) => "token",
        }
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminOptions").field("mode", &self.mode.word()).finish_non_exhaustive()
    }
}

/// What every request of an administrator needs.
pub struct Admin {
    mode: AdminMode,
    key_file: PathBuf,
    clock: Clock,
    fleet: FleetHandle,
    tries: Tries,
    revoked: Revoked,
}

impl Admin {
    pub fn new(options: AdminOptions, fleet: FleetHandle) -> Self {
        let AdminOptions { mode, key_file, clock } = options;
        Self { mode, key_file, clock, fleet, tries: Tries::default(), revoked: Revoked::default() }
    }

    /// Whether all files are there and say something.
    pub fn check(&self) -> Result<(), Error> {
        self.secrets().map(drop)
    }

    /// Seconds of Unix time.
    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// The password, where there is one, and what cookies are sealed with. Another password makes another seal: it ends
    /// every session.
    fn secrets(&self) -> Result<(Option<Credentials>, Sealer), Error> {
        let credentials = match &self.mode {
            AdminMode::Basic { credentials_dir, .. } => Some(Credentials::read(credentials_dir)?),
            AdminMode::Token(_) => None,
        };
        let purpose = credentials.as_ref().map_or_else(|| b"token".to_vec(), Credentials::digest);
        let sealer = Sealer::new(&credentials::key(&self.key_file)?, &purpose);
        Ok((credentials, sealer))
    }
}

/// The part of the site below `/admin/`. Without `admin` it says that it is off.
pub fn site<S: Clone + Send + Sync + 'static>(admin: Option<Arc<Admin>>) -> Router<S> {
    let Some(admin) = admin else {
        return Router::new().route("/admin", any(off)).route("/admin/{*path}", any(off)).route("/admin/", any(off));
    };
    let signed_in = Router::new()
        .route("/admin/preview", post(actions::preview))
        .route("/admin/change", post(actions::change))
        .route("/admin/sign-out", post(sign_in::sign_out))
        .route_layer(from_fn_with_state(Arc::clone(&admin), session::required));
    Router::new()
        .route("/admin/sign-in", post(sign_in::sign_in))
        .merge(signed_in)
        .route_layer(from_fn(guard::guard))
        .route("/admin/session", get(sign_in::session))
        .route("/admin", get(|| async { routes::relative("view/") }))
        .route("/admin/", get(|| async { routes::relative("../view/") }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(admin)
}

async fn off() -> Response {
    refused::off()
}
