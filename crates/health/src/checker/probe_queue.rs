//! The queue of all probes in flight, and the handle that a backend's loop keeps of its probe.
//!
//! Futures are polled in the order in which they were woken. New probes are started only after the queue has polled the
//! last probe started before. Under overload probes therefore start late, but a probe that has started is never starved.

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

use crate::{Probed, starvation::Sample};
use maglev_model::name::Name;

/// Handle of a probe in flight. Dropping the handle aborts the probe.
pub struct InFlightProbe {
    abort: AbortHandle,
    pub(crate) sample: Sample,
    pub(crate) started: Instant,
}

impl Drop for InFlightProbe {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

pub struct FinishedProbe {
    pub(crate) name: Name,
    pub(crate) elapsed: Duration,
    pub(crate) probed: Probed,
}

pub enum QueueEvent {
    Finished(FinishedProbe),
    /// The queue polled a probe of this backend that had been aborted.
    Aborted(Name),
    /// The tick that was due at this time.
    Tick(Instant),
}

#[derive(Default)]
pub struct ProbeQueue {
    queue: FuturesUnordered<QueuedFuture>,
    has_tick: bool,
    /// The number of probes started so far.
    started: u64,
    /// The highest number of a probe that was polled.
    polled: Rc<Cell<u64>>,
}

impl ProbeQueue {
    /// True while probes are in flight. An aborted probe counts until the queue polls it.
    pub fn has_probes(&self) -> bool {
        self.queue.len() > usize::from(self.has_tick)
    }

    /// True once the queue has polled all probes started, so that more may start.
    pub fn is_drained(&self) -> bool {
        self.polled.get() == self.started
    }

    pub fn start(
        &mut self,
        name: Name,
        probe: LocalBoxFuture<'static, Probed>,
        started: Instant,
        sample: Sample,
    ) -> InFlightProbe {
        let (abort, registration) = AbortHandle::new_pair();
        let probe = Abortable::new(probe, registration);
        self.started += 1;
        let (polled, number) = (Rc::clone(&self.polled), self.started);
        self.queue.push(QueuedFuture::Probe(QueuedProbe { name, started, probe, polled, number }));
        InFlightProbe { abort, sample, started }
    }

    /// Queues a tick due at `due`, unless one is queued already. The tick is delayed as much as the queue is.
    pub fn schedule_tick(&mut self, due: Instant) {
        if !self.has_tick {
            self.has_tick = true;
            self.queue.push(QueuedFuture::Tick(Box::pin(sleep_until(due)), due));
        }
    }

    /// The next event. Never returns while the queue is empty.
    pub async fn next(&mut self) -> QueueEvent {
        let Some(event) = self.queue.next().await else { return std::future::pending().await };
        if let QueueEvent::Tick(_) = event {
            self.has_tick = false;
        }
        event
    }
}

enum QueuedFuture {
    Probe(QueuedProbe),
    Tick(Pin<Box<Sleep>>, Instant),
}

struct QueuedProbe {
    name: Name,
    started: Instant,
    probe: Abortable<LocalBoxFuture<'static, Probed>>,
    /// Shared with the queue: the highest number of a probe that was polled.
    polled: Rc<Cell<u64>>,
    number: u64,
}

impl Future for QueuedFuture {
    type Output = QueueEvent;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<QueueEvent> {
        match &mut *self {
            Self::Tick(sleep, due) => sleep.poll_unpin(context).map(|()| QueueEvent::Tick(*due)),
            Self::Probe(QueuedProbe { name, started, probe, polled, number }) => {
                polled.set(polled.get().max(*number));
                probe.poll_unpin(context).map(|result| match result {
                    Ok(probed) => {
                        QueueEvent::Finished(FinishedProbe { name: name.clone(), elapsed: started.elapsed(), probed })
                    }
                    Err(_) => QueueEvent::Aborted(name.clone()),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starvation::StarvationMonitor;

    #[tokio::test]
    async fn the_queue_is_drained_once_it_has_polled_the_last_probe() {
        let mut queue = ProbeQueue::default();
        let now = Instant::now();
        let start = |queue: &mut ProbeQueue| {
            let sample = StarvationMonitor::default().sample(now);
            queue.start(Name::cluster("web"), std::future::pending().boxed_local(), now, sample)
        };
        assert!(queue.is_drained());
        let probes: Vec<_> = (0..100).map(|_| start(&mut queue)).collect();
        assert!(!queue.is_drained());
        while !queue.is_drained() {
            assert!(queue.next().now_or_never().is_none(), "no probe finishes");
        }
        drop(probes);
        for left in (0..100).rev() {
            assert!(matches!(queue.next().await, QueueEvent::Aborted(_)));
            assert_eq!(queue.has_probes(), left > 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_fires_when_due_and_only_one_is_queued() {
        let mut queue = ProbeQueue::default();
        let due = Instant::now() + Duration::from_millis(50);
        queue.schedule_tick(due);
        queue.schedule_tick(due + Duration::from_secs(1));
        assert!(matches!(queue.next().await, QueueEvent::Tick(at) if at == due));
        assert!(queue.next().now_or_never().is_none());
        assert!(!queue.has_probes());
    }
}
