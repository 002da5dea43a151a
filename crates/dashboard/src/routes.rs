//! The routes of the site, and the headers of every response.
//!
//! Responses contain no absolute paths, so that the dashboard works behind any prefix of an Ingress.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Query as UrlQuery, Request, State, rejection::QueryRejection},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{from_fn_with_state, map_response},
    response::Response,
    routing::{any, get},
};
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;

use super::{
    Shared, access, admin, assets,
    client::Client,
    documents,
    query::RawQuery,
    responses::{busy_response, error_response, relative_redirect},
    sessions, stream,
};

/// Allows only the site's own files and responses, and no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The whole site, behind any prefix that an Ingress may remove or keep.
pub fn site(shared: Arc<Shared>) -> Router {
    let access = Arc::clone(&shared.access);
    let routes = routes(shared);
    let site = Router::new().fallback(move |mut request: Request| {
        let routes = routes.clone();
        async move {
            if let Some(uri) = without_prefix(request.uri()) {
                *request.uri_mut() = uri;
            }
            routes.oneshot(request).await
        }
    });
    site.layer(from_fn_with_state(access, access::check)).layer(map_response(add_security_headers))
}

/// The URI without the prefix of its path; `None` if there is no prefix.
fn without_prefix(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    let (before_query, query) = path.split_once('?').map_or((path, ""), |(path, query)| (path, query));
    let start = ["/view/", "/admin/"].iter().filter_map(|part| before_query.find(part)).min();
    let start = start.or_else(|| {
        let ends = ["/view", "/admin", "/"].iter().find(|end| before_query.ends_with(*end))?;
        Some(before_query.len() - ends.len())
    })?;
    let rest = &before_query[start..];
    let rest = if query.is_empty() { rest.to_owned() } else { format!("{rest}?{query}") };
    (start > 0).then(|| rest.parse().ok()).flatten()
}

fn routes(shared: Arc<Shared>) -> Router {
    let page = Router::new().route("/view/", get(assets::index)).route("/view/{*path}", get(assets::asset));
    let to_page = |to: &'static str| get(move || async move { relative_redirect(to) });
    Router::new()
        .merge(page.layer(CompressionLayer::new()))
        .merge(api(&shared))
        .merge(sessions::routes(shared.sessions.clone()))
        .merge(admin::routes(shared.admin.clone()))
        .route("/", to_page("view/"))
        .route("/view", to_page("view/"))
        .route("/admin", to_page("view/"))
        .route("/admin/", to_page("../view/"))
        .fallback(not_found)
        .with_state(shared)
}

/// Documents and stream, for users who may read.
fn api(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let documents = Router::new()
        .route("/view/api/summary", get(documents::summary))
        .route("/view/api/state", get(documents::state))
        .route("/view/api/state/{node}", get(documents::node))
        .route("/view/api/frontend/{namespace}/{name}", get(documents::frontend))
        .route("/view/api/object/{kind}/{name}", get(documents::cluster_object))
        .route("/view/api/object/{kind}/{namespace}/{name}", get(documents::namespaced_object))
        .route("/view/api/maglevds", get(documents::maglevds))
        .route("/view/api/version", get(documents::version))
        .layer(CompressionLayer::new());
    let api = Router::new()
        .merge(documents)
        // Not compressed, because a compressor would delay messages in its buffer.
        .route("/view/api/events", get(events))
        .route("/view/api/{*path}", any(not_found));
    match shared.sessions.clone().filter(|sessions| sessions.required_to_read()) {
        Some(sessions) => api.route_layer(from_fn_with_state(sessions, sessions::require_reader)),
        None => api,
    }
}

async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    query: Result<UrlQuery<RawQuery>, QueryRejection>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let query = query.map_err(|rejection| rejection.body_text()).and_then(|UrlQuery(raw)| raw.try_into());
    let query = match query {
        Ok(query) => query,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "BadParameter", &message),
    };
    match shared.streams.try_acquire(client.address) {
        Some(slot) => stream::respond(&shared, query, &headers, slot, extensions.get()),
        None => {
            shared.broker.metrics().refused("TooManyStreams");
            busy_response("the maximum of event streams, or of those of your address, is reached")
        }
    }
}

async fn not_found() -> Response {
    error_response(StatusCode::NOT_FOUND, "NotFound", "not found; the dashboard is at view/")
}

async fn add_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_removed_before_the_first_own_path_segment() {
        for (path, expected) in [
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
            let rest = without_prefix(&path.parse().expect("a URI")).map(|uri| uri.to_string());
            assert_eq!(rest.as_deref(), expected, "{path}");
        }
    }
}
