//! Kept connections of scheduled probes: reused, and ended with their reason.

use std::{io::ErrorKind::ConnectionReset, net::IpAddr, sync::Arc, time::Duration};

use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    config::{AdminState, Backend, Check, Config, HealthCheck, NodeConfig, SyncConf},
    event::Events,
    health::{BackendState, HealthSnapshot},
};
use maglev_testkit::objects::{self, name};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    LIMIT,
    checks::{http, reuse, with_http},
    keep_alive::{Reaction::Respond, reacts},
    servers::{self, Server},
    until,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A probe thread and its only backend, `shop/web`.
struct Scheduled {
    backend: Backend,
    config_tx: watch::Sender<Option<Config>>,
    snapshot_rx: watch::Receiver<HealthSnapshot>,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Scheduled {
    fn start(server: &Server, interval: Duration) -> Self {
        let check = reuse(http(server.address.port()));
        let check = HealthCheck { interval, fast_interval: interval, down_interval: interval, ..check };
        let check = Check::Probe(Arc::new(check));
        let backend = Backend { check, ..objects::backend("shop/web", &server.address.ip().to_string()) };
        let (config_tx, stop) = (watch::Sender::new(None), CancellationToken::new());
        let probes = ProbeThread::start(None).unwrap();
        let run = probes.run(HealthOptions::new("1.2.3", 7), config_tx.subscribe(), Events::discard(), stop.clone());
        let (snapshot_rx, thread) = run.unwrap();
        let scheduled = Self { backend, config_tx, snapshot_rx, stop, thread };
        scheduled.apply(Some(&scheduled.backend));
        scheduled
    }

    fn apply(&self, backend: Option<&Backend>) {
        let sync = SyncConf { startup_min_delay: Duration::ZERO, ..SyncConf::default() };
        let mut config = objects::config([], NodeConfig { sync, ..NodeConfig::default() });
        config.backends =
            backend.map(|backend| (backend.name.clone(), Arc::new(backend.clone()))).into_iter().collect();
        self.config_tx.send_replace(Some(config));
    }

    fn check(&self) -> HealthCheck {
        let Check::Probe(check) = &self.backend.check else { panic!("the backend is probed") };
        HealthCheck::clone(check)
    }

    async fn until_up(&mut self) {
        let is_up = |snapshot: &HealthSnapshot| {
            snapshot.backends.get(&name("shop/web")).is_some_and(|backend| backend.state == BackendState::Up)
        };
        timeout(LIMIT, self.snapshot_rx.wait_for(is_up)).await.expect("the backend is up in time").unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn scheduled_probes_share_connections() {
    let server = servers::plain(reacts(|_| Respond(OK))).await;
    let scheduled = Scheduled::start(&server, Duration::from_millis(100));
    until("two connections have had their 10 requests", || server.requests().len() > 20).await;
    scheduled.stop().await;
    let (connections, requests) = (server.connections(), server.requests().len());
    // The last connection may not have had its first request.
    let expected = requests.div_ceil(10)..=requests.div_ceil(10) + 1;
    assert!(expected.contains(&connections), "{connections} connections for {requests} requests");
}

#[tokio::test]
async fn kept_connection_ends_with_its_check() {
    let hour = Duration::from_hours(1);
    type Change = fn(&Scheduled) -> Option<Backend>;
    let table: [(&str, Change); 5] = [
        ("the backend is removed", |_| None),
        ("the backend is paused", |scheduled| {
            Some(Backend { admin_state: AdminState::Paused, ..scheduled.backend.clone() })
        }),
        ("the backend moves", |scheduled| {
            Some(Backend { address: IpAddr::from([127, 0, 0, 2]), ..scheduled.backend.clone() })
        }),
        ("the check changes", |scheduled| {
            let check = with_http(scheduled.check(), |http| http.path = "/healthz".into());
            Some(Backend { check: Check::Probe(Arc::new(check)), ..scheduled.backend.clone() })
        }),
        ("the check is removed", |scheduled| Some(Backend { check: Check::None, ..scheduled.backend.clone() })),
    ];
    for (about, change) in table {
        let server = servers::plain(reacts(|_| Respond(OK))).await;
        let mut scheduled = Scheduled::start(&server, hour);
        scheduled.until_up().await;
        assert_eq!((server.connections(), server.requests().len()), (1, 1), "{about}");
        scheduled.apply(change(&scheduled).as_ref());
        assert_eq!(server.first_end().await.1, Some(ConnectionReset), "{about}");
        scheduled.stop().await;
    }
    let server = servers::plain(reacts(|_| Respond(OK))).await;
    let mut scheduled = Scheduled::start(&server, hour);
    scheduled.until_up().await;
    scheduled.stop().await;
    assert_eq!(server.first_end().await.1, Some(ConnectionReset), "the agent stops");
}
