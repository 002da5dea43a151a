//! Tests of the responses and the refusals of each call.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::FutureExt as _;
use jiff::Timestamp;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use maglev_model::{
    Name,
    actual::{Actual, ActualConf, LbDump},
    change::{Change, ConfigDelta, Problems, VppInfo},
    config::Kind,
    counters::{Counters, StatsSnapshot},
    event::FrontendState,
    health::Probing,
    problem::{Problem, Reason},
};
use maglev_rpc::{
    client::{AgentClient, AgentVersion, WatchRequest},
    proto::{self, maglev_client::MaglevClient},
    server::SyncRefusal,
};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, agent_server::identity, within};

fn name(name: &str) -> Name {
    Name::namespaced("shop", name)
}

async fn raw_client(node: &AgentServer) -> MaglevClient<tonic::transport::Channel> {
    let endpoint = AgentClient::endpoint(format!("http://{}", node.address)).expect("a valid URI");
    MaglevClient::new(endpoint.connect().await.expect("the server listens"))
}

#[tokio::test]
async fn get_version_returns_identity_and_readiness() {
    let node = AgentServer::start(7, BusLimits::default()).await;
    let client = node.client().await;
    let own = identity();
    let mut expected = AgentVersion {
        node: own.node,
        version: own.version,
        commit: own.commit,
        build_date: own.build_date,
        started: own.started,
        epoch: 7,
        ready: Err("waiting for VPP".into()),
    };
    assert_eq!(client.version().await.expect("the agent answers"), expected);
    node.set_ready(Ok(()));
    expected.ready = Ok(());
    assert_eq!(client.version().await.expect("the agent answers"), expected);
    node.stop().await;
}

#[tokio::test]
async fn health_service_follows_readiness() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let endpoint = AgentClient::endpoint(format!("http://{}", node.address)).expect("a valid URI");
    let mut client = HealthClient::new(endpoint.connect().await.expect("the server listens"));
    for service in ["", "maglev.v1.Maglev"] {
        node.set_ready(Err("not yet"));
        let request = HealthCheckRequest { service: service.into() };
        let mut changes = client.watch(request).await.expect("the service is known").into_inner();
        for (ready, expected) in [(Ok(()), ServingStatus::Serving), (Err("stopped"), ServingStatus::NotServing)] {
            node.set_ready(ready);
            let changed = async {
                while changes
                    .message()
                    .await
                    .expect("the stream is open")
                    .is_some_and(|reply| reply.status() != expected)
                {}
            };
            within(changed).await;
        }
    }
    let unknown = client.check(HealthCheckRequest { service: "x".into() }).await.expect_err("the name is unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    node.stop().await;
}

#[tokio::test]
async fn unknown_name_is_not_found_and_named() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let mut client = raw_client(&node).await;
    let answers = [
        client.get_frontend(proto::GetFrontendRequest { name: "shop/web".into() }).await.err(),
        client.get_backend(proto::GetBackendRequest { name: "shop/web".into() }).await.err(),
        client.get_health_check(proto::GetHealthCheckRequest { name: "shop/web".into() }).await.err(),
    ];
    for (answer, kind) in answers.into_iter().zip(["Frontend", "Backend", "HealthCheck"]) {
        let status = answer.expect("the node has no objects");
        assert_eq!((status.code(), status.message()), (Code::NotFound, &*format!("no {kind} shop/web on this node")));
    }
    let status = client
        .get_backend(proto::GetBackendRequest { name: "web".into() })
        .await
        .expect_err("the namespace is missing");
    assert!(status.message().ends_with("names have the form namespace/name"), "{status}");
    node.stop().await;
}

#[tokio::test]
async fn calls_about_vpp_are_unavailable_without_vpp() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    let without = [client.vpp_info().await.err(), client.lb_state().await.err(), client.lb_counters().await.err()];
    for refused in without {
        assert_eq!(refused.map(|error| error.code()), Some(Code::Unavailable));
    }
    let info = VppInfo { version: "26.10".into(), build_date: "today".into(), pid: 7, capabilities: "weights".into() };
    node.events.emit_change(Change::VppConnected(Arc::new(info.clone())));
    node.settled(1).await;
    let counters = Counters { boot_time: 1_700_000_000, heartbeat: 3, ..Counters::default() };
    let counted = StatsSnapshot { version: "26.10".into(), pid: 7, counters: Some(counters), ..Default::default() };
    node.counters.send_replace(Some(Arc::new(counted.clone())));
    let conf = ActualConf {
        ipv4_source: [10, 0, 0, 1].into(),
        ipv6_source: std::net::Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    let dump = LbDump { at: Timestamp::UNIX_EPOCH, conf, actual: Actual::default() };
    node.dump.send_replace(Some(Arc::new(dump.clone())));
    let detail = client.vpp_info().await.expect("VPP is connected");
    assert_eq!((detail.info, detail.started.map(Timestamp::as_second)), (info, Some(1_700_000_000)));
    assert_eq!(*client.lb_counters().await.expect("VPP is connected"), counted);
    assert_eq!(client.lb_state().await.expect("VPP is connected"), dump);
    node.stop().await;
}

