//! The parts of a program: they run side by side until a signal comes, or until one of them ends by itself. Called by
//! the binaries.

use std::{error::Error, io, thread, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long the parts have to end once they are asked to.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Why a part failed.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Why a program ends that nobody asked to.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// The process cannot listen to signals.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// A part says why it cannot go on.
    #[error("a part failed")]
    Failed(#[source] Failure),
    /// A part ended without saying why.
    #[error("a part ended by itself")]
    Ended,
}

/// The parts of a program.
#[derive(Debug)]
pub struct Parts {
    running: JoinSet<Result<(), Failure>>,
    shutdown: CancellationToken,
    terminate: Signal,
    interrupt: Signal,
}

impl Parts {
    /// No parts yet. From here on a signal is not lost.
    ///
    /// # Errors
    /// If the process cannot listen to signals.
    pub fn new() -> Result<Self, PartsError> {
        let listen = |kind| signal(kind).map_err(PartsError::Signals);
        Ok(Self {
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// What asks every part to end.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Runs a part.
    pub fn spawn(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            part.await;
            Ok(())
        });
    }

    /// Runs a part that may fail.
    pub fn spawn_fallible<E>(&mut self, part: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<Failure> + 'static,
    {
        self.running.spawn(async move { part.await.map_err(Into::into) });
    }

    /// Has a thread for a part; `what` it is, for the case that it panics.
    pub fn spawn_thread(&mut self, what: &'static str, thread: thread::JoinHandle<()>) {
        self.running.spawn_blocking(move || thread.join().map_err(|_| format!("{what} panicked").into()));
    }

    /// Runs until a signal, or until a part ends by itself; then all are asked to end. Tells so as `program`-stop.
    ///
    /// # Errors
    /// If it was not a signal. Kubernetes starts the program anew: better than to go on with a part missing.
    pub async fn run(mut self, program: &str) -> Result<(), PartsError> {
        let result = tokio::select! {
            _ = self.terminate.recv() => Ok("SIGTERM"),
            _ = self.interrupt.recv() => Ok("SIGINT"),
            ended = self.running.join_next() => Err(match ended {
                Some(Ok(Err(failure))) => PartsError::Failed(failure),
                Some(Err(panicked)) => PartsError::Failed(panicked.into()),
                Some(Ok(Ok(()))) | None => PartsError::Ended,
            }),
        };
        tracing::info!(signal = result.as_ref().unwrap_or(&"none"), "{program}-stop");
        self.shutdown.cancel();
        if timeout(END_LIMIT, async { while self.running.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(parts = self.running.len(), "{program}-stop-incomplete");
        }
        result.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_ends_the_others_and_says_why() {
        let (told, heard) = tokio::sync::oneshot::channel();
        let mut parts = Parts::new().expect("signals can be listened to");
        let shutdown = parts.shutdown();
        parts.spawn(async move {
            shutdown.cancelled().await;
            told.send(()).expect("somebody listens");
        });
        parts.spawn_fallible(async { Err("no more paper") });
        let ended = parts.run("test").await;
        assert!(matches!(&ended, Err(PartsError::Failed(why)) if why.to_string() == "no more paper"), "{ended:?}");
        heard.await.expect("the other part was asked to end");

        let mut parts = Parts::new().expect("signals can be listened to");
        parts.spawn(async {});
        assert!(matches!(parts.run("test").await, Err(PartsError::Ended)));
    }
}
