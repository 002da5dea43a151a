//! How many probes this process has descriptors for.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// No more probes are under way at once, whatever the limit: each may hold some 20 KiB.
const MOST: u64 = 8192;

/// Left to all the rest of the process.
const RESERVE: u64 = 256;

/// Raises the soft limit of descriptors to the hard one, as far as probes need it, and says how many
/// probes may be under way at once.
pub fn allowance() -> usize {
    let wanted = MOST + RESERVE;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return probes(RESERVE) };
    let limit = soft.max(wanted.min(hard));
    let raised = limit > soft && setrlimit(Resource::RLIMIT_NOFILE, limit, hard).is_ok();
    probes(if raised { limit } else { soft })
}

/// The probes that `limit` descriptors are enough for.
fn probes(limit: u64) -> usize {
    // Of a small limit the rest of the process needs a share all the same.
    let probes = limit.saturating_sub(RESERVE).max(limit / 4).clamp(1, MOST);
    usize::try_from(probes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_leave_descriptors_to_the_rest_and_are_never_too_many() {
        let table = [(0, 1), (1, 1), (64, 16), (256, 64), (1024, 768), (20_000, 8192), (u64::MAX, 8192)];
        for (limit, expected) in table {
            assert_eq!(probes(limit), expected, "{limit} descriptors");
        }
    }
}
