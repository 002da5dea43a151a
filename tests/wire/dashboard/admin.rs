//! The dashboard's admin mode: sign-in, sessions, and protection against forged requests.
//!
//! A socket in place of the API server counts connections, so that the tests detect a change that was let through.
//! `tests/cluster/admin.rs` tests changes against a real API server.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use maglev_dashboard::{SignInMode, SignInOptions};
use maglev_kube::client::install_tls_provider;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use maglev_testkit::within;

use super::{
    browser::{Answer, get, send},
    site::{Node, Site},
};

const PAUSE: &str = r#"{"change":{"field":"admin_state","backend":"shop/web-1","state":"Paused"},"force":true}"#;
const PASSWORD: &str = r#"{"user":"ada","password":"lovelace"}"#;

/// A dashboard with password sign-in, and the socket in place of the API server.
struct AdminSite {
    site: Site,
    node: Node,
    dir: TempDir,
    /// Time on the dashboard's clock since the start, in seconds. Only the tests change it.
    clock_offset: Arc<AtomicI64>,
    /// Number of connections to the API server's socket.
    api_connections: Arc<AtomicUsize>,
    api_server: JoinHandle<()>,
}

impl AdminSite {
    async fn start() -> Self {
        install_tls_provider();
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [("username", "ada"), ("password", "lovelace"), ("key", &"k".repeat(32))] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (clock_offset, api_connections) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&api_connections);
        let api_server = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        let node = Node::start("node-a", 1).await;
        node.configure();
        let site = Site::start_with(&[&node], 0xabc, |options| {
            options.sign_in = Some(sign_in_options(&dir, &url, &clock_offset));
        })
        .await;
        Self { site, node, dir, clock_offset, api_connections, api_server }
    }

    fn address(&self) -> SocketAddr {
        self.site.address
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        send(self.address(), "POST", path, headers, body).await
    }

    /// Sends a request with the headers of the dashboard's page and a session.
    async fn post_from_page(&self, path: &str, session: &Session, body: &str) -> Answer {
        let more = [("Cookie", &*session.cookie), ("X-Maglev-CSRF", &*session.csrf)];
        self.post(path, &[&FROM_PAGE[..], &more].concat(), body).await
    }

    async fn sign_in(&self) -> Session {
        let answer = self.post("/view/api/sign-in", &FROM_PAGE, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        Session::from_answer(&answer)
    }

    /// Checks that a request was refused and that the API server got no connection.
    fn assert_refused(&self, answer: &Answer, status: u16, reason: &str) {
        assert_eq!((answer.status, &answer.json()["reason"]), (status, &json!(reason)), "{}", answer.json());
        for (header, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
            assert_eq!(answer.header(header), value);
        }
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(!answer.headers.keys().any(|name| name.starts_with("access-control-")), "{answer:?}");
        assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
        assert_eq!(self.api_connections.load(Ordering::SeqCst), 0, "the API server got a connection");
    }

    /// Checks that a change was sent to the API server, which closes the connection.
    async fn assert_let_through(&self, answer: Answer) {
        assert_eq!((answer.status, &answer.json()["reason"]), (502, &json!("ApiRefused")));
        assert!(self.api_connections.load(Ordering::SeqCst) > 0);
    }

    async fn stop(self) {
        self.site.stop().await;
        self.node.stop().await;
        self.api_server.abort();
    }
}

