//! The messages a simulated VPP speaks and their ids.
//!
//! The ids are those a real VPP 26.10 with its default plugins gave out, so recorded requests can be
//! sent as they are. What is not here is not in the message table, as with a VPP without that plugin.

use crate::vpp::{
    codec::Text,
    messages::{Message, Signature, ip, lb, memclnt, memclnt::TableEntry, vlib, vpe},
};

/// A message with its id.
pub(super) trait Numbered: Message {
    const ID: u16;
}

macro_rules! numbered {
    ($($type:ty = $id:literal,)*) => {
        $(impl Numbered for $type {
            const ID: u16 = $id;
        })*

        /// All of them.
        const MESSAGES: &[(Signature, u16)] = &[$((Signature::of::<$type>(), $id),)*];
    };
}

numbered! {
    memclnt::SockclntCreate = 15,
    memclnt::SockclntCreateReply = 16,
    memclnt::SockclntDelete = 17,
    memclnt::SockclntDeleteReply = 18,
    memclnt::ControlPing = 23,
    memclnt::ControlPingReply = 24,
    lb::LbConf = 89,
    lb::LbConfReply = 90,
    lb::LbConfGet = 91,
    lb::LbConfGetReply = 92,
    lb::LbAddDelVip = 93,
    lb::LbAddDelVipReply = 94,
    lb::LbAddDelVipV2 = 95,
    lb::LbAddDelVipV2Reply = 96,
    lb::LbAddDelAs = 97,
    lb::LbAddDelAsReply = 98,
    lb::LbAddDelAsV2 = 99,
    lb::LbAddDelAsV2Reply = 100,
    lb::LbAsSetWeight = 101,
    lb::LbAsSetWeightReply = 102,
    lb::LbFlushVip = 103,
    lb::LbFlushVipReply = 104,
    lb::LbVipDump = 105,
    lb::LbVipDetails = 106,
    lb::LbAsDump = 107,
    lb::LbAsDetails = 108,
    lb::LbAsV2Dump = 109,
    lb::LbAsV2Details = 110,
    vlib::CliInband = 133,
    vlib::CliInbandReply = 135,
    ip::IpRouteLookupV2 = 417,
    ip::IpRouteLookupV2Reply = 419,
    vpe::ShowVersion = 862,
    vpe::ShowVersionReply = 863,
}

/// The table that `sockclnt_create_reply` carries.
pub(super) fn table() -> Vec<TableEntry> {
    MESSAGES.iter().map(|(signature, id)| TableEntry { id: *id, name: Text::new(&signature.table_name()) }).collect()
}
