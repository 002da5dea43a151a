//! Tests of the session against a scripted peer.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::BytesMut;
use maglev_testkit::EventCollector;
use maglev_vpp::{
    CloseReason, Error,
    messages::{
        self, Envelope, Message,
        lb::{LbConfGet, LbFlushVip, LbFlushVipReply, LbVipDetails, LbVipDump, WireVip},
        memclnt::{ControlPing, ControlPingReply, SOCKCLNT_CREATE_REPLY, SockclntCreateReply, SockclntDelete},
        vlib::{CliInband, CliInbandReply},
    },
    session::{Session, SessionOptions},
};
use tokio::time::timeout;

use crate::fake_vpp::{CLIENT_INDEX, FakeVpp, Peer, framed, full_table, id_of, options};

/// Timeout of a test's waits.
const PATIENCE: Duration = Duration::from_secs(30);

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn cli(cmd: impl ToString) -> CliInband {
    CliInband { cmd: cmd.to_string() }
}

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn echo(reply: impl ToString) -> CliInbandReply {
    CliInbandReply { retval: 0, reply: reply.to_string() }
}

fn pong() -> ControlPingReply {
    ControlPingReply { retval: 0, client_index: CLIENT_INDEX, vpe_pid: 7 }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("no timeout")
}

async fn text(call: impl Future<Output = Result<CliInbandReply, Error>>) -> Result<String, Error> {
    in_time(call).await.map(|reply| reply.reply)
}

/// Replies to a `cli_inband` with its own command.
async fn echo_one(peer: &mut Peer) -> String {
    let (context, request) = in_time(peer.request::<CliInband>()).await;
    peer.reply(context, &echo(&request.cmd)).await;
    request.cmd
}

#[tokio::test]
async fn calls_are_sent_in_order_and_many_are_in_flight() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let calls: Vec<_> = (0..100).map(|number| session.call(&cli(number))).collect();
    let mut contexts = Vec::new();
    for number in 0..100 {
        // No reply was sent yet, and no future has been polled.
        let (context, request) = in_time(peer.request::<CliInband>()).await;
        assert_eq!(request.cmd, number.to_string());
        contexts.push(context);
    }
    for (number, context) in contexts.into_iter().enumerate() {
        peer.reply(context, &echo(format!("reply {number}"))).await;
    }
    for (number, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(text(call).await.unwrap(), format!("reply {number}"));
    }
    assert_eq!(session.ignored(), 0);
}

#[tokio::test]
async fn requests_in_flight_are_limited_by_the_window() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(SessionOptions { window: 4, ..options() }).await;
    let calls: Vec<_> = (0..10).map(|number| session.call(&cli(number))).collect();
    let mut open = std::collections::VecDeque::new();
    for _ in 0..4 {
        open.push_back(in_time(peer.request::<CliInband>()).await.0);
    }
    assert_eq!(peer.unread(), 0, "all ten were queued at once, so a fifth request would have arrived with the fourth");
    for number in 4..10 {
        peer.reply(open.pop_front().unwrap(), &echo("done")).await;
        let (context, request) = in_time(peer.request::<CliInband>()).await;
        assert_eq!((request.cmd, peer.unread()), (number.to_string(), 0));
        open.push_back(context);
    }
    for context in open {
        peer.reply(context, &echo("done")).await;
    }
    for call in calls {
        assert_eq!(text(call).await.unwrap(), "done");
    }
}

