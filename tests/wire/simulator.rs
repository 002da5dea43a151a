//! The simulated VPP over its socket: the plugin's state, the journal and the clients.

use std::{net::IpAddr, time::Duration};

use bytes::BytesMut;
use maglev_model::actual::VppVip;
use maglev_vpp::{
    codec,
    messages::{
        lb::{
            LbAddDelAs, LbAddDelAsV2, LbAddDelVip, LbAddDelVipV2, LbAddDelVipV2Reply, LbAsSetWeight, LbAsV2Dump,
            LbConf, LbConfGet, LbVipDump, WireVip,
        },
        memclnt::{ControlPing, ControlPingReply, SockclntDelete},
        vlib::CliInband,
    },
};
use maglev_vpp_simulator::{
    Prefix, Recompute, RecordedWrite, Refusal, Simulator, SimulatorOptions, VipSettings, Write,
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::raw_client::{PATIENCE, RawClient};

pub async fn start() -> (TempDir, Simulator) {
    let directory = tempfile::tempdir().unwrap();
    let options = SimulatorOptions {
        recompute: Recompute::Lazy,
        ..SimulatorOptions::new(directory.path().join("run/vpp/api.sock"))
    };
    (directory, Simulator::start(options).await.unwrap())
}

pub fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

pub fn vip(address: &str, port: u16) -> VppVip {
    let length = if ip(address).is_ipv4() { 32 } else { 128 };
    let protocol = if port == 0 { 255 } else { 6 };
    VppVip { address: ip(address), length, protocol, port }
}

pub fn add_vip(vip: VppVip) -> LbAddDelVipV2 {
    LbAddDelVipV2 {
        vip: vip.into(),
        encap: 0,
        dscp: 0,
        srv_type: 0,
        target_port: 0,
        node_port: 0,
        new_flows_table_length: 1024,
        src_ip_sticky: false,
        is_del: false,
    }
}

fn add_as(vip: VppVip, address: &str, weight: u8) -> LbAddDelAsV2 {
    LbAddDelAsV2 { vip: vip.into(), as_address: ip(address), weight, is_del: false, is_flush: false }
}

/// Address and liveness of each server in a dump of all VIPs.
async fn dumped(client: &mut RawClient) -> Vec<(String, bool)> {
    let details = client.dump(LbAsV2Dump { vip: WireVip::ZERO }).await;
    details.into_iter().map(|entry| (entry.app_srv.to_string(), entry.flags & 1 == 1)).collect()
}

#[tokio::test]
async fn removed_server_is_listed_until_collected_or_added_again() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let vip = vip("203.0.113.1", 80);
    client.call(add_vip(vip)).await;
    client.call(add_as(vip, "192.0.2.1", 10)).await;
    client.call(add_as(vip, "192.0.2.2", 20)).await;
    let remove = LbAddDelAsV2 { is_del: true, ..add_as(vip, "192.0.2.1", 10) };
    assert_eq!(client.call(remove.clone()).await.retval, 0);
    let removed_and_live = [("192.0.2.1".to_owned(), false), ("192.0.2.2".to_owned(), true)];
    assert_eq!(dumped(&mut client).await, removed_and_live);
    let set_weight = LbAsSetWeight { vip: vip.into(), as_address: ip("192.0.2.1"), weight: 5, is_flush: false };
    assert_eq!(client.call(set_weight).await.retval, -6, "a removed server has no weight to set");
    assert_eq!(client.call(remove.clone()).await.retval, 0, "vpp accepts the removal of a removed server");

    assert_eq!(client.call(add_as(vip, "192.0.2.1", 30)).await.retval, 0, "the server returns to its old slot");
    assert_eq!(simulator.snapshot().weights(vip), [(ip("192.0.2.1"), 30), (ip("192.0.2.2"), 20)].into());
    client.call(remove.clone()).await;
    simulator.advance(Duration::from_secs(9));
    assert_eq!(dumped(&mut client).await, removed_and_live, "not collected yet");
    simulator.advance(Duration::from_secs(60));
    assert_eq!(dumped(&mut client).await, removed_and_live, "vpp skips a vip that was added within the last 60 s");
    simulator.advance(Duration::from_secs(61));
    assert_eq!(dumped(&mut client).await, removed_and_live[1..]);
    assert_eq!(client.call(remove).await.retval, -6, "the server was collected");
}

