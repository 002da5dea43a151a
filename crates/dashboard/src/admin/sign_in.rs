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

use super::{Admin, AdminMode, cookie::delete_cookie, error::AdminError, origin, session::Session};
use crate::client::Client;
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
    #[cfg_attr(test, ts(as = "crate::contract::AdminMode"))]
    mode: &'static str,
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
pub async fn session(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let signed_in = match admin.session(&headers) {
        Ok(session) => Some(SignedIn::new(&session)),
        Err(AdminError::NotSignedIn) => None,
        Err(error) => return error.into_response(),
    };
    Json(SessionStatus { mode: admin.mode.as_str(), signed_in }).into_response()
}

impl SignedIn {
    fn new(session: &Session) -> Self {
        Self { who: session.user.clone(), csrf: session.csrf.clone(), ends: session.ends() }
    }
}

pub async fn sign_in(
    State(admin): State<Arc<Admin>>,
    Extension(Client { address, .. }): Extension<Client>,
    headers: HeaderMap,
    body: Result<Json<SignInBody>, JsonRejection>,
) -> Result<Response, AdminError> {
    let attempt = async {
        if !origin::is_secure(&headers) {
            return Err(AdminError::NotSecure);
        }
        admin.sign_in_limit.count(address).map_err(AdminError::TooMany)?;
        // The text of the rejection may contain the password, so it is not sent back.
        let message = "the body must have the fields user and password, or the field token";
        let Json(body) = body.map_err(|_| AdminError::BadBody(message.to_owned()))?;
        let (user, token) = admin.identify(body).await?;
        Session::start(user, token, admin.now())
    };
    let result = attempt.await;
    match &result {
        Ok(session) => tracing::info!(who = session.user, %address, "signed in"),
        Err(error) => tracing::warn!(%address, %error, "sign-in refused"),
    }
    let session = result?;
    let cookie = admin.session_cookie(&session, &headers)?;
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(SignedIn::new(&session))).into_response())
}

pub async fn sign_out(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
) -> Result<Response, AdminError> {
    admin.revoked.add(session.id.clone(), session.ends(), admin.now());
    tracing::info!(who = session.user, "signed out");
    Ok((AppendHeaders([(header::SET_COOKIE, delete_cookie(&headers)?)]), Json(json!({}))).into_response())
}

impl Admin {
    /// Checks the input. Returns the username, and the token in mode `token`.
    async fn identify(&self, body: SignInBody) -> Result<(String, Option<SecretString>), AdminError> {
        match (&self.mode, body) {
            (AdminMode::Basic { .. }, SignInBody::Password { user, password }) => {
                let secrets = self.secrets()?;
                let credentials = secrets.credentials.as_ref().ok_or(AdminError::Misconfigured)?;
                if !credentials.matches(&user, password.expose_secret()) {
                    return Err(AdminError::WrongPassword);
                }
                // The prefix distinguishes the name from users that Kubernetes knows.
                Ok((format!("dashboard user {}", credentials.user()), None))
            }
            (AdminMode::Token(clients), SignInBody::Token { token }) => {
                Ok((token_user(clients, &token).await?, Some(token)))
            }
            (mode, _) => Err(AdminError::BadBody(format!("this dashboard runs in mode {}", mode.as_str()))),
        }
    }
}

/// The username that the API server reports for a token.
async fn token_user(clients: &UserClients, token: &SecretString) -> Result<String, AdminError> {
    let text = token.expose_secret();
    // Without a token, the API server would report the anonymous user.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AdminError::WrongToken);
    }
    let client = clients.for_token(token.clone()).map_err(|error| AdminError::Unreachable(error.to_string()))?;
    match whoami(&client).await {
        Ok(user) if user == "system:anonymous" => Err(AdminError::WrongToken),
        Ok(user) => Ok(user),
        Err(error) if maglev_kube::refusal_code(&error) == Some(401) => Err(AdminError::WrongToken),
        Err(error) => Err(AdminError::Unreachable(error.to_string())),
    }
}