#[tokio::test]
async fn full_queue_fails_only_the_call() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(SessionOptions { queue: 2, ..options() }).await;
    let (first, second, third) = (session.call(&cli(1)), session.call(&cli(2)), session.call(&cli(3)));
    let error = in_time(third).await.unwrap_err();
    assert!(matches!(error, Error::QueueFull { limit: 2, .. }), "{error}");
    for _ in 0..2 {
        echo_one(&mut peer).await;
    }
    assert_eq!((text(first).await.unwrap(), text(second).await.unwrap()), ("1".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn dropped_request_fails_alone() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let calls: Vec<_> = (0..4).map(|number| session.call(&cli(number))).collect();
    let mut contexts = Vec::new();
    for _ in 0..4 {
        contexts.push(in_time(peer.request::<CliInband>()).await.0);
    }
    for number in [0, 3] {
        peer.reply(contexts[number], &echo(number)).await;
    }
    // A late reply matches no call any more.
    peer.reply(contexts[1], &echo("late")).await;
    let mut replies = Vec::new();
    for call in calls {
        replies.push(text(call).await.map_err(|error| error.reason()));
    }
    assert_eq!(replies, [Ok("0".to_owned()), Err("NoAnswer"), Err("NoAnswer"), Ok("3".to_owned())]);
    let next = session.call(&cli("next"));
    echo_one(&mut peer).await;
    assert_eq!(text(next).await.unwrap(), "next");
    assert_eq!(session.ignored(), 1);
}

#[tokio::test]
async fn refusal_is_reported_by_name_and_the_session_continues() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let call = session.call(&LbFlushVip { vip: WireVip::ZERO });
    let (context, _) = in_time(peer.request::<LbFlushVip>()).await;
    peer.reply(context, &LbFlushVipReply { retval: -81 }).await;
    let error = in_time(call).await.unwrap_err();
    assert_eq!(error.to_string(), "lb_flush_vip: VPP returned VALUE_EXIST (-81)");
    assert_eq!((error.retval(), error.is_closed()), (Some(-81), false));
    let next = session.call(&cli("next"));
    echo_one(&mut peer).await;
    assert_eq!(text(next).await.unwrap(), "next");
}

#[tokio::test]
async fn dump_ends_with_the_reply_to_its_ping() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let details = |table| LbVipDetails {
        vip: WireVip::ZERO,
        encap: 0,
        dscp: 0,
        srv_type: 0,
        target_port: 0,
        flow_table_length: table,
    };
    let (dump, empty, after) = (session.dump(&LbVipDump::ALL), session.dump(&LbVipDump::ALL), session.call(&cli("x")));
    for tables in [0..300, 0..0] {
        let (context, request) = in_time(peer.request::<LbVipDump>()).await;
        assert_eq!(request, LbVipDump::ALL);
        for table in tables {
            peer.reply(context, &details(table)).await;
        }
        let (context, _) = in_time(peer.request::<ControlPing>()).await;
        peer.reply(context, &pong()).await;
    }
    echo_one(&mut peer).await;
    assert_eq!(in_time(dump).await.unwrap(), (0..300).map(details).collect::<Vec<_>>());
    assert_eq!(in_time(empty).await.unwrap(), []);
    assert_eq!(text(after).await.unwrap(), "x");
}

#[tokio::test]
async fn expired_deadline_ends_the_session() {
    let vpp = FakeVpp::listen();
    let deadline = Duration::from_millis(50);
    let (session, mut peer) = vpp.session(SessionOptions { deadline, ..options() }).await;
    let (first, second) = (session.call(&cli(1)), session.call(&cli(2)));
    let closed = session.closed();
    for call in [first, second] {
        let error = text(call).await.unwrap_err();
        assert!(matches!(&error, Error::Closed { reason, .. } if reason.is_deadline()), "{error:?}");
    }
    assert!(in_time(closed).await.is_deadline());
    assert!(session.close_reason().is_some_and(|reason| reason.is_deadline()));
    assert_eq!(text(session.call(&cli(3))).await.unwrap_err().reason(), "SessionClosed");
    for _ in 0..2 {
        in_time(peer.request::<CliInband>()).await;
    }
    assert_eq!(in_time(peer.body()).await, None, "the socket is closed");
}

#[tokio::test(start_paused = true)]
async fn idle_session_has_no_deadline_and_each_reply_restarts_it() {
    let vpp = FakeVpp::listen();
    let deadline = Duration::from_secs(2);
    let (session, mut peer) = vpp.session(SessionOptions { deadline, ..options() }).await;
    let calls: Vec<_> = (0..5).map(|number| session.call(&cli(number))).collect();
    for _ in 0..5 {
        // VPP is slow: the replies together take longer than the deadline.
        tokio::time::sleep(deadline / 4).await;
        echo_one(&mut peer).await;
    }
    for call in calls {
        text(call).await.unwrap();
    }
    tokio::time::sleep(deadline + deadline / 4).await;
    assert!(session.close_reason().is_none());
    let call = session.call(&cli("after"));
    echo_one(&mut peer).await;
    assert_eq!(text(call).await.unwrap(), "after");
}

