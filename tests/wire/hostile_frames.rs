//! Malformed input from VPP: the session ends or ignores it, and never panics or hangs.

use std::{sync::LazyLock, time::Duration};

use maglev_vpp::{
    CloseReason, Error,
    frame::{FrameError, MAX_BODY},
    messages::{
        lb::{LbVipDetails, LbVipDump},
        memclnt::{ControlPingReply, SOCKCLNT_CREATE_REPLY},
        vlib::{CliInband, CliInbandReply},
    },
    session::{Session, SessionOptions},
};
use proptest::prelude::*;
use tokio::{runtime::Runtime, time::timeout};

use crate::fake_vpp::{FakeVpp, framed, id_of, options};

const PATIENCE: Duration = Duration::from_secs(30);

/// Shared by all cases: starting a runtime takes longer than a case.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Options for sessions that only the deadline ends.
fn short_deadline() -> SessionOptions {
    SessionOptions { deadline: Duration::from_millis(100), ..options() }
}

fn call() -> CliInband {
    CliInband { cmd: "show lb".to_owned() }
}

/// The results of a call and a dump after the peer sent `bytes`, and then closed the connection if `hang_up`.
async fn outcome(bytes: Vec<u8>, options: SessionOptions, hang_up: bool) -> (Result<(), Error>, Result<(), Error>) {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options).await;
    let (call, dump) = (session.call(&call()), session.dump(&LbVipDump::ALL));
    peer.send_or_fail(&bytes).await;
    let peer = (!hang_up).then_some(peer);
    let both = async { (call.await.map(drop), dump.await.map(drop)) };
    let outcome = timeout(PATIENCE, both).await.expect("calls end without help");
    drop(peer);
    outcome
}

async fn closed_by(bytes: Vec<u8>, options: SessionOptions) -> CloseReason {
    match outcome(bytes, options, false).await {
        (Err(Error::Closed { reason, .. }), Err(Error::Closed { .. })) => reason,
        other => panic!("the session did not end: {other:?}"),
    }
}

fn header(length: u32) -> Vec<u8> {
    [&[0xff; 8][..], &length.to_be_bytes(), &[0xff; 4]].concat()
}

#[tokio::test]
async fn invalid_frame_length_closes_the_session_at_once() {
    for length in [u32::MAX, u32::try_from(MAX_BODY).unwrap() + 1] {
        let reason = closed_by(header(length), options()).await;
        assert!(
            matches!(reason, CloseReason::Frame(FrameError::TooLong { length: got }) if got == length),
            "{reason:?}"
        );
    }
    for length in [0, 1] {
        let reason = closed_by([header(length), vec![0; 64]].concat(), options()).await;
        assert!(matches!(reason, CloseReason::Frame(FrameError::TooShort { .. })), "{reason:?}");
    }
}

#[tokio::test]
async fn incomplete_frame_ends_with_the_deadline_or_the_stream() {
    let incomplete = [header(100), vec![7; 99]].concat();
    assert!(closed_by(incomplete.clone(), short_deadline()).await.is_deadline());
    assert!(closed_by(header(50)[..9].to_vec(), short_deadline()).await.is_deadline());
    let (call, dump) = outcome(incomplete, options(), true).await;
    for ended in [call, dump] {
        assert!(matches!(ended, Err(Error::Closed { reason: CloseReason::Eof, .. })), "{ended:?}");
    }
}

#[tokio::test]
async fn reply_of_the_wrong_size_closes_the_session() {
    let reply = id_of::<CliInbandReply>().to_be_bytes();
    for body in [
        &[0, 0, 0][..],
        &[0, 0, 0, 0, 0, 0, 0, 5, b'x'],
        &[0, 0, 0, 0, 0, 0, 0, 0, b'x'],
        &[0, 0, 0, 0, 255, 255, 255, 255],
    ] {
        let (call, _) = outcome(framed(&[&reply[..], &1u32.to_be_bytes(), body].concat()), options(), false).await;
        assert!(matches!(call, Err(Error::Malformed { .. })), "{call:?}");
    }
    let ping = [&id_of::<ControlPingReply>().to_be_bytes()[..], &2u32.to_be_bytes(), &[0; 12]].concat();
    let details = [&id_of::<LbVipDetails>().to_be_bytes()[..], &2u32.to_be_bytes(), &[0; 33]].concat();
    let (_, dump) = outcome([framed(&details), framed(&ping)].concat(), options(), false).await;
    assert!(matches!(dump, Err(Error::Malformed { message: "lb_vip_details", .. })), "{dump:?}");
}

