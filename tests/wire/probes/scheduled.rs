//! The whole `health` crate, from a configuration to the snapshots.

use std::{sync::Arc, time::Duration};

use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    config::{Backend, Check, HealthCheck, NodeConfig},
    event::Events,
    health::{BackendState, ProbeCode::*},
};
use maglev_testkit::objects::{self, name};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, checks::tcp, servers};

#[tokio::test]
async fn backend_state_follows_its_server() {
    let server = servers::silent().await;
    let brief = Duration::from_millis(100);
    let check =
        HealthCheck { interval: brief, fast_interval: brief, down_interval: brief, ..tcp(server.address.port()) };
    let name = name("shop/web");
    let check = Check::Probe(Arc::new(check));
    let backend = Backend { check, ..objects::backend("shop/web", &server.address.ip().to_string()) };
    let mut config = objects::config([], NodeConfig::default());
    config.backends.insert(name.clone(), Arc::new(backend));
    let (config_tx, config_rx) = watch::channel(None);
    let shutdown = CancellationToken::new();
    let options = HealthOptions::new("1.2.3", 7);
    let probes = ProbeThread::start(None).unwrap();
    let (mut snapshot_rx, thread) = probes.run(options, config_rx, Events::discard(), shutdown.clone()).unwrap();
    config_tx.send_replace(Some(config));
    // The last configuration stays in effect after its sender is dropped.
    drop(config_tx);

    let mut until = async |state| {
        let reached =
            snapshot_rx.wait_for(|snapshot| snapshot.backends.get(&name).is_some_and(|backend| backend.state == state));
        timeout(LIMIT, reached).await.expect("the state is reached in time").unwrap().backends[&name].clone()
    };
    until(BackendState::Up).await;
    drop(server);
    let down = until(BackendState::Down).await;
    let codes: Vec<_> =
        down.history.iter().map(|transition| (transition.from, transition.to, transition.code)).collect();
    let expected = [
        (BackendState::Unknown, BackendState::Up, Some(L4Ok)),
        (BackendState::Up, BackendState::Down, Some(L4Connection)),
    ];
    assert_eq!(codes, expected);
    shutdown.cancel();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
}
