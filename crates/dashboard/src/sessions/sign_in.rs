//! Sign-in, sign-out, and the present session.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, header},
    response::{AppendHeaders, IntoResponse as _, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Sessions, SignInMode, cookie::delete_cookie, origin, read_access, session::Session};
use crate::{client::Client, request_error::RequestError};
use maglev_kube::{UserClients, whoami};

/// The input of the sign-in form, of either mode.
#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(untagged, deny_unknown_fields)]
pub enum SignInBody {
    Password {
        user: String,
        #[cfg_attr(test, ts(type = "string"))]
        password: SecretString,
    },
    Token {
        #[cfg_attr(test, ts(type = "string"))]
        token: SecretString,
    },
}

/// The state of sign-in for the page.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct SessionStatus {
    /// Absent if nobody can sign in.
    #[cfg_attr(test, ts(as = "Option<crate::contract::SignInMode>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    /// True if only users who have signed in may read.
    to_read: bool,
    /// True if users who have signed in may make changes.
    to_change: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_in: Option<SignedIn>,
}

/// The session of a signed-in user.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SignedIn {
    who: String,
    /// The value that requests repeat in the header `x-maglev-csrf`.
    csrf: String,
    /// Latest end, in seconds of Unix time.
    ends: i64,
}

/// The mode of the dashboard, and the signed-in user.
pub async fn session(State(sessions): State<Arc<Sessions>>, headers: HeaderMap) -> Response {
    let (to_read, to_change) = (sessions.required_to_read(), sessions.allow_changes());
    let session = if to_read { sessions.reader(&headers).await } else { sessions.session(&headers) };
    let signed_in = match session {
        Ok(session) => Some(SignedIn::new(&session)),
        Err(RequestError::NotSignedIn | RequestError::NotAllowedToRead { .. }) => None,
        Err(error) => return error.into_response(),
    };
    Json(SessionStatus { mode: Some(sessions.mode.as_str()), to_read, to_change, signed_in }).into_response()
}

/// The response where nobody signs in.
pub async fn no_session() -> Response {
    Json(SessionStatus { mode: None, to_read: false, to_change: false, signed_in: None }).into_response()
}

impl SignedIn {
    fn new(session: &Session) -> Self {
        Self { who: session.user.clone(), csrf: session.csrf.clone(), ends: session.ends() }
    }
}

pub async fn sign_in(
    State(sessions): State<Arc<Sessions>>,
    Extension(Client { address, .. }): Extension<Client>,
    headers: HeaderMap,
    body: Result<Json<SignInBody>, JsonRejection>,
) -> Result<Response, RequestError> {
    let attempt = async {
        if !origin::is_secure(&headers) {
            return Err(RequestError::NotSecure);
        }
        sessions.sign_in_limit.count(address).map_err(RequestError::TooMany)?;
        // The text of the rejection may contain the password, so it is not sent back.
        let message = "the body must have the fields user and password, or the field token";
        let Json(body) = body.map_err(|_| RequestError::BadBody(message.to_owned()))?;
        let (user, token) = sessions.identify(body).await?;
        sessions.start(user, token).await
    };
    let result = attempt.await;
    match &result {
        Ok(session) => tracing::info!(who = session.user, %address, "signed in"),
        Err(error) => tracing::warn!(%address, %error, "sign-in refused"),
    }
    let session = result?;
    let cookie = sessions.session_cookie(&session, &headers)?;
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(SignedIn::new(&session))).into_response())
}

pub async fn sign_out(
    State(sessions): State<Arc<Sessions>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
) -> Result<Response, RequestError> {
    sessions.revoked.add(session.id.clone(), session.ends(), sessions.now());
    tracing::info!(who = session.user, "signed out");
    Ok((AppendHeaders([(header::SET_COOKIE, delete_cookie(&headers)?)]), Json(json!({}))).into_response())
}

impl Sessions {
    /// Checks the input. Returns the username, and the token in mode `token`.
    async fn identify(&self, body: SignInBody) -> Result<(String, Option<SecretString>), RequestError> {
        match (&self.mode, body) {
            (SignInMode::Basic { .. }, SignInBody::Password { user, password }) => {
                let secrets = self.secrets()?;
                let credentials = secrets.credentials.as_ref().ok_or(RequestError::Misconfigured)?;
                if !credentials.matches(&user, password.expose_secret()) {
                    return Err(RequestError::WrongPassword);
                }
                // The prefix distinguishes the name from users that Kubernetes knows.
                Ok((format!("dashboard user {}", credentials.user()), None))
            }
            (SignInMode::Token { clients, .. }, SignInBody::Token { token }) => {
                Ok((token_user(clients, &token).await?, Some(token)))
            }
            (mode, _) => Err(RequestError::BadBody(format!("this dashboard runs in mode {}", mode.as_str()))),
        }
    }

    /// Starts the session of a user who may read, if reading requires one.
    async fn start(&self, user: String, token: Option<SecretString>) -> Result<Session, RequestError> {
        let session = Session::start(user, token, self.now())?;
        if self.required_to_read() {
            read_access::check_reader(&self.client(&session)?, &session.user).await?;
            self.read_access.checked(&session, self.now()).await;
        }
        Ok(session)
    }
}

/// The username that the API server reports for a token.
async fn token_user(clients: &UserClients, token: &SecretString) -> Result<String, RequestError> {
    let text = token.expose_secret();
    // Without a token, the API server would report the anonymous user.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(RequestError::WrongToken);
    }
    let client = clients.for_token(token.clone()).map_err(|error| RequestError::Unreachable(error.to_string()))?;
    match whoami(&client).await {
        Ok(user) if user == "system:anonymous" => Err(RequestError::WrongToken),
        Ok(user) => Ok(user),
        Err(error) if maglev_kube::refusal_code(&error) == Some(401) => Err(RequestError::WrongToken),
        Err(error) => Err(RequestError::Unreachable(error.to_string())),
    }
}
