//! The command `maglevd probe`.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use maglev_model::printable::is_unprintable;
use serde_json::json;

use super::{
    http2::health_service,
    servers::{self, Authority},
};

/// Runs the command with `manifest` as standard input. Returns the exit code and the output.
async fn maglevd_probe(manifest: String, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(maglev_testkit::binary("maglevd"));
    command.env_clear().args(["probe", "-"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn check(name: &str, spec: &serde_json::Value) -> String {
    json!({"apiVersion": "maglev.vpp.io/v1alpha1", "kind": "HealthCheck", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

fn is_in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[tokio::test]
async fn name_and_answer_do_not_control_the_terminal() {
    let server = servers::answers(b"HTTP/1.1 200 \x1b[31mOK\r\ncontent-length: 2\r\n\r\nok").await;
    let spec = json!({"type": "HTTP", "port": server.address.port()});
    let (_, text) = maglevd_probe(check("web\u{1b}[2J\u{202e}\nforged", &spec), &["127.0.0.1"]).await;
    assert!(text.contains("web\\u{1b}[2J\\u{202e}\\u{a}forged"), "{text:?}");
    let broken = format!("kind: HealthCheck\nmetadata: {{name: \"a\\e[2J\\nforged\"}}\nspec: {{type: {spec}}}\n");
    let (code, error) = maglevd_probe(broken, &["127.0.0.1"]).await;
    assert_eq!(code, Some(1), "{error}");
    for text in [text, error] {
        let unprintable: Vec<char> = text.chars().filter(|c| *c != '\n' && is_unprintable(*c)).collect();
        assert!(unprintable.is_empty() && !text.contains("\nforged"), "{unprintable:?} in {text:?}");
    }
}

#[tokio::test]
async fn probe_command_prints_each_step_and_its_effect() {
    let server = servers::answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let spec = json!({
        "type": "HTTP", "port": server.address.port(), "timeout": "10s", "interval": "10s", "fall": 4,
        "http": {"path": "/healthz", "expectedBody": "^ok$", "headers": [{"name": "X-Token", "value": "s3cret"}]},
    });
    let arguments = ["127.0.0.1", "--source", "127.0.0.9"];
    let (code, text) = maglevd_probe(check("web", &spec), &arguments).await;
    assert_eq!(code, Some(0), "{text}");
    let address = server.address.to_string();
    let steps = [
        "HealthCheck default/web: HTTP, timeout 10s, interval 10s (fast 10s, down 10s), rise 2, fall 4",
        &format!("ms  connecting to {address} from 127.0.0.9\n"),
        "ms  connected, from 127.0.0.9:",
        &format!("ms  sent GET /healthz to host {address} over HTTP/1.1, with headers"),
        "X-Token",
        "ms  received status 200 over HTTP/1.1\n",
        "ms  read 2 bytes of the body\n",
        "ms  L7OK: status 200\n",
        "comes up after 2 such probes in a row",
    ];
    assert!(is_in_order(&text, &steps), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn probe_command_prints_tls_and_grpc_steps_and_reads_certificates() {
    let authority = Authority::new();
    let server = authority.server_with_protocols("grpc.example", &[b"h2"], health_service()).await;
    let tls = json!({"serverName": "grpc.example", "caCertificateRef": {"name": "ca"}});
    let port = server.address.port();
    let spec = json!({"type": "GRPC", "port": port, "grpc": {"service": "shop.v1.Pay"}, "tls": tls});
    let map = json!({"kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": authority.pem()}});
    let manifest = format!("{}\n---\n{map}\n", check("pay", &spec));
    let (code, text) = maglevd_probe(manifest, &["127.0.0.1"]).await;
    assert_eq!(code, Some(1), "{text}");
    let steps = [
        "HealthCheck default/pay: GRPC",
        "connected, from",
        "TLS handshake done for grpc.example: TLSv1_3, 1 certificates, protocol (ALPN): h2\n",
        "sent grpc.health.v1.Health/Check for service \"shop.v1.Pay\"",
        "received serving status NOT_SERVING\n",
        "L7STS: serving status NOT_SERVING, expected SERVING\n",
        "The agent counts a failure.",
    ];
    assert!(is_in_order(&text, &steps), "{text}");

    let (code, text) = maglevd_probe(check("pay", &spec), &["127.0.0.1", "--kubeconfig", "/nonexistent"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ConfigMap default/ca") && text.contains("cannot read the kubeconfig"), "{text}");
    assert_eq!(server.connections(), 1, "no probe is sent without the CA");
}

#[tokio::test]
async fn probe_command_reports_why_a_probe_failed_or_was_not_sent() {
    let spec = json!({"type": "TCP", "port": servers::closed().address.port()});
    let (code, text) = maglevd_probe(check("web", &spec), &["127.0.0.1"]).await;
    assert!(code == Some(1) && text.contains("L4CON: cannot connect: Connection refused"), "{text}");
    let (code, text) = maglevd_probe(check("web", &spec), &["127.0.0.1", "--source", "192.0.2.55"]).await;
    assert!(code == Some(1) && text.contains("not probed:") && text.contains("counts nothing"), "{text}");
    let (code, text) = maglevd_probe(check("web", &json!({"type": "TCP"})), &["127.0.0.1"]).await;
    assert!(code == Some(1) && text.contains("spec.port is absent, but type TCP needs one"), "{text}");
    let (code, text) = maglevd_probe("kind: Pod".into(), &["127.0.0.1"]).await;
    assert!(code == Some(1) && text.contains("the manifest has no HealthCheck"), "{text}");
    let (code, text) = maglevd_probe(String::new(), &["web.example"]).await;
    assert!(code == Some(2) && text.contains("web.example"), "{text}");
}
