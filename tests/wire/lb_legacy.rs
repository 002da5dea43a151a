//! The operations of the lb plugin up to 26.06: the recorded bytes, and parsing of the CLI text.

use std::num::NonZeroU16;

use maglev_model::{
    actual::{Actual, ActualConf, ActualEncap, VppVip},
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};
use maglev_vpp::{
    Error,
    lb::{ConfCache, Lb},
};
use maglev_vpp_simulator::{Release, Simulator, SimulatorOptions};
use tokio::time::timeout;

use crate::{
    fake_vpp::{FakeVpp, Peer, context_of, framed, options},
    lb::{PATIENCE, all_ports, connect, ip, replay, tcp, with_context},
    recordings::{Recording, body, vpp_26_06},
};

fn dns() -> VipKey {
    let service = Service::Port { protocol: Protocol::Udp, port: NonZeroU16::new(53).unwrap() };
    VipKey { address: ip("198.51.100.3"), service }
}

async fn read(lb: &Lb, peer: &mut Peer, recording: &Recording, label: &str) -> Actual {
    let read = lb.read();
    replay(peer, recording, &[label]).await;
    timeout(PATIENCE, read).await.unwrap().unwrap()
}

fn buckets(actual: &Actual, vip: VipKey) -> Vec<(String, u8, u32)> {
    let ases = &actual.vips[&vip.into()].ases;
    ases.iter().map(|(address, server)| (address.to_string(), server.weight, server.buckets)).collect()
}

#[tokio::test]
async fn legacy_plugin_is_detected_by_missing_messages() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_06());
    let (lb, _peer) = connect(&vpp, &recording).await;
    assert_eq!((lb.info().version.as_str(), lb.info().capabilities.weights), ("26.06-release", false));
    let missing = lb.info().missing.iter().map(ToString::to_string).filter(|text| !text.contains("_reply"));
    let want = ["lb_conf_get", "lb_add_del_as_v2", "lb_as_set_weight", "lb_as_v2_dump", "lb_as_v2_details"];
    assert_eq!(missing.collect::<Vec<_>>(), want.map(|name| format!("{name} is absent")));
}

#[tokio::test]
async fn operations_send_the_recorded_bytes_and_the_text_is_read_back() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_06());
    let (lb, mut peer) = connect(&vpp, &recording).await;
    let conf = ActualConf {
        ipv4_source: "192.0.2.254".parse().unwrap(),
        ipv6_source: "2001:db8::254".parse().unwrap(),
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    let (web, length) = (tcp("198.51.100.1", 80), TableLength::new(1024).unwrap());
    let set_conf = lb.set_conf(conf);
    let vips = [
        lb.add_vip(web, Encap::Gre4, false, length),
        lb.add_vip(tcp("198.51.100.1", 443), Encap::Gre4, true, length),
        lb.add_vip(tcp("198.51.100.2", 80), Encap::Gre6, false, length),
        lb.add_vip(tcp("2001:db8:1::1", 80), Encap::Gre6, false, length),
        lb.add_vip(tcp("2001:db8:1::2", 80), Encap::Gre4, false, length),
        lb.add_vip(dns(), Encap::Gre4, false, length),
        lb.add_vip(all_ports("198.51.100.4"), Encap::Gre4, false, length),
    ];
    // The legacy message has neither weight nor flush of an added server.
    let add_as = |vip: VipKey, address: &str| lb.add_as(vip.into(), ip(address), Weight::PRESENT, true);
    let ases = [
        add_as(web, "192.0.2.10"),
        add_as(web, "192.0.2.11"),
        add_as(web, "192.0.2.10"),
        add_as(tcp("198.51.100.1", 443), "192.0.2.12"),
        add_as(tcp("198.51.100.2", 80), "2001:db8::10"),
        add_as(tcp("2001:db8:1::1", 80), "2001:db8::10"),
        add_as(tcp("2001:db8:1::2", 80), "192.0.2.10"),
        add_as(all_ports("198.51.100.4"), "192.0.2.10"),
    ];
    let labels = [
        "conf_set",
        "legacy_vip4_gre4_add",
        "legacy_vip4_gre4_sticky_add",
        "legacy_vip4_gre6_add",
        "legacy_vip6_gre6_add",
        "legacy_vip6_gre4_add",
        "legacy_vip4_udp_add",
        "legacy_vip4_allport_add",
        "legacy_as4",
        "legacy_as4b",
        "legacy_as_dup",
        "legacy_as4_on_443",
        "legacy_as6_on_v4_gre6",
        "legacy_as6",
        "legacy_as4_on_v6_gre4",
        "legacy_as_allport",
    ];
    replay(&mut peer, &recording, &labels).await;
    set_conf.await.unwrap();
    for done in vips {
        done.await.unwrap();
    }
    let mut retvals = Vec::new();
    for done in ases {
        retvals.push(done.await.err().and_then(|error: Error| error.retval()));
    }
    assert_eq!(retvals, [None, None, Some(-81), None, None, None, None, None]);

    let actual = read(&lb, &mut peer, &recording, "cli_vips").await;
    assert!(actual.weightless);
    assert_eq!(actual.vips.len(), 7, "the removed ::/32 is left out");
    assert_eq!(buckets(&actual, web), [("192.0.2.10".to_owned(), 1, 512), ("192.0.2.11".to_owned(), 1, 512)]);
    assert!(buckets(&actual, dns()).is_empty());
    assert!(actual.vips.values().all(|vip| vip.table_length == Some(1024)));
    let sticky: Vec<VppVip> =
        actual.vips.iter().filter(|(_, vip)| vip.sticky != Some(false)).map(|(id, _)| *id).collect();
    assert_eq!(sticky, [VppVip::from(tcp("198.51.100.1", 443))]);
    let gre6 = Some(ActualEncap { kind: 1, dscp: 0, target_port: 0 });
    let to_ipv6: Vec<String> =
        actual.vips.iter().filter(|(_, vip)| vip.encap == gre6).map(|(id, _)| id.to_string()).collect();
    assert_eq!(to_ipv6, ["198.51.100.2/32 tcp 80", "2001:db8:1::1/128 tcp 80"]);
    assert_eq!(actual.vips[&all_ports("198.51.100.4").into()].pool_index, Some(8));

    let removed = lb.remove_as(web.into(), ip("192.0.2.11"), true);
    replay(&mut peer, &recording, &["legacy_as_del"]).await;
    removed.await.unwrap();
    let actual = read(&lb, &mut peer, &recording, "cli_vips2").await;
    assert_eq!(buckets(&actual, web), [("192.0.2.10".to_owned(), 1, 1024)], "the removed server is left out");
    let added = add_as(web, "192.0.2.11");
    replay(&mut peer, &recording, &["legacy_as_readd"]).await;
    added.await.unwrap();

    let removed = lb.remove_vip(web.into());
    let exchange = recording.exchange("legacy_vip_del");
    let request = timeout(PATIENCE, peer.body()).await.unwrap().unwrap().to_vec();
    let mut recorded = body(&exchange["request_frames"][0]);
    // Client, context, and the table length, which VPP ignores here.
    for ignored in [2..10, 44..48] {
        recorded[ignored.clone()].copy_from_slice(&request[ignored]);
    }
    assert_eq!(request, recorded);
    peer.send(&framed(&with_context(&exchange["reply_frames"][0], context_of(&request)))).await;
    removed.await.unwrap();
    let actual = read(&lb, &mut peer, &recording, "cli_vips3").await;
    assert!(!actual.vips.contains_key(&web.into()), "a deleted VIP is left out");
    let added = lb.add_vip(web, Encap::Gre4, false, length);
    replay(&mut peer, &recording, &["legacy_vip_readd"]).await;
    added.await.unwrap();
    let actual = read(&lb, &mut peer, &recording, "cli_vips4").await;
    assert_eq!((actual.vips[&web.into()].pool_index, buckets(&actual, web)), (Some(9), Vec::new()));
}

