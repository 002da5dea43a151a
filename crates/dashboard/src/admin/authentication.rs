//! Authenticates requests by the cookie and the CSRF header.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use subtle::ConstantTimeEq as _;

use super::{
    Admin,
    cookie::{self, sessions},
    error::{AdminError, CSRF_HEADER},
    session::{IDLE_TIMEOUT, Session},
};

/// Rejects requests without a session and its CSRF value. Renews the cookie, because the user is active.
pub async fn require_session(State(admin): State<Arc<Admin>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let session = match admin.session(&headers).and_then(|session| check_csrf(&headers, &session).map(|()| session)) {
        Ok(session) => session,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(session.clone());
    let mut response = next.run(request).await;
    if !response.headers().contains_key(header::SET_COOKIE) {
        match admin.session_cookie(&session, &headers) {
            Ok(cookie) => drop(response.headers_mut().insert(header::SET_COOKIE, cookie)),
            Err(error) => tracing::warn!(%error, "session cookie not renewed"),
        }
    }
    response
}

fn check_csrf(headers: &HeaderMap, session: &Session) -> Result<(), AdminError> {
    let value = headers.get(CSRF_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    if value.ct_eq(session.csrf.as_bytes()).into() { Ok(()) } else { Err(AdminError::WrongCsrf) }
}

impl Admin {
    /// The valid session of a request.
    pub fn session(&self, headers: &HeaderMap) -> Result<Session, AdminError> {
        let is_valid = |session: &Session| !session.is_over(self.now()) && !self.revoked.contains(&session.id);
        sessions(headers, self.secrets()?.cookie_key.clone()).find(is_valid).ok_or(AdminError::NotSignedIn)
    }

    /// The header `Set-Cookie` for a user who is active now.
    pub fn session_cookie(&self, session: &Session, headers: &HeaderMap) -> Result<HeaderValue, AdminError> {
        let now = self.now();
        let active = Session { last_active: now, ..session.clone() };
        let max_age = IDLE_TIMEOUT.min(session.ends() - now).max(0);
        cookie::set_cookie(&active, max_age, self.secrets()?.cookie_key.clone(), headers)
    }
}