fn sign_in_options(dir: &TempDir, url: &str, clock_offset: &Arc<AtomicI64>) -> SignInOptions {
    let config = kube::Config::new(url.parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    let (clock_offset, start) = (Arc::clone(clock_offset), Timestamp::now().as_second());
    let now = move || {
        let now = start + clock_offset.load(Ordering::SeqCst);
        Timestamp::from_second(now).unwrap()
    };
    SignInOptions {
        mode: SignInMode::Basic { credentials_dir: dir.path().to_owned(), client },
        key_file: dir.path().join("key"),
        clock: Arc::new(now),
    }
}

const FROM_PAGE: [(&str, &str); 4] = [
    ("Host", "lb.example"),
    ("Origin", "https://lb.example"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Content-Type", "application/json"),
];

/// `FROM_PAGE` with another value of one header, or without it.
fn from_page_with(name: &'static str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut headers = FROM_PAGE.to_vec();
    headers.retain(|(header, _)| *header != name);
    headers.extend(value.map(|value| (name, value)));
    headers
}

struct Session {
    cookie: String,
    csrf: String,
    attributes: String,
}

impl Session {
    fn from_answer(answer: &Answer) -> Self {
        let (cookie, attributes) = answer.header("set-cookie").split_once("; ").expect("a cookie with attributes");
        let csrf = answer.json()["csrf"].as_str().unwrap_or_default().to_owned();
        Self { cookie: cookie.to_owned(), csrf, attributes: attributes.to_owned() }
    }

    /// The session with the cookie that an answer renewed.
    fn renewed(&self, answer: &Answer) -> Self {
        Self { csrf: self.csrf.clone(), ..Self::from_answer(answer) }
    }
}

#[tokio::test]
async fn signed_in_user_can_preview_and_make_changes() {
    let site = AdminSite::start().await;
    let session = site.sign_in().await;
    assert_eq!(session.attributes, "HttpOnly; SameSite=Strict; Secure; Max-Age=1800");
    let status = get(site.address(), "/view/api/session", &[("Cookie", &session.cookie)]).await.json();
    assert_eq!((&status["mode"], &status["signed_in"]["who"]), (&json!("basic"), &json!("dashboard user ada")));
    assert_eq!(status["signed_in"]["csrf"], json!(session.csrf));

    let disable = r#"{"field":"admin_state","backend":"shop/web-1","state":"Disabled"}"#;
    let preview = within(async {
        loop {
            let preview = site.post_from_page("/view/api/admin/preview", &session, disable).await.json();
            if preview["touches"] != json!([]) {
                return preview;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((&preview["touches"], &preview["nodes"]), (&json!(["shop/web"]), &json!(1)), "{preview}");
    assert_eq!(preview["change"], json!("adminState of Backend shop/web-1"));
    assert_eq!(preview["effects"], json!(["node-a: not known: the agent is not connected to VPP"]));

    let answer = site.post_from_page("/view/api/admin/change", &session, PAUSE).await;
    assert!(answer.header("set-cookie").starts_with("maglev-session="), "a change renews the session");
    site.assert_let_through(answer).await;
    site.stop().await;
}

#[tokio::test]
async fn requests_without_a_session_are_refused() {
    let site = AdminSite::start().await;
    for path in ["/view/api/admin/change", "/view/api/admin/preview", "/view/api/sign-out", "/lb/view/api/admin/change"]
    {
        site.assert_refused(&site.post(path, &FROM_PAGE, PAUSE).await, 401, "NotSignedIn");
        let forged = [&FROM_PAGE[..], &[("Cookie", "maglev-session=AAAA"), ("X-Maglev-CSRF", "")]].concat();
        site.assert_refused(&site.post(path, &forged, PAUSE).await, 401, "NotSignedIn");
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = send(site.address(), method, path, &FROM_PAGE, "").await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(!answer.headers.keys().any(|name| name.starts_with("access-control-")), "{answer:?}");
        }
    }
    let status = get(site.address(), "/view/api/session", &[]).await.json();
    assert_eq!(status, json!({ "mode": "basic", "to_read": false, "to_change": true }));
    assert_eq!(get(site.address(), "/view/api/version", &[]).await.json()["admin"], json!(true));
    assert_eq!(site.api_connections.load(Ordering::SeqCst), 0);
    site.stop().await;
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_sign_in_is_rate_limited() {
    let site = AdminSite::start().await;
    for body in [
        r#"{"user":"ada","password":"wrong"}"#,
        r#"{"user":"bob","password":"lovelace"}"#,
        r#"{"user":"","password":""}"#,
        r#"{"user":"ada","password":"lovelace "}"#,
    ] {
        site.assert_refused(&site.post("/view/api/sign-in", &FROM_PAGE, body).await, 401, "PasswordWrong");
    }
    let answer = site.post("/view/api/sign-in", &FROM_PAGE, r#"{"token":"lovelace"}"#).await;
    site.assert_refused(&answer, 400, "BadBody");
    let answer = site.post("/view/api/sign-in", &FROM_PAGE, PASSWORD).await;
    site.assert_refused(&answer, 429, "TooManyTries");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    site.stop().await;
}

#[tokio::test]
async fn cross_origin_request_is_refused_despite_its_cookie() {
    let site = AdminSite::start().await;
    let session = site.sign_in().await;
    let credentials = [("Cookie", &*session.cookie), ("X-Maglev-CSRF", &*session.csrf)];
    for headers in [
        from_page_with("Origin", Some("https://evil.example")),
        from_page_with("Origin", Some("null")),
        from_page_with("Sec-Fetch-Site", Some("cross-site")),
        from_page_with("Sec-Fetch-Site", Some("same-site")),
        [("Host", "lb.example"), ("Content-Type", "application/json")].to_vec(),
    ] {
        let reason = if headers.contains(&("Sec-Fetch-Site", "cross-site")) { "CrossSite" } else { "CrossOrigin" };
        let answer = site.post("/view/api/admin/change", &[&headers[..], &credentials].concat(), PAUSE).await;
        site.assert_refused(&answer, 403, reason);
        site.assert_refused(&site.post("/view/api/sign-in", &headers, PASSWORD).await, 403, reason);
    }
    site.stop().await;
}

#[tokio::test]
async fn change_without_its_csrf_token_is_refused() {
    let site = AdminSite::start().await;
    let (session, other) = (site.sign_in().await, site.sign_in().await);
    for csrf in [None, Some(""), Some("wrong"), Some(&*other.csrf)] {
        let mut headers = FROM_PAGE.to_vec();
        headers.push(("Cookie", &session.cookie));
        headers.extend(csrf.map(|csrf| ("X-Maglev-CSRF", csrf)));
        site.assert_refused(&site.post("/view/api/admin/change", &headers, PAUSE).await, 403, "CSRFTokenWrong");
        site.assert_refused(&site.post("/view/api/sign-out", &headers, "{}").await, 403, "CSRFTokenWrong");
    }
    site.assert_let_through(site.post_from_page("/view/api/admin/change", &session, PAUSE).await).await;
    site.stop().await;
}

#[tokio::test]
async fn body_that_is_not_json_is_refused() {
    let site = AdminSite::start().await;
    let session = site.sign_in().await;
    let credentials = [("Cookie", &*session.cookie), ("X-Maglev-CSRF", &*session.csrf)];
    for kind in [None, Some("application/x-www-form-urlencoded"), Some("text/plain"), Some("multipart/form-data")] {
        let headers = from_page_with("Content-Type", kind);
        let answer = site.post("/view/api/admin/change", &[&headers[..], &credentials].concat(), PAUSE).await;
        site.assert_refused(&answer, 415, "NotJSON");
        site.assert_refused(&site.post("/view/api/sign-in", &headers, PASSWORD).await, 415, "NotJSON");
    }
    let answer = site.post_from_page("/view/api/admin/change", &session, r#"{"change":{"field":"admin_state"}}"#).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!("BadBody")));
    let long = format!(r#"{{"user":"ada","password":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(site.post("/view/api/sign-in", &FROM_PAGE, &long).await.status, 400);
    assert_eq!(site.api_connections.load(Ordering::SeqCst), 0);
    site.stop().await;
}

#[tokio::test]
async fn session_ends_after_30_min_idle_or_8_h() {
    let site = AdminSite::start().await;
    let disable = r#"{"field":"admin_state","backend":"shop/web-1","state":"Disabled"}"#;
    let mut session = site.sign_in().await;
    let first = session.renewed(&site.post_from_page("/view/api/admin/preview", &session, disable).await);
    for _ in 0..16 {
        site.clock_offset.fetch_add(29 * 60, Ordering::SeqCst);
        let answer = site.post_from_page("/view/api/admin/preview", &session, disable).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        session = session.renewed(&answer);
    }
    // After 7 h 44 min the cookie's remaining age is limited by the eight hours.
    let age = session.attributes.split("; ").find_map(|attribute| attribute.strip_prefix("Max-Age=")?.parse().ok());
    assert!((900..=960).contains(&age.unwrap_or(0)), "{}", session.attributes);
    site.assert_refused(&site.post_from_page("/view/api/admin/change", &first, PAUSE).await, 401, "NotSignedIn");
    site.clock_offset.fetch_add(16 * 60, Ordering::SeqCst);
    site.assert_refused(&site.post_from_page("/view/api/admin/change", &session, PAUSE).await, 401, "NotSignedIn");

    let idle = site.sign_in().await;
    site.clock_offset.fetch_add(30 * 60, Ordering::SeqCst);
    site.assert_refused(&site.post_from_page("/view/api/admin/change", &idle, PAUSE).await, 401, "NotSignedIn");
    site.stop().await;
}

#[tokio::test]
async fn cookies_are_invalid_after_sign_out() {
    let site = AdminSite::start().await;
    let session = site.sign_in().await;
    let answer = site.post_from_page(
        "/view/api/admin/preview",
        &session,
        r#"{"field":"admin_state","backend":"a/b","state":"Paused"}"#,
    );
    let renewed = session.renewed(&answer.await);
    assert_ne!(renewed.cookie, session.cookie);
    let other = site.sign_in().await;
    let sign_out = site.post_from_page("/view/api/sign-out", &session, "{}").await;
    assert_eq!(sign_out.status, 200);
    let deletion = sign_out.header("set-cookie");
    assert!(deletion.starts_with("maglev-session=; ") && deletion.ends_with("; Max-Age=0"), "{sign_out:?}");
    for replayed in [&session, &renewed] {
        site.assert_refused(&site.post_from_page("/view/api/admin/change", replayed, PAUSE).await, 401, "NotSignedIn");
    }
    let status = get(site.address(), "/view/api/session", &[("Cookie", &renewed.cookie)]).await.json();
    assert_eq!(status.get("signed_in"), None::<&Value>);
    site.assert_let_through(site.post_from_page("/view/api/admin/change", &other, PAUSE).await).await;
    site.stop().await;
}

#[tokio::test]
async fn changed_password_or_key_ends_every_session() {
    let site = AdminSite::start().await;
    let session = site.sign_in().await;
    let until_read_again = || site.clock_offset.fetch_add(10, Ordering::SeqCst);
    fs::write(site.dir.path().join("password"), "byron").unwrap();
    let unread = get(site.address(), "/view/api/session", &[("Cookie", &session.cookie)]).await.json();
    assert_eq!(unread["signed_in"]["csrf"], json!(session.csrf), "Secrets are not read again for each request");
    until_read_again();
    site.assert_refused(&site.post_from_page("/view/api/admin/change", &session, PAUSE).await, 401, "NotSignedIn");
    site.assert_refused(&site.post("/view/api/sign-in", &FROM_PAGE, PASSWORD).await, 401, "PasswordWrong");
    fs::write(site.dir.path().join("password"), "lovelace").unwrap();
    fs::write(site.dir.path().join("key"), "l".repeat(32)).unwrap();
    until_read_again();
    site.assert_refused(&site.post_from_page("/view/api/admin/change", &session, PAUSE).await, 401, "NotSignedIn");
    fs::remove_file(site.dir.path().join("key")).unwrap();
    until_read_again();
    site.assert_refused(&site.post_from_page("/view/api/admin/change", &session, PAUSE).await, 500, "Misconfigured");
    site.stop().await;
}

#[tokio::test]
async fn password_is_accepted_only_over_tls_or_loopback() {
    let site = AdminSite::start().await;
    let plain = [&from_page_with("Origin", Some("http://lb.example"))[..]].concat();
    site.assert_refused(&site.post("/view/api/sign-in", &plain, PASSWORD).await, 403, "NotSecure");
    let local = [
        ("Host", "127.0.0.1:8080"),
        ("Origin", "http://127.0.0.1:8080"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
    ];
    let session = Session::from_answer(&site.post("/view/api/sign-in", &local, PASSWORD).await);
    assert_eq!(
        session.attributes, "HttpOnly; SameSite=Strict; Max-Age=1800",
        "a cookie without Secure, which browsers keep without TLS"
    );
    site.stop().await;
}
