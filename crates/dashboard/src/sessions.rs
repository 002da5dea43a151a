//! Sign-in, sessions and the right to read.
//!
//! ```text
//! POST sign-in ─▶ origin: same origin? JSON? ─▶ sign_in: rate limit, password or token ─▶ encrypted cookie
//! GET document, stream ─▶ authentication: cookie? ─▶ read_access: may the user still read? ─▶ documents, stream
//! POST change ─▶ origin ─▶ authentication: cookie? active? CSRF header? ─▶ admin
//! ```
//!
//! Two modes. `basic`: one username and password from files, for changes only. `token`: the user's own Kubernetes token,
//! which can be required for reading, too. The token exists only in the encrypted cookie and in the requests made with it.

mod authentication;
mod cookie;
mod credentials;
mod origin;
mod read_access;
mod revoked_sessions;
mod session;
mod sign_in;
mod sign_in_limit;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{any, get, post},
};
use axum_extra::extract::cookie::Key;
use kube::Client;
use parking_lot::Mutex;

pub use self::{
    authentication::{require_active_session, require_reader},
    origin::require_same_origin_json,
    session::Session,
};
use self::{
    credentials::Credentials, read_access::ReadAccess, revoked_sessions::RevokedSessions, sign_in_limit::SignInLimit,
};
use super::{
    Error,
    metrics::Metrics,
    options::{Clock, SignInMode, SignInOptions},
    request_error::{self, RequestError},
};

/// Largest request body; a long token has about 3 KiB.
pub const MAX_BODY: usize = 16 * 1024;

/// Time in seconds for which the mounted Secrets are not read again.
const SECRETS_MAX_AGE: i64 = 5;

/// State of all sessions.
pub struct Sessions {
    mode: SignInMode,
    key_file: PathBuf,
    clock: Clock,
    metrics: Metrics,
    sign_in_limit: SignInLimit,
    revoked: RevokedSessions,
    read_access: ReadAccess,
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

impl Sessions {
    /// # Errors
    /// A file is unreadable or invalid.
    pub fn new(options: SignInOptions, metrics: Metrics) -> Result<Self, Error> {
        let SignInOptions { mode, key_file, clock } = options;
        let (sign_in_limit, revoked, read_access) = Default::default();
        let sessions =
            Self { mode, key_file, clock, metrics, sign_in_limit, revoked, read_access, secrets: Mutex::default() };
        sessions.secrets()?;
        Ok(sessions)
    }

    /// True if reading requires a session.
    pub fn required_to_read(&self) -> bool {
        matches!(self.mode, SignInMode::Token { to_read: true, .. })
    }

    /// True if users may make changes.
    pub fn allow_changes(&self) -> bool {
        matches!(self.mode, SignInMode::Basic { .. } | SignInMode::Token { to_change: true, .. })
    }

    /// The client that writes the user's changes.
    pub fn client(&self, session: &Session) -> Result<Client, RequestError> {
        match (&self.mode, &session.token) {
            (SignInMode::Basic { client, .. }, _) => Ok(client.clone()),
            (SignInMode::Token { clients, .. }, Some(token)) => {
                clients.for_token(token.clone()).map_err(|error| RequestError::Unreachable(error.to_string()))
            }
            (SignInMode::Token { .. }, None) => Err(RequestError::NotSignedIn),
        }
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
            SignInMode::Basic { credentials_dir, .. } => Some(Credentials::read(credentials_dir)?),
            SignInMode::Token { .. } => None,
        };
        // A session that was not checked for the right to read is invalid where reading requires one.
        let token = if self.required_to_read() { &b"token to read"[..] } else { b"token" };
        let purpose = credentials.as_ref().map_or_else(|| token.to_vec(), Credentials::digest);
        let cookie_key = cookie::derive_key(&credentials::read_key(&self.key_file)?, &purpose);
        Ok(Secrets { credentials, cookie_key })
    }
}

/// The routes of sign-in. Without `sessions`, nobody signs in, and everybody may read.
pub fn routes<S: Clone + Send + Sync + 'static>(sessions: Option<Arc<Sessions>>) -> Router<S> {
    let Some(sessions) = sessions else {
        return Router::new()
            .route("/view/api/session", get(sign_in::no_session))
            .route("/view/api/sign-in", any(request_error::disabled))
            .route("/view/api/sign-out", any(request_error::disabled));
    };
    let require_session = from_fn_with_state(Arc::clone(&sessions), authentication::require_session);
    Router::new()
        .route("/view/api/sign-out", post(sign_in::sign_out))
        .route_layer(require_session)
        .route("/view/api/sign-in", post(sign_in::sign_in))
        .route_layer(from_fn(require_same_origin_json))
        .route("/view/api/session", get(sign_in::session))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(sessions)
}

#[cfg(test)]
pub(crate) mod wire {
    //! The types of requests and responses.

    pub(crate) use super::sign_in::{SessionStatus, SignInBody, SignedIn};
}
