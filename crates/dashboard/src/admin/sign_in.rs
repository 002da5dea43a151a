//! Signing in and out, and who is.

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

use super::{Admin, AdminMode, cookie::Session, guard, refused::Refused, session::no_cookie};
use maglev_kube::{UserClients, whoami};

/// What a person typed in.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Typed {
    Password { user: String, password: SecretString },
    Token { token: SecretString },
}

/// Whether changing is on, how, and who is signed in.
pub async fn session(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let signed_in = match admin.session(&headers) {
        Ok(session) => Some(told(&session)),
        Err(Refused::NotSignedIn) => None,
        Err(refused) => return refused.into_response(),
    };
    let mut known = json!({ "mode": admin.mode.word() });
    if let Some(signed_in) = signed_in {
        known["signed_in"] = signed_in;
    }
    Json(known).into_response()
}

/// What the page is to know.
fn told(session: &Session) -> Value {
    json!({ "who": session.who, "csrf": session.csrf, "ends": session.ends() })
}

pub async fn sign_in(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    typed: Result<Json<Typed>, JsonRejection>,
) -> Result<Response, Refused> {
    let address = peer.ip().to_canonical();
    let tried = async {
        if !guard::is_secure(&headers) {
            return Err(Refused::NotSecure);
        }
        admin.tries.count(address).map_err(Refused::TooMany)?;
        // What was typed must not be told back: it may be in the text of the error.
        let Json(typed) = typed.map_err(|_| Refused::BadBody("neither user and password, nor a token".to_owned()))?;
        let (who, token) = admin.identify(typed).await?;
        Session::begin(who, token, admin.now())
    };
    let result = tried.await;
    match &result {
        Ok(session) => tracing::info!(who = session.who, %address, "dashboard-sign-in"),
        Err(err) => tracing::warn!(%address, %err, "dashboard-sign-in-refused"),
    }
    let session = result?;
    let cookie = admin.set_cookie(&session, &headers)?;
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(told(&session))).into_response())
}

pub async fn sign_out(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    admin.revoked.add(session.id.clone(), session.ends(), admin.now());
    tracing::info!(who = session.who, "dashboard-sign-out");
    Ok((AppendHeaders([(header::SET_COOKIE, no_cookie(&headers)?)]), Json(json!({}))).into_response())
}

impl Admin {
    /// Who it is, and their token where they have one.
    async fn identify(&self, typed: Typed) -> Result<(String, Option<SecretString>), Refused> {
        match (&self.mode, typed) {
            (AdminMode::Basic { .. }, Typed::Password { user, password }) => {
                let credentials = self.secrets()?.0.ok_or(Refused::Misconfigured)?;
                if !credentials.are(&user, password.expose_secret()) {
                    return Err(Refused::WrongPassword);
                }
                // So that nobody takes it for a name that Kubernetes knows.
                Ok((format!("dashboard user {}", credentials.user()), None))
            }
            (AdminMode::Token(clients), Typed::Token { token }) => Ok((owner(clients, &token).await?, Some(token))),
            (mode, _) => Err(Refused::BadBody(format!("this dashboard's mode is {}", mode.word()))),
        }
    }
}

/// Whom the API server takes the token's bearer for.
async fn owner(clients: &UserClients, token: &SecretString) -> Result<String, Refused> {
    let text = token.expose_secret();
    // Without a token the API server would take us for an anonymous user.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::WrongToken);
    }
    let client = clients.of(token.clone()).map_err(|err| Refused::Unreachable(err.to_string()))?;
    match whoami(&client).await {
        Ok(who) if who == "system:anonymous" => Err(Refused::WrongToken),
        Ok(who) => Ok(who),
        Err(err) if maglev_kube::refusal_code(&err) == Some(401) => Err(Refused::WrongToken),
        Err(err) => Err(Refused::Unreachable(err.to_string())),
    }
}
