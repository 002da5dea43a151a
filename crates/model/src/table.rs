//! The new-flow (Maglev) table of a VIP, which maps each bucket to an application server.
//!
//! VPP computes this table itself. The algorithm of the `lb` plugin of VPP 26.10 is reimplemented here, so that the
//! simulator has the same bucket counts as VPP and the effect of a change can be shown before it is made. Tests compare
//! it with recorded bucket counts.
//!
//! The table depends only on the set of addresses and weights, not on the order in which servers were added, so all nodes
//! with the same set send a new flow to the same application server.

use std::net::IpAddr;

use xxhash_rust::xxh64::xxh64;

/// The content of a bucket without an application server: no weight is above 0.
pub const NO_SERVER: u32 = u32::MAX;

/// The number of buckets behind a length that VPP reports in 16 bits: 65536 is reported as 0.
pub fn reported_length(length: u16) -> u32 {
    if length == 0 { 1 << 16 } else { length.into() }
}

/// The seed of VPP's `clib_xxhash`.
pub(crate) const HASH_SEED: u64 = 0x9e37_79b9_7f4a_7c13;

/// The order in which an entry claims buckets: the first free one of `last`, `last + skip`, ….
struct Permutation {
    server: u32,
    last: u32,
    skip: u32,
}

impl Permutation {
    fn new(server: &Server, replica: u8, mask: u32) -> Self {
        let Server { index: server, folded, .. } = *server;
        let hash = xxh64(&(folded ^ u64::from(replica)).to_le_bytes(), HASH_SEED);
        let low = hash as u32;
        let high = (hash >> 32) as u32;
        // An odd step reaches every bucket, because their number is a power of two.
        Self { server, last: high & mask, skip: (low | 1) & mask }
    }
}

/// Computes the table of `length` buckets for `servers` (address and weight). Each bucket holds an index into `servers`,
/// or [`NO_SERVER`] if no weight is above 0.
///
/// A server of weight *w* has *w* entries, which take turns until every bucket is taken. If the weights sum to more than
/// `length`, the last entries get no bucket.
///
/// `length` must be a power of two; any other length, including 0, gives an empty table (VPP rejects it with −70).
pub fn fill(length: u32, servers: &[(IpAddr, u8)]) -> Vec<u32> {
    if !length.is_power_of_two() {
        return Vec::new();
    }
    let mut table = vec![NO_SERVER; length as usize];
    let mut permutations = permutations(length, servers);
    let mut free = table.len();
    if permutations.is_empty() {
        return table;
    }
    loop {
        for permutation in &mut permutations {
            if free == 0 {
                return table;
            }
            while table[permutation.last as usize] != NO_SERVER {
                permutation.last = permutation.last.wrapping_add(permutation.skip) & (length - 1);
            }
            table[permutation.last as usize] = permutation.server;
            free -= 1;
        }
    }
}

/// The number of buckets that [`fill`] assigns to each of `servers`, in the order of `servers`.
pub fn shares(length: u32, servers: &[(IpAddr, u8)]) -> Vec<u32> {
    let mut counts = vec![0; servers.len()];
    for server in fill(length, servers) {
        if let Some(count) = counts.get_mut(server as usize) {
            *count += 1;
        }
    }
    counts
}

/// An application server as the algorithm takes it.
struct Server {
    /// Its index.
    index: u32,
    weight: u8,
    /// Both 64-bit words of the address in one: VPP hashes nothing else of it.
    folded: u64,
}

/// The permutations of the entries in VPP's order: by replica, then by the bytes of the address. Each entry claims a bucket per
/// turn, so those after the first `length` ones get none and are left out.
fn permutations(length: u32, servers: &[(IpAddr, u8)]) -> Vec<Permutation> {
    let servers = sorted(servers);
    let entries: usize = servers.iter().map(|server| usize::from(server.weight)).sum();
    let count = entries.min(length as usize);
    let heaviest = servers.iter().map(|server| server.weight).max().unwrap_or(0);
    let mut permutations = Vec::with_capacity(count);
    for replica in 0..heaviest {
        let free = count - permutations.len();
        let entries = servers.iter().filter(|server| replica < server.weight).take(free);
        permutations.extend(entries.map(|server| Permutation::new(server, replica, length - 1)));
    }
    permutations
}

/// The application servers in the order of the bytes of their addresses.
fn sorted(servers: &[(IpAddr, u8)]) -> Vec<Server> {
    let mut sorted: Vec<_> =
        servers.iter().zip(0u32..).map(|(&(address, weight), index)| (bits(address), weight, index)).collect();
    sorted.sort_unstable();
    sorted.into_iter().map(|(bits, weight, index)| Server { index, weight, folded: folded(bits) }).collect()
}

/// The address as VPP's `ip46_address_t`: an IPv4 address is in the last four of 16 bytes, the others are 0.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V6(address) => address.to_bits(),
        IpAddr::V4(address) => address.to_bits().into(),
    }
}

