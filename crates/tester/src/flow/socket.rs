//! Sockets of flows. Distinguishes errors of this machine from errors of the path.

use std::{io, net::SocketAddr};

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};

use super::Failure;

/// Opens a connection that will end with a reset.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_zero_linger()?;
    // Nagle's algorithm would delay the small writes of a handshake.
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// The failure of a socket operation.
pub fn failure(operation: &str, error: &io::Error) -> Failure {
    let is_local = matches!(
        Errno::from_io_error(error),
        Some(
            Errno::MFILE
                | Errno::NFILE
                | Errno::NOMEM
                | Errno::NOBUFS
                | Errno::AGAIN
                | Errno::ADDRNOTAVAIL
                | Errno::ADDRINUSE
        )
    );
    let text = format!("{operation}: {}", without_number(error));
    if is_local { Failure::NotSent(text) } else { Failure::Failed(text) }
}

/// The text of the error without Rust's `(os error 111)`.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhausted_ports_and_files_are_no_failures_of_the_vip() {
        let result = |errno: Errno| failure("cannot connect", &io::Error::from(errno));
        for local in [Errno::MFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS] {
            assert!(matches!(result(local), Failure::NotSent(_)), "{local}");
        }
        assert_eq!(result(Errno::CONNREFUSED), Failure::Failed("cannot connect: Connection refused".to_owned()));
        assert!(matches!(result(Errno::HOSTUNREACH), Failure::Failed(_)));
    }
}