#[tokio::test]
async fn deleted_vip_is_hidden_but_its_servers_are_listed_and_its_index_is_reused_late() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let vip = vip("203.0.113.1", 80);
    client.call(add_vip(vip)).await;
    client.call(add_as(vip, "192.0.2.1", 10)).await;
    assert_eq!(simulator.snapshot().vips[&vip].pool_index, 1);
    assert_eq!(client.call(LbAddDelVipV2 { is_del: true, ..add_vip(vip) }).await.retval, 0);
    assert_eq!(client.dump(LbVipDump::ALL).await, []);
    assert_eq!(dumped(&mut client).await, [("192.0.2.1".to_owned(), false)]);

    client.call(add_vip(vip)).await;
    assert_eq!(simulator.snapshot().vips[&vip].pool_index, 2);
    assert_eq!(simulator.snapshot().deleted_vips, 1);
    let text = client.call(CliInband { cmd: "show lb vips verbose".to_owned() }).await.reply;
    assert!(text.contains(" ip4-gre4 [1] 203.0.113.1/32 removed\n"), "{text}");
    assert!(text.contains("192.0.2.1 weight:10 buckets:0 flows:0 dpo:11  removed\n"), "{text}");

    simulator.advance(Duration::from_secs(130));
    assert_eq!(dumped(&mut client).await, []);
    assert_eq!(simulator.snapshot().deleted_vips, 0);
    let other = self::vip("203.0.113.2", 80);
    client.call(add_vip(other)).await;
    assert_eq!(simulator.snapshot().vips[&other].pool_index, 1, "the slot is free again");
}

#[tokio::test]
async fn refusals_have_the_numbers_of_vpp() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let (http, all) = (vip("203.0.113.1", 80), vip("203.0.113.1", 0));
    let gre6 = |vip| LbAddDelVipV2 { encap: 1, ..add_vip(vip) };
    assert_eq!(client.call(add_vip(http)).await.retval, 0);
    assert_eq!(client.call(add_vip(http)).await.retval, -81);
    assert_eq!(client.call(add_vip(all)).await.retval, -81);
    assert_eq!(client.call(gre6(vip("203.0.113.1", 443))).await.retval, -73);
    assert_eq!(client.call(gre6(vip("203.0.113.2", 0))).await.retval, 0, "an ipv4 vip with ipv6 backends is legal");
    assert_eq!(client.call(add_vip(vip("203.0.113.2", 80))).await.retval, -81);
    assert_eq!(client.call(LbAddDelVipV2 { encap: 4, ..add_vip(vip("203.0.113.3", 80)) }).await.retval, -97);
    let odd = LbAddDelVipV2 { new_flows_table_length: 1000, ..add_vip(vip("203.0.113.3", 80)) };
    assert_eq!(client.call(odd).await.retval, -70);
    assert_eq!(client.call(LbAddDelVipV2 { is_del: true, ..add_vip(all) }).await.retval, -6);
    assert_eq!(client.call(add_as(http, "192.0.2.1", 255)).await.retval, 0, "vpp does not limit weights");
    assert_eq!(client.call(add_as(http, "192.0.2.1", 1)).await.retval, -81);
    assert_eq!(client.call(add_as(http, "2001:db8::1", 1)).await.retval, -97);
    assert_eq!(client.call(add_as(all, "192.0.2.1", 1)).await.retval, -6);
    assert_eq!(simulator.snapshot().weights(http), [(ip("192.0.2.1"), 255)].into());
}

#[tokio::test]
async fn port_0_means_all_ports_and_host_bits_are_ignored() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    client.call(add_vip(VppVip { protocol: 6, ..vip("203.0.113.1", 0) })).await;
    client.call(add_vip(VppVip { length: 24, ..vip("198.51.100.77", 80) })).await;
    let network = VppVip { length: 24, ..vip("198.51.100.0", 80) };
    let got: Vec<_> = client.dump(LbVipDump::ALL).await.into_iter().map(|entry| VppVip::from(entry.vip)).collect();
    assert_eq!(got, [vip("203.0.113.1", 0), network]);
}

#[tokio::test]
async fn messages_of_older_clients_are_supported() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let vip = vip("203.0.113.1", 80);
    let legacy = LbAddDelVip {
        vip: vip.into(),
        encap: 0,
        dscp: 0,
        srv_type: 0,
        target_port: 0,
        node_port: 0,
        new_flows_table_length: 256,
        is_del: false,
    };
    assert_eq!(client.call(legacy).await.retval, 0);
    let server = LbAddDelAs { vip: vip.into(), as_address: ip("192.0.2.1"), is_del: false, is_flush: false };
    assert_eq!(client.call(server).await.retval, 0);
    let snapshot = simulator.snapshot();
    assert_eq!(snapshot.weights(vip), [(ip("192.0.2.1"), 100)].into());
    assert_eq!(snapshot.vips[&vip].settings, VipSettings { table_length: 256, ..VipSettings::default() });
    assert_eq!(snapshot.vips[&vip].ases[&ip("192.0.2.1")].buckets, 256);
}

#[tokio::test]
async fn all_ones_in_lb_conf_keep_the_value() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let conf = |buckets, timeout| LbConf {
        ip4_src_address: [192, 0, 2, 254].into(),
        ip6_src_address: 1u128.into(),
        sticky_buckets_per_core: buckets,
        flow_timeout: timeout,
    };
    assert_eq!(client.call(conf(2048, 77)).await.retval, 0);
    assert_eq!(client.call(conf(u32::MAX, u32::MAX)).await.retval, 0);
    assert_eq!(client.call(conf(1000, 1)).await.retval, -70);
    let got = client.call(LbConfGet {}).await;
    assert_eq!((got.sticky_buckets_per_core, got.flow_timeout), (2048, 77));
}