/// Both halves of the address as words in the byte order of the machine, as VPP reads them, in one by exclusive or.
fn folded(bits: u128) -> u64 {
    let word = bits.to_be();
    (word >> 64) as u64 ^ word as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(address: &str, weight: u8) -> (IpAddr, u8) {
        (address.parse().unwrap(), weight)
    }

    #[test]
    fn shares_match_recorded_bucket_counts_of_vpp() {
        let v4 = |a, b, c, d| {
            [server("192.0.2.10", a), server("192.0.2.11", b), server("192.0.2.12", c), server("192.0.2.13", d)]
        };
        assert_eq!(shares(1024, &v4(100, 25, 0, 200)), [317, 91, 0, 616]);
        // Without 192.0.2.11, then with it again at 75 and without 192.0.2.12.
        assert_eq!(shares(1024, &v4(100, 0, 0, 200)), [362, 0, 0, 662]);
        assert_eq!(shares(1024, &v4(100, 75, 0, 200)), [300, 225, 0, 499]);
        assert_eq!(shares(1024, &[server("2001:db8::10", 100), server("2001:db8::11", 10)]), [924, 100]);
        assert_eq!(shares(65536, &[server("192.0.2.53", 100)]), [65536]);
    }

    #[test]
    fn table_without_weight_has_no_server() {
        assert_eq!(fill(4, &[]), [NO_SERVER; 4]);
        assert_eq!(fill(4, &[server("192.0.2.1", 0)]), [NO_SERVER; 4]);
        assert_eq!(shares(4, &[server("192.0.2.1", 0)]), [0]);
    }

    #[test]
    fn length_that_is_not_a_power_of_two_gives_an_empty_table() {
        for length in [0, 3, 1000] {
            assert_eq!(fill(length, &[server("192.0.2.1", 1)]), [0u32; 0], "{length}");
        }
        assert_eq!(fill(1, &[server("192.0.2.1", 1)]), [0]);
    }

    /// The algorithm as VPP has it: all entries of all servers, by the bytes of the addresses.
    fn fill_with_all_entries(length: u32, servers: &[(IpAddr, u8)]) -> Vec<u32> {
        let bytes = |address| match address {
            IpAddr::V6(address) => std::net::Ipv6Addr::octets(&address),
            IpAddr::V4(address) => [[0; 12].as_slice(), &address.octets()].concat().try_into().unwrap(),
        };
        let mut entries = Vec::new();
        for (&(address, weight), server) in servers.iter().zip(0..) {
            entries.extend((0..weight).map(|replica| (replica, bytes(address), weight, server)));
        }
        entries.sort_unstable();
        let permutation = |(replica, bytes, _, server): (u8, [u8; 16], u8, u32)| {
            let [high, low] = [&bytes[..8], &bytes[8..]].map(|half| u64::from_ne_bytes(half.try_into().unwrap()));
            let hash = xxh64(&(high ^ low ^ u64::from(replica)).to_le_bytes(), HASH_SEED);
            (server, (hash >> 32) as u32, hash as u32 | 1)
        };
        let mut permutations: Vec<_> = entries.into_iter().map(permutation).collect();
        let mut table = vec![NO_SERVER; length as usize];
        let mut free = table.len();
        while free > 0 && !permutations.is_empty() {
            for (server, last, skip) in permutations.iter_mut().take(free) {
                while table[(*last & (length - 1)) as usize] != NO_SERVER {
                    *last = last.wrapping_add(*skip);
                }
                table[(*last & (length - 1)) as usize] = *server;
                free -= 1;
            }
        }
        table
    }

    proptest! {
        #[test]
        fn table_is_that_of_all_entries(
            servers in prop::collection::btree_map(any::<IpAddr>(), 0u8..=100, 0..12),
            exponent in 0u32..=11,
        ) {
            let servers: Vec<_> = servers.into_iter().collect();
            prop_assert_eq!(fill(1 << exponent, &servers), fill_with_all_entries(1 << exponent, &servers));
        }

        #[test]
        fn table_is_full_and_independent_of_server_order(
            weights in prop::collection::btree_map(any::<u32>(), 0u8..=100, 1..12),
            v6 in any::<bool>(),
            exponent in 0u32..=11,
            rotation in any::<prop::sample::Index>(),
        ) {
            let address = |bits: u32| -> IpAddr {
                if v6 { std::net::Ipv6Addr::from_bits(u128::from(bits) << 64 | 1).into() }
                else { std::net::Ipv4Addr::from_bits(bits).into() }
            };
            let servers: Vec<_> = weights.iter().map(|(&bits, &weight)| (address(bits), weight)).collect();
            let mut rotated = servers.clone();
            rotated.rotate_left(rotation.index(servers.len()));
            let named = |servers: &[(IpAddr, u8)]| -> Vec<Option<IpAddr>> {
                fill(1 << exponent, servers).into_iter().map(|at| servers.get(at as usize).map(|s| s.0)).collect()
            };
            prop_assert_eq!(named(&servers), named(&rotated));
            let taken: u32 = shares(1 << exponent, &servers).into_iter().sum();
            let has_weight = servers.iter().any(|&(_, weight)| weight > 0);
            prop_assert_eq!(taken, if has_weight { 1 << exponent } else { 0 });
        }
    }
}