#[tokio::test]
async fn calls_fail_when_vpp_closes_and_a_new_session_can_be_opened() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let calls: Vec<_> = (0..200).map(|number| session.call(&cli(number))).collect();
    echo_one(&mut peer).await;
    drop(peer);
    let mut failed = 0;
    for call in calls {
        match text(call).await {
            Ok(reply) => assert_eq!(reply, "0"),
            Err(error) => {
                assert!(matches!(error, Error::Closed { reason: CloseReason::Eof, .. }), "{error:?}");
                failed += 1;
            }
        }
    }
    assert!(failed >= 199);
    assert!(matches!(in_time(session.closed()).await, CloseReason::Eof));
    let (session, mut peer) = vpp.session(options()).await;
    let call = session.call(&cli("again"));
    echo_one(&mut peer).await;
    assert_eq!(text(call).await.unwrap(), "again");
}

#[tokio::test]
async fn dropping_the_last_handle_unregisters_and_closes_the_socket() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let other = session.clone();
    let (open, closed) = (session.call(&cli("open")), session.closed());
    drop(session);
    in_time(peer.request::<CliInband>()).await;
    drop(other);
    let (_, delete) = in_time(peer.request::<SockclntDelete>()).await;
    assert_eq!(delete.index, CLIENT_INDEX);
    assert_eq!(in_time(peer.body()).await, None);
    assert!(matches!(text(open).await, Err(Error::Closed { reason: CloseReason::Local, .. })));
    assert!(matches!(in_time(closed).await, CloseReason::Local));
}

#[tokio::test]
async fn message_with_another_crc_is_missing_and_never_sent() {
    let vpp = FakeVpp::listen();
    let mut table = full_table();
    for entry in &mut table.0 {
        if entry.name.as_str().starts_with("lb_conf_get_5") {
            entry.name = maglev_vpp::codec::Text::new("lb_conf_get_deadbeef");
        }
    }
    table.0.retain(|entry| !entry.name.as_str().starts_with("lb_flush_vip_reply_"));
    let (session, mut peer) = vpp.session_with(table, options()).await;
    let missing: Vec<String> = session.missing().iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["lb_conf_get has CRC deadbeef, expected 51077d14", "lb_flush_vip_reply is absent"]);
    assert!(session.supports::<ControlPing>() && !session.supports::<LbConfGet>());
    let error = in_time(session.call(&LbConfGet {})).await.unwrap_err().to_string();
    assert!(error.ends_with(&missing[0]), "{error}");
    let error = in_time(session.call(&LbFlushVip { vip: WireVip::ZERO })).await.unwrap_err().to_string();
    assert!(error.ends_with(&missing[1]), "{error}");
    let call = session.call(&cli("first request"));
    assert_eq!(echo_one(&mut peer).await, "first request");
    text(call).await.unwrap();
}

#[tokio::test]
async fn malformed_reply_ends_the_session() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let (bad, open) = (session.call(&cli(1)), session.call(&cli(2)));
    let (context, _) = in_time(peer.request::<CliInband>()).await;
    let id = id_of::<CliInbandReply>().to_be_bytes();
    peer.send_body(&[&id[..], &context.to_be_bytes(), &[0, 0, 0, 0, 0, 0, 0, 9, b'x']].concat()).await;
    let error = text(bad).await.unwrap_err();
    assert!(matches!(&error, Error::Malformed { message: "cli_inband_reply", .. }), "{error:?}");
    assert!(matches!(text(open).await, Err(Error::Closed { reason: CloseReason::Malformed { .. }, .. })));
}

