//! The stats socket: VPP sends the segment's file descriptor to each client and closes the connection.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, recvmsg, socket_with, sockopt,
};

use super::error::StatsError;

/// Receives the segment's descriptor. Blocks for `limit` at most, once for the connection and once for the message.
pub fn receive(path: &Path, limit: Duration) -> Result<OwnedFd, StatsError> {
    let failed = |source: io::Error| StatsError::Connect { path: path.to_owned(), source };
    let socket = connected(path, limit).map_err(failed)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sent) => sent.next(),
        _ => None,
    });
    descriptors.next().ok_or_else(|| StatsError::NoDescriptor { path: path.to_owned() })
}

fn connected(path: &Path, limit: Duration) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The send timeout limits `connect` to a socket with a full backlog.
    for which in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&socket, which, Some(limit))?;
    }
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