#[tokio::test]
async fn requests_in_one_write_are_replied_to_in_order() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let mut out = BytesMut::new();
    let contexts: Vec<_> = (1..=500u16)
        .map(|port| match port % 2 {
            0 => client.encode(&ControlPing {}, &mut out),
            _ => client.encode(&add_vip(vip("203.0.113.1", port)), &mut out),
        })
        .collect();
    // Arbitrary cuts, so that frames arrive in parts.
    for part in out.chunks(977) {
        client.send_bytes(part).await;
    }
    for (context, port) in contexts.into_iter().zip(1u16..) {
        let got = match port % 2 {
            0 => client.next::<ControlPingReply>().await.0.context,
            _ => client.next::<LbAddDelVipV2Reply>().await.0.context,
        };
        assert_eq!(got, context);
    }
    assert_eq!(simulator.snapshot().vips.len(), 250);
}

#[tokio::test]
async fn malformed_requests_get_no_reply() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let mut out = BytesMut::new();
    client.encode(&add_vip(vip("203.0.113.1", 80)), &mut out);
    let whole = out.to_vec();
    let resized = |by: i32| {
        let mut frame = whole.clone();
        frame.resize(usize::try_from(whole.len() as i32 + by).unwrap(), 0);
        let length = u32::try_from(frame.len() - 16).unwrap();
        frame[8..12].copy_from_slice(&length.to_be_bytes());
        frame
    };
    client.send_bytes(&resized(-1)).await;
    client.send_bytes(&resized(1)).await;
    let unknown = [&whole[..16], &[0xff, 0xff], &whole[18..]].concat();
    client.send_bytes(&unknown).await;
    let other_client = [&whole[..18], &7u32.to_be_bytes(), &whole[22..]].concat();
    assert_eq!(simulator.snapshot().vips.len(), 0);
    client.send_bytes(&other_client).await;
    let ping = client.send(&ControlPing {}).await;
    assert_eq!(client.next::<ControlPingReply>().await.0.context, ping, "the first reply is the ping's");
    assert_eq!(simulator.snapshot().vips.len(), 1, "a request with the index of another client is executed");
}

#[tokio::test]
async fn journal_lists_writes_with_their_replies_but_no_reads() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let vip = vip("203.0.113.1", 80);
    client.call(add_vip(vip)).await;
    let mark = simulator.mark();
    client.dump(LbVipDump::ALL).await;
    client.call(LbConfGet {}).await;
    assert_eq!(simulator.writes_since(mark), []);
    client.call(add_as(vip, "192.0.2.1", 10)).await;
    client.call(LbAddDelAsV2 { is_del: true, is_flush: true, ..add_as(vip, "192.0.2.2", 0) }).await;
    let address = ip("192.0.2.2");
    let expected = [
        RecordedWrite { write: Write::AddAs(vip, ip("192.0.2.1"), 10), retval: 0 },
        RecordedWrite { write: Write::RemoveAs { vip, address, flush: true }, retval: -6 },
    ];
    assert_eq!(simulator.writes_since(mark), expected);
    assert_eq!((simulator.requests()["lb_add_del_as_v2"], simulator.requests()["lb_conf_get"]), (2, 1));
    simulator.restart().await.unwrap();
    assert_eq!(simulator.writes_since(mark), expected, "a restart keeps the journal");
}

#[tokio::test]
async fn state_can_be_edited_without_a_client() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let mark = simulator.mark();
    let foreign = Prefix::new(ip("198.51.100.0"), 24).unwrap();
    simulator.edit(|lb| lb.add_vip(foreign, 17, 53, VipSettings::default())).unwrap();
    let id = VppVip { address: foreign.address(), length: 24, protocol: 17, port: 53 };
    simulator.edit(|lb| lb.add_as(id, ip("192.0.2.1"), 7)).unwrap();
    assert_eq!(simulator.edit(|lb| lb.remove_as(id, ip("192.0.2.9"))), Err(Refusal::NoSuchEntry));
    let details = client.dump(LbVipDump::ALL).await;
    assert_eq!(details[0].vip.prefix, codec::Prefix { address: foreign.address(), length: 24 });
    assert_eq!(dumped(&mut client).await, [("192.0.2.1".to_owned(), true)]);
    assert_eq!(simulator.writes_since(mark), []);
}

#[tokio::test]
async fn clients_have_distinct_indexes_and_are_removed_on_disconnect() {
    let (_directory, simulator) = start().await;
    let mut first = RawClient::connect(simulator.api_socket()).await;
    let second = RawClient::connect(simulator.api_socket()).await;
    assert_ne!(first.index, second.index);
    assert_eq!(simulator.connections(), 2);
    let index = first.index;
    first.call(SockclntDelete { index }).await;
    assert_eq!(first.body().await, None, "vpp closes the connection");
    drop(second);
    let all_disconnected = async {
        while simulator.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, all_disconnected).await.unwrap();
}

#[tokio::test]
async fn unknown_commands_get_the_error_of_vpp() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let reply = client.call(CliInband { cmd: "show nothing at all".to_owned() }).await;
    assert_eq!(reply.reply, "show: unknown input `nothing at all'\n");
}