#[tokio::test]
async fn messages_are_published_only_while_enabled() {
    let vpp = FakeVpp::listen();
    let collector = Arc::new(EventCollector::default());
    collector.want_probes(true);
    let (session, mut peer) = vpp.session(SessionOptions { events: collector.handle(), ..options() }).await;
    let call = session.call(&cli("x"));
    echo_one(&mut peer).await;
    text(call).await.unwrap();
    collector.want_probes(false);
    let call = session.call(&cli("y"));
    echo_one(&mut peer).await;
    text(call).await.unwrap();
    assert_eq!(
        collector.lines(),
        [
            "vpp-api-send msg=sockclnt_create",
            "vpp-api-recv msg=sockclnt_create_reply",
            "vpp-api-send msg=cli_inband",
            "vpp-api-recv msg=cli_inband_reply",
        ]
    );
}

#[tokio::test]
async fn connect_failure_and_handshake_failure_are_distinguished() {
    let absent = Session::connect(Path::new("/nonexistent/api.sock"), options()).await.unwrap_err();
    assert_eq!(absent.to_string(), "cannot connect to /nonexistent/api.sock");
    assert_eq!(absent.reason(), "ConnectFailed");

    let vpp = FakeVpp::listen();
    let short_deadline = SessionOptions { deadline: Duration::from_millis(50), ..options() };
    let silent = in_time(Session::connect(vpp.path(), short_deadline)).await.unwrap_err();
    assert!(format!("{silent:?}").contains("Deadline(50ms)"), "{silent:?}");

    let vpp = FakeVpp::listen();
    let (refused, ()) = tokio::join!(Session::connect(vpp.path(), options()), async {
        let mut peer = vpp.accept().await;
        peer.body().await.unwrap();
        let reply = SockclntCreateReply { response: -31, index: 0, table: full_table() };
        let mut out = BytesMut::new();
        messages::encode(Envelope { id: SOCKCLNT_CREATE_REPLY, ..Envelope::default() }, &reply, &mut out);
        peer.send(&out).await;
    });
    assert!(format!("{:?}", refused.unwrap_err()).contains("Refused(-31)"));

    let vpp = FakeVpp::listen();
    let (ended, ()) = tokio::join!(Session::connect(vpp.path(), options()), async {
        drop(vpp.accept().await);
    });
    assert_eq!(ended.unwrap_err().reason(), "HandshakeFailed");
}

#[tokio::test]
async fn frames_without_a_matching_request_are_counted_and_ignored() {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options()).await;
    let call = session.call(&cli("x"));
    let (context, _) = in_time(peer.request::<CliInband>()).await;
    let mut stray = Vec::new();
    stray.extend(framed(&[0xff, 0xff]));
    stray.extend(framed(&[&[0xff, 0xff][..], &context.to_be_bytes()].concat()));
    let reply = id_of::<CliInbandReply>().to_be_bytes();
    stray.extend(framed(&[&reply[..], &(context + 1).to_be_bytes(), &[0; 8]].concat()));
    let details = id_of::<LbVipDetails>().to_be_bytes();
    stray.extend(framed(&[&details[..], &context.to_be_bytes(), &[0; 34]].concat()));
    peer.send(&stray).await;
    peer.reply(context, &echo(CliInband::NAME)).await;
    assert_eq!(text(call).await.unwrap(), "cli_inband");
    assert_eq!(session.ignored(), 4);
}

#[test]
fn calls_fail_when_the_task_of_the_session_is_dropped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (session, in_flight, _peer) = runtime.block_on(async {
        let vpp = FakeVpp::listen();
        let (session, mut peer) = vpp.session(options()).await;
        let in_flight = session.call(&cli("in flight"));
        in_time(peer.request::<CliInband>()).await;
        (session, in_flight, (vpp, peer))
    });
    let queued = session.call(&cli("queued"));
    // The session's task is dropped without having ended by itself.
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let late = session.call(&cli("late"));
    runtime.block_on(async {
        for call in [text(in_flight).await, text(queued).await, text(late).await] {
            assert!(matches!(call, Err(Error::Closed { reason: CloseReason::Local, .. })), "{call:?}");
        }
        assert!(matches!(in_time(session.closed()).await, CloseReason::Local));
    });
}
