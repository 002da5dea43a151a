//! Which URL leads where, and the headers that every answer has.
//!
//! No answer names an absolute path, so that the dashboard works under any prefix of an Ingress.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query as UrlQuery, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::map_response,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;

use super::{
    Shared, admin, assets,
    documents::{self, refusal},
    query::RawQuery,
    stream,
};

/// Nothing but the page's own files and answers; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The whole site, under any prefix: an Ingress may take its prefix off or leave it there.
pub fn site(shared: Arc<Shared>) -> Router {
    let routes = routes(shared);
    Router::new().fallback(move |mut request: Request| {
        let routes = routes.clone();
        async move {
            if let Some(uri) = without_prefix(request.uri()) {
                *request.uri_mut() = uri;
            }
            routes.oneshot(request).await
        }
    })
}

/// The URI from our own part of its path on; `None` where there is no prefix.
fn without_prefix(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    let (before_query, query) = path.split_once('?').map_or((path, ""), |(path, query)| (path, query));
    let begin = ["/view/", "/admin/"].iter().filter_map(|part| before_query.find(part)).min();
    let begin = begin.or_else(|| {
        let ends = ["/view", "/admin", "/"].iter().find(|end| before_query.ends_with(*end))?;
        Some(before_query.len() - ends.len())
    })?;
    let rest = &before_query[begin..];
    let rest = if query.is_empty() { rest.to_owned() } else { format!("{rest}?{query}") };
    (begin > 0).then(|| rest.parse().ok()).flatten()
}

fn routes(shared: Arc<Shared>) -> Router {
    let compressed = Router::new()
        .route("/view/", get(assets::index))
        .route("/view/{*path}", get(assets::asset))
        .route("/view/api/summary", get(documents::summary))
        .route("/view/api/state", get(documents::state))
        .route("/view/api/state/{node}", get(documents::node))
        .route("/view/api/frontend/{namespace}/{name}", get(documents::frontend))
        .route("/view/api/object/{kind}/{name}", get(documents::cluster_object))
        .route("/view/api/object/{kind}/{namespace}/{name}", get(documents::namespaced_object))
        .route("/view/api/maglevds", get(documents::maglevds))
        .route("/view/api/version", get(documents::version))
        .layer(CompressionLayer::new());
    Router::new()
        .merge(compressed)
        // Never compressed: a compressor holds back what it has not enough of yet.
        .route("/view/api/events", get(events))
        .route("/view/api/{*path}", any(nothing))
        .route("/", get(|| async { relative("view/") }))
        .route("/view", get(|| async { relative("view/") }))
        .merge(admin::site(shared.admin.clone()))
        .fallback(nothing)
        .layer(map_response(secured))
        .with_state(shared)
}

async fn events(
    State(shared): State<Arc<Shared>>,
    query: Result<UrlQuery<RawQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = query.map_err(|err| err.body_text()).and_then(|UrlQuery(raw)| raw.try_into());
    match query {
        Ok(query) => stream::answer(&shared, query, &headers),
        Err(message) => refusal(StatusCode::BAD_REQUEST, "BadParameter", &message),
    }
}

async fn nothing() -> Response {
    refusal(StatusCode::NOT_FOUND, "NotFound", "there is nothing here; the dashboard is at view/")
}

pub fn relative(to: &'static str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}

async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_left_out_wherever_our_own_part_begins() {
        for (path, wanted) in [
            ("/view/", None),
            ("/view/api/events?node=a", None),
            ("/admin", None),
            ("/", None),
            ("/lb/view/api/events?open=a/view/", Some("/view/api/events?open=a/view/")),
            ("/a/b/view/", Some("/view/")),
            ("/lb/view", Some("/view")),
            ("/lb/", Some("/")),
            ("/lb/admin/x", Some("/admin/x")),
            ("/lb", None),
        ] {
            let found = without_prefix(&path.parse().expect("a URI")).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), wanted, "{path}");
        }
    }
}
