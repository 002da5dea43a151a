//! What each call answers, and how it refuses.

use std::sync::{Arc, Mutex};

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

async fn raw(node: &AgentServer) -> MaglevClient<tonic::transport::Channel> {
    let endpoint = AgentClient::endpoint(format!("http://{}", node.address)).expect("it is a URI");
    MaglevClient::new(endpoint.connect().await.expect("it listens"))
}

#[tokio::test]
async fn get_version_says_who_answers_and_what_it_waits_for() {
    let node = AgentServer::start(7, BusLimits::default()).await;
    let client = node.client().await;
    let me = identity();
    let mut expected = AgentVersion {
        node: me.node,
        version: me.version,
        commit: me.commit,
        build_date: me.build_date,
        started: me.started,
        epoch: 7,
        ready: Err("waiting for VPP".into()),
    };
    assert_eq!(client.version().await.expect("it answers"), expected);
    node.set_ready(Ok(()));
    expected.ready = Ok(());
    assert_eq!(client.version().await.expect("it answers"), expected);
    node.stop().await;
}

#[tokio::test]
async fn the_health_service_follows_readiness() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let endpoint = AgentClient::endpoint(format!("http://{}", node.address)).expect("it is a URI");
    let mut client = HealthClient::new(endpoint.connect().await.expect("it listens"));
    for service in ["", "maglev.v1.Maglev"] {
        node.set_ready(Err("not yet"));
        let request = HealthCheckRequest { service: service.into() };
        let mut changes = client.watch(request).await.expect("the service is known").into_inner();
        for (ready, expected) in [(Ok(()), ServingStatus::Serving), (Err("gone"), ServingStatus::NotServing)] {
            node.set_ready(ready);
            let said = async {
                while changes.message().await.expect("it goes on").is_some_and(|said| said.status() != expected) {}
            };
            within(said).await;
        }
    }
    let unknown = client.check(HealthCheckRequest { service: "x".into() }).await.expect_err("it is not known");
    assert_eq!(unknown.code(), Code::NotFound);
    node.stop().await;
}

#[tokio::test]
async fn an_unknown_name_is_not_found_and_named() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let mut client = raw(&node).await;
    let of = |name: &str| name.to_owned();
    let answers = [
        client.get_frontend(proto::GetFrontendRequest { name: of("shop/web") }).await.err(),
        client.get_backend(proto::GetBackendRequest { name: of("shop/web") }).await.err(),
        client.get_health_check(proto::GetHealthCheckRequest { name: of("shop/web") }).await.err(),
    ];
    for (answer, kind) in answers.into_iter().zip(["Frontend", "Backend", "HealthCheck"]) {
        let status = answer.expect("nothing is known");
        assert_eq!((status.code(), status.message()), (Code::NotFound, &*format!("no {kind} shop/web is known here")));
    }
    let status = client.get_backend(proto::GetBackendRequest { name: of("web") }).await.expect_err("it is no name");
    assert!(status.message().ends_with("names are namespace/name"), "{status}");
    node.stop().await;
}

#[tokio::test]
async fn what_concerns_vpp_is_unavailable_without_it() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    let without = [client.vpp_info().await.err(), client.lb_state().await.err(), client.lb_counters().await.err()];
    for refused in without {
        assert_eq!(refused.map(|error| error.code()), Some(Code::Unavailable));
    }
    let info = VppInfo { version: "26.10".into(), build_date: "today".into(), pid: 7, capabilities: "weights".into() };
    node.events.change(Change::VppConnected(Arc::new(info.clone())));
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
    let told = client.vpp_info().await.expect("it is connected");
    assert_eq!((told.info, told.started.map(Timestamp::as_second)), (info, Some(1_700_000_000)));
    assert_eq!(*client.lb_counters().await.expect("it is connected"), counted);
    assert_eq!(client.lb_state().await.expect("it is connected"), dump);
    node.stop().await;
}

