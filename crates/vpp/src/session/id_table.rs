//! The ids that this VPP assigns to the known messages, looked up by name and CRC.

use std::{collections::HashMap, fmt};

use crate::{
    error::Error,
    messages::{KNOWN_MESSAGES, Message, Signature, memclnt::MessageTable},
};

/// A known message that this VPP lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingMessage {
    /// VPP has no message of that name.
    Absent(Signature),
    /// VPP has a message of that name with other fields.
    Incompatible {
        /// The expected name and CRC.
        expected: Signature,
        offered_crc: u32,
    },
}

impl MissingMessage {
    /// The message's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent(expected) | Self::Incompatible { expected, .. } => expected.name,
        }
    }
}

impl fmt::Display for MissingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(expected) => write!(f, "{} is absent", expected.name),
            Self::Incompatible { expected: Signature { name, crc }, offered_crc } => {
                write!(f, "{name} has CRC {offered_crc:08x}, expected {crc:08x}")
            }
        }
    }
}

/// Ids of the known messages that this VPP supports.
#[derive(Debug)]
pub struct IdTable {
    ids: HashMap<&'static str, u16>,
    missing: Vec<MissingMessage>,
}

impl IdTable {
    pub fn new(offered: &MessageTable) -> Self {
        let offered: HashMap<&str, u16> = offered.0.iter().map(|entry| (entry.name.as_str(), entry.id)).collect();
        let (mut ids, mut missing) = (HashMap::new(), Vec::new());
        for expected in KNOWN_MESSAGES {
            match offered.get(expected.table_name().as_str()) {
                Some(id) => {
                    ids.insert(expected.name, *id);
                }
                None => missing.push(explain(expected, &offered)),
            }
        }
        Self { ids, missing }
    }

    pub fn missing(&self) -> &[MissingMessage] {
        &self.missing
    }

    /// The id of `M`.
    pub fn id<M: Message>(&self) -> Result<u16, Error> {
        self.ids.get(M::NAME).copied().ok_or_else(|| Error::Missing {
            hint: "unsupported release, or plugin not loaded",
            missing: self.missing.iter().filter(|missing| missing.name() == M::NAME).cloned().collect(),
        })
    }
}

fn explain(expected: &Signature, offered: &HashMap<&str, u16>) -> MissingMessage {
    let crc = |offered: &&str| {
        let (name, crc) = offered.rsplit_once('_')?;
        if name != expected.name || crc.len() != 8 {
            return None;
        }
        u32::from_str_radix(crc, 16).ok()
    };
    match offered.keys().find_map(crc) {
        Some(offered_crc) => MissingMessage::Incompatible { expected: *expected, offered_crc },
        None => MissingMessage::Absent(*expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Text,
        messages::{lb, memclnt::TableEntry},
    };

    fn table(names: &[&str]) -> IdTable {
        let entry = |(id, name): (usize, &&str)| TableEntry { id: u16::try_from(id).unwrap(), name: Text::new(name) };
        IdTable::new(&MessageTable(names.iter().enumerate().map(entry).collect()))
    }

    #[test]
    fn message_is_looked_up_by_name_and_crc() {
        let table = table(&["lb_conf_reply_e8d4e804", "lb_conf_56cd3261", "lb_conf_get_00000001", "lb_as_dump_xyz"]);
        assert_eq!(table.id::<lb::LbConf>().unwrap(), 1);
        assert_eq!(table.id::<lb::LbConfReply>().unwrap(), 0);
        let error = table.id::<lb::LbConfGet>().unwrap_err().to_string();
        assert!(error.ends_with("lb_conf_get has CRC 00000001, expected 51077d14"), "{error}");
        let error = table.id::<lb::LbAsDump>().unwrap_err().to_string();
        assert!(error.ends_with("lb_as_dump is absent"), "{error}");
        assert_eq!(table.missing().len(), KNOWN_MESSAGES.len() - 2);
    }
}
