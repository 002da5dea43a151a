//! The messages a simulated VPP speaks and their ids.
//!
//! The ids are those that real VPPs with their default plugins gave out, so recorded requests can be
//! sent as they are. Inside, a message goes by its id of 26.10, whatever the release. What is not here is not in the message table, as with a VPP without that plugin.

use super::options::Release;
use maglev_vpp::{
    codec::Text,
    messages::{Message, Signature, ip, lb, memclnt, memclnt::TableEntry, vlib, vpe},
};

/// A message with its id in 26.10.
pub trait Numbered: Message {
    const ID: u16;
}

macro_rules! numbered {
    ($($type:ty = $id:literal,)*) => {
        $(impl Numbered for $type {
            const ID: u16 = $id;
        })*

        /// All of them in 26.10.
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

/// Those of 26.06 with their ids there, and in 26.10.
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

/// The id in 26.10 of the message that a client of `release` calls `id`; `None` if there is none.
pub fn known(release: Release, id: u16) -> Option<u16> {
    match release {
        Release::V26_10 => Some(id),
        Release::V26_06 => V26_06.iter().find(|(_, old, _)| *old == id).map(|(.., new)| *new),
    }
}

/// The id of `M` in `release`, which speaks it.
pub fn id<M: Numbered>(release: Release) -> u16 {
    match release {
        Release::V26_10 => M::ID,
        Release::V26_06 => {
            let found = V26_06.iter().find(|(.., new)| *new == M::ID).map(|(_, old, _)| *old);
            found.expect("what answers a message of a release is in that release")
        }
    }
}

/// The table that `sockclnt_create_reply` carries.
pub fn table(release: Release) -> Vec<TableEntry> {
    let messages: Vec<(Signature, u16)> = match release {
        Release::V26_10 => V26_10.to_vec(),
        Release::V26_06 => V26_06.iter().map(|(signature, id, _)| (*signature, *id)).collect(),
    };
    messages.iter().map(|(signature, id)| TableEntry { id: *id, name: Text::new(&signature.table_name()) }).collect()
}
