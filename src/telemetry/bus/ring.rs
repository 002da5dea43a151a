//! The last state events, for who comes back.

use std::{collections::VecDeque, sync::Arc};

use super::Stamped;

/// State events that are kept.
const LIMIT: usize = 16_384;

/// The last state events, without a gap.
#[derive(Debug, Default)]
pub(super) struct Ring(VecDeque<Arc<Stamped>>);

impl Ring {
    /// Takes the next event; those of the probe lane are not kept.
    pub(super) fn push(&mut self, stamped: &Arc<Stamped>) {
        if stamped.seq.is_some() {
            if self.0.len() == LIMIT {
                self.0.pop_front();
            }
            self.0.push_back(Arc::clone(stamped));
        }
    }

    /// Every event after number `seq`, `last` being the number of the newest one; `None` where some are not there any
    /// more, or `seq` has not been given out yet.
    pub(super) fn since(&self, seq: u64, last: u64) -> Option<Vec<Arc<Stamped>>> {
        let wanted = usize::try_from(last.checked_sub(seq)?).ok()?;
        let skipped = self.0.len().checked_sub(wanted)?;
        Some(self.0.iter().skip(skipped).cloned().collect())
    }
}
