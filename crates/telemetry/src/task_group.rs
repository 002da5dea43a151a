//! The top-level tasks of a program. They run until a signal arrives or one of them ends by itself. Used by the binaries.

use std::{error::Error, io, thread, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// The time that tasks have to end after the shutdown signal.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The error of a failed task.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// The end of a program without a signal.
#[derive(Debug, thiserror::Error)]
pub enum TaskGroupError {
    #[error("cannot install a signal handler")]
    Signals(#[source] io::Error),
    #[error("a task failed")]
    Failed(#[source] TaskError),
    #[error("a task ended without an error and without a shutdown signal")]
    Ended,
}

/// Tasks that end together.
#[derive(Debug)]
pub struct TaskGroup {
    running: JoinSet<Result<(), TaskError>>,
    shutdown: CancellationToken,
    terminate: Signal,
    interrupt: Signal,
}

impl TaskGroup {
    /// An empty group. Signals that arrive from now on are not lost.
    ///
    /// # Errors
    /// A signal handler cannot be installed.
    pub fn new() -> Result<Self, TaskGroupError> {
        let listen = |kind| signal(kind).map_err(TaskGroupError::Signals);
        Ok(Self {
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The token that ends every task.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            task.await;
            Ok(())
        });
    }

    pub fn spawn_fallible<E>(&mut self, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<TaskError> + 'static,
    {
        self.running.spawn(async move { task.await.map_err(Into::into) });
    }

    /// Adds a thread as a task. `name` is part of the error if the thread panics.
    pub fn spawn_thread(&mut self, name: &'static str, thread: thread::JoinHandle<()>) {
        self.running.spawn_blocking(move || thread.join().map_err(|_| format!("{name} panicked").into()));
    }

    /// Runs until a signal arrives or a task ends by itself, then ends all tasks. Logs `<program>-stop`.
    ///
    /// # Errors
    /// A task ended without a signal. Kubernetes then restarts the program, instead of it running without the task.
    pub async fn run(mut self, program: &str) -> Result<(), TaskGroupError> {
        let result = tokio::select! {
            _ = self.terminate.recv() => Ok("SIGTERM"),
            _ = self.interrupt.recv() => Ok("SIGINT"),
            ended = self.running.join_next() => Err(match ended {
                Some(Ok(Err(error))) => TaskGroupError::Failed(error),
                Some(Err(panicked)) => TaskGroupError::Failed(panicked.into()),
                Some(Ok(Ok(()))) | None => TaskGroupError::Ended,
            }),
        };
        tracing::info!(signal = result.as_ref().unwrap_or(&"none"), "{program}-stop");
        self.shutdown.cancel();
        if timeout(SHUTDOWN_TIMEOUT, async { while self.running.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(tasks = self.running.len(), "{program}-stop-incomplete");
        }
        result.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_shuts_down_the_group_with_its_error() {
        let (ended_tx, ended_rx) = tokio::sync::oneshot::channel();
        let mut tasks = TaskGroup::new().expect("signal handlers can be installed");
        let shutdown = tasks.shutdown();
        tasks.spawn(async move {
            shutdown.cancelled().await;
            ended_tx.send(()).expect("the test still receives");
        });
        tasks.spawn_fallible(async { Err("no more paper") });
        let result = tasks.run("test").await;
        assert!(
            matches!(&result, Err(TaskGroupError::Failed(error)) if error.to_string() == "no more paper"),
            "{result:?}"
        );
        ended_rx.await.expect("the other task was shut down");

        let mut tasks = TaskGroup::new().expect("signal handlers can be installed");
        tasks.spawn(async {});
        assert!(matches!(tasks.run("test").await, Err(TaskGroupError::Ended)));
    }
}
