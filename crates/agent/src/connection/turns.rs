//! Whose turn it is: the addresses that an event touched, and those with a plan under way.
//!
//! At most one plan of an address is under way. Turns go round in the order of the addresses, so that
//! one that is touched again and again keeps no other waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
};

#[derive(Debug, Default)]
pub struct Turns {
    waiting: BTreeSet<IpAddr>,
    /// The last that had its turn in this round.
    last: Option<IpAddr>,
    busy: BTreeMap<IpAddr, Busy>,
    /// Steps of all plans under way.
    steps: usize,
}

#[derive(Debug)]
struct Busy {
    steps: usize,
    /// It was touched meanwhile, so it waits for a turn when the plan is answered.
    touched: bool,
}

impl Turns {
    /// Something happened to `address`.
    pub fn touch(&mut self, address: IpAddr) {
        match self.busy.get_mut(&address) {
            Some(busy) => busy.touched = true,
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
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A plan of so many steps is under way for `address`.
    pub fn begin(&mut self, address: IpAddr, steps: usize) {
        self.steps += steps;
        self.busy.insert(address, Busy { steps, touched: false });
    }

    /// The plan for `address` was answered.
    pub fn end(&mut self, address: IpAddr) {
        if let Some(Busy { steps, touched }) = self.busy.remove(&address) {
            self.steps -= steps;
            if touched {
                self.waiting.insert(address);
            }
        }
    }

    /// Whether a plan for `address` is under way.
    pub fn is_busy(&self, address: IpAddr) -> bool {
        self.busy.contains_key(&address)
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
        let mut turns = Turns::default();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        for touched in [v6, address(10), address(9)] {
            turns.touch(touched);
        }
        assert_eq!(turns.next(), Some(address(9)));
        turns.touch(address(9));
        turns.touch(address(1));
        assert_eq!(turns.next(), Some(address(10)));
        assert_eq!(turns.next(), Some(v6));
        assert_eq!(turns.next(), Some(address(1)), "the next round");
        assert_eq!(turns.next(), Some(address(9)));
        assert_eq!(turns.next(), None);
        turns.touch(address(10));
        turns.touch(address(2));
        assert_eq!(turns.next(), Some(address(2)), "after a rest it begins anew");
    }

    #[test]
    fn an_address_that_is_touched_while_its_plan_is_under_way_has_its_turn_afterwards() {
        let mut turns = Turns::default();
        turns.begin(address(1), 17);
        turns.begin(address(2), 3);
        turns.touch(address(1));
        assert_eq!((turns.next(), turns.steps()), (None, 20));
        assert!(turns.is_busy(address(1)));
        turns.end(address(1));
        turns.end(address(2));
        assert_eq!((turns.next(), turns.next(), turns.steps()), (Some(address(1)), None, 0));
        assert!(!turns.is_busy(address(1)));
    }
}
