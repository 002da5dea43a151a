//! The hang of a VPP. The tasks that wait for its end go on in the order in which they began to wait, so that a simulation
//! repeats exactly; a watch channel of tokio wakes its receivers in a random order.

use std::pin::pin;

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

#[derive(Debug, Default)]
pub struct Hang {
    until: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Hang {
    /// Begins a hang, or replaces the end of the current one; `None` ends it.
    pub fn set(&self, until: Option<Instant>) {
        *self.until.lock() = until;
        self.changed.notify_waiters();
    }

    /// Waits for the end of the hang.
    pub async fn ended(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let until = *self.until.lock();
            let Some(until) = until.filter(|until| *until > Instant::now()) else { return };
            tokio::select! {
                biased;
                () = sleep_until(until) => {}
                () = changed => {}
            }
        }
    }
}
