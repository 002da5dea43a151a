//! Tests of event streams: lost events are counted, the selection is applied, and streams end at shutdown.

use tonic::Code;

use maglev_model::{
    Name,
    change::Change,
    event::{Event, FrontendState, Level},
    health::{BackendHealth, BackendState, ProbeCode},
};
use maglev_net::ConnectionLimits;
use maglev_rpc::client::{AgentClient, EventStream, Line, LineBatch, WatchRequest};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, agent_server::LOW_LIMITS, within};

fn name(name: &str) -> Name {
    Name::namespaced("shop", name)
}

async fn open(client: &AgentClient, request: WatchRequest) -> EventStream {
    let mut stream = within(client.watch(request)).await.expect("the limit is not reached");
    // The first message has the start position; later events are not missed.
    let first = next(&mut stream).await;
    assert_eq!((first.lines.len(), first.dropped, first.resync), (0, 0, false));
    stream
}

async fn next(stream: &mut EventStream) -> LineBatch {
    within(stream.next()).await.expect("the stream is open").expect("the agent runs")
}

/// All lines up to the first line of this name.
async fn until(stream: &mut EventStream, last: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &Line| &*line.name != last) {
        lines.extend(next(stream).await.lines);
    }
    lines
}

fn emit_last(node: &AgentServer) {
    node.events.emit(Event::VppDisconnect { reason: "the end".into() });
}

fn emit_events(node: &AgentServer) {
    let health = BackendHealth {
        address: [10, 0, 0, 1].into(),
        state: BackendState::Down,
        ever_known: true,
        in_doubt: false,
        history: Vec::new().into(),
    };
    for backend in ["web-1", "web-2"] {
        node.events.emit(Event::BackendTransition {
            name: name(backend),
            from: BackendState::Up,
            code: Some(ProbeCode::L4Timeout),
            health: health.clone(),
        });
        node.events.emit_probe(|| Event::ProbeStart { backend: name(backend), kind: "TCP" });
    }
    node.events.emit_change(Change::Frontend(name("web"), FrontendState::Up, None));
    node.events.emit(Event::SyncStart { scope: maglev_model::event::Scope::All });
}

fn summaries(lines: &[Line]) -> Vec<String> {
    let summary = |line: &Line| match (&line.change, &*line.name) {
        (Some(Change::Frontend(name, ..)), "") => name.to_string(),
        (_, name) => match line.attributes.first() {
            Some((_, value)) => format!("{name} {value}"),
            None => name.to_owned(),
        },
    };
    lines.iter().map(summary).collect()
}

#[tokio::test]
async fn selection_is_applied() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    let request = |level, backend, frontend, names: &[&str]| WatchRequest {
        level,
        log: !(backend || frontend),
        backend,
        frontend,
        names: names.iter().map(|text| name(text)).collect(),
        since: None,
    };
    let mut info = open(&client, request(Level::Info, false, false, &[])).await;
    let mut error = open(&client, request(Level::Error, false, false, &[])).await;
    let mut debug = open(&client, request(Level::Debug, false, false, &[])).await;
    let mut backends = open(&client, request(Level::Debug, true, false, &[])).await;
    let mut frontends = open(&client, request(Level::Info, false, true, &[])).await;
    let mut named = open(&client, request(Level::Debug, false, false, &["web-2"])).await;
    emit_events(&node);
    emit_last(&node);
    let info = summaries(&until(&mut info, "vpp-disconnect").await);
    assert_eq!(
        info,
        ["backend-transition shop/web-1", "backend-transition shop/web-2", "shop/web", "vpp-disconnect the end"]
    );
    assert_eq!(summaries(&until(&mut error, "vpp-disconnect").await), info, "changes are sent at every level");
    let debug = summaries(&until(&mut debug, "vpp-disconnect").await);
    assert_eq!(debug.len(), info.len() + 3, "{debug:?}");
    assert_eq!(summaries(&until(&mut backends, "probe-start").await)[..2], debug[..2]);
    assert_eq!(summaries(&next(&mut frontends).await.lines), ["shop/web"]);
    let of_web_2 = until(&mut named, "probe-start").await;
    assert_eq!(summaries(&of_web_2), ["backend-transition shop/web-2", "probe-start shop/web-2"]);
    let transition = &of_web_2[0];
    let attributes: Vec<_> = transition.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(attributes, ["name=shop/web-2", "from=up", "to=down", "code=L4TOUT"]);
    assert_eq!((transition.level, transition.seq), (Level::Info, Some(2)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_watcher_gets_the_exact_number_of_lost_events() {
    let node = AgentServer::start(1, LOW_LIMITS).await;
    let mut stream = open(&node.client().await, WatchRequest::default()).await;
    let emitted = 20_000;
    for seq in 1..=emitted {
        node.events.emit_change(Change::Frontend(name("web"), FrontendState::Up, None));
        if seq % 100 == 0 {
            node.settled(seq).await;
        }
    }
    emit_last(&node);
    let (mut received, mut dropped, mut resyncs) = (0, 0, 0);
    let mut last = None;
    while last.is_none_or(|line: Line| &*line.name != "vpp-disconnect") {
        let batch = next(&mut stream).await;
        (received, dropped) = (received + batch.lines.len() as u64, dropped + batch.dropped);
        assert_eq!(batch.resync, batch.dropped > 0);
        resyncs += u64::from(batch.resync);
        last = batch.lines.into_iter().next_back();
    }
    assert!(dropped > 0 && resyncs > 0);
    assert_eq!(received + dropped, emitted + 1);
    node.stop().await;
}

#[tokio::test]
async fn streams_end_without_an_error_at_shutdown() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let (client, other) = (node.client().await, node.client().await);
    let mut streams = [open(&client, WatchRequest::default()).await, open(&other, WatchRequest::default()).await];
    assert!(node.metrics().contains("\nmaglev_grpc_watchers 2\n"), "{}", node.metrics());
    node.stop().await;
    for stream in &mut streams {
        assert!(within(stream.next()).await.expect("no error").is_none());
    }
}

#[tokio::test]
async fn watchers_are_limited_and_a_closed_stream_frees_its_slot() {
    let node = AgentServer::start_with(1, BusLimits::default(), |options, _| options.max_watchers = 2).await;
    let client = node.client().await;
    let first = open(&client, WatchRequest::default()).await;
    let second = open(&client, WatchRequest::default()).await;
    let refused = within(client.watch(WatchRequest::default())).await.expect_err("the limit is reached");
    assert_eq!((refused.code(), refused.reason()), (Code::ResourceExhausted, "ResourceExhausted"));
    assert!(refused.to_string().contains("maximum of 2 watchers"), "{refused}");
    drop(first);
    within(async { while client.watch(WatchRequest::default()).await.is_err() {} }).await;
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn excess_connections_are_closed_and_counted() {
    let node = AgentServer::start_with(1, BusLimits::default(), |options, _| {
        options.connections = ConnectionLimits { max_connections: 4, max_per_peer: 1, ..ConnectionLimits::GRPC };
    })
    .await;
    let client = node.client().await;
    within(client.version()).await.expect("the first connection is served");
    let mut other = tokio::net::TcpStream::connect(node.address).await.expect("the port is open");
    let mut byte = [0];
    let closed = within(tokio::io::AsyncReadExt::read(&mut other, &mut byte)).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let metrics = node.metrics();
    for line in [
        "\nmaglev_server_connections{server=\"grpc\"} 1\n",
        "\nmaglev_server_connections_refused_total{reason=\"PeerLimit\",server=\"grpc\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    within(client.version()).await.expect("the first connection is served");
    node.stop().await;
}
