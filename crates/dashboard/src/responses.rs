//! Responses that several parts of the site share.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

/// An error as JSON: a fixed PascalCase word and a message.
pub fn error_response(status: StatusCode, reason: &str, message: &str) -> Response {
    (status, Json(json!({ "reason": reason, "message": message }))).into_response()
}

/// A redirect to a path relative to the request's, which works behind any prefix of an Ingress.
pub fn relative_redirect(to: &'static str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}
