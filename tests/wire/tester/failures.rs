//! Failures: lost datagrams, errors in answers, VIPs that fail and recover.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::watch,
};

use maglev_testkit::within;

use super::{
    PATIENT, command, run,
    servers::{VipServer, respond, response},
};

#[tokio::test]
async fn lost_datagrams_are_counted() {
    // Every fourth datagram gets no answer.
    let vip = VipServer::udp(|flow| (flow % 4 != 3).then(|| b"web-1".to_vec()), false).await;
    let args = ["--rate=100", "--count=8", "--timeout=3s", "--output=json"];
    let finished = run(&[&args[..], &[&vip.url("udp")]].concat()).await;
    assert_eq!(finished.status, 1);
    let result = finished.result();
    assert_eq!(
        (&result["succeeded"], &result["failed"], &result["success_percent"]),
        (&json!(6), &json!(2), &json!(75.0))
    );
    let error = &result["errors"][0];
    assert_eq!((&error["error"], &error["count"]), (&json!("no answer within 3s"), &json!(2)));
    let ports: std::collections::BTreeSet<_> = vip.peers().into_iter().collect();
    assert_eq!(ports.len(), 8, "every datagram has a port of its own");
}

#[tokio::test]
async fn datagram_from_another_address_than_the_vip_is_no_answer() {
    let vip = VipServer::udp(|_| Some(b"web-1".to_vec()), true).await;
    let finished = run(&["--rate=100", "--count=3", "--timeout=500ms", "--output=json", &vip.url("udp")]).await;
    assert_eq!((finished.status, &finished.result()["failed"]), (1, &json!(3)));
}

#[tokio::test]
async fn error_status_names_the_backend() {
    let vip = VipServer::http(|flow| match flow % 2 {
        0 => respond("503 Service Unavailable", "web-1 is failing\n"),
        _ => response("web-2\n"),
    })
    .await;
    let finished = run(&["--rate=100", "--count=10", "--output=json", PATIENT, &vip.url("http")]).await;
    let result = finished.result();
    assert_eq!((finished.status, &result["state"]), (1, &json!("degraded")));
    assert_eq!(result["errors"][0]["error"], "status 503 from web-1");
    assert_eq!(result["backends"][0], json!({"name": "web-1", "flows": 5, "failed": 5, "share_percent": 50.0}));
}

#[tokio::test]
async fn vip_that_stops_to_answer_fails_and_recovers() {
    let (answers_tx, answers_rx) = watch::channel(true);
    let vip = VipServer::http(move |_| if *answers_rx.borrow() { response("web-1\n") } else { None }).await;
    let mut child = command(&["--rate=20", "--timeout=1s", "--output=json", "--report-every=100ms", &vip.url("http")])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = within(lines.next_line()).await.unwrap().expect("the program is running");
        serde_json::from_str(&line).unwrap()
    };
    while next().await["succeeded"].as_u64().is_none_or(|count| count < 3) {}

    answers_tx.send_replace(false);
    let change = loop {
        let line = next().await;
        if line["type"] == "change" {
            break line;
        }
    };
    assert_eq!(
        (&change["change"], &change["error"]),
        (&json!("failed"), &json!("no complete answer within 1s")),
        "{change}"
    );
    assert!(change["after_ms"].as_f64().is_some_and(|after| after >= 1000.0), "{change}");
    while next().await["state"] != "failed" {}

    answers_tx.send_replace(true);
    let change = loop {
        let line = next().await;
        if line["type"] == "change" {
            break line;
        }
    };
    assert_eq!(change["change"], "recovered", "{change}");
}

#[tokio::test]
async fn closed_connection_is_a_failure_without_an_answer() {
    // Ends each connection after half of the response.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nweb-1";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, half).await;
        }
    });
    let finished = run(&["--rate=100", "--count=3", "--output=json", PATIENT, &url]).await;
    assert_eq!((finished.status, &finished.result()["failed"]), (1, &json!(3)), "{}", finished.stdout);
    let error = finished.result()["errors"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("no complete answer: "), "{error}");
}
