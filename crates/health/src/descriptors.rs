//! Limits the number of probes in flight by the process's limit of file descriptors.

use maglev_net::descriptors;

/// The maximum number of probes in flight, however many descriptors are allowed: each may hold some 20 KiB.
const MAX_PROBES: u64 = 8192;

/// Descriptors left to the rest of the process: connections of clients (`ConnectionLimits`), VPP, the API server, files.
const RESERVE: std::ops::RangeInclusive<u64> = 256..=1024;

/// Raises the soft limit of descriptors towards the hard limit, as far as probes need it. Returns the maximum number of
/// probes in flight.
pub fn raise_limit() -> usize {
    probes(descriptors::raise_limit(MAX_PROBES + RESERVE.end()))
}

/// The number of probes for which `limit` descriptors are enough.
fn probes(limit: u64) -> usize {
    let reserve = (limit / 4).clamp(*RESERVE.start(), *RESERVE.end());
    // Of a limit below the reserve, a quarter is for probes: the rest of the process needs descriptors, too.
    let probes = limit.saturating_sub(reserve).max(limit / 4).clamp(1, MAX_PROBES);
    usize::try_from(probes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_leave_descriptors_to_the_process_and_have_a_maximum() {
        let table = [(0, 1), (1, 1), (64, 16), (256, 64), (1024, 768), (4096, 3072), (20_000, 8192), (u64::MAX, 8192)];
        for (limit, expected) in table {
            assert_eq!(probes(limit), expected, "{limit} descriptors");
        }
    }
}
