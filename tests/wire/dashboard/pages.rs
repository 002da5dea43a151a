//! The page's files: their paths under any prefix, and their headers.

use serde_json::json;

use super::{
    browser::{get, send},
    site::{Node, Site},
};

#[tokio::test]
async fn page_is_served_under_any_prefix_with_a_strict_policy() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    for prefix in ["", "/lb", "/a/view-of/lb"] {
        let page = get(site.address, &format!("{prefix}/view/"), &[]).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{prefix}");
        assert!(page.body.starts_with(b"<!doctype html>") || page.body.starts_with(b"<!DOCTYPE html>"));
        let policy = page.header("content-security-policy");
        for directive in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!((page.header("x-content-type-options"), page.header("referrer-policy")), ("nosniff", "no-referrer"));
        assert_eq!(page.header("cache-control"), "no-cache");
        for to in ["/", "/view", "/admin"] {
            let redirect = get(site.address, &format!("{prefix}{to}"), &[]).await;
            assert_eq!((redirect.status, redirect.header("location")), (307, "view/"), "{prefix}{to}");
        }
        assert_eq!(get(site.address, &format!("{prefix}/view/api/version"), &[]).await.status, 200);
        let unknown = get(site.address, &format!("{prefix}/view/unknown.js"), &[]).await;
        assert_eq!((unknown.status, &unknown.json()["reason"]), (404, &json!("NotFound")));
    }
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn page_references_existing_relative_files() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    let page = String::from_utf8(get(site.address, "/view/", &[]).await.body).unwrap();
    let references = page.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    for reference in references {
        let path = reference.strip_prefix("./").unwrap_or(reference);
        assert!(!path.starts_with('/') && !path.contains("://"), "{reference} is not relative");
        let path = format!("/view/{path}");
        let asset = get(site.address, &path, &[]).await;
        assert_eq!((asset.status, asset.header("cache-control")), (200, "no-cache"), "{reference}");
        assert!(["text/javascript; charset=utf-8", "text/css; charset=utf-8"].contains(&asset.header("content-type")));
        let tag = asset.header("etag");
        assert_eq!(get(site.address, &path, &[("If-None-Match", tag)]).await.status, 304, "{reference} is unchanged");
        assert_eq!(get(site.address, &path, &[("If-None-Match", "W/\"old\"")]).await.status, 200, "{reference}");
    }
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn without_sign_in_everybody_reads_and_changes_are_not_implemented() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    for path in ["/view/api/sign-in", "/view/api/sign-out", "/view/api/admin/change", "/lb/view/api/admin/x"] {
        let answer = send(site.address, "POST", path, &[("Host", "dashboard")], "{}").await;
        assert_eq!((answer.status, &answer.json()["reason"]), (501, &json!("AdminDisabled")), "{path}");
    }
    let session = get(site.address, "/view/api/session", &[]).await;
    assert_eq!(session.json(), json!({ "to_read": false, "to_change": false }));
    assert_eq!(get(site.address, "/view/api/summary", &[]).await.status, 200);
    site.stop().await;
    node.stop().await;
}
