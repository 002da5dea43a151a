//! Sign-in, sign-out, and the present session.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Json,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::{HeaderMap, header},
    response::{AppendHeaders, IntoResponse as _, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, AdminMode, cookie::delete_cookie, error::AdminError, origin, session::Session};
use maglev_kube::{UserClients, whoami};

/// The input of the sign-in form.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum SignInBody {
    Password { user: String, password: SecretString },
    Token { token: SecretString },
}

/// The mode of the dashboard, and the signed-in user.
pub async fn session(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let signed_in = match admin.session(&headers) {
        Ok(session) => Some(session_json(&session)),
        Err(AdminError::NotSignedIn) => None,
        Err(error) => return error.into_response(),
    };
    let mut response = json!({ "mode": admin.mode.as_str() });
    if let Some(signed_in) = signed_in {
        response["signed_in"] = signed_in;
    }
    Json(response).into_response()
}

/// The parts of a session that the page needs.
fn session_json(session: &Session) -> Value {
    json!({ "who": session.user, "csrf": session.csrf, "ends": session.ends() })
}

pub async fn sign_in(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Json<SignInBody>, JsonRejection>,
) -> Result<Response, AdminError> {
    let address = peer.ip().to_canonical();
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
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(session_json(&session))).into_response())
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
                let credentials = self.secrets()?.credentials.ok_or(AdminError::Misconfigured)?;
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
