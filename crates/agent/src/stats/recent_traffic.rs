//! The traffic to each backend address between the last two scheduled readings. Pure.
//!
//! Readings after a dump are not counted, because the time since the previous reading may be too short for a rate.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use maglev_model::counters::RouteCounters;

/// The totals of each address.
type Totals = BTreeMap<IpAddr, RouteCounters>;

/// The traffic between the last two scheduled readings.
#[derive(Debug, Default)]
pub struct RecentTraffic {
    /// The last scheduled reading.
    last: Option<(Instant, Totals)>,
    interval: Duration,
    increases: Totals,
}

impl RecentTraffic {
    /// Replaces the traffic with that since the previous call.
    pub fn update(&mut self, at: Instant, totals: &Totals) {
        if let Some((before, last)) = self.last.replace((at, totals.clone())) {
            self.interval = at.saturating_duration_since(before);
            let increase = |(address, total): (&IpAddr, &RouteCounters)| {
                let last = last.get(address)?;
                let packets = total.packets.saturating_sub(last.packets);
                Some((*address, RouteCounters { packets, bytes: total.bytes.saturating_sub(last.bytes) }))
            };
            self.increases = totals.iter().filter_map(increase).collect();
        }
    }

    /// The time between the readings; zero before the second one.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The traffic to `address`; zero if the earlier reading does not have the address.
    pub fn increase(&self, address: IpAddr) -> RouteCounters {
        self.increases.get(&address).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(packets: [u64; 2]) -> Totals {
        let total = |packets| RouteCounters { packets, bytes: packets * 100 };
        (1u8..).zip(packets).map(|(last, packets)| ([192, 0, 2, last].into(), total(packets))).collect()
    }

    #[test]
    fn traffic_is_the_increase_between_two_readings() {
        let (mut recent, start, address) = (RecentTraffic::default(), Instant::now(), [192, 0, 2, 1].into());
        recent.update(start, &totals([700, 0]));
        assert_eq!((recent.interval(), recent.increase(address)), (Duration::ZERO, RouteCounters::default()));
        recent.update(start + Duration::from_secs(5), &totals([720, 3]));
        assert_eq!(recent.interval(), Duration::from_secs(5));
        assert_eq!(recent.increase(address), RouteCounters { packets: 20, bytes: 2000 });
    }

    #[test]
    fn new_address_has_no_traffic_until_the_next_reading() {
        let (mut recent, start, address) = (RecentTraffic::default(), Instant::now(), [192, 0, 2, 2].into());
        recent.update(start, &[([192, 0, 2, 1].into(), RouteCounters::default())].into());
        recent.update(start + Duration::from_secs(5), &totals([0, 9000]));
        assert_eq!(recent.increase(address), RouteCounters::default());
        recent.update(start + Duration::from_secs(7), &totals([0, 9008]));
        assert_eq!(recent.increase(address), RouteCounters { packets: 8, bytes: 800 });
        assert_eq!(recent.interval(), Duration::from_secs(2));
    }
}
