//! A hostile client.

use std::{io, net::SocketAddr, time::Duration};

use maglev_testkit::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::sleep,
};

/// The preface of HTTP/2 and an empty SETTINGS frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A connection from 127.0.0.`host`, with a small receive buffer.
pub async fn connect(address: SocketAddr, host: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, host], 0).into()).unwrap();
    within(socket.connect(address)).await.unwrap()
}

/// Waits until the server has closed the connection. Returns what it sent before.
pub async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    within(async { while matches!(stream.read_buf(&mut received).await, Ok(1..)) {} }).await;
    received
}

/// Sends `text` byte by byte and then repeats its last byte, until the server closes the connection.
pub async fn drip(mut stream: TcpStream, text: &[u8]) {
    let last = text.last().unwrap();
    let dripping = async {
        for byte in text.iter().chain(std::iter::repeat(last)) {
            if stream.write_all(&[*byte]).await.is_err() || has_ended(&stream) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    within(dripping).await;
}

/// Writes `text` again and again without reading, until the server closes the connection.
pub async fn flood(mut stream: TcpStream, text: &[u8]) {
    within(async { while stream.write_all(text).await.is_ok() {} }).await;
}

fn has_ended(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}
