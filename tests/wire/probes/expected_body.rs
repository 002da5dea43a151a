//! `expectedText` and `expectedBody`: the meaning of a pattern, and bodies that never end.

use std::time::Duration;

use maglev_health::NetworkProber;
use maglev_model::{
    body_pattern::BodyPattern,
    config::HealthCheck,
    health::ProbeCode::{self, *},
};
use serde::Deserialize;

use super::{
    checks::{self, http, https},
    endless_bodies::{drips_body, pieces, resets_after, talks_endless_http2},
    http2::{response, talks_http2},
    probe,
    servers::{self, Authority},
};

/// Patterns with the verdict of Go's `regexp`, written by `go_patterns.go`.
#[derive(Deserialize)]
struct GoPatterns {
    bodies: Vec<String>,
    patterns: Vec<GoPattern>,
}

#[derive(Deserialize)]
struct GoPattern {
    pattern: String,
    /// The numbers of the matching bodies; `None` if the pattern does not compile.
    matches: Option<Vec<usize>>,
}

impl GoPatterns {
    fn read() -> Self {
        serde_json::from_str(include_str!("../data/go_patterns.json")).unwrap()
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        self.bodies.iter().map(|body| body.as_bytes().chunks(2).map(byte).collect()).collect()
    }
}

fn with_text(check: HealthCheck, text: &str) -> HealthCheck {
    checks::with_http(check, |http| http.expected_text = Some(text.into()))
}

fn quick(check: HealthCheck) -> HealthCheck {
    HealthCheck { timeout: Duration::from_secs(2), ..check }
}

