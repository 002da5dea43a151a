//! Encodes and decodes ICMP echo messages (RFC 792, RFC 4443).

use maglev_model::vip::Family;

/// Message size in bytes: a header of 8 bytes and the nonce.
pub const LENGTH: usize = 16;

/// The fields that identify an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The same for all echoes of a socket. The kernel sets and checks the id of a datagram socket.
    pub(crate) id: u16,
    /// Unique among the probes in flight.
    pub(crate) sequence: u16,
    /// Random; distinguishes probes that had the same sequence number.
    pub(crate) nonce: u64,
}

/// The message types of request and reply.
pub const fn types(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    }
}

/// An echo request. The kernel fills in the checksum of ICMPv6.
pub fn request(family: Family, echo: Echo) -> [u8; LENGTH] {
    message(types(family).0, family, echo)
}

fn message(kind: u8, family: Family, echo: Echo) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = kind;
    packet[4..6].copy_from_slice(&echo.id.to_be_bytes());
    packet[6..8].copy_from_slice(&echo.sequence.to_be_bytes());
    packet[8..].copy_from_slice(&echo.nonce.to_be_bytes());
    if family == Family::V4 {
        let checksum = !sum(&packet);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// The echo that `packet` replies to; `None` unless `packet` is a complete, valid echo reply. Packets of raw IPv4 sockets
/// begin with an IP header (`with_ip_header`).
pub fn reply(family: Family, with_ip_header: bool, packet: &[u8]) -> Option<Echo> {
    let message = if with_ip_header { packet.get(usize::from(packet.first()? & 0xf) * 4..)? } else { packet };
    let message: &[u8; LENGTH] = message.try_into().ok()?;
    let is_intact = family == Family::V6 || sum(message) == 0xffff;
    if message[..2] != [types(family).1, 0] || !is_intact {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let nonce = message[8..].try_into().ok().map(u64::from_be_bytes)?;
    Some(Echo { id: word(4), sequence: word(6), nonce })
}

/// The ones' complement sum of 16-bit words.
fn sum(bytes: &[u8; LENGTH]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).expect("a sum folded twice has 16 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ECHO: Echo = Echo { id: 0x1234, sequence: 0xfffe, nonce: 0x0102_0304_0506_0708 };

    #[test]
    fn requests_have_the_layout_of_the_rfcs() {
        let words = [0x0800u32, 0x1234, 0xfffe, 0x0102, 0x0304, 0x0506, 0x0708].into_iter().sum::<u32>();
        let checksum = !u16::try_from((words & 0xffff) + (words >> 16)).unwrap();
        let [high, low] = checksum.to_be_bytes();
        let rest = [0x12, 0x34, 0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(request(Family::V4, ECHO)[..4], [8, 0, high, low]);
        assert_eq!(request(Family::V4, ECHO)[4..], rest);
        assert_eq!(request(Family::V6, ECHO)[..4], [128, 0, 0, 0]);
        assert_eq!(request(Family::V6, ECHO)[4..], rest);
    }

    #[test]
    fn only_a_complete_reply_is_decoded() {
        for family in [Family::V4, Family::V6] {
            let packet = message(types(family).1, family, ECHO);
            assert_eq!(reply(family, false, &packet), Some(ECHO));
            assert_eq!(reply(family, false, &request(family, ECHO)), None, "the request itself, received on loopback");
            assert_eq!(reply(family, false, &packet[..15]), None);
            assert_eq!(reply(family, false, &[&packet[..], &[0]].concat()), None);
        }
        let mut packet = message(0, Family::V4, ECHO);
        let mut with_header = vec![0x46; 24];
        with_header.extend(packet);
        assert_eq!(reply(Family::V4, true, &with_header), Some(ECHO));
        packet[9] ^= 1;
        assert_eq!(reply(Family::V4, false, &packet), None, "a bit was flipped");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(packet in prop::collection::vec(any::<u8>(), 0..80), header: bool) {
            for family in [Family::V4, Family::V6] {
                let _ = reply(family, header, &packet);
            }
        }
    }
}
