//! The operations of the lb plugin: each sends the bytes recorded on a real VPP, and reading back the recorded dumps
//! gives that VPP's state.

use std::{net::IpAddr, num::NonZeroU16, time::Duration};

use maglev_model::{
    actual::{ActualConf, ActualEncap, VppVip},
    vip::{Dscp, Encap, Protocol, Service, TableLength, VipKey, Weight},
};
use maglev_vpp::{Error, codec::Text, lb::Lb};
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    fake_vpp::{CLIENT_INDEX, FakeVpp, Peer, context_of, framed, options},
    recordings::{Recording, body, vpp_26_10},
};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Replies to requests as recorded in the exchanges with these labels, and checks that each request equals the recorded
/// one.
pub async fn replay(peer: &mut Peer, recording: &Recording, labels: &[&str]) {
    for label in labels {
        let exchange = recording.exchange(label);
        let mut context = 0;
        for recorded in exchange["request_frames"].as_array().unwrap() {
            let request = timeout(PATIENCE, peer.body()).await.expect("no timeout").unwrap();
            context = context_of(&request);
            let mut recorded = body(recorded);
            recorded[2..6].copy_from_slice(&CLIENT_INDEX.to_be_bytes());
            recorded[6..10].copy_from_slice(&context.to_be_bytes());
            assert_eq!(request, recorded, "the request of {label}");
        }
        for reply in exchange["reply_frames"].as_array().unwrap() {
            peer.send(&framed(&with_context(reply, context))).await;
        }
    }
}

pub fn with_context(reply: &Value, context: u32) -> Vec<u8> {
    let mut reply = body(reply);
    reply[2..6].copy_from_slice(&context.to_be_bytes());
    reply
}

/// A VPP that replies as recorded, and the client's handle.
pub async fn connect(vpp: &FakeVpp, recording: &Recording) -> (Lb, Peer) {
    let (lb, peer) = tokio::join!(Lb::connect(vpp.path(), options()), async {
        let mut peer = vpp.accept().await;
        peer.handshake(recording.greeting.table.clone()).await;
        replay(&mut peer, recording, &["version", "ping"]).await;
        peer
    });
    (lb.unwrap(), peer)
}

pub fn tcp(address: &str, port: u16) -> VipKey {
    let port = NonZeroU16::new(port).unwrap();
    VipKey { address: ip(address), service: Service::Port { protocol: Protocol::Tcp, port } }
}

pub fn all_ports(address: &str) -> VipKey {
    VipKey { address: ip(address), service: Service::AllPorts }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn connecting_reads_version_and_pid() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_10());
    let (lb, _peer) = connect(&vpp, &recording).await;
    let info = lb.info();
    assert_eq!(
        (info.version.as_str(), info.build_date.as_str()),
        ("26.10-rc0~374-gb575ec2c56d", "2026-11-22T22:48:06")
    );
    assert_eq!((info.pid, info.capabilities.to_string().as_str()), (28364, "weights"));
}

#[tokio::test]
async fn operations_send_the_recorded_bytes() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_10());
    let (lb, mut peer) = connect(&vpp, &recording).await;
    let conf = ActualConf {
        ipv4_source: "192.0.2.254".parse().unwrap(),
        ipv6_source: "2001:db8::254".parse().unwrap(),
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    let (web, length) = (tcp("198.51.100.1", 80), TableLength::new(1024).unwrap());
    let web_in_vpp = VppVip::from(web);
    let weight = |weight| Weight::new(weight).unwrap();
    let set_conf = lb.set_conf(conf);
    let conf_read = lb.conf();
    let vips = [
        lb.add_vip(web, Encap::Gre4, false, length),
        lb.add_vip(web, Encap::Gre4, false, length),
        lb.add_vip(tcp("198.51.100.1", 443), Encap::Gre6, true, length),
        lb.add_vip(all_ports("198.51.100.2"), Encap::Gre4, false, length),
        lb.add_vip(tcp("2001:db8:1::1", 80), Encap::Gre6, false, length),
        lb.add_vip(tcp("198.51.100.3", 80), Encap::L3dsr(Dscp::new(7).unwrap()), false, length),
    ];
    let ases = [
        lb.add_as(web_in_vpp, ip("192.0.2.10"), weight(100), false),
        lb.add_as(web_in_vpp, ip("192.0.2.11"), weight(50), false),
        lb.add_as(tcp("2001:db8:1::1", 80).into(), ip("2001:db8::10"), weight(100), false),
        lb.add_as(all_ports("198.51.100.2").into(), ip("192.0.2.10"), weight(100), false),
    ];
    let weights = [
        lb.set_weight(web_in_vpp, ip("192.0.2.11"), weight(25), false),
        lb.set_weight(web_in_vpp, ip("192.0.2.10"), weight(0), true),
        lb.set_weight(web_in_vpp, ip("192.0.2.99"), weight(100), false),
    ];
    let ping = lb.ping();
    let labels = [
        "conf_set",
        "conf_get",
        "vip4_http_add",
        "vip4_http_add_dup",
        "vip4_https_sticky_add",
        "vip4b_allport_add",
        "vip6_http_add",
        "vip4_l3dsr_add",
        "as_add_100",
        "as_add_50",
        "as_add_v6",
        "as_add_allport",
        "setw_25",
        "setw_0_flush",
        "setw_no_as",
        "ping",
    ];
    replay(&mut peer, &recording, &labels).await;
    set_conf.await.unwrap();
    assert_eq!(conf_read.await.unwrap(), conf);
    let retval = |done: Result<(), Error>| done.err().and_then(|error| error.retval());
    let mut retvals = Vec::new();
    for done in vips {
        retvals.push(retval(done.await));
    }
    assert_eq!(retvals, [None, Some(-81), Some(-73), None, None, None]);
    for done in ases {
        done.await.unwrap();
    }
    let mut retvals = Vec::new();
    for done in weights {
        retvals.push(retval(done.await));
    }
    assert_eq!(retvals, [None, None, Some(-6)]);
    ping.await.unwrap();
}

