//! Errors of sign-in and of operator changes, and their HTTP responses.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Error, responses::error_response};
use maglev_fleet::operator_change::RolloutError;
use maglev_kube::ChangeError;

/// The header that repeats the session's CSRF value. A page of another origin can neither set the header nor know the
/// value.
pub const CSRF_HEADER: &str = "x-maglev-csrf";

#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    CrossOrigin(String),
    #[error("the Content-Type of the request must be application/json")]
    NotJson,
    #[error("{0}")]
    BadBody(String),
    #[error("you are not signed in, or your session has ended")]
    NotSignedIn,
    #[error("the header {CSRF_HEADER} is missing or wrong")]
    WrongCsrf,
    #[error("wrong username or password")]
    WrongPassword,
    #[error("the API server rejects this token")]
    WrongToken,
    #[error(
        "{user} may not list {resource} in all namespaces: reading the dashboard requires the right to list every kind of \
         maglev.vpp.io in all namespaces"
    )]
    NotAllowedToRead { user: String, resource: &'static str },
    #[error("too many sign-in attempts from your address: wait {0} s")]
    TooMany(u64),
    #[error("signing in requires HTTPS, or a port-forward to this machine; otherwise others could read the password")]
    NotSecure,
    #[error("the token is too long for a cookie")]
    TokenTooLong,
    #[error("a file that signing in requires is unreadable or invalid; see the log of the dashboard")]
    Misconfigured,
    #[error("cannot use the API server: {0}")]
    Unreachable(String),
    #[error("{text}", text = maglev_net::error_chain(.0))]
    Change(RolloutError),
    #[error("internal error; check if the change was made")]
    Internal,
}

impl RequestError {
    fn reason(&self) -> &'static str {
        match self {
            Self::CrossOrigin(_) => "CrossOrigin",
            Self::NotJson => "NotJSON",
            Self::BadBody(_) => "BadBody",
            Self::NotSignedIn => "NotSignedIn",
            Self::WrongCsrf => "CSRFTokenWrong",
            Self::WrongPassword => "PasswordWrong",
            Self::WrongToken => "TokenRefused",
            Self::NotAllowedToRead { .. } => "NotAllowedToRead",
            Self::TooMany(_) => "TooManyTries",
            Self::NotSecure => "NotSecure",
            Self::TokenTooLong => "TokenTooLong",
            Self::Misconfigured => "Misconfigured",
            Self::Unreachable(_) => "KubernetesUnreachable",
            Self::Change(error) => error.reason(),
            Self::Internal => "InternalError",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::CrossOrigin(_) | Self::WrongCsrf | Self::NotSecure | Self::NotAllowedToRead { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadBody(_) | Self::TokenTooLong => StatusCode::BAD_REQUEST,
            Self::NotSignedIn | Self::WrongPassword | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Misconfigured | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::Change(RolloutError::NoAgentAnswers) => StatusCode::CONFLICT,
            Self::Change(RolloutError::Change(error)) => change_status(error),
        }
    }
}

fn change_status(error: &ChangeError) -> StatusCode {
    match error {
        ChangeError::NotFound { .. } | ChangeError::NoSuchPart { .. } => StatusCode::NOT_FOUND,
        ChangeError::Derived(_)
        | ChangeError::Owned { .. }
        | ChangeError::Unserved { .. }
        | ChangeError::Busy { .. } => StatusCode::CONFLICT,
        // Rejections by the API server are passed on; other errors are not the user's fault.
        ChangeError::Api { source, .. } => match maglev_kube::refusal_code(source) {
            Some(401) => StatusCode::UNAUTHORIZED,
            Some(403) => StatusCode::FORBIDDEN,
            Some(422) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let mut response = error_response(self.status(), self.reason(), &self.to_string());
        if let Self::TooMany(seconds) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Error> for RequestError {
    fn from(error: Error) -> Self {
        let reason = error.reason();
        tracing::error!(error = &error as &dyn std::error::Error, reason, "sign-in is misconfigured");
        Self::Misconfigured
    }
}

/// The response while operator changes are disabled.
pub async fn disabled() -> Response {
    let message = "this dashboard is read-only; change objects with maglevc or kubectl";
    error_response(StatusCode::NOT_IMPLEMENTED, "AdminDisabled", message)
}
