//! How often an address may try to sign in.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Tries in a window.
const TRIES: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. Above, nobody new may try until some are forgotten: at most a window.
const ADDRESSES: usize = 10_000;

/// The tries of the last window.
#[derive(Debug, Default)]
pub struct Tries(Mutex<HashMap<IpAddr, VecDeque<Instant>>>);

impl Tries {
    /// Counts a try; `Err` is how many seconds to wait until another counts. One that is refused is not counted.
    pub fn count(&self, address: IpAddr) -> Result<(), u64> {
        self.count_at(address, Instant::now())
    }

    fn count_at(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if !tries.contains_key(&address) && tries.len() >= ADDRESSES {
            tries.retain(|_, times| times.back().is_some_and(|last| now.duration_since(*last) < WINDOW));
            if tries.len() >= ADDRESSES {
                return Err(WINDOW.as_secs());
            }
        }
        let times = tries.entry(address).or_default();
        while times.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            times.pop_front();
        }
        if let Some(first) = times.front().filter(|_| times.len() >= TRIES) {
            return Err((WINDOW - now.duration_since(*first)).as_secs() + 1);
        }
        times.push_back(now);
        Ok(())
    }
}

/// An IPv6 host has a /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_a_minute_and_then_one_for_each_that_is_a_minute_old() {
        let (tries, address, start) = (Tries::default(), IpAddr::from([192, 0, 2, 1]), Instant::now());
        for second in 0..5 {
            assert_eq!(tries.count_at(address, start + Duration::from_secs(second)), Ok(()));
        }
        assert_eq!(tries.count_at(address, start + Duration::from_secs(10)), Err(51));
        assert_eq!(tries.count_at([192, 0, 2, 2].into(), start + Duration::from_secs(10)), Ok(()), "another one");
        assert_eq!(tries.count_at(address, start + Duration::from_secs(60)), Ok(()));
        assert_eq!(tries.count_at(address, start + Duration::from_secs(60)), Err(2));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_is_forgotten() {
        let (tries, start) = (Tries::default(), Instant::now());
        for number in 0..10_000_u32 {
            assert_eq!(tries.count_at(std::net::Ipv4Addr::from(number).into(), start), Ok(()));
        }
        let new = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(tries.count_at(new, start), Err(60));
        assert_eq!(tries.count_at(new, start + WINDOW), Ok(()));
        assert_eq!(tries.0.lock().expect("nothing panicked").len(), 1);
    }
}
