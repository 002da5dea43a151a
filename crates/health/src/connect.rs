//! TCP connections for probes. Distinguishes errors of this node from errors of the backend.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use nix::{
    errno::Errno,
    sys::socket::{SetSockOpt, sockopt::IpBindAddressNoPort},
};
use socket2::{Domain, Socket, Type};
use tokio::{io::Interest, net::TcpStream};

use maglev_model::health::ProbeCode;

use super::{
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
};

/// The time of the packet that ends the handshake of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// At once.
    Immediate,
    /// With the first data, which the probe sends as soon as it is connected: a packet less for this node and for the
    /// backend.
    WithData,
}

/// Connects to `port` of the target, from the target's source address if there is one.
///
/// # Errors
/// `L4CON` if the backend or the path refuses; `NotProbed` if this node cannot try.
pub async fn connect(
    target: &ProbeTarget,
    port: u16,
    acknowledgement: Acknowledgement,
    progress: &ProbeProgress<'_>,
) -> Result<TcpStream, ProbeOutcome> {
    let socket = open(target, acknowledgement)
        .map_err(|error| ProbeOutcome::not_probed(format!("cannot open a socket: {error}")))?;
    let address = SocketAddr::new(target.address, port);
    progress.trace(|| match target.source {
        Some(source) => format!("connecting to {address} from {source}"),
        None => format!("connecting to {address}"),
    });
    let stream = finish(socket, address).await.map_err(|error| failed("connect", &error))?;
    progress.trace(|| match stream.local_addr() {
        Ok(local) => format!("connected, from {local}"),
        Err(_) => "connected".to_owned(),
    });
    Ok(stream)
}

fn open(target: &ProbeTarget, acknowledgement: Acknowledgement) -> io::Result<Socket> {
    let domain = if target.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    if acknowledgement == Acknowledgement::WithData {
        // Without the option, the probe works as well.
        let _ = socket.set_tcp_quickack(false);
    }
    if let Some(source) = target.source {
        bind(&socket, source)?;
    }
    Ok(socket)
}

/// Binds to an address without a port: the kernel then chooses a port per destination on connect. Otherwise some 14,700
/// connections would exhaust the ports.
fn bind(socket: &Socket, source: IpAddr) -> io::Result<()> {
    match IpBindAddressNoPort.set(socket, &true) {
        // Without the option, binding works until the ports are exhausted.
        Ok(()) | Err(Errno::ENOPROTOOPT) => {}
        Err(error) => return Err(error.into()),
    }
    socket.bind(&SocketAddr::new(source, 0).into())
}

/// Connects. A connection that was established and reset since counts as connected: the result does not depend on how
/// soon this process runs, and a response that the server sent before is still in the socket.
async fn finish(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(error),
    }
    let stream = TcpStream::from_std(socket.into())?;
    let ready = stream.ready(Interest::WRITABLE | Interest::ERROR).await?;
    // An error of the socket also closes both directions.
    if !(ready.is_error() || ready.is_read_closed() || ready.is_write_closed()) {
        return Ok(stream);
    }
    match stream.take_error()? {
        Some(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(stream),
    }
}

/// The outcome of a failed `action`: `NotProbed` if the cause is this node, else `L4CON`.
pub fn failed(action: &str, error: &io::Error) -> ProbeOutcome {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let is_local = matches!(
        errno,
        Some(
            Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::ENOBUFS
                | Errno::EAGAIN
                | Errno::EADDRNOTAVAIL
                | Errno::EADDRINUSE
        )
    );
    if is_local {
        ProbeOutcome::not_probed(format!("cannot {action} from this node: {error}"))
    } else {
        ProbeOutcome::completed(ProbeCode::L4Connection, format!("cannot {action}: {error}"))
    }
}
