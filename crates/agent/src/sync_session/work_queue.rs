//! The queue of addresses to plan, and the addresses with a plan in flight.
//!
//! At most one plan per address is in flight. The queue is served round-robin in the order of the addresses, so an
//! address that changes all the time does not starve another.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
};

#[derive(Debug, Default)]
pub struct WorkQueue {
    waiting: BTreeSet<IpAddr>,
    /// The last address served in this round.
    last: Option<IpAddr>,
    in_flight: BTreeMap<IpAddr, InFlight>,
    /// Steps of all plans in flight.
    steps: usize,
    /// True while no plan is admitted.
    is_full: bool,
}

#[derive(Debug)]
struct InFlight {
    steps: usize,
    /// The address was queued meanwhile; it waits until the plan has finished.
    touched: bool,
}

impl WorkQueue {
    /// Queues `address` for planning.
    pub fn enqueue(&mut self, address: IpAddr) {
        match self.in_flight.get_mut(&address) {
            Some(in_flight) => in_flight.touched = true,
            None => {
                self.waiting.insert(address);
            }
        }
    }

    /// The next address: in numerical order, IPv4 first, each once per round.
    pub fn next(&mut self) -> Option<IpAddr> {
        let later = self.last.and_then(|last| self.waiting.range((Bound::Excluded(last), Bound::Unbounded)).next());
        let next = later.or_else(|| self.waiting.first()).copied()?;
        self.waiting.remove(&next);
        self.last = (!self.waiting.is_empty()).then_some(next);
        Some(next)
    }

    /// True while an address is queued.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// True if `address` is queued.
    pub fn is_waiting(&self, address: IpAddr) -> bool {
        self.waiting.contains(&address)
    }

    /// Records a plan of `steps` steps in flight for `address`.
    pub fn begin(&mut self, address: IpAddr, steps: usize) {
        self.steps += steps;
        self.in_flight.insert(address, InFlight { steps, touched: false });
    }

    /// Records the end of the plan for `address`.
    pub fn end(&mut self, address: IpAddr) {
        if let Some(InFlight { steps, touched }) = self.in_flight.remove(&address) {
            self.steps -= steps;
            if touched {
                self.waiting.insert(address);
            }
        }
    }

    /// True while a plan for `address` is in flight.
    pub fn is_in_flight(&self, address: IpAddr) -> bool {
        self.in_flight.contains_key(&address)
    }

    /// True if another plan may start. False from `limit` steps in flight on, until half of them are left: plans that start
    /// together share their costs.
    pub fn admits(&mut self, limit: usize) -> bool {
        self.is_full = self.steps >= if self.is_full { limit / 2 } else { limit };
        !self.is_full
    }

    /// Number of steps in flight.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn queue_is_round_robin_so_a_busy_address_does_not_starve_others() {
        let mut queue = WorkQueue::default();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        for touched in [v6, address(10), address(9)] {
            queue.enqueue(touched);
        }
        assert_eq!(queue.next(), Some(address(9)));
        queue.enqueue(address(9));
        queue.enqueue(address(1));
        assert_eq!(queue.next(), Some(address(10)));
        assert_eq!(queue.next(), Some(v6));
        assert_eq!(queue.next(), Some(address(1)), "the next round");
        assert_eq!(queue.next(), Some(address(9)));
        assert_eq!(queue.next(), None);
        queue.enqueue(address(10));
        queue.enqueue(address(2));
        assert_eq!(queue.next(), Some(address(2)), "after the queue was empty, a new round begins");
    }

    #[test]
    fn plans_start_again_when_half_of_the_steps_are_done() {
        let mut queue = WorkQueue::default();
        let mut admitted = Vec::new();
        for last in 1..=4 {
            admitted.push(queue.admits(100));
            queue.begin(address(last), 30);
        }
        for last in 1..=4 {
            admitted.push(queue.admits(100));
            queue.end(address(last));
        }
        admitted.push(queue.admits(100));
        assert_eq!(admitted, [true, true, true, true, false, false, false, true, true]);
    }

    #[test]
    fn address_queued_during_its_plan_is_served_afterwards() {
        let mut queue = WorkQueue::default();
        queue.begin(address(1), 17);
        queue.begin(address(2), 3);
        queue.enqueue(address(1));
        assert_eq!((queue.next(), queue.steps()), (None, 20));
        assert!(queue.is_in_flight(address(1)));
        queue.end(address(1));
        queue.end(address(2));
        assert_eq!((queue.next(), queue.next(), queue.steps()), (Some(address(1)), None, 0));
        assert!(!queue.is_in_flight(address(1)));
    }
}
