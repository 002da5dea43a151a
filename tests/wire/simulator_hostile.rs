//! Malformed input from a client: the simulated VPP neither panics nor stops serving other clients.

use std::time::Duration;

use maglev_vpp::messages::memclnt::ControlPing;
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::raw_client::{PATIENCE, RawClient};

/// A frame with a correct header and any body, or arbitrary bytes.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    // Ids of real requests, so that bodies of all lengths reach every decoder.
    let ids = prop::sample::select(vec![15u16, 17, 23, 89, 91, 97, 99, 101, 103, 105, 107, 109, 133, 417, 862]);
    let body = (ids, prop::collection::vec(any::<u8>(), 0..80));
    let framed = body.prop_map(|(id, rest)| {
        let length = u32::try_from(rest.len() + 2).unwrap();
        [&[0u8; 8][..], &length.to_be_bytes(), &[0; 4], &id.to_be_bytes(), &rest].concat()
    });
    prop_oneof![8 => framed, 1 => prop::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn malformed_frames_do_not_affect_other_clients(frames in prop::collection::vec(hostile(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let simulator = Simulator::start(SimulatorOptions::new(directory.path().join("api.sock"))).await.unwrap();
            let mut other = RawClient::connect(simulator.api_socket()).await;
            let mut stream = UnixStream::connect(simulator.api_socket()).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let attack = async {
                // The server may close the connection.
                let _ = writer.write_all(&frames.concat()).await;
                let _ = writer.shutdown().await;
            };
            let drain = async { while reader.read(&mut [0; 4096]).await.is_ok_and(|got| got > 0) {} };
            timeout(PATIENCE, async { tokio::join!(attack, drain) }).await.expect("the server closes the connection");
            assert_eq!(other.call(ControlPing {}).await.retval, 0);
            RawClient::connect(simulator.api_socket()).await;
        });
    }
}

#[tokio::test]
async fn frame_with_excessive_length_closes_only_its_connection() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(directory.path().join("api.sock"))).await.unwrap();
    let mut other = RawClient::connect(simulator.api_socket()).await;
    let mut hostile_client = RawClient::connect(simulator.api_socket()).await;
    hostile_client.send_bytes(&[0xff; 16]).await;
    assert_eq!(hostile_client.body().await, None);
    assert_eq!(other.call(ControlPing {}).await.retval, 0);
}

#[tokio::test]
async fn client_stuck_within_a_frame_does_not_block_others() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(directory.path().join("api.sock"))).await.unwrap();
    let mut slow = RawClient::connect(simulator.api_socket()).await;
    slow.send_bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    let mut other = RawClient::connect(simulator.api_socket()).await;
    assert_eq!(other.call(ControlPing {}).await.retval, 0);
    timeout(Duration::from_secs(30), simulator.restart()).await.expect("no timeout of the restart").unwrap();
}
