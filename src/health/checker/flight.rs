//! A probe under way: what the loop keeps of it, and the future that it is.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use tokio::time::Instant;

use crate::{
    health::{Outcome, lag::Mark},
    model::name::Name,
};

/// A probe under way. Dropping it drops the probe.
pub(super) struct Flight {
    abort: AbortHandle,
    pub(super) mark: Mark,
    pub(super) started: Instant,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// The probe itself; it comes to nothing where it was dropped.
pub(super) struct Probing {
    name: Name,
    started: Instant,
    probe: Abortable<LocalBoxFuture<'static, Outcome>>,
}

/// A probe that ended, unless it was dropped before.
pub(super) struct Landing {
    pub(super) name: Name,
    pub(super) elapsed: Duration,
    pub(super) outcome: Outcome,
}

/// Begins the probe of `name`.
pub(super) fn begin(
    name: Name,
    probe: LocalBoxFuture<'static, Outcome>,
    started: Instant,
    mark: Mark,
) -> (Probing, Flight) {
    let (abort, registration) = AbortHandle::new_pair();
    let probe = Abortable::new(probe, registration);
    (Probing { name, started, probe }, Flight { abort, mark, started })
}

impl Future for Probing {
    type Output = Option<Landing>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.probe).poll(context).map(|ended| {
            let outcome = ended.ok()?;
            Some(Landing { name: self.name.clone(), elapsed: self.started.elapsed(), outcome })
        })
    }
}
