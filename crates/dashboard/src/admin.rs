//! Operator changes from the page. `sessions` authenticates the users.
//!
//! In mode `basic` the dashboard's ServiceAccount writes; in mode `token`, the user's own token, and the dashboard has no
//! permission to write.

mod actions;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{any, post},
};

use super::{
    request_error,
    sessions::{self, Sessions},
};
use maglev_fleet::FleetHandle;

/// State that all requests of changes share.
pub struct Admin {
    sessions: Arc<Sessions>,
    fleet: FleetHandle,
}

impl Admin {
    pub fn new(sessions: Arc<Sessions>, fleet: FleetHandle) -> Self {
        Self { sessions, fleet }
    }
}

/// The routes of changes. Without `admin`, all of them report that operator changes are disabled.
pub fn routes<S: Clone + Send + Sync + 'static>(admin: Option<Arc<Admin>>) -> Router<S> {
    let Some(admin) = admin else {
        return Router::new().route("/view/api/admin/{*path}", any(request_error::disabled));
    };
    let sessions = Arc::clone(&admin.sessions);
    Router::new()
        .route("/view/api/admin/preview", post(actions::preview))
        .route("/view/api/admin/change", post(actions::change))
        .route_layer(from_fn_with_state(sessions, sessions::require_active_session))
        .route_layer(from_fn(sessions::require_same_origin_json))
        .layer(DefaultBodyLimit::max(sessions::MAX_BODY))
        .with_state(admin)
}

#[cfg(test)]
pub(crate) mod wire {
    //! The types of requests and responses.

    pub(crate) use super::actions::{Change, ChangeBody, ChangeReport, Preview};
}
