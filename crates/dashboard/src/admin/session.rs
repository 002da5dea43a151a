//! Who sends a request: from the cookie, with the CSRF header beside it.

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
    cookie::{IDLE, NAME, Sealer, Session},
    guard,
    refused::Refused,
};

/// The header that a page of another origin cannot send, with the value that it cannot know.
pub const CSRF_HEADER: &str = "x-maglev-csrf";

/// Lets through who is signed in; their cookie is renewed, for they did something.
pub async fn required(State(admin): State<Arc<Admin>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let session = match admin.session(&headers).and_then(|session| has_csrf(&headers, &session).map(|()| session)) {
        Ok(session) => session,
        Err(refused) => return refused.into_response(),
    };
    request.extensions_mut().insert(session.clone());
    let mut response = next.run(request).await;
    if !response.headers().contains_key(header::SET_COOKIE) {
        match admin.set_cookie(&session, &headers) {
            Ok(cookie) => drop(response.headers_mut().insert(header::SET_COOKIE, cookie)),
            Err(err) => tracing::warn!(%err, "dashboard-cookie-not-renewed"),
        }
    }
    response
}

fn has_csrf(headers: &HeaderMap, session: &Session) -> Result<(), Refused> {
    let brought = headers.get(CSRF_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    if brought.ct_eq(session.csrf.as_bytes()).into() { Ok(()) } else { Err(Refused::NoCsrf) }
}

impl Admin {
    /// Whose cookie it is.
    pub fn session(&self, headers: &HeaderMap) -> Result<Session, Refused> {
        let sealer = self.sealer()?;
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        // Another page of the host may have set one of the same name: each that is ours counts.
        let mut sessions = pairs.filter(|(name, _)| *name == NAME).filter_map(|(_, value)| sealer.open(value));
        let valid = |session: &Session| !session.is_over(self.now()) && !self.revoked.has(&session.id);
        sessions.find(valid).ok_or(Refused::NotSignedIn)
    }

    /// The header that keeps somebody signed in from now on.
    pub fn set_cookie(&self, session: &Session, headers: &HeaderMap) -> Result<HeaderValue, Refused> {
        let now = self.now();
        let seen = Session { seen: now, ..session.clone() };
        let age = IDLE.min(session.ends() - now).max(0);
        cookie(&self.sealer()?.seal(&seen)?, age, headers)
    }

    fn sealer(&self) -> Result<Sealer, Refused> {
        self.secrets().map(|(_, sealer)| sealer).map_err(Into::into)
    }
}

/// The header that takes the cookie away.
pub fn no_cookie(headers: &HeaderMap) -> Result<HeaderValue, Refused> {
    cookie("", 0, headers)
}

/// No `Path`: a browser then sends it below `admin/` alone, whatever prefix an Ingress puts before it.
fn cookie(value: &str, max_age: i64, headers: &HeaderMap) -> Result<HeaderValue, Refused> {
    let secure = if guard::is_local(headers) { "" } else { "; Secure" };
    let text = format!("{NAME}={value}; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    let mut header = HeaderValue::try_from(text).map_err(|_| Refused::Broken)?;
    header.set_sensitive(true);
    Ok(header)
}

impl From<super::Error> for Refused {
    fn from(err: super::Error) -> Self {
        tracing::error!(err = &err as &dyn std::error::Error, reason = err.reason(), "dashboard-admin-misconfigured");
        Self::Misconfigured
    }
}
