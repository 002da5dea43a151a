//! The dashboard's Server-Sent Events.

use maglev_model::{
    event::Event,
    health::{BackendState, ProbeCode},
};
use serde_json::json;

use maglev_testkit::within;

use super::{
    browser::{Message, Stream, get},
    site::{Node, Site, web, web_1},
};

const CLIENTS: &str = "maglev_dashboard_clients";

fn is_down(message: &Message) -> bool {
    message.event == "node" && message.data["patch"]["backends"]["shop/web-1"]["state"] == "down"
}

fn is_up(message: &Message) -> bool {
    message.event == "node" && message.data["patch"]["backends"]["shop/web-1"]["state"] == "up"
}

/// A configured node, a dashboard, and a client's stream that has received the configuration.
async fn open(query: &str) -> (Node, Site, Stream) {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    let mut stream = Stream::open(site.address, query, &[]).await;
    assert_eq!(stream.next().await.map(|first| first.event).as_deref(), Some("hello"));
    node.configure();
    stream.until("the configuration", is_up).await;
    (node, site, stream)
}

#[tokio::test]
async fn stream_headers_prevent_buffering_and_compression() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    let accepts = [("Accept", "text/event-stream"), ("Accept-Encoding", "gzip, br, zstd")];
    let mut stream = Stream::open(site.address, "", &accepts).await;
    let header = |name: &str| stream.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-encoding"), None, "not compressed, although the client accepts it");
    let hello = stream.next().await.expect("the stream begins");
    assert!(stream.received.starts_with("retry: 2000\n\nevent: hello\nid: abc-"), "{}", stream.received);
    assert_eq!((&hello.data["replica"], &hello.data["resumed"]), (&json!("abc"), &json!(false)));
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn stream_sends_ticks_and_pings() {
    let (node, site, mut stream) = open("?node=node-a").await;
    for _ in 0..2 {
        let tick = stream.until("a tick", |message| message.event == "tick").await;
        assert!(tick.id.is_none() && tick.data["now"].is_string(), "{tick:?}");
    }
    assert!(stream.received.matches("\n: ping\n\n").count() >= 2, "{}", stream.received);
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn changes_are_sent_with_increasing_ids() {
    let (node, site, mut stream) = open("?node=node-a&log=all").await;
    node.health(&web_1(), BackendState::Up, BackendState::Down);
    let mut ids = Vec::new();
    let mut received = std::collections::BTreeSet::new();
    while !["log", "node", "summary"].iter().all(|event| received.contains(*event)) {
        let message = within(stream.next()).await.expect("the stream continues");
        if let Some(id) = &message.id {
            let (replica, seq) = id.split_once('-').expect("an id has replica and number");
            assert_eq!(replica, "abc");
            ids.push(seq.parse::<u64>().expect("a number"));
        }
        let is_expected = match message.event.as_str() {
            "log" => message.data["lines"][0]["name"] == "backend-transition",
            "node" => {
                let member =
                    &message.data["patch"]["frontends"]["shop/web"]["pools"]["primary"]["members"]["shop/web-1"];
                assert_eq!(message.data["as_of"]["epoch"], "1", "{message:?}");
                member["effective"] == 0
            }
            "summary" => message.data["patch"]["rows"]["shop/web"]["up"] == 1,
            _ => false,
        };
        if is_expected {
            received.insert(message.event);
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn reconnecting_client_gets_missed_messages_without_a_resync() {
    let (node, site, mut stream) = open("?node=node-a").await;
    node.health(&web_1(), BackendState::Up, BackendState::Down);
    let last = stream.until("the backend down", is_down).await.id.expect("the message has an id");
    drop(stream);
    site.until_metric(CLIENTS, |clients| clients == 0.0).await;
    node.health(&web_1(), BackendState::Down, BackendState::Up);
    let mut resumed = Stream::open(site.address, "?node=node-a", &[("Last-Event-ID", &last)]).await;
    let hello = resumed.next().await.expect("the stream begins");
    assert_eq!((hello.event.as_str(), &hello.data["resumed"]), ("hello", &json!(true)));
    assert_eq!(
        hello.id.as_ref(),
        Some(&last),
        "hello repeats the id, in case the connection ends before the next message"
    );
    let missed = resumed.until("the missed message", is_up).await;
    assert_ne!(missed.id, Some(last.clone()));
    assert!(!resumed.received.contains("resync"), "{}", resumed.received);

    // The id in the URL, for a page that changes its query. A header would take precedence.
    let mut other = Stream::open(site.address, &format!("?open=shop/web&since={last}"), &[]).await;
    let message = other.until("the missed message", is_up).await;
    assert!(!message.data["patch"].as_object().expect("a patch").contains_key("vpp"));
    assert_eq!(site.metric("maglev_dashboard_replays_total"), 2.0);
    assert_eq!(site.metric("maglev_dashboard_resyncs_total"), 0.0);
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn unknown_last_event_id_causes_one_resync() {
    let (node, site, _stream) = open("?node=node-a").await;
    for unknown in ["def-7", "abc-99999", "nonsense"] {
        let mut stream = Stream::open(site.address, "", &[("Last-Event-ID", unknown)]).await;
        assert_eq!(stream.next().await.map(|message| message.event).as_deref(), Some("hello"));
        let resync = stream.next().await.expect("the stream continues");
        assert_eq!((resync.event.as_str(), &resync.data["reason"]), ("resync", &json!("other-replica")), "{unknown}");
        stream.until("a tick", |message| message.event == "tick").await;
        assert_eq!(stream.received.matches("event: resync").count(), 1);
        // The id of the resync is valid for the next connection.
        let id = resync.id.expect("the message has an id");
        let mut again = Stream::open(site.address, "", &[("Last-Event-ID", &id)]).await;
        again.until("a tick", |message| message.event == "tick").await;
        assert!(!again.received.contains("resync"), "{}", again.received);
    }
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn disconnected_client_is_not_counted_and_gets_no_probes() {
    let (node, site, stream) = open("?node=node-a&beats=shop/web").await;
    let has_subscriber = |backend: &str| {
        let mut subscribed = false;
        node.events.emit_probe(|| {
            subscribed = true;
            let backend = maglev_model::Name::namespaced("shop", backend);
            let duration = std::time::Duration::from_millis(1);
            Event::ProbeDone { backend, kind: "HTTP", code: ProbeCode::L7Ok, duration }
        });
        subscribed
    };
    assert_eq!(site.metric(CLIENTS), 1.0);
    within(async {
        while !has_subscriber("web-1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    site.until_metric(CLIENTS, |clients| clients == 0.0).await;
    within(async {
        while has_subscriber("web-1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn heartbeats_have_no_id_and_cover_only_requested_backends() {
    let (node, site, _summary) = open("?node=node-a").await;
    let mut stream = Stream::open(site.address, "?node=node-a&beats=shop/web", &[]).await;
    let hello = stream.next().await.expect("the stream begins");
    assert_eq!(hello.data["beats"], json!({"asked": 2, "watched": 2}));
    let probes = async {
        loop {
            for backend in ["web-1", "other"] {
                let backend = maglev_model::Name::namespaced("shop", backend);
                node.events.emit_probe(|| Event::ProbeStart { backend, kind: "HTTP" });
            }
            tokio::task::yield_now().await;
        }
    };
    let beats = tokio::select! {
        beats = stream.until("heartbeats", |message| message.event == "beats") => beats,
        () = probes => unreachable!("the loop never ends"),
    };
    assert_eq!(beats.id, None);
    assert_eq!(beats.data, json!({"node": "node-a", "beats": {"shop/web-1": {"phase": "start"}}}));
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn slow_client_is_disconnected_and_counted() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start_with(&[&node], 0xabc, |options| options.buffer = 4).await;
    let mut slow = Stream::open(site.address, "?log=all", &[]).await;
    assert!(slow.next().await.is_some());
    let reason = "x".repeat(64 << 10);
    let dropped = "maglev_dashboard_clients_dropped_total";
    within(async {
        while site.metric(dropped) == 0.0 {
            node.events.emit(Event::VppDisconnect { reason: reason.clone() });
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(site.metric(CLIENTS), 0.0);
    // The client can still read what was already sent, then the stream ends.
    while within(slow.next()).await.is_some() {}
    assert_eq!(get(site.address, "/view/api/version", &[]).await.status, 200, "other clients are served");
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_dashboard_stops() {
    let (node, site, mut stream) = open("?node=node-a").await;
    site.stop().await;
    while within(stream.next()).await.is_some() {}
    node.stop().await;
}

#[tokio::test]
async fn invalid_parameters_are_refused() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    for query in ["?open=web", "?beats=shop/web", "?nodes=a"] {
        let answer = get(site.address, &format!("/view/api/events{query}"), &[]).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!("BadParameter")), "{query}");
    }
    assert!(web().as_str() == "shop/web" && site.fleet.names().len() == 1);
    site.stop().await;
    node.stop().await;
}
