//! Without credentials nothing is changed, and what credentials are worth: real requests over a real socket.
//!
//! Where the API server would be stands a socket that counts who connects: a change that is let through shows there, so
//! that every refusal is seen to be one. What the API server does with a change, `tests/cluster/admin.rs` tells.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use maglev_dashboard::{AdminMode, AdminOptions};
use maglev_kube::client::install_tls_provider;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    browser::{Answer, get, send},
    site::{Node, Site, within},
};

const PAUSE: &str = r#"{"change":{"field":"admin_state","backend":"shop/web-1","state":"Paused"},"force":true}"#;
const PASSWORD: &str = r#"{"user":"ada","password":"lovelace"}"#;

/// A site whose administrator is known by a password, and the socket where its changes would arrive.
struct World {
    site: Site,
    node: Node,
    dir: TempDir,
    /// Seconds that the site's clock is ahead.
    ahead: Arc<AtomicI64>,
    arrived: Arc<AtomicUsize>,
    api_server: JoinHandle<()>,
}

impl World {
    async fn start() -> Self {
        install_tls_provider();
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [("username", "ada"), ("password", "lovelace"), ("key", &"k".repeat(32))] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (ahead, arrived) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&arrived);
        let api_server = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        let node = Node::start("node-a", 1).await;
        node.configure();
        let site = Site::start_with(&[&node], 0xabc, |options| {
            options.admin = Some(admin_options(&dir, &url, &ahead));
        })
        .await;
        Self { site, node, dir, ahead, arrived, api_server }
    }

    fn address(&self) -> SocketAddr {
        self.site.address
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        send(self.address(), "POST", path, headers, body).await
    }

    /// As the page does it.
    async fn page(&self, path: &str, session: &Session, body: &str) -> Answer {
        let more = [("Cookie", &*session.cookie), ("X-Maglev-CSRF", &*session.csrf)];
        self.post(path, &[&FROM_PAGE[..], &more].concat(), body).await
    }

    async fn sign_in(&self) -> Session {
        let answer = self.post("/admin/sign-in", &FROM_PAGE, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        Session::of(&answer)
    }

    /// What everybody is told that is not let through; nothing has arrived.
    fn refused(&self, answer: &Answer, status: u16, reason: &str) {
        assert_eq!((answer.status, &answer.json()["reason"]), (status, &json!(reason)), "{}", answer.json());
        for (header, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
            assert_eq!(answer.header(header), value);
        }
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(!answer.headers.keys().any(|name| name.starts_with("access-control-")), "{answer:?}");
        assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
        assert_eq!(self.arrived.load(Ordering::SeqCst), 0, "it went to the API server");
    }

    /// What would be written is written: it arrives where the API server would be.
    async fn let_through(&self, answer: Answer) {
        assert_eq!((answer.status, &answer.json()["reason"]), (502, &json!("ApiRefused")));
        assert!(self.arrived.load(Ordering::SeqCst) > 0);
    }

    async fn stop(self) {
        self.site.stop().await;
        self.node.stop().await;
        self.api_server.abort();
    }
}

