//! Texts of VPP's command line that are passed on while their frame arrives.

use std::{sync::Arc, time::Duration};

use maglev_vpp::{
    CloseReason, Error,
    frame::HEADER,
    messages::{
        memclnt::{ControlPing, ControlPingReply},
        vlib::{CliInband, CliInbandReply},
    },
    session::{Session, SessionOptions},
};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::fake_vpp::{FakeVpp, Peer, framed, id_of, options};

const LIMIT: Duration = Duration::from_secs(30);
/// Longer than the frames that a session reads as a whole.
const LENGTH: usize = 3 << 20;

/// A frame with a text of [`LENGTH`] bytes.
fn frame(context: u32, retval: i32, length: usize) -> Vec<u8> {
    let text: Vec<u8> = (0..LENGTH).map(|index| b'a' + u8::try_from(index % 26).unwrap()).collect();
    let length = u32::try_from(length).unwrap().to_be_bytes();
    let id = id_of::<CliInbandReply>().to_be_bytes();
    framed(&[&id[..], &context.to_be_bytes(), &retval.to_be_bytes(), &length, &text].concat())
}

/// A session with a request for a text that has been sent.
struct Requested {
    session: Session,
    peer: Peer,
    context: u32,
    text: Arc<Mutex<Vec<u8>>>,
    done: tokio::task::JoinHandle<Result<(), Error>>,
}

async fn request(options: SessionOptions) -> Requested {
    let vpp = FakeVpp::listen();
    let (session, mut peer) = vpp.session(options).await;
    let text = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&text);
    let done = tokio::spawn(session.cli_output("show lb vips verbose", move |piece| into.lock().extend(piece)));
    let (context, _) = peer.request::<CliInband>().await;
    Requested { session, peer, context, text, done }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, met).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn text_is_passed_on_before_its_frame_is_complete() {
    let Requested { session, mut peer, context, text, done } = request(options()).await;
    let frame = frame(context, 0, LENGTH);
    let expected = &frame[frame.len() - LENGTH..];
    let (begin, rest) = frame.split_at(LENGTH / 2);
    // The header arrives in two parts.
    peer.send(&begin[..HEADER + 3]).await;
    peer.send(&begin[HEADER + 3..]).await;
    let first = begin.len() - (frame.len() - LENGTH);
    eventually("the first half was passed on", || text.lock().len() == first).await;
    assert!(!done.is_finished());
    // Replies to later requests follow in the same bytes.
    let pong = session.call(&ControlPing {});
    peer.send(&rest[..1]).await;
    let (ping, _) = peer.request::<ControlPing>().await;
    peer.send(&rest[1..]).await;
    peer.reply(ping, &ControlPingReply { retval: 0, client_index: 1, vpe_pid: 7 }).await;
    timeout(LIMIT, done).await.unwrap().unwrap().unwrap();
    assert!(*text.lock() == expected, "the text has arrived as it was sent");
    assert_eq!(timeout(LIMIT, pong).await.unwrap().unwrap().vpe_pid, 7);
}

#[tokio::test]
async fn text_of_a_failed_command_is_not_passed_on() {
    let Requested { session: _open, mut peer, context, text, done } = request(options()).await;
    peer.send(&frame(context, -1, LENGTH)).await;
    let failed = timeout(LIMIT, done).await.unwrap().unwrap();
    assert!(matches!(failed, Err(Error::Refused { message: "cli_inband", retval: -1, .. })), "{failed:?}");
    assert!(text.lock().is_empty());
}

#[tokio::test]
async fn text_that_does_not_fill_its_frame_closes_the_session() {
    for length in [LENGTH - 1, LENGTH + 1] {
        let Requested { session, mut peer, context, text, done } = request(options()).await;
        peer.send(&frame(context, 0, length)).await;
        let failed = timeout(LIMIT, done).await.unwrap().unwrap();
        assert!(matches!(failed, Err(Error::Malformed { message: "cli_inband_reply", .. })), "{failed:?}");
        assert!(matches!(timeout(LIMIT, session.closed()).await.unwrap(), CloseReason::Malformed { .. }));
        assert!(text.lock().is_empty());
    }
}

#[tokio::test]
async fn cut_text_ends_with_the_session() {
    let options = SessionOptions { deadline: Duration::from_millis(200), ..options() };
    let Requested { session, mut peer, context, done, .. } = request(options).await;
    let frame = frame(context, 0, LENGTH);
    peer.send(&frame[..LENGTH]).await;
    let failed = timeout(LIMIT, done).await.unwrap().unwrap();
    assert!(matches!(&failed, Err(Error::Closed { reason, .. }) if reason.is_deadline()), "{failed:?}");
    assert!(session.close_reason().is_some_and(|reason| reason.is_deadline()));
}