#[test]
fn pattern_has_the_meaning_of_go() {
    let file = GoPatterns::read();
    let bodies = file.bodies();
    let mut differences = Vec::new();
    for GoPattern { pattern, matches } in &file.patterns {
        // Patterns that Go refuses are refused on apply, too.
        let Some(expected) = matches else { continue };
        match BodyPattern::new(pattern).compiled() {
            Ok(compiled) => {
                let found: Vec<_> = (0..bodies.len()).filter(|&n| compiled.matches(&bodies[n], true)).collect();
                if found != *expected {
                    differences.push(format!("{pattern}: matches {found:?}, in Go {expected:?}"));
                }
            }
            // The rules of the CRD refuse Unicode classes.
            Err(_) if pattern.contains(r"\p") || pattern.contains(r"\P") => {}
            Err(error) => differences.push(format!("{pattern}: {error}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(file.patterns.len() >= 60);
}

#[tokio::test]
async fn probe_finds_what_go_finds() {
    let network = NetworkProber::new("1.2.3");
    let file = GoPatterns::read();
    let bodies = file.bodies();
    let number = bodies.iter().position(|body| body == br#"{"status":"UP"}"#).unwrap();
    let response = [b"HTTP/1.1 200 OK\r\n\r\n", bodies[number].as_slice()].concat();
    let server = servers::answers(&response).await;
    let mut found = 0;
    for GoPattern { pattern, matches } in &file.patterns {
        let Some(matches) = matches else { continue };
        if BodyPattern::new(pattern).compiled().is_err() {
            continue;
        }
        let check = checks::with_body(http(server.address.port()), pattern);
        let (code, detail) = probe(&network, server.address, check).await;
        let expected = if matches.contains(&number) { L7Ok } else { L7Response };
        assert_eq!(code, expected, "{pattern}: {detail}");
        found += usize::from(code == L7Ok);
    }
    assert!(found >= 20, "{found}");
}

#[tokio::test]
async fn expected_text_is_searched_as_it_is() {
    let network = NetworkProber::new("1.2.3");
    let body = "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"UP\"} läuft \u{fffd}".as_bytes();
    let server = servers::answers(&[body, b"\xff\x00end"].concat()).await;
    for (text, expected) in [
        (r#"{"status":"UP"}"#, L7Ok),
        ("läuft", L7Ok),
        ("end", L7Ok),
        ("\u{fffd}", L7Ok),
        (".*", L7Response),
        ("up", L7Response),
    ] {
        let (code, detail) = probe(&network, server.address, with_text(http(server.address.port()), text)).await;
        assert_eq!(code, expected, "{text}: {detail}");
        assert!(code == L7Ok || detail.contains("expectedText not found"), "{detail}");
    }
}

async fn bodies_that_do_not_end() -> Vec<(&'static str, servers::Server)> {
    let events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: UP\n\n";
    let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: UP\n\r\n";
    let length = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndata: UP\n";
    vec![
        ("an event stream", servers::stalls(events).await),
        ("a missing last chunk", servers::stalls(chunks).await),
        ("a length that is never reached", servers::stalls(length).await),
        ("a connection that ends before the last chunk", servers::answers(chunks).await),
        ("a connection that ends before the length", servers::answers(length).await),
        ("a reset after the match", resets_after(chunks).await),
        ("a drip", drips_body(events).await),
    ]
}

#[tokio::test]
async fn match_counts_although_the_body_does_not_end() {
    let network = NetworkProber::new("1.2.3");
    for (about, server) in bodies_that_do_not_end().await {
        let check = || quick(http(server.address.port()));
        for check in [with_text(check(), "UP"), checks::with_body(check(), r"\bUP\b"), checks::with_body(check(), "UP")]
        {
            let (code, detail) = probe(&network, server.address, check).await;
            assert_eq!(code, L7Ok, "{about}: {detail}");
        }
    }
}

#[tokio::test]
async fn pattern_with_a_dollar_waits_for_the_end() {
    let network = NetworkProber::new("1.2.3");
    let mut codes = Vec::new();
    for (about, server) in bodies_that_do_not_end().await {
        let check = checks::with_body(quick(http(server.address.port())), "UP\n$");
        let (code, detail) = probe(&network, server.address, check).await;
        assert!(code == L7Timeout || code == L7Response, "{about}: {code:?} {detail}");
        codes.push((code, detail));
    }
    let missing = codes.iter().filter(|(_, detail)| detail.contains("is missing") || detail.contains("are missing"));
    assert!(missing.count() >= 2, "{codes:?}");
    let late = pieces(&[b"HTTP/1.1 200 OK\r\n\r\nU", b"P", b" ", b"UP"]).await;
    let check = checks::with_body(http(late.address.port()), "^UP UP$");
    assert_eq!(probe(&network, late.address, check).await.0, L7Ok);
}

#[tokio::test]
async fn body_over_http2_counts_although_it_does_not_end() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    let endless = talks_endless_http2(b"data: UP\n");
    let server = authority.server_with_protocols("web.example", &[b"h2"], endless).await;
    let check = |text: &str| quick(with_text(https(server.address.port(), "web.example"), text));
    assert_eq!(probe(&network, server.address, check("UP")).await.0, L7Ok);
    assert_eq!(probe(&network, server.address, check("DOWN")).await.0, L7Timeout);
    let gzip = talks_http2(|_| Some(response(200, &[("content-encoding", "gzip")], b"\x1f\x8b", &[])));
    let server = authority.server_with_protocols("web.example", &[b"h2"], gzip).await;
    let check = with_text(https(server.address.port(), "web.example"), "UP");
    let (code, detail) = probe(&network, server.address, check).await;
    assert!(code == L7Response && detail.contains("Content-Encoding: gzip"), "{detail}");
}

#[tokio::test]
async fn message_names_the_wrong_header_and_a_compressed_body() {
    let network = NetworkProber::new("1.2.3");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let table: [(&[u8], ProbeCode, &str); 5] = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b",
            L7Response,
            "compressed (Content-Encoding: gzip)",
        ),
        (b"HTTP/1.1 200 OK\r\nX Foo: b\r\n\r\n", L7Response, "\"X Foo\" in line 2"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n", L7Response, "Content-Length is not a number"),
        (many.as_bytes(), L7Response, "more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno", L7Response, "98 bytes of Content-Length are missing"),
    ];
    for (response, code, expected) in table {
        let server = servers::answers(response).await;
        let (got, detail) = probe(&network, server.address, with_text(http(server.address.port()), "UP")).await;
        assert!(got == code && detail.contains(expected), "{detail}");
    }
}