#[tokio::test]
async fn sync_is_passed_on_with_the_hold_and_refusals_have_codes() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let node = AgentServer::start_with(1, BusLimits::default(), |_, sources| {
        sources.sync = Arc::new(move |accept| {
            seen.lock().expect("nobody panics").push(accept.clone());
            let answer = match accept.as_deref() {
                Some("early") => Err(SyncRefusal::NotYet("warming up".into())),
                Some("gone") => Err(SyncRefusal::UnknownHold("no removals are held as gone".into())),
                _ => Ok(()),
            };
            async { answer }.boxed()
        });
    })
    .await;
    let client = node.client().await;
    client.sync_now(None).await.expect("the agent takes it");
    client.sync_now(Some("h1")).await.expect("the agent takes it");
    for (id, code, message) in
        [("early", Code::FailedPrecondition, "warming up"), ("gone", Code::NotFound, "no removals are held as gone")]
    {
        let refused = client.sync_now(Some(id)).await.expect_err("the agent refuses");
        assert_eq!(refused.code(), code);
        assert!(refused.to_string().contains(message), "{refused}");
    }
    let passed = [None, Some("h1"), Some("early"), Some("gone")].map(|id| id.map(str::to_owned));
    assert_eq!(*asked.lock().expect("nobody panics"), passed);
    let mut refused = None;
    while refused.is_none() {
        refused = client.sync_now(None).await.err();
    }
    assert_eq!(refused.map(|error| error.code()), Some(Code::ResourceExhausted));
    let asked = asked.lock().expect("nobody panics").len();
    assert!(asked < 30, "the agent was asked {asked} times");
    node.stop().await;
}

#[tokio::test]
async fn too_many_names_are_refused_with_what_is_allowed() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    let names = |count| WatchRequest { names: vec![name("web"); count], ..WatchRequest::default() };
    let refused = client.watch(names(201)).await.expect_err("they are too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.to_string().contains("found 201, at most 200"), "{refused}");
    client.watch(names(200)).await.expect("so many are allowed");
    node.stop().await;
}

#[tokio::test]
async fn what_only_has_problems_is_listed_and_found() {
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
    node.events.change(Change::Config(Arc::new(delta)));
    node.events.change(Change::Frontend(name("able"), FrontendState::Up, None));
    node.settled(2).await;
    let client = node.client().await;
    let backend = client.backend(&name("broken")).await.expect("it is known");
    assert_eq!((backend.problems, backend.probing.map(|of| of.probes)), (problems.clone(), Some(5)));
    let frontend = client.frontend(&name("broken")).await.expect("it is known");
    assert_eq!((frontend.problems, frontend.frontend), (problems, None));
    let mut client = raw(&node).await;
    let listed = client.list_frontends(proto::ListFrontendsRequest {}).await.expect("it answers").into_inner();
    let names: Vec<_> = listed.frontends.iter().map(|of| &*of.name).collect();
    assert_eq!(names, ["shop/able", "shop/broken"]);
    assert_eq!(
        client.list_backends(proto::ListBackendsRequest {}).await.expect("it answers").into_inner().backends.len(),
        1
    );
    let checks = client.list_health_checks(proto::ListHealthChecksRequest {}).await.expect("it answers").into_inner();
    assert_eq!(checks.health_checks.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn answers_are_counted_by_method_and_code() {
    let node = AgentServer::start(1, BusLimits::default()).await;
    let client = node.client().await;
    client.version().await.expect("it answers");
    client.backend(&name("web")).await.expect_err("it is not known");
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
async fn a_port_in_use_is_tried_again() {
    let occupant = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = occupant.local_addr().expect("it is bound");
    // The other address is served meanwhile.
    let node = AgentServer::start_with(1, BusLimits::default(), |options, _| options.addresses.insert(0, taken)).await;
    assert_ne!(node.address, taken);
    node.client().await.version().await.expect("it answers");
    drop(occupant);
    let endpoint = AgentClient::endpoint(format!("http://{taken}")).expect("it is a URI");
    let connected = within(async {
        loop {
            if let Ok(channel) = endpoint.connect().await {
                break channel;
            }
            tokio::task::yield_now().await;
        }
    });
    AgentClient::new(connected.await).version().await.expect("it answers");
    node.stop().await;
}
