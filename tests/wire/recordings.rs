//! All exchanges recorded on real VPPs: requests encode to the recorded bytes, and replies decode to the values that an
//! independent client read.

use std::{collections::HashMap, net::IpAddr};

use bytes::BytesMut;
use maglev_vpp::{
    codec::{Prefix, Text},
    frame,
    messages::{
        self, Envelope, KNOWN_MESSAGES, Message,
        ip::{FIB_PATH, IpRouteLookupV2, IpRouteLookupV2Reply},
        lb::*,
        memclnt::{
            ControlPing, ControlPingReply, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, SockclntCreate, SockclntCreateReply,
        },
        vlib::{CliInband, CliInbandReply},
        vpe::{ShowVersion, ShowVersionReply},
    },
};
use serde_json::{Value, json};

/// A recording, and the message table of its handshake.
pub struct Recording {
    pub json: Value,
    pub greeting: SockclntCreateReply,
    ids: HashMap<String, u16>,
}

pub fn load(text: &str) -> Recording {
    let json: Value = serde_json::from_str(text).unwrap();
    let body = body(&json["handshake"]["reply"]);
    assert_eq!(messages::id(&body), Some(SOCKCLNT_CREATE_REPLY));
    let (_, greeting) = messages::decode::<SockclntCreateReply>(&body).unwrap();
    let ids = greeting.table.0.iter().map(|entry| (entry.name.as_str().to_owned(), entry.id)).collect();
    Recording { json, greeting, ids }
}

pub fn vpp_26_10() -> Recording {
    load(include_str!("data/lb-26.10.json"))
}

pub fn vpp_26_06() -> Recording {
    load(include_str!("data/lb-26.06.json"))
}

pub fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The body of a recorded frame; the header is checked.
pub fn body(hex: &Value) -> Vec<u8> {
    let mut frame = BytesMut::from(&bytes(hex)[..]);
    let body = frame::parse(&mut frame).unwrap().expect("a recorded frame is complete");
    assert!(frame.is_empty(), "a recorded frame ends with its body");
    body.to_vec()
}

impl Recording {
    pub fn exchanges(&self) -> &[Value] {
        self.json["exchanges"].as_array().unwrap()
    }

    /// The exchange with this label.
    pub fn exchange(&self, label: &str) -> &Value {
        self.exchanges().iter().find(|exchange| exchange["label"] == label).unwrap_or_else(|| panic!("no {label}"))
    }

    fn id<M: Message>(&self) -> u16 {
        let name = format!("{}_{:08x}", M::NAME, M::CRC);
        *self.ids.get(&name).unwrap_or_else(|| panic!("{name} is not in the recorded table"))
    }

    /// The frame of `message` as sent.
    fn frame<M: Message>(&self, context: u32, message: &M) -> Vec<u8> {
        let mut out = BytesMut::new();
        let envelope = Envelope { id: self.id::<M>(), client_index: self.greeting.index, context };
        messages::encode(envelope, message, &mut out);
        out.to_vec()
    }

    fn read<M: Message>(&self, frame: &Value) -> (u32, M) {
        let body = body(frame);
        assert_eq!(messages::id(&body), Some(self.id::<M>()), "the id of {}", M::NAME);
        let (envelope, message) = messages::decode::<M>(&body).unwrap();
        (envelope.context, message)
    }

    /// The request frames for the arguments of `exchange`.
    fn requests(&self, exchange: &Value, context: u32) -> Vec<Vec<u8>> {
        let args = Args(&exchange["args"]);
        let call = exchange["call"].as_str().unwrap();
        let mut frames = vec![match call {
            "show_version" => self.frame(context, &ShowVersion {}),
            "control_ping" => self.frame(context, &ControlPing {}),
            "cli_inband" => self.frame(context, &CliInband { cmd: args.text("cmd").to_owned() }),
            "lb_conf_get" => self.frame(context, &LbConfGet {}),
            "lb_conf" => self.frame(
                context,
                &LbConf {
                    ip4_src_address: args.text("ip4_src_address").parse().unwrap(),
                    ip6_src_address: args.text("ip6_src_address").parse().unwrap(),
                    sticky_buckets_per_core: args.number("sticky_buckets_per_core"),
                    flow_timeout: args.number("flow_timeout"),
                },
            ),
            "lb_add_del_vip_v2" => self.frame(
                context,
                &LbAddDelVipV2 {
                    vip: args.vip(),
                    encap: args.encap(),
                    dscp: args.number("dscp"),
                    srv_type: args.number("type"),
                    target_port: args.number("target_port"),
                    node_port: args.number("node_port"),
                    new_flows_table_length: args.number("new_flows_table_length"),
                    src_ip_sticky: args.flag("src_ip_sticky"),
                    is_del: args.flag("is_del"),
                },
            ),
            "lb_add_del_as" => self.frame(
                context,
                &LbAddDelAs {
                    vip: args.vip(),
                    as_address: args.address("as_address"),
                    is_del: args.flag("is_del"),
                    is_flush: args.flag("is_flush"),
                },
            ),
            "lb_add_del_as_v2" => self.frame(
                context,
                &LbAddDelAsV2 {
                    vip: args.vip(),
                    as_address: args.address("as_address"),
                    weight: args.number("weight"),
                    is_del: args.flag("is_del"),
                    is_flush: args.flag("is_flush"),
                },
            ),
            "lb_as_set_weight" => self.frame(
                context,
                &LbAsSetWeight {
                    vip: args.vip(),
                    as_address: args.address("as_address"),
                    weight: args.number("weight"),
                    is_flush: args.flag("is_flush"),
                },
            ),
            "lb_flush_vip" => self.frame(context, &LbFlushVip { vip: args.vip() }),
            "lb_vip_dump" => self.frame(context, &LbVipDump::ALL),
            "lb_as_dump" => self.frame(context, &LbAsDump { vip: args.filter() }),
            "lb_as_v2_dump" => self.frame(context, &LbAsV2Dump { vip: args.filter() }),
            "ip_route_lookup_v2" => self.frame(
                context,
                &IpRouteLookupV2 {
                    table_id: args.number("table_id"),
                    exact: args.number("exact"),
                    prefix: args.prefix("prefix"),
                },
            ),
            other => panic!("{other} is recorded but not known to this test"),
        }];
        if call.ends_with("_dump") {
            frames.push(self.frame(context, &ControlPing {}));
        }
        frames
    }

