//! Recorded exchanges with real VPPs, replayed against the simulator byte by byte.

use std::collections::BTreeMap;

use maglev_vpp::messages::{
    self, Message,
    ip::IpRouteLookupV2Reply,
    lb::{LbAsDetails, LbAsV2Details},
    memclnt::{ControlPingReply, SockclntCreateReply},
};
use maglev_vpp_simulator::{Release, Simulator, SimulatorOptions};
use serde::Deserialize;

use crate::raw_client::RawClient;

#[derive(Deserialize)]
struct Recording {
    handshake: Handshake,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Handshake {
    reply: String,
}

#[derive(Deserialize)]
struct Exchange {
    label: String,
    call: String,
    request_frames: Vec<String>,
    reply_frames: Vec<String>,
}

/// Each release, its recording, and the minimal numbers of exchanges and messages.
fn recordings() -> [(Release, Recording, usize, usize); 2] {
    let parse = |text| serde_json::from_str(text).expect("the recording is json");
    [
        (Release::V26_10, parse(include_str!("data/lb-26.10.json")), 65, 30),
        (Release::V26_06, parse(include_str!("data/lb-26.06.json")), 35, 26),
    ]
}

async fn start(release: Release) -> (tempfile::TempDir, Simulator) {
    let directory = tempfile::tempdir().unwrap();
    let options = SimulatorOptions { release, ..SimulatorOptions::new(directory.path().join("api.sock")) };
    (directory, Simulator::start(options).await.unwrap())
}

/// The bytes of a frame in hexadecimal.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn body(hex: &str) -> Vec<u8> {
    bytes(hex)[16..].to_vec()
}

/// The part of a reply that must be equal on every VPP: without clocks, the process id and the paths of a route, which
/// depend on the machine.
fn comparable(call: &str, body: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    let id = u16::from_be_bytes([body[0], body[1]]);
    if let Ok((envelope, mut reply)) = messages::decode::<ControlPingReply>(body)
        && id == 24
    {
        reply.vpe_pid = 0;
        messages::encode(envelope, &reply, &mut out);
    } else if call == "lb_as_v2_dump" {
        let (envelope, mut reply) = messages::decode::<LbAsV2Details>(body).expect("details");
        reply.in_use_since = 0;
        messages::encode(envelope, &reply, &mut out);
    } else if call == "lb_as_dump" {
        let (envelope, mut reply) = messages::decode::<LbAsDetails>(body).expect("details");
        reply.in_use_since = 0;
        messages::encode(envelope, &reply, &mut out);
    } else if call == "ip_route_lookup_v2" {
        let (envelope, mut reply) = messages::decode::<IpRouteLookupV2Reply>(body).expect("a route");
        reply.route.paths.clear();
        messages::encode(envelope, &reply, &mut out);
    } else {
        return body.to_vec();
    }
    out.to_vec()
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_replies() {
    for (release, recording, exchanges, _) in recordings() {
        assert_eq!(recording.exchanges.len(), exchanges);
        repeat(release, recording).await;
    }
}

async fn repeat(release: Release, recording: Recording) {
    let (_directory, simulator) = start(release).await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    for exchange in recording.exchanges {
        for request in &exchange.request_frames {
            client.send_bytes(&bytes(request)).await;
        }
        for (at, reply) in exchange.reply_frames.iter().enumerate() {
            let got = client.body().await.unwrap_or_else(|| panic!("{}: closed", exchange.label));
            let (want, got) = (comparable(&exchange.call, &body(reply)), comparable(&exchange.call, &got));
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(&want),
                "{}: reply {at} as text",
                exchange.label
            );
            assert_eq!(got, want, "{}: reply {at}", exchange.label);
        }
    }
    // No reply is left over: the next frame is the reply to the next request.
    client.call(messages::memclnt::ControlPing {}).await;
}

#[tokio::test]
async fn messages_have_the_ids_and_crcs_of_a_real_vpp() {
    for (release, recording, _, messages) in recordings() {
        let (_directory, simulator) = start(release).await;
        let client = RawClient::connect(simulator.api_socket()).await;
        let (_, recorded) = messages::decode::<SockclntCreateReply>(&body(&recording.handshake.reply)).unwrap();
        let recorded: BTreeMap<_, _> =
            recorded.table.0.into_iter().map(|entry| (entry.name.as_str().to_owned(), entry.id)).collect();
        assert!(client.ids().len() >= messages, "{} messages", client.ids().len());
        for (name, id) in client.ids() {
            assert_eq!(recorded.get(name), Some(id), "{name}");
        }
        assert_eq!(client.id::<ControlPingReply>(), 24, "`comparable` detects {} by this id", ControlPingReply::NAME);
    }
}
