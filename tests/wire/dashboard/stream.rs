//! Server-Sent Events on the wire.

use maglev_model::{
    event::Event,
    health::{BackendState, ProbeCode},
};
use serde_json::json;

use super::{
    browser::{Message, Stream, get},
    site::{Node, Site, web, web_1, within},
};

const CLIENTS: &str = "maglev_dashboard_clients";

fn is_down(message: &Message) -> bool {
    message.event == "node" && message.data["patch"]["backends"]["shop/web-1"]["state"] == "down"
}

fn is_up(message: &Message) -> bool {
    message.event == "node" && message.data["patch"]["backends"]["shop/web-1"]["state"] == "up"
}

/// A node that is connected and configured, and a page that is there and knows.
async fn open(query: &str) -> (Node, Site, Stream) {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    let mut stream = Stream::open(site.address, query, &[]).await;
    assert_eq!(stream.next().await.map(|first| first.event).as_deref(), Some("hello"));
    node.configure();
    stream.until("it is configured", is_up).await;
    (node, site, stream)
}

#[tokio::test]
async fn its_head_keeps_every_proxy_from_holding_it_back() {
    let node = Node::start("node-a", 1).await;
    let site = Site::start(&[&node], 0xabc).await;
    let accepts = [("Accept", "text/event-stream"), ("Accept-Encoding", "gzip, br, zstd")];
    let mut stream = Stream::open(site.address, "", &accepts).await;
    let header = |name: &str| stream.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-encoding"), None, "never compressed, even when asked");
    let hello = stream.next().await.expect("it begins");
    assert!(stream.seen.starts_with("retry: 2000\n\nevent: hello\nid: abc-"), "{}", stream.seen);
    assert_eq!((&hello.data["replica"], &hello.data["resumed"]), (&json!("abc"), &json!(false)));
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn it_gives_signs_of_life_that_pages_and_proxies_see() {
    let (node, site, mut stream) = open("?node=node-a").await;
    for _ in 0..2 {
        let tick = stream.until("a tick", |message| message.event == "tick").await;
        assert!(tick.id.is_none() && tick.data["now"].is_string(), "{tick:?}");
    }
    assert!(stream.seen.matches("\n: ping\n\n").count() >= 2, "{}", stream.seen);
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn each_change_is_sent_at_once_with_ids_that_grow() {
    let (node, site, mut stream) = open("?node=node-a&log=all").await;
    node.health(&web_1(), BackendState::Up, BackendState::Down);
    let mut ids = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    while !["log", "node", "summary"].iter().all(|event| seen.contains(*event)) {
        let message = within(stream.next()).await.expect("it goes on");
        if let Some(id) = &message.id {
            let (replica, seq) = id.split_once('-').expect("replica and number");
            assert_eq!(replica, "abc");
            ids.push(seq.parse::<u64>().expect("a number"));
        }
        let of_interest = match message.event.as_str() {
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
        if of_interest {
            seen.insert(message.event);
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_and_no_resync() {
    let (node, site, mut stream) = open("?node=node-a").await;
    node.health(&web_1(), BackendState::Up, BackendState::Down);
    let last = stream.until("it is down", is_down).await.id.expect("it has an id");
    drop(stream);
    site.until_metric(CLIENTS, |clients| clients == 0.0).await;
    node.health(&web_1(), BackendState::Down, BackendState::Up);
    let mut back = Stream::open(site.address, "?node=node-a", &[("Last-Event-ID", &last)]).await;
    let hello = back.next().await.expect("it begins");
    assert_eq!((hello.event.as_str(), &hello.data["resumed"]), ("hello", &json!(true)));
    assert_eq!(hello.id.as_ref(), Some(&last), "cut off now, it would come back with the same");
    let missed = back.until("what it missed", is_up).await;
    assert_ne!(missed.id, Some(last.clone()));
    assert!(!back.seen.contains("resync"), "{}", back.seen);

    // The same by the URL, for a page that shows something else now; the header would win.
    let mut other = Stream::open(site.address, &format!("?open=shop/web&since={last}"), &[]).await;
    let message = other.until("what it missed", is_up).await;
    assert!(!message.data["patch"].as_object().expect("a patch").contains_key("vpp"));
    assert_eq!(site.metric("maglev_dashboard_replays_total"), 2.0);
    assert_eq!(site.metric("maglev_dashboard_resyncs_total"), 0.0);
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn who_comes_from_elsewhere_is_told_once_to_fetch_everything() {
    let (node, site, _stream) = open("?node=node-a").await;
    for unknown in ["def-7", "abc-99999", "nonsense"] {
        let mut stream = Stream::open(site.address, "", &[("Last-Event-ID", unknown)]).await;
        assert_eq!(stream.next().await.map(|message| message.event).as_deref(), Some("hello"));
        let resync = stream.next().await.expect("it goes on");
        assert_eq!((resync.event.as_str(), &resync.data["reason"]), ("resync", &json!("other-replica")), "{unknown}");
        stream.until("a tick", |message| message.event == "tick").await;
        assert_eq!(stream.seen.matches("event: resync").count(), 1);
        // With the id of that it is known from now on.
        let id = resync.id.expect("it has an id");
        let mut again = Stream::open(site.address, "", &[("Last-Event-ID", &id)]).await;
        again.until("a tick", |message| message.event == "tick").await;
        assert!(!again.seen.contains("resync"), "{}", again.seen);
    }
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_page_that_is_gone_leaves_nothing_behind() {
    let (node, site, stream) = open("?node=node-a&beats=shop/web").await;
    let probed = |backend: &str| {
        let mut wanted = false;
        node.events.emit_probe(|| {
            wanted = true;
            let backend = maglev_model::Name::namespaced("shop", backend);
            let duration = std::time::Duration::from_millis(1);
            Event::ProbeDone { backend, kind: "HTTP", code: ProbeCode::L7Ok, duration }
        });
        wanted
    };
    assert_eq!(site.metric(CLIENTS), 1.0);
    within(async {
        while !probed("web-1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    site.until_metric(CLIENTS, |clients| clients == 0.0).await;
    within(async {
        while probed("web-1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn heartbeats_come_without_an_id_and_only_of_what_is_shown() {
    let (node, site, _summary) = open("?node=node-a").await;
    let mut stream = Stream::open(site.address, "?node=node-a&beats=shop/web", &[]).await;
    let hello = stream.next().await.expect("it begins");
    assert_eq!(hello.data["beats"], json!({"asked": 2, "watched": 2}));
    let beat = async {
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
        () = beat => unreachable!("it never ends"),
    };
    assert_eq!(beats.id, None);
    assert_eq!(beats.data, json!({"node": "node-a", "beats": {"shop/web-1": {"phase": "start"}}}));
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_page_that_does_not_read_is_disconnected_and_counted() {
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
    // What was on its way it may read; then the stream ends.
    while within(slow.next()).await.is_some() {}
    assert_eq!(get(site.address, "/view/api/version", &[]).await.status, 200, "nobody else suffers");
    site.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn streams_end_with_the_process() {
    let (node, site, mut stream) = open("?node=node-a").await;
    site.stop().await;
    while within(stream.next()).await.is_some() {}
    node.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
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