    /// The replies, in the notation of the client that made the recording.
    fn replies(&self, exchange: &Value) -> Value {
        let frames = exchange["reply_frames"].as_array().unwrap();
        match exchange["call"].as_str().unwrap() {
            "show_version" => self.one(frames, |reply: ShowVersionReply| {
                json!({
                    "retval": reply.retval, "program": reply.program.as_str(), "version": reply.version.as_str(),
                    "build_date": reply.build_date.as_str(), "build_directory": reply.build_directory.as_str(),
                })
            }),
            "control_ping" => self.one(frames, |reply: ControlPingReply| {
                json!({"retval": reply.retval, "client_index": reply.client_index, "vpe_pid": reply.vpe_pid})
            }),
            "cli_inband" => self.one(frames, |reply: CliInbandReply| json!({"retval": reply.retval, "reply": reply.reply})),
            "lb_conf_get" => self.one(frames, |reply: LbConfGetReply| {
                json!({
                    "retval": reply.retval, "ip4_src_address": reply.ip4_src_address,
                    "ip6_src_address": reply.ip6_src_address, "flow_timeout": reply.flow_timeout,
                    "sticky_buckets_per_core": reply.sticky_buckets_per_core,
                })
            }),
            "lb_conf" => self.one(frames, |reply: LbConfReply| json!({"retval": reply.retval})),
            "lb_add_del_vip_v2" => self.one(frames, |reply: LbAddDelVipV2Reply| json!({"retval": reply.retval})),
            "lb_add_del_as" => self.one(frames, |reply: LbAddDelAsReply| json!({"retval": reply.retval})),
            "lb_add_del_as_v2" => self.one(frames, |reply: LbAddDelAsV2Reply| json!({"retval": reply.retval})),
            "lb_as_set_weight" => self.one(frames, |reply: LbAsSetWeightReply| json!({"retval": reply.retval})),
            "lb_flush_vip" => self.one(frames, |reply: LbFlushVipReply| json!({"retval": reply.retval})),
            "lb_vip_dump" => self.all(frames, |details: LbVipDetails| {
                json!({
                    "vip": vip(&details.vip), "encap": details.encap, "dscp": details.dscp,
                    "srv_type": details.srv_type, "target_port": details.target_port,
                    "flow_table_length": details.flow_table_length,
                })
            }),
            "lb_as_dump" => self.all(frames, |details: LbAsDetails| {
                json!({
                    "vip": vip(&details.vip), "app_srv": details.app_srv, "flags": details.flags,
                    "in_use_since": details.in_use_since,
                })
            }),
            "lb_as_v2_dump" => self.all(frames, |details: LbAsV2Details| {
                json!({
                    "vip": vip(&details.vip), "app_srv": details.app_srv, "flags": details.flags,
                    "in_use_since": details.in_use_since, "weight": details.weight, "num_buckets": details.num_buckets,
                })
            }),
            "ip_route_lookup_v2" => self.one(frames, |IpRouteLookupV2Reply { retval, route }| {
                let paths = route.paths.len() / FIB_PATH;
                json!({
                    "retval": retval,
                    "route": [route.table_id, route.stats_index, prefix(&route.prefix), paths, route.source],
                })
            }),
            other => panic!("{other} is recorded but not known to this test"),
        }
    }

