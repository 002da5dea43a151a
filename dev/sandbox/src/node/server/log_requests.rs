//! `GET /containerLogs/NAMESPACE/POD/CONTAINER`, the request of `kubectl logs`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use serde::Deserialize;

use crate::node::{context::Context, log_file::Selection};

/// The options of `kubectl logs`, as forwarded by the API server.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogOptions {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    since_seconds: Option<i64>,
    since_time: Option<Time>,
    limit_bytes: Option<u64>,
}

impl LogOptions {
    fn selection(&self, now: Timestamp) -> Selection {
        let seconds_ago = |seconds| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
        Selection {
            // The log of an earlier run does not grow.
            follow: self.follow && !self.previous,
            timestamps: self.timestamps,
            tail_lines: self.tail_lines,
            since: self.since_seconds.map(seconds_ago).or(self.since_time.as_ref().map(|time| time.0)),
            limit_bytes: self.limit_bytes,
        }
    }
}

/// Streams a log. Responds with 404 if pod or container is unknown, with 400 if the container has no such log (yet).
pub async fn handle(
    State(node): State<Arc<Context>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(options): Query<LogOptions>,
) -> Response {
    let not_found = |what: String| (StatusCode::NOT_FOUND, what).into_response();
    let Some(entry) = node.registry.get(&namespace, &pod) else {
        return not_found(format!("pod \"{namespace}/{pod}\" does not run on node {}\n", node.name));
    };
    let Some(logs) = entry.logs.get(&container) else {
        return not_found(format!("container {container:?} is not in pod \"{namespace}/{pod}\"\n"));
    };
    let log = if options.previous { logs.previous() } else { logs.current() };
    match log {
        Some(log) => Body::from_stream(log.read(options.selection(Timestamp::now()))).into_response(),
        None if options.previous => {
            let text = format!("previous terminated container {container:?} in pod {pod:?} not found\n");
            (StatusCode::BAD_REQUEST, text).into_response()
        }
        None => {
            let text = format!("container {container:?} in pod {pod:?} is waiting to start\n");
            (StatusCode::BAD_REQUEST, text).into_response()
        }
    }
}
