//! The files of the page, built from `web/` and embedded into the binary.

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rust_embed::RustEmbed;

use super::responses::error_response;

/// The files of the page.
#[derive(RustEmbed)]
#[folder = "../../web/dist/"]
struct Page;

pub async fn index(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

pub async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers)
}

/// A browser revalidates each file, and receives the content only if it has changed.
fn file(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Page::get(path) else {
        return error_response(StatusCode::NOT_FOUND, "NotFound", &format!("file {path} not found"));
    };
    let tag: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Weak, because compression changes the bytes.
    let tag = format!("W/\"{tag}\"");
    let cached = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_cached = cached.is_some_and(|tags| tags.split(',').any(|cached| cached.trim() == tag));
    let caching = [(header::CACHE_CONTROL, "no-cache".to_owned()), (header::ETAG, tag)];
    if is_cached {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, content_type(path))], file.data.into_owned()).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("md") => "text/markdown; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
