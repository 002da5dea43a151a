//! The ids of the stream's messages: `<replica>-<number>`.

use std::{fmt, str::FromStr};

/// A message's place in the stream of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Which process: a random number, compared for equality only.
    pub(crate) replica: u64,
    /// The message's number.
    pub(crate) seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.replica, self.seq)
    }
}

/// It is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl FromStr for EventId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (replica, seq) = text.split_once('-').ok_or(NotAnId)?;
        let replica = u64::from_str_radix(replica, 16).map_err(|_| NotAnId)?;
        Ok(Self { replica, seq: seq.parse().map_err(|_| NotAnId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_does() {
        let id = EventId { replica: 0xdead_beef_0000_0001, seq: 42 };
        assert_eq!(id.to_string(), "deadbeef00000001-42");
        assert_eq!(id.to_string().parse(), Ok(id));
        for odd in ["", "-", "42", "xyz-1", "ab-", "ab-x", "ab-1-2", "-1"] {
            assert_eq!(odd.parse::<EventId>(), Err(NotAnId), "{odd}");
        }
    }
}