#[tokio::test]
async fn sync_maps_refusals_to_codes_and_is_limited() {
    let answers = [
        Ok(()),
        Err(SyncRefusal::NotYet("warming up".into())),
        Err(SyncRefusal::Unavailable("the agent has ended".into())),
    ];
    let (waiting, calls) = (Arc::new(Mutex::new(VecDeque::from(answers))), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let node = AgentServer::start_with(1, BusLimits::default(), |_, sources| {
        sources.sync = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = waiting.lock().expect("not poisoned").pop_front().unwrap_or(Ok(()));
            async { answer }.boxed()
        });
    })
    .await;
    let client = node.client().await;
    client.sync_now().await.expect("the agent accepts");
    for (code, message) in [(Code::FailedPrecondition, "warming up"), (Code::Unavailable, "the agent has ended")] {
        let refused = client.sync_now().await.expect_err("the agent refuses");
        assert_eq!(refused.code(), code);
        assert!(refused.to_string().contains(message), "{refused}");
    }
    let mut refused = None;
    while refused.is_none() {
        refused = client.sync_now().await.err();
    }
    assert_eq!(refused.map(|error| error.code()), Some(Code::ResourceExhausted));
    let count = calls.load(Ordering::Relaxed);
    assert!(count < 30, "the agent got {count} requests");
    node.stop().await;
}

#[tokio::test]
async fn too_many_names_are_refused_with_the_limit() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    let names = |count| WatchRequest { names: vec![name("web"); count], ..WatchRequest::default() };
    let refused = client.watch(names(201)).await.expect_err("201 names are too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.to_string().contains("found 201, at most 200"), "{refused}");
    client.watch(names(200)).await.expect("200 names are allowed");
    node.stop().await;
}

#[tokio::test]
async fn object_with_only_problems_is_listed_and_returned() {
    let node = AgentServer::start_with(1, BusLimits::default(), |_, sources| {
        sources.probing = Arc::new(|_| Some(Probing { counter: Some(3), probes: 5, last: None }));
    })
    .await;
    let problem = Problem::new(Reason::Unreadable, "spec.address", "found x");
    let problems = Problems { generation: 2, problems: [problem].into() };
    let broken = |kind| ((kind, name("broken")), problems.clone());
    let delta = ConfigDelta {
        problems: vec![broken(Kind::Backend), broken(Kind::Frontend), broken(Kind::HealthCheck)],
        ..ConfigDelta::default()
    };
    node.events.emit_change(Change::Config(Arc::new(delta)));
    node.events.emit_change(Change::Frontend(name("able"), FrontendState::Up, None));
    node.settled(2).await;
    let client = node.client().await;
    let backend = client.backend(&name("broken")).await.expect("the object has problems");
    assert_eq!((backend.problems, backend.probing.map(|probing| probing.probes)), (problems.clone(), Some(5)));
    let frontend = client.frontend(&name("broken")).await.expect("the object has problems");
    assert_eq!((frontend.problems, frontend.frontend), (problems, None));
    let mut client = raw_client(&node).await;
    let listed = client.list_frontends(proto::ListFrontendsRequest {}).await.expect("the agent answers").into_inner();
    let names: Vec<_> = listed.frontends.iter().map(|frontend| &*frontend.name).collect();
    assert_eq!(names, ["shop/able", "shop/broken"]);
    assert_eq!(
        client
            .list_backends(proto::ListBackendsRequest {})
            .await
            .expect("the agent answers")
            .into_inner()
            .backends
            .len(),
        1
    );
    let checks =
        client.list_health_checks(proto::ListHealthChecksRequest {}).await.expect("the agent answers").into_inner();
    assert_eq!(checks.health_checks.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    client.version().await.expect("the agent answers");
    client.backend(&name("web")).await.expect_err("the name is unknown");
    let text = node.metrics();
    for line in [
        "maglev_grpc_requests_total{code=\"OK\",method=\"GetVersion\"} 1",
        "maglev_grpc_requests_total{code=\"NOT_FOUND\",method=\"GetBackend\"} 1",
    ] {
        assert!(text.contains(line), "{text}");
    }
    node.stop().await;
}

#[tokio::test]
async fn port_in_use_is_retried() {
    let occupant = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let occupied = occupant.local_addr().expect("the listener is bound");
    // The other address is served meanwhile.
    let node =
        AgentServer::start_with(1, BusLimits::default(), |options, _| options.addresses.insert(0, occupied)).await;
    assert_ne!(node.address, occupied);
    node.client().await.version().await.expect("the agent answers");
    drop(occupant);
    let endpoint = AgentClient::endpoint(format!("http://{occupied}")).expect("a valid URI");
    let connected = within(async {
        loop {
            if let Ok(channel) = endpoint.connect().await {
                break channel;
            }
            tokio::task::yield_now().await;
        }
    });
    AgentClient::new(connected.await).version().await.expect("the agent answers");
    node.stop().await;
}
