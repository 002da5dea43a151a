//! Certificates that are missing, wrong or renewed.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use maglev_auth::{AuthMode, TlsFailure};
use maglev_model::{change::Change, vip::Family};
use maglev_rpc::client::{EventStream, WatchRequest};
use maglev_testkit::{Credentials, credentials::VIEWER, within};
use tokio::net::TcpStream;

use super::{client, secure};

const DAY: Duration = Duration::from_hours(24);
const STREAMS: u8 = 100;

#[tokio::test]
async fn certificate_of_own_making_is_not_trusted_and_harms_nothing_else() {
    let mut credentials = Credentials::without_certificate();
    let server = secure(&credentials, AuthMode::Required).await;
    let address = server.tls_address.unwrap();
    assert_eq!(credentials.certificate.info(), None);
    let error = credentials.client(address, "").await.unwrap_err();
    assert!(TlsFailure::find(&error).is_some_and(TlsFailure::is_not_trusted), "{error:?}");

    credentials.rotate(Timestamp::now());
    let connected = client(&server, &credentials, &credentials.token(VIEWER)).await;
    within(connected.version()).await.unwrap();
    // A client of another cluster trusts other authorities.
    let other = Credentials::new();
    let error = other.client(address, "").await.unwrap_err();
    assert!(TlsFailure::find(&error).is_some_and(TlsFailure::is_not_trusted), "{error:?}");

    for file in ["tls.crt", "tls.key"] {
        std::fs::remove_file(credentials.dir().join(file)).unwrap();
    }
    credentials.certificate.read();
    within(connected.version()).await.unwrap();
    client(&server, &credentials, &credentials.token(VIEWER)).await;
    server.stop().await;
}

/// The numbers of the events that a stream delivers, until there are `count`; panics if the stream reports a loss.
async fn numbers(mut stream: EventStream, count: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last().is_none_or(|last| *last < count) {
        let batch = within(stream.next()).await.unwrap().expect("the stream goes on");
        assert!(!batch.resync && batch.dropped == 0, "{batch:?}");
        numbers.extend(batch.lines.iter().filter_map(|line| line.seq));
    }
    numbers
}

/// The certificate is renewed, then the authority: its successor is announced, signs a day later, and the old one is
/// forgotten. Each client connects with the authorities that it knew the day before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_of_leaf_and_authority_loses_no_event_of_100_open_streams() {
    let now = Timestamp::now();
    let mut credentials = Credentials::without_certificate();
    // Nine years and a day ago, so that a successor was due yesterday.
    credentials.rotate(now - 3286 * DAY);
    credentials.rotate(now - 61 * DAY);
    let server = secure(&credentials, AuthMode::Required).await;
    let token = credentials.token(VIEWER);
    let address = server.tls_address.unwrap();
    let connect =
        async |number: u8| credentials.client_from([127, 0, 0, 2 + number / 25].into(), address, &token).await;
    let clients = join_all((0..STREAMS).map(connect)).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let watch = clients.iter().map(|client| client.watch(WatchRequest::default()));
    let streams = within(try_join_all(watch)).await.unwrap();

    let mut certificates = vec![credentials.certificate.info().unwrap()];
    let mut emitted = 0;
    for at in [now - DAY, now, now + 92 * DAY] {
        let tls = credentials.tls();
        credentials.rotate(at);
        certificates.push(credentials.certificate.info().unwrap());
        if at <= now {
            let stream = within(TcpStream::connect(server.tls_address.unwrap())).await.unwrap();
            within(tls.connect(stream)).await.unwrap();
        }
        for _ in 0..10 {
            server.events.emit_change(Change::Suspect(Family::V4, emitted % 2 == 0));
            emitted += 1;
        }
        server.settled(emitted).await;
    }
    let signers: Vec<_> = certificates.iter().map(|certificate| &certificate.authority_key_id).collect();
    assert!(signers[0] == signers[1] && signers[1] != signers[2] && signers[2] == signers[3], "{certificates:?}");
    assert!(certificates.windows(2).all(|pair| pair[0].not_after < pair[1].not_after), "{certificates:?}");
    let received = join_all(streams.into_iter().map(|stream| numbers(stream, emitted))).await;
    for numbers in received {
        assert_eq!(numbers, (1..=emitted).collect::<Vec<_>>());
    }
    server.stop().await;
}
