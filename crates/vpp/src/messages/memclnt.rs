//! `memclnt.api`: opening and closing a connection, and the ping.
//!
//! `sockclnt_create` and its reply are the two messages with fixed ids, because the reply carries the ids of all other
//! messages.

use super::Reply;
use crate::codec::{CodecError, Reader, Text, Wire, Writer};

/// The id of `sockclnt_create` in every VPP.
pub const SOCKCLNT_CREATE: u16 = 15;
/// The id of `sockclnt_create_reply` in every VPP.
pub const SOCKCLNT_CREATE_REPLY: u16 = 16;

message! {
    /// Opens a connection.
    Reply SockclntCreate = "sockclnt_create" 0x455f_b9c4 {
        /// Name of the client, shown in `show api clients`.
        name: Text<64>,
    }
}

message! {
    /// The reply to [`SockclntCreate`].
    Request SockclntCreateReply = "sockclnt_create_reply" 0x3516_6268 {
        /// 0 if VPP accepts the connection.
        response: i32,
        /// The `client_index` of every further request.
        index: u32,
        /// All messages of this VPP.
        table: MessageTable,
    }
}

/// VPP's messages and their ids: a `u16` count, then entries of 66 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageTable(pub Vec<TableEntry>);

/// A message and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// The id, valid for this connection.
    pub id: u16,
    /// `<name>_<crc as 8 hex digits>`.
    pub name: Text<64>,
}

const ENTRY: usize = 66;

impl Wire for MessageTable {
    fn put(&self, to: &mut Writer<'_>) {
        u16::try_from(self.0.len()).expect("ids are 16 bits, so there are no more messages").put(to);
        for entry in &self.0 {
            entry.id.put(to);
            entry.name.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = usize::from(u16::get(from)?);
        let mut entries = Reader::new(from.take(count * ENTRY)?);
        let entry = |_| Ok(TableEntry { id: Wire::get(&mut entries)?, name: Wire::get(&mut entries)? });
        (0..count).map(entry).collect::<Result<_, _>>().map(Self)
    }
}

message! {
    /// Closes the connection.
    Request SockclntDelete = "sockclnt_delete" 0x8ac7_6db6 {
        /// The connection's `client_index`.
        index: u32,
    }
}

message! {
    /// The reply to [`SockclntDelete`]; VPP may close the connection without it.
    Reply SockclntDeleteReply = "sockclnt_delete_reply" 0x8f38_b1ee {
        /// 0 if the client index exists.
        response: i32,
    }
}

impl super::Request for SockclntDelete {
    type Reply = SockclntDeleteReply;
}

impl Reply for SockclntDeleteReply {
    fn retval(&self) -> i32 {
        self.response
    }
}

message! {
    /// Requests a reply only. As VPP replies in order, the reply also marks the end of a dump.
    Request ControlPing = "control_ping" 0x5107_7d14 {}
}

message! {
    /// The reply to [`ControlPing`].
    Reply ControlPingReply = "control_ping_reply" 0xf6b0_b8ca {
        retval: i32,
        /// The connection's `client_index`.
        client_index: u32,
        /// VPP's process id, in VPP's PID namespace.
        vpe_pid: u32,
    }
}
answered!(ControlPing => ControlPingReply);
