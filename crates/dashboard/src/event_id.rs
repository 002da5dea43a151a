//! Ids of messages: `<replica>-<number>`.

use std::{fmt, str::FromStr};

/// The id of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// A random number that identifies the process.
    pub(crate) replica: u64,
    pub(crate) seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.replica, self.seq)
    }
}

/// The text is not a valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (replica, seq) = text.split_once('-').ok_or(InvalidEventId)?;
        let replica = u64::from_str_radix(replica, 16).map_err(|_| InvalidEventId)?;
        Ok(Self { replica, seq: seq.parse().map_err(|_| InvalidEventId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_ids_are_parsed() {
        let id = EventId { replica: 0xdead_beef_0000_0001, seq: 42 };
        assert_eq!(id.to_string(), "deadbeef00000001-42");
        assert_eq!(id.to_string().parse(), Ok(id));
        for odd in ["", "-", "42", "xyz-1", "ab-", "ab-x", "ab-1-2", "-1"] {
            assert_eq!(odd.parse::<EventId>(), Err(InvalidEventId), "{odd}");
        }
    }
}