/// The result of a handshake after the peer sent `bytes` and closed the connection.
async fn handshake_with(bytes: &[u8]) -> Result<Session, Error> {
    let vpp = FakeVpp::listen();
    let (session, ()) = tokio::join!(timeout(PATIENCE, Session::connect(vpp.path(), options())), async {
        let mut peer = vpp.accept().await;
        peer.body().await.expect("a session begins with a request");
        peer.send_or_fail(bytes).await;
    });
    session.expect("the handshake ends without help")
}

#[tokio::test]
async fn message_table_with_a_wrong_count_fails_the_handshake() {
    let greeting = |count: u16, entries: usize| {
        let mut body = SOCKCLNT_CREATE_REPLY.to_be_bytes().to_vec();
        body.extend([0; 16]);
        body.extend(count.to_be_bytes());
        body.extend(vec![0; entries]);
        framed(&body)
    };
    for (count, entries) in [(u16::MAX, 0), (u16::MAX, 66), (1, 65), (1, 67), (0, 1)] {
        let error = handshake_with(&greeting(count, entries)).await.unwrap_err();
        assert!(format!("{error:?}").contains("Malformed"), "{count} {entries}: {error:?}");
    }
    let session = handshake_with(&greeting(0, 0)).await.expect("an empty table is a table");
    let error = session.call(&call()).await.unwrap_err();
    assert_eq!(error.reason(), "MessagesMissing");
    assert!(handshake_with(&header(u32::MAX)).await.is_err());
}

/// Plausible frames: mostly with valid ids, contexts and lengths.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![
        Just(id_of::<CliInbandReply>()),
        Just(id_of::<LbVipDetails>()),
        Just(id_of::<ControlPingReply>()),
        any::<u16>()
    ];
    let context = prop_oneof![3 => 0u32..5, 1 => any::<u32>()];
    let rest = prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..40);
    let frame = (id, context, rest, 0usize..60).prop_map(|(id, context, rest, cut)| {
        let mut body = [&id.to_be_bytes()[..], &context.to_be_bytes(), &rest].concat();
        body.truncate(cut.max(2));
        framed(&body)
    });
    prop::collection::vec(frame, 1..12).prop_map(|frames| frames.concat())
}

fn check(bytes: Vec<u8>) {
    // Both calls may succeed, since some of these bytes are a valid reply, but both must end.
    let (call, dump) = RUNTIME.block_on(outcome(bytes, options(), true));
    for error in [call.err(), dump.err()].into_iter().flatten() {
        let is_expected = matches!(
            error,
            Error::Closed { .. } | Error::Malformed { .. } | Error::Refused { .. } | Error::Unanswered { .. }
        );
        assert!(is_expected, "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_frames_are_handled(bytes in frames()) {
        check(bytes);
    }

    #[test]
    fn any_bytes_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(bytes);
    }

    #[test]
    fn any_handshake_reply_is_handled(
        bytes in prop_oneof![frames(), prop::collection::vec(any::<u8>(), 1..60)],
        fixed_id: bool,
    ) {
        let mut bytes = bytes;
        if fixed_id && bytes.len() > 18 {
            bytes[16..18].copy_from_slice(&SOCKCLNT_CREATE_REPLY.to_be_bytes());
        }
        // Such bytes hold no valid message table, so at best a session without any message is opened.
        if let Ok(session) = RUNTIME.block_on(handshake_with(&bytes)) {
            assert!(!session.supports::<CliInband>());
        }
    }
}
