//! Which id this VPP gives to each message we know, by name and CRC.

use std::{collections::HashMap, fmt};

use crate::{
    error::Error,
    messages::{KNOWN, Message, Signature, memclnt::MessageTable},
};

/// A message that cannot be used with this VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// VPP does not have it.
    Absent(Signature),
    /// VPP has a message of that name whose fields are others.
    Incompatible {
        /// As it is known here.
        known: Signature,
        found: u32,
    },
}

impl Missing {
    /// The message's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent(known) | Self::Incompatible { known, .. } => known.name,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(known) => write!(f, "{} is not there", known.name),
            Self::Incompatible { known: Signature { name, crc }, found } => {
                write!(f, "{name} has CRC {found:08x}, where {crc:08x} is known")
            }
        }
    }
}

/// The messages we know and this VPP speaks.
#[derive(Debug)]
pub struct Table {
    ids: HashMap<&'static str, u16>,
    missing: Vec<Missing>,
}

impl Table {
    pub fn new(offered: &MessageTable) -> Self {
        let offered: HashMap<&str, u16> = offered.0.iter().map(|entry| (entry.name.as_str(), entry.id)).collect();
        let (mut ids, mut missing) = (HashMap::new(), Vec::new());
        for known in KNOWN {
            match offered.get(known.table_name().as_str()) {
                Some(id) => {
                    ids.insert(known.name, *id);
                }
                None => missing.push(explain(known, &offered)),
            }
        }
        Self { ids, missing }
    }

    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// The id of `M`.
    pub fn id<M: Message>(&self) -> Result<u16, Error> {
        self.ids.get(M::NAME).copied().ok_or_else(|| Error::Missing {
            hint: "another release, or a plugin that is not loaded",
            missing: self.missing.iter().filter(|missing| missing.name() == M::NAME).cloned().collect(),
        })
    }
}

fn explain(known: &Signature, offered: &HashMap<&str, u16>) -> Missing {
    let crc = |offered: &&str| {
        let (name, crc) = offered.rsplit_once('_')?;
        if name != known.name || crc.len() != 8 {
            return None;
        }
        u32::from_str_radix(crc, 16).ok()
    };
    match offered.keys().find_map(crc) {
        Some(found) => Missing::Incompatible { known: *known, found },
        None => Missing::Absent(*known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Text,
        messages::{lb, memclnt::TableEntry},
    };

    fn table(names: &[&str]) -> Table {
        let entry = |(id, name): (usize, &&str)| TableEntry { id: u16::try_from(id).unwrap(), name: Text::new(name) };
        Table::new(&MessageTable(names.iter().enumerate().map(entry).collect()))
    }

    #[test]
    fn a_message_is_found_by_name_and_crc() {
        let table = table(&["lb_conf_reply_e8d4e804", "lb_conf_56cd3261", "lb_conf_get_00000001", "lb_as_dump_xyz"]);
        assert_eq!(table.id::<lb::LbConf>().unwrap(), 1);
        assert_eq!(table.id::<lb::LbConfReply>().unwrap(), 0);
        let error = table.id::<lb::LbConfGet>().unwrap_err().to_string();
        assert!(error.ends_with("lb_conf_get has CRC 00000001, where 51077d14 is known"), "{error}");
        let error = table.id::<lb::LbAsDump>().unwrap_err().to_string();
        assert!(error.ends_with("lb_as_dump is not there"), "{error}");
        assert_eq!(table.missing().len(), KNOWN.len() - 2);
    }
}
