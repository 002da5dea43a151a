//! Streams of events: what is lost is counted, what is asked for is what comes, and all of them end.

use tonic::Code;

use maglev_model::{
    Name,
    change::Change,
    event::{Event, FrontendState, Level},
    health::{BackendState, ProbeCode},
};
use maglev_rpc::client::{AgentClient, Followed, Line, Watch, WatchRequest};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, agent_server::FEW, within};

fn name(name: &str) -> Name {
    Name::namespaced("shop", name)
}

async fn open(client: &AgentClient, request: WatchRequest) -> Watch {
    let mut watch = within(client.watch(request)).await.expect("there is room for a watcher");
    // The first message says where the stream begins; from then on nothing is missed.
    let first = next(&mut watch).await;
    assert_eq!((first.lines.len(), first.dropped, first.resync), (0, 0, false));
    watch
}

async fn next(watch: &mut Watch) -> Followed {
    within(watch.next()).await.expect("it goes on").expect("it does not end")
}

/// What comes until a line of this name.
async fn until(watch: &mut Watch, last: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &Line| &*line.name != last) {
        lines.extend(next(watch).await.lines);
    }
    lines
}

fn end(node: &AgentServer) {
    node.events.emit_change(Event::VppDisconnect { reason: "the end".into() }, Change::VppDisconnected);
}

fn happenings(node: &AgentServer) {
    let transition = |of: &str| Event::BackendTransition {
        name: name(of),
        from: BackendState::Up,
        to: BackendState::Down,
        code: Some(ProbeCode::L4Timeout),
    };
    for of in ["web-1", "web-2"] {
        node.events.emit_change(transition(of), Change::Health(name(of), None));
        node.events.emit_probe(|| Event::ProbeStart { backend: name(of), kind: "TCP" });
    }
    node.events.change(Change::Frontend(name("web"), FrontendState::Up, None));
    node.events.emit(Event::SyncStart { scope: maglev_model::event::Scope::All });
}

fn words(lines: &[Line]) -> Vec<String> {
    let word = |line: &Line| match (&line.change, &*line.name) {
        (Some(Change::Frontend(name, ..)), "") => name.to_string(),
        (_, of) => match line.attributes.first() {
            Some((_, value)) => format!("{of} {value}"),
            None => of.to_owned(),
        },
    };
    lines.iter().map(word).collect()
}

#[tokio::test]
async fn a_watcher_gets_what_it_asked_for() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    let of = |level, backend, frontend, names: &[&str]| WatchRequest {
        level,
        log: !(backend || frontend),
        backend,
        frontend,
        names: names.iter().map(|of| name(of)).collect(),
        since: None,
    };
    let mut info = open(&client, of(Level::Info, false, false, &[])).await;
    let mut error = open(&client, of(Level::Error, false, false, &[])).await;
    let mut debug = open(&client, of(Level::Debug, false, false, &[])).await;
    let mut backends = open(&client, of(Level::Debug, true, false, &[])).await;
    let mut frontends = open(&client, of(Level::Info, false, true, &[])).await;
    let mut named = open(&client, of(Level::Debug, false, false, &["web-2"])).await;
    happenings(&node);
    end(&node);
    let info = words(&until(&mut info, "vpp-disconnect").await);
    assert_eq!(
        info,
        ["backend-transition shop/web-1", "backend-transition shop/web-2", "shop/web", "vpp-disconnect the end"]
    );
    assert_eq!(words(&until(&mut error, "vpp-disconnect").await), info, "changes go to every level");
    let debug = words(&until(&mut debug, "vpp-disconnect").await);
    assert_eq!(debug.len(), info.len() + 3, "{debug:?}");
    assert_eq!(words(&until(&mut backends, "probe-start").await)[..2], debug[..2]);
    assert_eq!(words(&next(&mut frontends).await.lines), ["shop/web"]);
    let of_web_2 = until(&mut named, "probe-start").await;
    assert_eq!(words(&of_web_2), ["backend-transition shop/web-2", "probe-start shop/web-2"]);
    let transition = &of_web_2[0];
    let attributes: Vec<_> = transition.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(attributes, ["name=shop/web-2", "from=up", "to=down", "code=L4TOUT"]);
    assert_eq!((transition.level, transition.seq), (Level::Info, Some(2)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watcher_is_told_exactly_how_much_it_lost() {
    let node = AgentServer::start(1, FEW).await;
    let mut watch = open(&node.client().await, WatchRequest::default()).await;
    let emitted = 20_000;
    for seq in 1..=emitted {
        node.events.change(Change::Frontend(name("web"), FrontendState::Up, None));
        if seq % 100 == 0 {
            node.settled(seq).await;
        }
    }
    end(&node);
    let (mut got, mut dropped, mut resyncs) = (0, 0, 0);
    let mut last = None;
    while last.is_none_or(|line: Line| &*line.name != "vpp-disconnect") {
        let followed = next(&mut watch).await;
        (got, dropped) = (got + followed.lines.len() as u64, dropped + followed.dropped);
        assert_eq!(followed.resync, followed.dropped > 0);
        resyncs += u64::from(followed.resync);
        last = followed.lines.into_iter().next_back();
    }
    assert!(dropped > 0 && resyncs > 0);
    assert_eq!(got + dropped, emitted + 1);
    node.stop().await;
}

#[tokio::test]
async fn streams_end_without_an_error_when_the_agent_does() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let (client, other) = (node.client().await, node.client().await);
    let mut watches = [open(&client, WatchRequest::default()).await, open(&other, WatchRequest::default()).await];
    assert!(node.metrics().contains("\nmaglev_grpc_watchers 2\n"), "{}", node.metrics());
    node.stop().await;
    for watch in &mut watches {
        assert!(within(watch.next()).await.expect("it is no error").is_none());
    }
}

#[tokio::test]
async fn there_is_a_maximum_of_watchers_and_one_who_leaves_makes_room() {
    let node = AgentServer::start_with(1, BusLimits::default(), |options, _| options.max_watchers = 2).await;
    let client = node.client().await;
    let first = open(&client, WatchRequest::default()).await;
    let second = open(&client, WatchRequest::default()).await;
    let refused = within(client.watch(WatchRequest::default())).await.expect_err("there is no room");
    assert_eq!((refused.code(), refused.reason()), (Code::ResourceExhausted, "ResourceExhausted"));
    assert!(refused.to_string().contains("2 watchers"), "{refused}");
    drop(first);
    within(async { while client.watch(WatchRequest::default()).await.is_err() {} }).await;
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_and_counted() {
    let node = AgentServer::start_with(1, BusLimits::default(), |options, _| options.max_connections = 1).await;
    let client = node.client().await;
    within(client.version()).await.expect("the first connection is served");
    let mut other = tokio::net::TcpStream::connect(node.address).await.expect("the port is open");
    let mut byte = [0];
    let closed = within(tokio::io::AsyncReadExt::read(&mut other, &mut byte)).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let metrics = node.metrics();
    for line in ["\nmaglev_grpc_connections 1\n", "\nmaglev_grpc_connections_refused_total 1\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    within(client.version()).await.expect("the first connection is served");
    node.stop().await;
}
