//! UDP: one datagram from a new port, one answer. The socket is connected, so only answers of the VIP count; an answer from
//! another address, as with a backend that does not own the VIP, is lost.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::UdpSocket;

use super::{Answer, Failure, FlowClient, Limit, Target, socket};

/// Sent without `--send`.
const PAYLOAD: &[u8] = b"maglev-tester\n";
/// Bytes of the answer that are read.
const BUFFER: usize = 4096;

pub async fn exchange(client: &FlowClient, target: &Target, limit: Limit) -> Result<Answer, Failure> {
    let payload = client.payload.as_deref().unwrap_or(PAYLOAD);
    let sent = limit.phase("the datagram was not sent", send(target.address, payload)).await?;
    let socket = sent.map_err(|error| socket::failure("cannot send", &error))?;
    let mut buffer = vec![0; BUFFER];
    let received = limit.phase("no answer", socket.recv(&mut buffer)).await?;
    // ICMP port unreachable appears as an error of the socket.
    let length = received.map_err(|error| socket::failure("no answer", &error))?;
    Ok(Answer { backend: client.matcher.in_bytes(&buffer[..length]), error: None })
}

async fn send(address: SocketAddr, payload: &[u8]) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(payload).await?;
    Ok(socket)
}
