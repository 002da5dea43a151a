//! Clients of gRPC that request a big response and do not read it.

use std::{net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpSocket, task::JoinSet, time::sleep};

/// Addresses that the clients come from.
const PEERS: u8 = 32;

/// The preface of HTTP/2 with an empty SETTINGS frame, and a call of GetState with an empty request.
fn call(address: SocketAddr) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let header = |index: &[u8], value: &str| [index, &text(value)].concat();
    let headers = [
        // `:method: POST` and `:scheme: http` of the static table, then names of the static table.
        vec![0x83, 0x86],
        header(&[0x04], "/maglev.v1.Maglev/GetState"),
        header(&[0x01], &address.to_string()),
        header(&[0x0f, 0x10], "application/grpc"),
        header(&[&[0x00], &*text("te")].concat(), "trailers"),
    ];
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let (end_headers, end_stream) = (4, 1);
    let frames = [frame(4, 0, 0, &[]), frame(1, end_headers, 1, &headers.concat()), frame(0, end_stream, 1, &[0; 5])];
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frames.concat()].concat()
}

/// Starts clients, each of which begins again after a few seconds. They end when the set is dropped.
pub fn clients(address: SocketAddr, count: usize) -> JoinSet<()> {
    let (mut clients, call) = (JoinSet::new(), call(address));
    for number in 0..count {
        let (call, host) = (call.clone(), u8::try_from(number % usize::from(PEERS)).unwrap() + 1);
        clients.spawn(async move {
            loop {
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(4096).unwrap();
                socket.bind(([127, 0, 5, host], 0).into()).unwrap();
                let Ok(mut stream) = socket.connect(address).await else { continue };
                let _closed_before = stream.write_all(&call).await;
                sleep(Duration::from_secs(5)).await;
            }
        });
    }
    clients
}