#[tokio::test]
async fn removals_differ_from_the_recording_only_in_ignored_fields() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_10());
    let (lb, mut peer) = connect(&vpp, &recording).await;
    let web = VppVip::from(tcp("198.51.100.1", 80));
    let dns = VppVip { protocol: 17, port: 53, ..web };
    let (flush, keep) = (lb.remove_as(web, ip("192.0.2.12"), true), lb.remove_as(web, ip("192.0.2.11"), false));
    let vip = lb.remove_vip(dns);
    for (label, ignored) in [("as_del_flush", 48..49), ("as_del_noflush", 48..49), ("vip_del", 44..48)] {
        let exchange = recording.exchange(label);
        let request = timeout(PATIENCE, peer.body()).await.unwrap().unwrap().to_vec();
        let mut recorded = body(&exchange["request_frames"][0]);
        recorded[2..10].copy_from_slice(&request[2..10]);
        recorded[ignored.clone()].copy_from_slice(&request[ignored]);
        assert_eq!(request, recorded, "{label}");
        peer.send(&framed(&with_context(&exchange["reply_frames"][0], context_of(&request)))).await;
    }
    for done in [flush, keep] {
        done.await.unwrap();
    }
    vip.await.unwrap();
}

#[tokio::test]
async fn read_returns_the_recorded_state() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_10());
    let (lb, mut peer) = connect(&vpp, &recording).await;
    let read = lb.read();
    replay(&mut peer, &recording, &["vip_dump", "as_dump_all", "cli_show_lb_vips_verbose"]).await;
    let actual = timeout(PATIENCE, read).await.unwrap().unwrap();
    let dumped = recording.exchange("vip_dump")["decoded_reply"].as_array().unwrap().len();
    assert_eq!((actual.vips.len(), dumped), (9, 9));
    let web = &actual.vips[&tcp("198.51.100.1", 80).into()];
    assert_eq!((web.sticky, web.pool_index, web.table_length), (Some(false), Some(1), Some(1024)));
    let ases: Vec<_> =
        web.ases.iter().map(|(address, server)| (address.to_string(), server.weight, server.buckets)).collect();
    let want = [("192.0.2.10", 100, 317), ("192.0.2.11", 25, 91), ("192.0.2.12", 0, 0), ("192.0.2.13", 200, 616)];
    assert_eq!(ases, want.map(|(address, weight, buckets)| (address.to_owned(), weight, buckets)));
    let nat = &actual.vips[&tcp("2001:db8:1::4", 80).into()];
    assert_eq!(nat.encap, Some(ActualEncap { kind: 4, dscp: 0, target_port: 8080 }));
    assert_eq!(nat.pool_index, Some(9));
    let marked = &actual.vips[&all_ports("198.51.100.6").into()];
    assert_eq!(marked.encap, Some(ActualEncap { kind: 2, dscp: 8, target_port: 0 }));
    assert!(actual.vips.values().all(|vip| vip.pool_index.is_some()));
}

