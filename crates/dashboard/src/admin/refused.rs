//! Why something was not done for a person, as HTTP says it.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::super::documents::refusal;
use maglev_fleet::by_hand::HandError;
use maglev_kube::ActionError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    CrossOrigin(String),
    #[error("only a body of type application/json is read")]
    NotJson,
    #[error("{0}")]
    BadBody(String),
    #[error("you are not signed in, or not any more")]
    NotSignedIn,
    #[error("the header {} is absent or wrong", super::session::CSRF_HEADER)]
    NoCsrf,
    #[error("the user or the password is wrong")]
    WrongPassword,
    #[error("the API server does not take this token")]
    WrongToken,
    #[error("too many tries from your address: wait {0} s")]
    TooMany(u64),
    #[error("signing in needs HTTPS, or a port-forward to this machine: a password would be readable on its way")]
    NotSecure,
    #[error("the token is too long to be kept in a cookie")]
    TokenTooLong,
    #[error("what this needs on its own side cannot be read; its log says more")]
    Misconfigured,
    #[error("the API server cannot be asked who you are: {0}")]
    Unreachable(String),
    #[error("{text}", text = maglev_kube::describe(.0))]
    Change(HandError),
    #[error("it ended before its time; look whether it was done")]
    Broken,
}

impl Refused {
    fn reason(&self) -> &'static str {
        match self {
            Self::CrossOrigin(_) => "CrossOrigin",
            Self::NotJson => "NotJSON",
            Self::BadBody(_) => "BadBody",
            Self::NotSignedIn => "NotSignedIn",
            Self::NoCsrf => "CSRFTokenWrong",
            Self::WrongPassword => "PasswordWrong",
            Self::WrongToken => "TokenRefused",
            Self::TooMany(_) => "TooManyTries",
            Self::NotSecure => "NotSecure",
            Self::TokenTooLong => "TokenTooLong",
            Self::Misconfigured => "Misconfigured",
            Self::Unreachable(_) => "KubernetesUnreachable",
            Self::Change(err) => err.reason(),
            Self::Broken => "InternalError",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::CrossOrigin(_) | Self::NoCsrf | Self::NotSecure => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadBody(_) | Self::TokenTooLong => StatusCode::BAD_REQUEST,
            Self::NotSignedIn | Self::WrongPassword | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Misconfigured | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::Change(HandError::NobodyKnows) => StatusCode::CONFLICT,
            Self::Change(HandError::Action(err)) => of_action(err),
        }
    }
}

fn of_action(err: &ActionError) -> StatusCode {
    match err {
        ActionError::NotFound { .. } | ActionError::NoSuchPart { .. } => StatusCode::NOT_FOUND,
        ActionError::Owned { .. } | ActionError::Unserved { .. } | ActionError::Busy { .. } => StatusCode::CONFLICT,
        // The API server's own no is passed on; everything else is not the user's doing.
        ActionError::Api { source, .. } => match maglev_kube::refusal_code(source) {
            Some(401) => StatusCode::UNAUTHORIZED,
            Some(403) => StatusCode::FORBIDDEN,
            Some(422) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = refusal(self.status(), self.reason(), &self.to_string());
        if let Self::TooMany(seconds) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Nothing can be changed here.
pub fn off() -> Response {
    let message = "this dashboard only shows; change objects with maglevc or kubectl";
    refusal(StatusCode::NOT_IMPLEMENTED, "AdminDisabled", message)
}
