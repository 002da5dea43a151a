//! The hash of a flow, which selects its bucket in the new-flow table of a VIP.
//!
//! As in VPP 26.10 (`src/plugins/lb/node.c`, `lb_hash_hash.h`): the addresses and ports of a packet are read as five words
//! of 64 bits, and one of two functions hashes them. The protocol is not hashed. The lowest bits are the bucket.

use xxhash_rust::xxh64::xxh64;

use super::table::HASH_SEED;

/// Length of the hashed words in bytes.
const LENGTH: usize = 40;

/// The hash function of a VPP, fixed when VPP is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowHash {
    /// CRC-32C of the words: on processors with CRC instructions, that is amd64 with SSE4.2 and arm64 with CRC.
    Crc32c,
    /// xxHash of the words combined by exclusive or: on all other processors.
    XxHash,
}

impl FlowHash {
    /// The name in the output of `maglevc`: `crc32c` or `xxhash`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::XxHash => "xxhash",
        }
    }
}

/// The hashed fields of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The words in the byte order of a little-endian machine.
    words: [u8; LENGTH],
}

impl FlowKey {
    /// The key of an IPv4 packet. `addresses` are the source and the destination address, `ports` the source and the
    /// destination port, in the packet's byte order. The ports are 0 for a VIP with session affinity and for protocols
    /// without ports.
    pub fn v4(addresses: [u8; 8], ports: [u8; 4]) -> Self {
        Self::new(&addresses, ports)
    }

    /// The key of an IPv6 packet; see [`Self::v4`].
    pub fn v6(addresses: [u8; 32], ports: [u8; 4]) -> Self {
        Self::new(&addresses, ports)
    }

    fn new(addresses: &[u8], ports: [u8; 4]) -> Self {
        let (mut words, length) = ([0; LENGTH], addresses.len());
        words[..length].copy_from_slice(addresses);
        // VPP's word is source << 16 | destination, each as the machine reads it from the packet.
        let [source_high, source_low, destination_high, destination_low] = ports;
        words[length..length + 4].copy_from_slice(&[destination_high, destination_low, source_high, source_low]);
        Self { words }
    }

    /// The hash of the flow.
    pub fn hash(&self, function: FlowHash) -> u32 {
        match function {
            // VPP starts from 0 and does not invert the result; the crate inverts both.
            FlowHash::Crc32c => !crc32c::crc32c_append(u32::MAX, &self.words),
            FlowHash::XxHash => {
                let words = self.words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
                let combined = words.fold(0, |combined, word| combined ^ word);
                xxh64(&combined.to_le_bytes(), HASH_SEED) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::trace::Flow;
    use crate::vip::Protocol;

    /// Source and destination; CRC-32C and xxHash of the flow; the same with session affinity.
    ///
    /// Computed outside of this project: with a bitwise CRC-32C (polynomial 0x82f63b78) and with xxHash64 written after its
    /// specification, both in Python, over words packed as `<Q`.
    const VECTORS: [(&str, &str, [u32; 2], [u32; 2]); 6] = [
        ("198.51.100.7:40312", "203.0.113.10:80", [0xae2f_9b07, 0x431d_7361], [0x6236_5f33, 0xbf33_e9e8]),
        ("10.1.2.3:1", "192.0.2.1:65535", [0xfe4e_12c3, 0x6694_9e20], [0x119e_a958, 0x5369_6054]),
        ("192.0.2.200:53000", "203.0.113.53:53", [0xe0fe_3cc3, 0xb2cd_0b6b], [0x29e6_e164, 0xa355_98d2]),
        ("[2001:db8::7]:40312", "[2001:db8:1::10]:443", [0x51ed_dbe2, 0xbcb2_2be2], [0x3dec_2f03, 0x48b3_49b3]),
        ("[fe80::1]:65535", "[2001:db8::2]:1", [0x2e28_ba04, 0xe952_772c], [0x57f8_d653, 0x2765_91bb]),
        ("[2001:db8:ff::abcd]:1024", "[2001:db8:1::53]:53", [0xebed_7638, 0x9286_9933], [0x35fb_d14d, 0x1808_941b]),
    ];

    #[test]
    fn hashes_match_those_of_an_independent_implementation() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        for (source, destination, plain, sticky) in VECTORS {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let flow = Flow::new(protocol, address(source), address(destination)).unwrap();
                let hashes = |key: FlowKey| [FlowHash::Crc32c, FlowHash::XxHash].map(|function| key.hash(function));
                assert_eq!(hashes(flow.key(false)), plain, "{source} to {destination}");
                assert_eq!(hashes(flow.key(true)), sticky, "{source} to {destination}, with session affinity");
            }
        }
    }
}
