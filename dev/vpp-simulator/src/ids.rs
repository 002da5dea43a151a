//! The messages of a simulated VPP and their IDs.
//!
//! The IDs are those of real VPPs with their default plugins, so that recorded requests can be replayed. Internally, messages
//! are identified by their IDs of 26.10 in all releases. Messages not listed are missing from the message table, as in a VPP
//! without the plugin.

use super::options::Release;
use maglev_vpp::{
    codec::Text,
    messages::{Message, Signature, ip, lb, memclnt, memclnt::TableEntry, vlib, vpe},
};

/// A message with its ID in 26.10.
pub trait Numbered: Message {
    const ID: u16;
}

macro_rules! numbered {
    ($($type:ty = $id:literal,)*) => {
        $(impl Numbered for $type {
            const ID: u16 = $id;
        })*

        /// All messages of 26.10.
        const V26_10: &[(Signature, u16)] = &[$((Signature::new::<$type>(), $id),)*];
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

/// The messages of 26.06: ID in that release, ID in 26.10.
const V26_06: &[(Signature, u16, u16)] = &[
    old::<memclnt::SockclntCreate>(15),
    old::<memclnt::SockclntCreateReply>(16),
    old::<memclnt::SockclntDelete>(17),
    old::<memclnt::SockclntDeleteReply>(18),
    old::<memclnt::ControlPing>(23),
    old::<memclnt::ControlPingReply>(24),
    old::<lb::LbConf>(89),
    old::<lb::LbConfReply>(90),
    old::<lb::LbAddDelVip>(91),
    old::<lb::LbAddDelVipReply>(92),
    old::<lb::LbAddDelVipV2>(93),
    old::<lb::LbAddDelVipV2Reply>(94),
    old::<lb::LbAddDelAs>(95),
    old::<lb::LbAddDelAsReply>(96),
    old::<lb::LbFlushVip>(97),
    old::<lb::LbFlushVipReply>(98),
    old::<lb::LbVipDump>(99),
    old::<lb::LbVipDetails>(100),
    old::<lb::LbAsDump>(101),
    old::<lb::LbAsDetails>(102),
    old::<vlib::CliInband>(108),
    old::<vlib::CliInbandReply>(110),
    old::<ip::IpRouteLookupV2>(386),
    old::<ip::IpRouteLookupV2Reply>(388),
    old::<vpe::ShowVersion>(839),
    old::<vpe::ShowVersionReply>(840),
];

const fn old<M: Numbered>(id: u16) -> (Signature, u16, u16) {
    (Signature::new::<M>(), id, M::ID)
}

/// The ID in 26.10 of the message with the ID `id` in `release`; `None` if unknown.
pub fn id_in_26_10(release: Release, id: u16) -> Option<u16> {
    match release {
        Release::V26_10 => Some(id),
        Release::V26_06 => V26_06.iter().find(|(_, old, _)| *old == id).map(|(.., new)| *new),
    }
}

/// The ID of `M` in `release`, which must have the message.
pub fn id<M: Numbered>(release: Release) -> u16 {
    match release {
        Release::V26_10 => M::ID,
        Release::V26_06 => {
            let id = V26_06.iter().find(|(.., new)| *new == M::ID).map(|(_, old, _)| *old);
            id.expect("replies exist in the release of their request")
        }
    }
}

/// The message table in `sockclnt_create_reply`.
pub fn table(release: Release) -> Vec<TableEntry> {
    let messages: Vec<(Signature, u16)> = match release {
        Release::V26_10 => V26_10.to_vec(),
        Release::V26_06 => V26_06.iter().map(|(signature, id, _)| (*signature, *id)).collect(),
    };
    messages.iter().map(|(signature, id)| TableEntry { id: *id, name: Text::new(&signature.table_name()) }).collect()
}
