//! TCP connections for probes. Distinguishes errors of this node from errors of the backend.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use nix::{
    errno::Errno,
    sys::socket::{SetSockOpt, sockopt::IpBindAddressNoPort},
};
use tokio::net::{TcpSocket, TcpStream};

use maglev_model::health::ProbeCode;

use super::{
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
};

/// Connects to `port` of the target, from the target's source address if there is one.
///
/// # Errors
/// `L4CON` if the backend or the path refuses; `NotProbed` if this node cannot try.
pub async fn connect(target: &ProbeTarget, port: u16, progress: &ProbeProgress<'_>) -> Result<TcpStream, ProbeOutcome> {
    let socket = open(target).map_err(|error| ProbeOutcome::not_probed(format!("cannot open a socket: {error}")))?;
    let address = SocketAddr::new(target.address, port);
    progress.trace(|| match target.source {
        Some(source) => format!("connecting to {address} from {source}"),
        None => format!("connecting to {address}"),
    });
    let stream = socket.connect(address).await.map_err(|error| failed("connect", &error))?;
    progress.trace(|| match stream.local_addr() {
        Ok(local) => format!("connected, from {local}"),
        Err(_) => "connected".to_owned(),
    });
    Ok(stream)
}

fn open(target: &ProbeTarget) -> io::Result<TcpSocket> {
    let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = target.source {
        bind(&socket, source)?;
    }
    Ok(socket)
}

/// Binds to an address without a port: the kernel then chooses a port per destination on connect. Otherwise some 14,700
/// connections would exhaust the ports.
fn bind(socket: &TcpSocket, source: IpAddr) -> io::Result<()> {
    match IpBindAddressNoPort.set(socket, &true) {
        // Without the option, binding works until the ports are exhausted.
        Ok(()) | Err(Errno::ENOPROTOOPT) => {}
        Err(error) => return Err(error.into()),
    }
    socket.bind(SocketAddr::new(source, 0))
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