#[tokio::test]
async fn removed_servers_are_left_out_and_unparsable_text_is_ignored() {
    let (vpp, recording) = (FakeVpp::listen(), vpp_26_10());
    let (lb, mut peer) = connect(&vpp, &recording).await;
    let read = lb.read();
    replay(&mut peer, &recording, &["vip_dump3", "as_dump3"]).await;
    let request = timeout(PATIENCE, peer.body()).await.unwrap().unwrap();
    let other_text = &recording.exchange("cli_show_lb")["reply_frames"][0];
    peer.send(&framed(&with_context(other_text, context_of(&request)))).await;
    let actual = timeout(PATIENCE, read).await.unwrap().unwrap();
    let addresses = |key: VppVip| actual.vips[&key].ases.keys().map(ToString::to_string).collect::<Vec<_>>();
    let web = VppVip::from(tcp("198.51.100.1", 80));
    assert_eq!(addresses(web), ["192.0.2.10", "192.0.2.11", "192.0.2.13"], "192.0.2.12 was removed");
    let recreated = VppVip { protocol: 17, port: 53, ..web };
    assert!(addresses(recreated).is_empty(), "the servers of the removed VIP are not live");
    assert_eq!(actual.vips[&recreated].table_length, Some(2048));
    assert!(actual.vips.values().all(|vip| vip.sticky.is_none() && vip.pool_index.is_none()));
}

#[tokio::test]
async fn missing_plugin_is_detected_by_its_messages() {
    let (new, vpp) = (vpp_26_10(), FakeVpp::listen());
    let (lb, ()) = tokio::join!(Lb::connect(vpp.path(), options()), async {
        let mut peer = vpp.accept().await;
        let mut table = new.greeting.table.clone();
        table.0.retain(|entry| !entry.name.as_str().starts_with("lb_"));
        peer.handshake(table).await;
        replay(&mut peer, &new, &["version", "ping"]).await;
    });
    let error = lb.unwrap_err();
    assert_eq!(error.reason(), "MessagesMissing");
    assert!(error.to_string().contains("lb_add_del_vip_v2 is absent"), "{error}");
}

#[tokio::test]
async fn optional_messages_may_be_missing() {
    let (recording, vpp) = (vpp_26_10(), FakeVpp::listen());
    let (lb, mut peer) = tokio::join!(Lb::connect(vpp.path(), options()), async {
        let mut peer = vpp.accept().await;
        let mut table = recording.greeting.table.clone();
        table.0.retain(|entry| !entry.name.as_str().starts_with("cli_inband_f"));
        for entry in &mut table.0 {
            if entry.name.as_str().starts_with("ip_route_lookup_v2_7") {
                entry.name = Text::new("ip_route_lookup_v2_00000001");
            }
        }
        peer.handshake(table).await;
        replay(&mut peer, &recording, &["version", "ping"]).await;
        peer
    });
    let lb = lb.unwrap();
    let missing: Vec<String> = lb.info().missing.iter().map(ToString::to_string).collect();
    let want = ["cli_inband is absent", "ip_route_lookup_v2 has CRC 00000001, expected 710d6471"].map(str::to_owned);
    assert_eq!(missing, want);
    let read = lb.read();
    replay(&mut peer, &recording, &["vip_dump", "as_dump_all"]).await;
    let actual = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(actual.vips.len(), 9);
    assert!(actual.vips.values().all(|vip| vip.sticky.is_none() && vip.table_length.is_some()));
}

#[tokio::test]
async fn programmed_vips_are_read_back_until_removed() {
    let dir = tempfile::tempdir().unwrap();
    let vpp = Simulator::start(SimulatorOptions::new(dir.path().join("api.sock"))).await.unwrap();
    let lb = Lb::connect(vpp.api_socket(), options()).await.unwrap();
    let (key, length) = (tcp("203.0.113.1", 80), TableLength::new(256).unwrap());
    let encap = Encap::L3dsr(Dscp::new(7).unwrap());
    let vip = VppVip::from(key);
    // All requests are queued before the first reply.
    let added = lb.add_vip(key, encap, true, length);
    let servers = ["192.0.2.1", "192.0.2.2"].map(|address| lb.add_as(vip, ip(address), Weight::DEFAULT, false));
    let weight = lb.set_weight(vip, ip("192.0.2.2"), Weight::ZERO, true);
    let read = lb.read();
    added.await.unwrap();
    for server in servers {
        server.await.unwrap();
    }
    weight.await.unwrap();
    let actual = read.await.unwrap();
    assert_eq!(actual.vips.keys().copied().collect::<Vec<_>>(), [vip]);
    let got = &actual.vips[&vip];
    assert_eq!((got.encap, got.sticky, got.table_length), (Some(encap.into()), Some(true), Some(256)));
    assert!(got.pool_index.is_some());
    let servers: Vec<_> = got.ases.values().map(|server| (server.weight, server.buckets)).collect();
    assert_eq!(servers, [(10, 256), (0, 0)]);

    let removed = lb.remove_as(vip, ip("192.0.2.1"), true);
    let read = lb.read();
    removed.await.unwrap();
    assert_eq!(read.await.unwrap().vips[&vip].ases.keys().copied().collect::<Vec<_>>(), [ip("192.0.2.2")]);
    let removed = lb.remove_vip(vip);
    let read = lb.read();
    removed.await.unwrap();
    assert!(read.await.unwrap().vips.is_empty());
    assert_eq!(lb.remove_vip(vip).await.unwrap_err().retval(), Some(-6));
}
