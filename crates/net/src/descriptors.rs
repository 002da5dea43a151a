//! The limit of file descriptors of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of descriptors to `needed`, as far as the hard limit allows. Never lowers it. Returns the soft
/// limit.
pub fn raise_limit(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let limit = soft.max(needed.min(hard));
    let raised = limit > soft && setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).is_ok();
    if raised { limit } else { soft }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_never_lowered() {
        let before = raise_limit(0);
        assert!(before > 0);
        assert_eq!(raise_limit(1), before);
    }
}
