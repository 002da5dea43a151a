//! Paths to Nodes, which many Frontends share.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::time::sleep;

use super::{Fixture, SEC, backend, simulate};
use maglev_model::{
    config::{Backend, Frontend, NodeConfig},
    name::Name,
    path::{PathMode, PathProbe},
    vip::{Protocol, Service, VipKey},
};
use maglev_testkit::objects;

/// A Frontend with the Node `w1` as its server.
fn follower(number: u8) -> Frontend {
    let node = Backend { name: Name::cluster("node:w1"), ..backend(1) };
    let service = Service::Port { protocol: Protocol::Tcp, port: 443.try_into().unwrap() };
    let vip = VipKey { address: [203, 0, 113, number].into(), service };
    let pool = objects::pool("service", &[&node]);
    Frontend {
        path_probe: Some(PathProbe::default()),
        ..objects::frontend(&format!("shop/{number:03}"), vip, vec![pool])
    }
}

/// The VIPs that probes were sent for.
fn probed_vips(fixture: &Fixture) -> BTreeSet<u8> {
    let last = |address| match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => panic!("{address}"),
    };
    fixture.sent().iter().map(|sent| last(sent.flow.vip.ip())).collect()
}

#[test]
fn paths_to_a_node_are_probed_for_some_frontends_only() {
    simulate(async {
        let mut fixture = Fixture::start(0, &[]);
        fixture.config = objects::config((1..=20).map(follower), NodeConfig::default());
        fixture.config_tx.send_replace(Some(fixture.config.clone()));
        sleep(20 * SEC).await;
        assert_eq!(probed_vips(&fixture), (1..=16).collect());
        // The next ones take the places of Frontends that are gone, and a required path has a place of its own.
        for number in [1, 2] {
            fixture.config.frontends.remove(&follower(number).name);
        }
        let probe = Some(PathProbe { mode: PathMode::Require, ..PathProbe::default() });
        let required = Frontend { path_probe: probe, ..follower(20) };
        fixture.config.frontends.insert(required.name.clone(), Arc::new(required));
        fixture.config_tx.send_replace(Some(fixture.config.clone()));
        sleep(20 * SEC).await;
        assert_eq!(probed_vips(&fixture), (1..=18).chain([20]).collect());
    });
}
