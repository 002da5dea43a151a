//! The last state events, for who comes back.

use std::{collections::VecDeque, sync::Arc};

use super::Stamped;

/// The last state events, without a gap.
#[derive(Debug)]
pub struct Ring {
    events: VecDeque<Arc<Stamped>>,
    limit: usize,
}

impl Ring {
    /// A ring of at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit }
    }

    /// Takes the next event; those of the probe lane are not kept.
    pub fn push(&mut self, stamped: &Arc<Stamped>) {
        if stamped.seq.is_some() {
            if self.events.len() == self.limit {
                self.events.pop_front();
            }
            self.events.push_back(Arc::clone(stamped));
        }
    }

    /// Every event after number `seq`, `last` being the number of the newest one; `None` where some are not there any
    /// more, or `seq` has not been given out yet.
    pub fn since(&self, seq: u64, last: u64) -> Option<Vec<Arc<Stamped>>> {
        let wanted = usize::try_from(last.checked_sub(seq)?).ok()?;
        let skipped = self.events.len().checked_sub(wanted)?;
        Some(self.events.iter().skip(skipped).cloned().collect())
    }
}
