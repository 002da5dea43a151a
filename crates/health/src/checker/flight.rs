//! The probes under way: what a loop keeps of its own, and the queue that all of them are in.
//!
//! The queue is what there is to do, in the order in which it became possible. Who begins new probes
//! waits until the queue has come to the last ones begun: so where there is more to do than this thread
//! has time for, probes begin late, but none that has begun is kept waiting behind all the others.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, LocalBoxFuture},
    stream::FuturesUnordered,
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Outcome, lag::Mark};
use maglev_model::name::Name;

/// A probe under way. Dropping it drops the probe.
pub struct Flight {
    abort: AbortHandle,
    pub(crate) mark: Mark,
    pub(crate) started: Instant,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// A probe that ended.
pub struct Landing {
    pub(crate) name: Name,
    pub(crate) elapsed: Duration,
    pub(crate) outcome: Outcome,
}

/// What the queue came to.
pub enum Landed {
    /// A probe ended.
    Probe(Landing),
    /// A probe was dropped before.
    Dropped,
    /// The pulse, which was due at this time.
    Pulse(Instant),
}

/// All probes under way.
#[derive(Default)]
pub struct Flights {
    queue: FuturesUnordered<InQueue>,
    probes: usize,
    has_pulse: bool,
    begun: u64,
    /// How many of the probes begun the queue has come to.
    reached: Rc<Cell<u64>>,
}

impl Flights {
    /// How many probes are under way. One that was dropped counts until the queue comes to it.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// Whether the queue has come to all probes begun, so that more may begin.
    pub fn has_room(&self) -> bool {
        self.reached.get() == self.begun
    }

    /// Begins the probe of `name`.
    pub fn begin(
        &mut self,
        name: Name,
        probe: LocalBoxFuture<'static, Outcome>,
        started: Instant,
        mark: Mark,
    ) -> Flight {
        let (abort, registration) = AbortHandle::new_pair();
        let probe = Abortable::new(probe, registration);
        self.begun += 1;
        self.probes += 1;
        let reached = (Rc::clone(&self.reached), self.begun);
        self.queue.push(InQueue::Probe(Probing { name, started, probe, reached }));
        Flight { abort, mark, started }
    }

    /// Has the queue come to a pulse at `wanted`, or as late as it does, unless there is one already.
    pub fn pulse(&mut self, wanted: Instant) {
        if !self.has_pulse {
            self.has_pulse = true;
            self.queue.push(InQueue::Pulse(Box::pin(sleep_until(wanted)), wanted));
        }
    }

    /// What the queue comes to next; for ever without anything in it.
    pub async fn next(&mut self) -> Landed {
        let Some(landed) = self.queue.next().await else { return std::future::pending().await };
        match landed {
            Landed::Pulse(_) => self.has_pulse = false,
            Landed::Probe(_) | Landed::Dropped => self.probes -= 1,
        }
        landed
    }
}

enum InQueue {
    Probe(Probing),
    Pulse(Pin<Box<Sleep>>, Instant),
}

struct Probing {
    name: Name,
    started: Instant,
    probe: Abortable<LocalBoxFuture<'static, Outcome>>,
    /// Where it is noted that the queue came to it, and its number.
    reached: (Rc<Cell<u64>>, u64),
}

impl Future for InQueue {
    type Output = Landed;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landed> {
        match &mut *self {
            Self::Pulse(sleep, wanted) => sleep.poll_unpin(context).map(|()| Landed::Pulse(*wanted)),
            Self::Probe(Probing { name, started, probe, reached: (reached, number) }) => {
                reached.set(reached.get().max(*number));
                probe.poll_unpin(context).map(|ended| match ended {
                    Ok(outcome) => Landed::Probe(Landing { name: name.clone(), elapsed: started.elapsed(), outcome }),
                    Err(_) => Landed::Dropped,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::Lag;

    #[tokio::test]
    async fn new_ones_have_room_once_the_queue_has_come_to_the_last() {
        let mut flights = Flights::default();
        let now = Instant::now();
        let begin = |flights: &mut Flights| {
            flights.begin(Name::cluster("web"), std::future::pending().boxed_local(), now, Lag::default().mark(now))
        };
        assert!(flights.has_room());
        let held: Vec<_> = (0..100).map(|_| begin(&mut flights)).collect();
        assert!(!flights.has_room());
        while !flights.has_room() {
            assert!(flights.next().now_or_never().is_none(), "none of them ends");
        }
        drop(held);
        for left in (0..100).rev() {
            assert!(matches!(flights.next().await, Landed::Dropped));
            assert_eq!(flights.probes(), left);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_comes_at_its_time_and_there_is_one_at_a_time() {
        let mut flights = Flights::default();
        let wanted = Instant::now() + Duration::from_millis(50);
        flights.pulse(wanted);
        flights.pulse(wanted + Duration::from_secs(1));
        assert!(matches!(flights.next().await, Landed::Pulse(at) if at == wanted));
        assert!(flights.next().now_or_never().is_none());
        assert_eq!(flights.probes(), 0);
    }
}
