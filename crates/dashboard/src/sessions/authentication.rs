//! Authenticates requests by the cookie and the CSRF header.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::{FutureExt as _, future::BoxFuture};
use subtle::ConstantTimeEq as _;

use super::{
    Sessions,
    cookie::{self, sessions},
    session::{IDLE_TIMEOUT, Session},
};
use crate::request_error::{CSRF_HEADER, RequestError};

/// Interval in which an open stream checks that its session has not ended.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Rejects requests without a session and its CSRF value. Renews the cookie, because the user is active.
pub async fn require_session(State(sessions): State<Arc<Sessions>>, request: Request, next: Next) -> Response {
    match sessions.authenticate(request.headers()).await {
        Ok(session) => sessions.run(session, request, next).await,
        Err(error) => error.into_response(),
    }
}

/// As [`require_session`]; also rejects sessions without recent activity.
pub async fn require_active_session(State(sessions): State<Arc<Sessions>>, request: Request, next: Next) -> Response {
    match sessions.authenticate(request.headers()).await {
        Ok(session) if session.is_idle(sessions.now()) => RequestError::NotSignedIn.into_response(),
        Ok(session) => sessions.run(session, request, next).await,
        Err(error) => error.into_response(),
    }
}

/// Rejects requests of users who may not read. Adds the session to the extensions of other requests.
pub async fn require_reader(State(sessions): State<Arc<Sessions>>, mut request: Request, next: Next) -> Response {
    match sessions.reader(request.headers()).await {
        Ok(session) => {
            request.extensions_mut().insert(session);
            next.run(request).await
        }
        Err(error) => {
            sessions.metrics.refused("NotSignedIn");
            error.into_response()
        }
    }
}

fn check_csrf(headers: &HeaderMap, session: &Session) -> Result<(), RequestError> {
    let value = headers.get(CSRF_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    if value.ct_eq(session.csrf.as_bytes()).into() { Ok(()) } else { Err(RequestError::WrongCsrf) }
}

impl Sessions {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Session, RequestError> {
        let session = if self.required_to_read() { self.reader(headers).await? } else { self.session(headers)? };
        check_csrf(headers, &session).map(|()| session)
    }

    async fn run(&self, session: Session, mut request: Request, next: Next) -> Response {
        let headers = request.headers().clone();
        request.extensions_mut().insert(session.clone());
        let mut response = next.run(request).await;
        if !response.headers().contains_key(header::SET_COOKIE) {
            match self.session_cookie(&session, &headers) {
                Ok(cookie) => drop(response.headers_mut().insert(header::SET_COOKIE, cookie)),
                Err(error) => tracing::warn!(%error, "session cookie not renewed"),
            }
        }
        response
    }

    /// The valid session of a request.
    pub fn session(&self, headers: &HeaderMap) -> Result<Session, RequestError> {
        let key = self.secrets()?.cookie_key.clone();
        sessions(headers, key).find(|session| self.is_valid(session)).ok_or(RequestError::NotSignedIn)
    }

    /// The session of a request whose user may read.
    pub async fn reader(&self, headers: &HeaderMap) -> Result<Session, RequestError> {
        let session = self.session(headers)?;
        self.check_reader(&session).await?;
        Ok(session)
    }

    /// Ends the session of a user who may no longer read.
    async fn check_reader(&self, session: &Session) -> Result<(), RequestError> {
        let now = self.now();
        let checked = self.read_access.check(session, now, || self.client(session)).await;
        if let Err(error) = &checked {
            tracing::info!(who = session.user, %error, "session ended");
            self.revoked.add(session.id.clone(), session.ends(), now);
        }
        checked
    }

    /// A page that only shows the stream is in use although it sends no requests, so reading has no limit of inactivity.
    fn is_valid(&self, session: &Session) -> bool {
        let now = self.now();
        let is_idle = !self.required_to_read() && session.is_idle(now);
        !session.is_over(now) && !is_idle && !self.revoked.contains(&session.id)
    }

    /// Waits until the session of a stream ends.
    pub fn end(self: Arc<Self>, session: Session) -> BoxFuture<'static, ()> {
        async move {
            while self.is_valid(&session) && self.check_reader(&session).await.is_ok() {
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        }
        .boxed()
    }

    /// The header `Set-Cookie` for a user who is active now.
    pub fn session_cookie(&self, session: &Session, headers: &HeaderMap) -> Result<HeaderValue, RequestError> {
        let now = self.now();
        let active = Session { last_active: now, ..session.clone() };
        let until_end = (session.ends() - now).max(0);
        let max_age = if self.required_to_read() { until_end } else { IDLE_TIMEOUT.min(until_end) };
        cookie::set_cookie(&active, max_age, self.secrets()?.cookie_key.clone(), headers)
    }
}
