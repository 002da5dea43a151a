//! Limits the numbers of probes in flight and of kept connections by the process's limit of file descriptors.

use maglev_net::descriptors;

/// The maximum number of probes in flight, however many descriptors are allowed: each may hold some 20 KiB.
const MAX_PROBES: u64 = 8192;

/// The maximum number of connections kept for later probes, however many descriptors are allowed.
const MAX_KEPT: u64 = 16_384;

/// Descriptors left to the rest of the process: connections of clients (`ConnectionLimits`), VPP, the API server, files.
const RESERVE: std::ops::RangeInclusive<u64> = 256..=1024;

/// The maximum numbers of probes in flight and of kept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeLimits {
    pub(crate) in_flight: usize,
    pub(crate) kept: usize,
}

/// Raises the soft limit of descriptors towards the hard limit, as far as probes need it.
pub fn raise_limit() -> ProbeLimits {
    limits(descriptors::raise_limit(MAX_PROBES + RESERVE.end() + MAX_KEPT))
}

/// The numbers for which `limit` descriptors are enough. Probes in flight come first: a connection that is not kept costs
/// time, a probe that cannot be sent has no result.
fn limits(limit: u64) -> ProbeLimits {
    let reserve = (limit / 4).clamp(*RESERVE.start(), *RESERVE.end());
    let available = limit.saturating_sub(reserve);
    // Of a limit below the reserve, a quarter is for probes: the rest of the process needs descriptors, too.
    let probes = available.max(limit / 4).clamp(1, MAX_PROBES);
    let kept = available.saturating_sub(probes).min(MAX_KEPT);
    let number = |value| usize::try_from(value).unwrap_or(usize::MAX);
    ProbeLimits { in_flight: number(probes), kept: number(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_leave_descriptors_to_the_process_and_have_a_maximum() {
        let table = [
            (0, 1, 0),
            (1, 1, 0),
            (64, 16, 0),
            (256, 64, 0),
            (1024, 768, 0),
            (4096, 3072, 0),
            (20_000, 8192, 10_784),
            (u64::MAX, 8192, 16_384),
        ];
        for (limit, in_flight, kept) in table {
            assert_eq!(limits(limit), ProbeLimits { in_flight, kept }, "{limit} descriptors");
        }
    }
}
