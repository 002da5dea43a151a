//! The whole `health` crate, from a configuration to the snapshots.

use std::{sync::Arc, time::Duration};

use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    config::{Backend, Check, Config, HealthCheck, Listed, NodeConfig, Revision},
    event::Events,
    health::{BackendState, ProbeCode::*},
    name::Name,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, checks::tcp, servers};

#[tokio::test]
async fn backend_state_follows_its_server() {
    let server = servers::silent().await;
    let brief = Duration::from_millis(100);
    let check =
        HealthCheck { interval: brief, fast_interval: brief, down_interval: brief, ..tcp(server.address.port()) };
    let name = Name::namespaced("shop", "web");
    let backend = Backend {
        name: name.clone(),
        revision: Revision::default(),
        address: server.address.ip(),
        admin_state: maglev_model::config::AdminState::Enabled,
        check: Check::Probe(Arc::new(check)),
    };
    let listed = Listed::when(|_| true).unwrap();
    let mut config = Config::new(listed, Arc::new(NodeConfig::default()));
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
