//! Whose turn it is: the addresses that an event touched, and those with a plan under way.
//!
//! At most one plan of an address is under way. WorkQueue go round in the order of the addresses, so that
//! one that is touched again and again keeps no other waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
};

#[derive(Debug, Default)]
pub struct WorkQueue {
    waiting: BTreeSet<IpAddr>,
    /// The last that had its turn in this round.
    last: Option<IpAddr>,
    in_flight: BTreeMap<IpAddr, InFlight>,
    /// Steps of all plans under way.
    steps: usize,
}

#[derive(Debug)]
struct InFlight {
    steps: usize,
    /// It was touched meanwhile, so it waits for a turn when the plan is answered.
    touched: bool,
}

impl WorkQueue {
    /// Something happened to `address`.
    pub fn enqueue(&mut self, address: IpAddr) {
        match self.in_flight.get_mut(&address) {
            Some(in_flight) => in_flight.touched = true,
            None => {
                self.waiting.insert(address);
            }
        }
    }

    /// The next that was touched: numerically, IPv4 first, each once before any has its second turn.
    pub fn next(&mut self) -> Option<IpAddr> {
        let later = self.last.and_then(|last| self.waiting.range((Bound::Excluded(last), Bound::Unbounded)).next());
        let next = later.or_else(|| self.waiting.first()).copied()?;
        self.waiting.remove(&next);
        self.last = (!self.waiting.is_empty()).then_some(next);
        Some(next)
    }

    /// Whether an address that was touched waits for its turn.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A plan of so many steps is under way for `address`.
    pub fn begin(&mut self, address: IpAddr, steps: usize) {
        self.steps += steps;
        self.in_flight.insert(address, InFlight { steps, touched: false });
    }

    /// The plan for `address` was answered.
    pub fn end(&mut self, address: IpAddr) {
        if let Some(InFlight { steps, touched }) = self.in_flight.remove(&address) {
            self.steps -= steps;
            if touched {
                self.waiting.insert(address);
            }
        }
    }

    /// Whether a plan for `address` is under way.
    pub fn is_in_flight(&self, address: IpAddr) -> bool {
        self.in_flight.contains_key(&address)
    }

    /// Steps under way.
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
    fn turns_go_round_in_order_so_that_nobody_waits_for_who_is_touched_again_and_again() {
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
        assert_eq!(queue.next(), Some(address(2)), "after a rest it begins anew");
    }

    #[test]
    fn an_address_that_is_touched_while_its_plan_is_under_way_has_its_turn_afterwards() {
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