#[tokio::test]
async fn settings_are_cached_for_the_lifetime_of_the_vpp_process() {
    let directory = tempfile::tempdir().unwrap();
    let simulated =
        SimulatorOptions { release: Release::V26_06, ..SimulatorOptions::new(directory.path().join("api.sock")) };
    let vpp = Simulator::start(simulated).await.unwrap();
    let conf_cache = ConfCache::default();
    let lb = Lb::connect_with_cache(vpp.api_socket(), options(), conf_cache.clone()).await.unwrap();
    let fresh = lb.conf().await.unwrap();
    assert_eq!((fresh.ipv4(), fresh.ipv6()), (None, None));
    assert_eq!((fresh.sticky_buckets_per_core, fresh.flow_timeout), (ActualConf::UNKNOWN, ActualConf::UNKNOWN));
    let desired = ActualConf { ipv4_source: "192.0.2.254".parse().unwrap(), flow_timeout: 77, ..fresh };
    lb.set_conf(desired).await.unwrap();
    assert_eq!(vpp.snapshot().conf.sticky_buckets_per_core, 1024, "the unknown setting is unchanged");
    assert_eq!(vpp.snapshot().conf.flow_timeout, 77);
    let again = Lb::connect_with_cache(vpp.api_socket(), options(), conf_cache).await.unwrap();
    assert_eq!(again.conf().await.unwrap(), desired);
    let without_cache = Lb::connect(vpp.api_socket(), options()).await.unwrap();
    assert_eq!(without_cache.conf().await.unwrap(), ActualConf { flow_timeout: ActualConf::UNKNOWN, ..desired });
}

#[tokio::test]
async fn removing_an_absent_server_succeeds_and_other_refusals_fail() {
    let directory = tempfile::tempdir().unwrap();
    let simulated =
        SimulatorOptions { release: Release::V26_06, ..SimulatorOptions::new(directory.path().join("api.sock")) };
    let vpp = Simulator::start(simulated).await.unwrap();
    let lb = Lb::connect(vpp.api_socket(), options()).await.unwrap();
    let web = tcp("203.0.113.1", 80);
    lb.add_vip(web, Encap::Gre4, false, TableLength::DEFAULT).await.unwrap();
    lb.remove_as(web.into(), ip("192.0.2.1"), true).await.unwrap();
    let wrong_family = lb.add_as(web.into(), ip("2001:db8::1"), Weight::PRESENT, false).await;
    assert_eq!(wrong_family.unwrap_err().retval(), Some(-97));
    assert_eq!(lb.remove_vip(tcp("203.0.113.2", 80).into()).await.unwrap_err().retval(), Some(-6));
    let unknown = lb.set_weight(web.into(), ip("192.0.2.1"), Weight::ZERO, true).await.unwrap_err();
    assert_eq!(unknown.reason(), "MessagesMissing");
}
