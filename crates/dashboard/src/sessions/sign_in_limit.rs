//! The limit of sign-in attempts per client address.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use maglev_net::{KeyedRateLimit, peer_network};

/// Attempts at once, then one per period: five a minute in the long run.
const BURST: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
const PERIOD: Duration = Duration::from_secs(12);
/// Largest number of tracked addresses. While it is reached, attempts from further addresses are refused: for half a
/// minute at most after a flood of attempts.
const MAX_ADDRESSES: usize = 10_000;

/// Sign-in attempts by client address.
pub struct SignInLimit(KeyedRateLimit<IpAddr>);

impl Default for SignInLimit {
    fn default() -> Self {
        Self(KeyedRateLimit::new(BURST, PERIOD, MAX_ADDRESSES))
    }
}

impl SignInLimit {
    /// Counts an attempt from `address`.
    ///
    /// # Errors
    /// The seconds until the next attempt may be allowed. A refused attempt is not counted.
    pub fn count(&self, address: IpAddr) -> Result<(), u64> {
        self.0.allow(&peer_network(address)).map_err(|wait| wait.as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_attempts_are_allowed_at_once_and_then_one_every_twelve_seconds() {
        let (limit, address) = (SignInLimit::default(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..5 {
            assert_eq!(limit.count(address), Ok(()));
        }
        advance(Duration::from_millis(1500)).await;
        assert_eq!(limit.count(address), Err(11));
        assert_eq!(limit.count([192, 0, 2, 2].into()), Ok(()), "another address");
        advance(Duration::from_millis(10_500)).await;
        assert_eq!(limit.count(address), Ok(()));
        assert_eq!(limit.count(address), Err(13));
    }

    #[tokio::test(start_paused = true)]
    async fn remembered_addresses_are_bounded_and_expire() {
        let (limit, address) = (SignInLimit::default(), IpAddr::from([192, 0, 2, 1]));
        for number in 0..10_000_u32 {
            assert_eq!(limit.count(std::net::Ipv4Addr::from(number).into()), Ok(()));
        }
        assert_eq!(limit.count(address), Err(13));
        advance(Duration::from_secs(30)).await;
        assert_eq!(limit.count(address), Ok(()));
    }
}