    fn one<M: Message>(&self, frames: &[Value], show: impl Fn(M) -> Value) -> Value {
        assert_eq!(frames.len(), 1, "a request has one reply");
        let (context, message) = self.read::<M>(&frames[0]);
        with_context(show(message), context)
    }

    fn all<M: Message>(&self, frames: &[Value], show: impl Fn(M) -> Value) -> Value {
        let (ping, details) = frames.split_last().unwrap();
        self.read::<ControlPingReply>(ping);
        let show = |frame| {
            let (context, message) = self.read::<M>(frame);
            with_context(show(message), context)
        };
        details.iter().map(show).collect()
    }

    /// Compares every exchange; returns their number.
    fn compare(&self) -> usize {
        for (exchange, context) in self.exchanges().iter().zip(1..) {
            let label = exchange["label"].as_str().unwrap();
            let sent: Vec<Vec<u8>> = exchange["request_frames"].as_array().unwrap().iter().map(bytes).collect();
            assert_eq!(self.requests(exchange, context), sent, "the request of {label}");
            let mut decoded = exchange["decoded_reply"].clone();
            if exchange["call"] == "ip_route_lookup_v2" {
                // Paths are counted, but not parsed.
                decoded["route"].as_array_mut().unwrap().truncate(5);
            }
            assert_eq!(self.replies(exchange), decoded, "the reply of {label}");
        }
        self.exchanges().len()
    }

    /// Compares the handshake.
    fn compare_handshake(&self) {
        let mut out = BytesMut::new();
        let (envelope, create) = messages::decode::<SockclntCreate>(&body(&self.json["handshake"]["request"])).unwrap();
        assert_eq!(envelope.id, SOCKCLNT_CREATE);
        messages::encode(envelope, &SockclntCreate { name: Text::new(create.name.as_str()) }, &mut out);
        assert_eq!(out.to_vec(), bytes(&self.json["handshake"]["request"]));
        let envelope = Envelope { id: SOCKCLNT_CREATE_REPLY, client_index: 0, context: envelope.context };
        let mut out = BytesMut::new();
        messages::encode(envelope, &self.greeting, &mut out);
        assert_eq!(out[16..], body(&self.json["handshake"]["reply"]), "the table encodes to the same bytes");
    }

    /// Known messages that the recorded VPP lacks.
    fn missing(&self) -> Vec<&'static str> {
        let absent = KNOWN_MESSAGES.iter().filter(|message| !self.ids.contains_key(&message.table_name()));
        absent.map(|message| message.name).collect()
    }
}

fn with_context(mut shown: Value, context: u32) -> Value {
    shown["context"] = context.into();
    shown
}

fn prefix(prefix: &Prefix) -> String {
    format!("{}/{}", prefix.address, prefix.length)
}

fn vip(vip: &WireVip) -> Value {
    json!([prefix(&vip.prefix), vip.protocol, vip.port])
}

/// The arguments of a recorded call.
struct Args<'a>(&'a Value);

impl Args<'_> {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("argument {name}"))
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> T {
        let number = self.0[name].as_u64().and_then(|number| T::try_from(number).ok());
        number.unwrap_or_else(|| panic!("argument {name}"))
    }

    fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("argument {name}"))
    }

    fn address(&self, name: &str) -> IpAddr {
        self.text(name).parse().unwrap()
    }

    /// `address/length`, or an object with the length on the wire.
    fn prefix(&self, name: &str) -> Prefix {
        if let Some(text) = self.0[name].as_str() {
            let (address, length) = text.split_once('/').unwrap();
            Prefix { address: address.parse().unwrap(), length: length.parse().unwrap() }
        } else {
            let inner = Args(&self.0[name]);
            Prefix { address: inner.address("address"), length: inner.number("len") }
        }
    }

    fn vip(&self) -> WireVip {
        WireVip { prefix: self.prefix("pfx"), protocol: self.number("protocol"), port: self.number("port") }
    }

    fn filter(&self) -> WireVip {
        if self.0.get("pfx").is_some() { self.vip() } else { WireVip::ZERO }
    }

    fn encap(&self) -> u32 {
        let encap: u32 = self.number("encap");
        if self.0["encap_sent_little_endian"] == json!(true) { encap.swap_bytes() } else { encap }
    }
}

#[test]
fn exchanges_with_vpp_26_10_encode_and_decode_as_recorded() {
    let recording = vpp_26_10();
    recording.compare_handshake();
    assert_eq!(recording.compare(), 65);
    assert_eq!(recording.missing(), Vec::<&str>::new());
}

#[test]
fn exchanges_with_vpp_26_06_encode_and_decode_as_recorded() {
    let recording = vpp_26_06();
    recording.compare_handshake();
    assert_eq!(recording.compare(), 35);
    let requests: Vec<&str> = recording.missing().into_iter().filter(|name| !name.ends_with("_reply")).collect();
    assert_eq!(requests, ["lb_conf_get", "lb_add_del_as_v2", "lb_as_set_weight", "lb_as_v2_dump", "lb_as_v2_details"]);
}
