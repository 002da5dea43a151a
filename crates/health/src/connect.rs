//! TCP connections for probes, and which errors are the node's own.

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
    prober::{Outcome, Target},
    progress::Progress,
};

/// Connects to `port` of the target, from its source address if it names one.
///
/// # Errors
/// `L4CON` where the backend or the path refuses; `NotProbed` where this node could not try.
pub async fn connect(target: &Target, port: u16, progress: &Progress<'_>) -> Result<TcpStream, Outcome> {
    let socket = open(target).map_err(|error| Outcome::not_probed(format!("cannot open a socket: {error}")))?;
    let address = SocketAddr::new(target.address, port);
    progress.tell(|| match target.source {
        Some(source) => format!("connecting to {address} from {source}"),
        None => format!("connecting to {address}"),
    });
    let stream = socket.connect(address).await.map_err(|error| refused("connect", &error))?;
    progress.tell(|| match stream.local_addr() {
        Ok(local) => format!("connected, from {local}"),
        Err(_) => "connected".to_owned(),
    });
    Ok(stream)
}

fn open(target: &Target) -> io::Result<TcpSocket> {
    let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = target.source {
        bind(&socket, source)?;
    }
    Ok(socket)
}

/// Binds to an address but to no port: the kernel then chooses a port per destination when it
/// connects, and 14,700 connections do not exhaust them.
fn bind(socket: &TcpSocket, source: IpAddr) -> io::Result<()> {
    match IpBindAddressNoPort.set(socket, &true) {
        // Without the option, binding works all the same as long as there are ports.
        Ok(()) | Err(Errno::ENOPROTOOPT) => {}
        Err(error) => return Err(error.into()),
    }
    socket.bind(SocketAddr::new(source, 0))
}

/// What it means that this node could not `what`: `L4CON`, or nothing where it is its own fault.
pub fn refused(what: &str, error: &io::Error) -> Outcome {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let own = matches!(
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
    if own {
        Outcome::not_probed(format!("cannot {what} from this node: {error}"))
    } else {
        Outcome::answer(ProbeCode::L4Connection, format!("cannot {what}: {error}"))
    }
}