fn admin_options(dir: &TempDir, url: &str, ahead: &Arc<AtomicI64>) -> AdminOptions {
    let config = kube::Config::new(url.parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    let ahead = Arc::clone(ahead);
    let now = move || {
        let now = Timestamp::now().as_second() + ahead.load(Ordering::SeqCst);
        Timestamp::from_second(now).unwrap()
    };
    AdminOptions {
        mode: AdminMode::Basic { credentials_dir: dir.path().to_owned(), client },
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

/// `FROM_PAGE` with another header in the place of one.
fn except(name: &'static str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut headers = FROM_PAGE.to_vec();
    headers.retain(|(of, _)| *of != name);
    headers.extend(value.map(|value| (name, value)));
    headers
}

struct Session {
    cookie: String,
    csrf: String,
    attributes: String,
}

impl Session {
    fn of(answer: &Answer) -> Self {
        let (cookie, attributes) = answer.header("set-cookie").split_once("; ").expect("a cookie with attributes");
        let csrf = answer.json()["csrf"].as_str().unwrap_or_default().to_owned();
        Self { cookie: cookie.to_owned(), csrf, attributes: attributes.to_owned() }
    }

    /// The same with the cookie that an answer renewed.
    fn renewed(&self, answer: &Answer) -> Self {
        Self { csrf: self.csrf.clone(), ..Self::of(answer) }
    }
}

#[tokio::test]
async fn who_has_signed_in_is_let_through_and_sees_what_a_change_touches() {
    let world = World::start().await;
    let session = world.sign_in().await;
    assert_eq!(session.attributes, "HttpOnly; SameSite=Strict; Secure; Max-Age=1800");
    let who = get(world.address(), "/admin/session", &[("Cookie", &session.cookie)]).await.json();
    assert_eq!((&who["mode"], &who["signed_in"]["who"]), (&json!("basic"), &json!("dashboard user ada")));
    assert_eq!(who["signed_in"]["csrf"], json!(session.csrf));

    let disable = r#"{"field":"admin_state","backend":"shop/web-1","state":"Disabled"}"#;
    let preview = within(async {
        loop {
            let preview = world.page("/admin/preview", &session, disable).await.json();
            if preview["touches"] != json!([]) {
                return preview;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((&preview["touches"], &preview["nodes"]), (&json!(["shop/web"]), &json!(1)), "{preview}");
    assert_eq!(preview["change"], json!("adminState of Backend shop/web-1"));

    let answer = world.page("/admin/change", &session, PAUSE).await;
    assert!(answer.header("set-cookie").starts_with("maglev-admin="), "who does something stays signed in");
    world.let_through(answer).await;
    world.stop().await;
}

#[tokio::test]
async fn nobody_who_has_not_signed_in_changes_anything() {
    let world = World::start().await;
    for path in ["/admin/change", "/admin/preview", "/admin/sign-out", "/lb/admin/change"] {
        world.refused(&world.post(path, &FROM_PAGE, PAUSE).await, 401, "NotSignedIn");
        let forged = [&FROM_PAGE[..], &[("Cookie", "maglev-admin=AAAA"), ("X-Maglev-CSRF", "")]].concat();
        world.refused(&world.post(path, &forged, PAUSE).await, 401, "NotSignedIn");
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = send(world.address(), method, path, &FROM_PAGE, "").await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(!answer.headers.keys().any(|name| name.starts_with("access-control-")), "{answer:?}");
        }
    }
    let who = get(world.address(), "/admin/session", &[]).await.json();
    assert_eq!(who, json!({ "mode": "basic" }));
    assert_eq!(get(world.address(), "/view/api/version", &[]).await.json()["admin"], json!(true));
    assert_eq!(world.arrived.load(Ordering::SeqCst), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_password_signs_nobody_in_and_after_five_tries_the_right_one_does_not_either() {
    let world = World::start().await;
    for body in [
        r#"{"user":"ada","password":"wrong"}"#,
        r#"{"user":"bob","password":"lovelace"}"#,
        r#"{"user":"","password":""}"#,
        r#"{"user":"ada","password":"lovelace "}"#,
    ] {
        world.refused(&world.post("/admin/sign-in", &FROM_PAGE, body).await, 401, "PasswordWrong");
    }
    let answer = world.post("/admin/sign-in", &FROM_PAGE, r#"{"token":"lovelace"}"#).await;
    world.refused(&answer, 400, "BadBody");
    let answer = world.post("/admin/sign-in", &FROM_PAGE, PASSWORD).await;
    world.refused(&answer, 429, "TooManyTries");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    world.stop().await;
}

#[tokio::test]
async fn a_request_of_another_origin_is_refused_though_it_brings_the_cookie() {
    let world = World::start().await;
    let session = world.sign_in().await;
    let mine = [("Cookie", &*session.cookie), ("X-Maglev-CSRF", &*session.csrf)];
    for headers in [
        except("Origin", Some("https://evil.example")),
        except("Origin", Some("null")),
        except("Sec-Fetch-Site", Some("cross-site")),
        except("Sec-Fetch-Site", Some("same-site")),
        [("Host", "lb.example"), ("Content-Type", "application/json")].to_vec(),
    ] {
        let answer = world.post("/admin/change", &[&headers[..], &mine].concat(), PAUSE).await;
        world.refused(&answer, 403, "CrossOrigin");
        world.refused(&world.post("/admin/sign-in", &headers, PASSWORD).await, 403, "CrossOrigin");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_change_without_its_csrf_header_is_refused() {
    let world = World::start().await;
    let (session, other) = (world.sign_in().await, world.sign_in().await);
    for csrf in [None, Some(""), Some("wrong"), Some(&*other.csrf)] {
        let mut headers = FROM_PAGE.to_vec();
        headers.push(("Cookie", &session.cookie));
        headers.extend(csrf.map(|csrf| ("X-Maglev-CSRF", csrf)));
        world.refused(&world.post("/admin/change", &headers, PAUSE).await, 403, "CSRFTokenWrong");
        world.refused(&world.post("/admin/sign-out", &headers, "{}").await, 403, "CSRFTokenWrong");
    }
    world.let_through(world.page("/admin/change", &session, PAUSE).await).await;
    world.stop().await;
}

#[tokio::test]
async fn a_form_is_no_json() {
    let world = World::start().await;
    let session = world.sign_in().await;
    let mine = [("Cookie", &*session.cookie), ("X-Maglev-CSRF", &*session.csrf)];
    for kind in [None, Some("application/x-www-form-urlencoded"), Some("text/plain"), Some("multipart/form-data")] {
        let headers = except("Content-Type", kind);
        let answer = world.post("/admin/change", &[&headers[..], &mine].concat(), PAUSE).await;
        world.refused(&answer, 415, "NotJSON");
        world.refused(&world.post("/admin/sign-in", &headers, PASSWORD).await, 415, "NotJSON");
    }
    let answer = world.page("/admin/change", &session, r#"{"change":{"field":"admin_state"}}"#).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!("BadBody")));
    let long = format!(r#"{{"user":"ada","password":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(world.post("/admin/sign-in", &FROM_PAGE, &long).await.status, 400);
    assert_eq!(world.arrived.load(Ordering::SeqCst), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_cookie_is_over_after_half_an_hour_of_nothing_and_after_eight_hours_of_anything() {
    let world = World::start().await;
    let disable = r#"{"field":"admin_state","backend":"shop/web-1","state":"Disabled"}"#;
    let mut session = world.sign_in().await;
    let first = session.renewed(&world.page("/admin/preview", &session, disable).await);
    for _ in 0..16 {
        world.ahead.fetch_add(29 * 60, Ordering::SeqCst);
        let answer = world.page("/admin/preview", &session, disable).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        session = session.renewed(&answer);
    }
    // 7 h 44 min: the last one's cookie cannot outlive the eighth hour.
    let age = session.attributes.split("; ").find_map(|attribute| attribute.strip_prefix("Max-Age=")?.parse().ok());
    assert!((900..=960).contains(&age.unwrap_or(0)), "{}", session.attributes);
    world.refused(&world.page("/admin/change", &first, PAUSE).await, 401, "NotSignedIn");
    world.ahead.fetch_add(16 * 60, Ordering::SeqCst);
    world.refused(&world.page("/admin/change", &session, PAUSE).await, 401, "NotSignedIn");

    let idle = world.sign_in().await;
    world.ahead.fetch_add(30 * 60, Ordering::SeqCst);
    world.refused(&world.page("/admin/change", &idle, PAUSE).await, 401, "NotSignedIn");
    world.stop().await;
}

#[tokio::test]
async fn a_cookie_that_was_signed_out_of_does_not_work_again() {
    let world = World::start().await;
    let session = world.sign_in().await;
    let answer = world.page("/admin/preview", &session, r#"{"field":"admin_state","backend":"a/b","state":"Paused"}"#);
    let renewed = session.renewed(&answer.await);
    assert_ne!(renewed.cookie, session.cookie);
    let other = world.sign_in().await;
    let out = world.page("/admin/sign-out", &session, "{}").await;
    assert_eq!(out.status, 200);
    let deletion = out.header("set-cookie");
    assert!(deletion.starts_with("maglev-admin=; ") && deletion.ends_with("; Max-Age=0"), "{out:?}");
    for replayed in [&session, &renewed] {
        world.refused(&world.page("/admin/change", replayed, PAUSE).await, 401, "NotSignedIn");
    }
    let known = get(world.address(), "/admin/session", &[("Cookie", &renewed.cookie)]).await.json();
    assert_eq!(known.get("signed_in"), None::<&Value>);
    world.let_through(world.page("/admin/change", &other, PAUSE).await).await;
    world.stop().await;
}

#[tokio::test]
async fn another_password_or_key_ends_every_session() {
    let world = World::start().await;
    let session = world.sign_in().await;
    fs::write(world.dir.path().join("password"), "byron").unwrap();
    world.refused(&world.page("/admin/change", &session, PAUSE).await, 401, "NotSignedIn");
    world.refused(&world.post("/admin/sign-in", &FROM_PAGE, PASSWORD).await, 401, "PasswordWrong");
    fs::write(world.dir.path().join("password"), "lovelace").unwrap();
    fs::write(world.dir.path().join("key"), "l".repeat(32)).unwrap();
    world.refused(&world.page("/admin/change", &session, PAUSE).await, 401, "NotSignedIn");
    fs::remove_file(world.dir.path().join("key")).unwrap();
    world.refused(&world.page("/admin/change", &session, PAUSE).await, 500, "Misconfigured");
    world.stop().await;
}

#[tokio::test]
async fn a_password_is_taken_over_tls_or_the_loopback_only() {
    let world = World::start().await;
    let plain = [&except("Origin", Some("http://lb.example"))[..]].concat();
    world.refused(&world.post("/admin/sign-in", &plain, PASSWORD).await, 403, "NotSecure");
    let local = [
        ("Host", "127.0.0.1:8080"),
        ("Origin", "http://127.0.0.1:8080"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
    ];
    let session = Session::of(&world.post("/admin/sign-in", &local, PASSWORD).await);
    assert_eq!(session.attributes, "HttpOnly; SameSite=Strict; Max-Age=1800", "a browser keeps it without TLS");
    world.stop().await;
}
