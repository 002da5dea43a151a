//! Responses that several parts of the site share.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

/// The body of an error response.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ErrorBody<'m> {
    /// A fixed PascalCase word.
    reason: &'m str,
    message: &'m str,
}

pub fn error_response(status: StatusCode, reason: &str, message: &str) -> Response {
    (status, Json(ErrorBody { reason, message })).into_response()
}

/// The refusal of a request that may succeed later.
pub fn busy_response(message: &str) -> Response {
    let response = error_response(StatusCode::SERVICE_UNAVAILABLE, "Busy", message);
    ([(header::RETRY_AFTER, "5")], response).into_response()
}

/// A redirect to a path relative to the request's, which works behind any prefix of an Ingress.
pub fn relative_redirect(to: &'static str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}
