//! Operator changes from the page: authentication of users and execution of their changes.
//!
//! ```text
//! POST ─▶ origin: same origin? JSON? ─▶ authentication: cookie? CSRF header? ─▶ actions ─▶ fleet::operator_change
//!                      └─▶ sign_in: rate limit, password or token ─▶ encrypted cookie
//! ```
//!
//! Two modes. `basic`: one username and password from files; the dashboard's ServiceAccount writes. `token`: the user's
//! own Kubernetes token, which is sent with the write; the dashboard has no permission to write. The token exists only in
//! the encrypted cookie and in the requests made with it.

mod actions;
mod authentication;
mod cookie;
mod credentials;
mod error;
mod origin;
mod revoked_sessions;
mod session;
mod sign_in;
mod sign_in_limit;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::{any, get, post},
};
use axum_extra::extract::cookie::Key;
use parking_lot::Mutex;

use self::{credentials::Credentials, revoked_sessions::RevokedSessions, sign_in_limit::SignInLimit};
use super::{
    Error,
    options::{AdminMode, AdminOptions, Clock},
    responses::relative_redirect,
};
use maglev_fleet::FleetHandle;

/// Largest request body; a long token has about 3 KiB.
const MAX_BODY: usize = 16 * 1024;

/// Time in seconds for which the mounted Secrets are not read again.
const SECRETS_MAX_AGE: i64 = 5;

/// State that all administrative requests share.
pub struct Admin {
    mode: AdminMode,
    key_file: PathBuf,
    clock: Clock,
    fleet: FleetHandle,
    sign_in_limit: SignInLimit,
    revoked: RevokedSessions,
    /// The mounted Secrets, and the time at which they were read.
    secrets: Mutex<Option<(i64, Arc<Secrets>)>>,
}

/// The contents of the mounted Secrets.
struct Secrets {
    /// `None` in mode `token`.
    credentials: Option<Credentials>,
    /// Encrypts cookies. Derived from the credentials, too, so that new ones end every session.
    cookie_key: Key,
}

impl Admin {
    pub fn new(options: AdminOptions, fleet: FleetHandle) -> Self {
        let AdminOptions { mode, key_file, clock } = options;
        let (sign_in_limit, revoked) = (SignInLimit::default(), RevokedSessions::default());
        Self { mode, key_file, clock, fleet, sign_in_limit, revoked, secrets: Mutex::default() }
    }

    /// Checks that all files are readable and valid.
    pub fn check(&self) -> Result<(), Error> {
        self.secrets().map(drop)
    }

    /// Seconds of Unix time.
    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// The mounted Secrets. They are not read for each request, because requests are free for everyone.
    fn secrets(&self) -> Result<Arc<Secrets>, Error> {
        let (now, mut cached) = (self.now(), self.secrets.lock());
        if let Some((_, secrets)) = cached.as_ref().filter(|(read, _)| (0..SECRETS_MAX_AGE).contains(&(now - read))) {
            return Ok(Arc::clone(secrets));
        }
        let secrets = Arc::new(self.read_secrets()?);
        *cached = Some((now, Arc::clone(&secrets)));
        Ok(secrets)
    }

    fn read_secrets(&self) -> Result<Secrets, Error> {
        let credentials = match &self.mode {
            AdminMode::Basic { credentials_dir, .. } => Some(Credentials::read(credentials_dir)?),
            AdminMode::Token(_) => None,
        };
        let purpose = credentials.as_ref().map_or_else(|| b"token".to_vec(), Credentials::digest);
        let cookie_key = cookie::derive_key(&credentials::read_key(&self.key_file)?, &purpose);
        Ok(Secrets { credentials, cookie_key })
    }
}

/// The routes below `/admin/`. Without `admin`, all of them report that operator changes are disabled.
pub fn routes<S: Clone + Send + Sync + 'static>(admin: Option<Arc<Admin>>) -> Router<S> {
    let Some(admin) = admin else {
        return Router::new()
            .route("/admin", any(disabled))
            .route("/admin/{*path}", any(disabled))
            .route("/admin/", any(disabled));
    };
    let signed_in = Router::new()
        .route("/admin/preview", post(actions::preview))
        .route("/admin/change", post(actions::change))
        .route("/admin/sign-out", post(sign_in::sign_out))
        .route_layer(from_fn_with_state(Arc::clone(&admin), authentication::require_session));
    Router::new()
        .route("/admin/sign-in", post(sign_in::sign_in))
        .merge(signed_in)
        .route_layer(from_fn(origin::require_same_origin_json))
        .route("/admin/session", get(sign_in::session))
        .route("/admin", get(|| async { relative_redirect("view/") }))
        .route("/admin/", get(|| async { relative_redirect("../view/") }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(admin)
}

async fn disabled() -> Response {
    error::disabled()
}

#[cfg(test)]
pub(crate) mod wire {
    //! The types of requests and responses.

    pub(crate) use super::{
        actions::{Change, ChangeBody, ChangeReport, Preview},
        sign_in::{SessionStatus, SignInBody, SignedIn},
    };
}
