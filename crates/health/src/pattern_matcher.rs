//! Matches `expectedBody` on threads of its own, so that an expensive expression never delays the probe loop.
//!
//! ```text
//!  probe ──body──▶ lane of its namespace ─┐
//!  probe ──body──▶ lane of its namespace ─┴▶ round robin ▶ thread, thread ──found──▶ probe
//! ```
//!
//! At most one match of a namespace runs at a time, and the lanes take turns: expensive expressions of a namespace delay
//! only its own probes. A lane holds at most one match for each probe in flight.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::Arc,
    thread,
};

use maglev_model::body_pattern::BodyPattern;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// The number of threads: while one namespace keeps a thread busy, another thread is left for all others.
const THREADS: usize = 2;

/// Niceness of the threads, from 0 (normal priority) to 19 (lowest): the probe loop goes first.
const NICENESS: i32 = 5;

/// The threads, started with the first match and ended with the last clone.
#[derive(Clone, Default)]
pub struct MatchThreads(Arc<Owner>);

#[derive(Default)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lanes.lock().is_closed = true;
        self.0.submitted.notify_all();
    }
}

#[derive(Default)]
struct Shared {
    lanes: Mutex<Lanes>,
    submitted: Condvar,
}

#[derive(Default)]
struct Lanes {
    /// The waiting matches of each namespace of which one waits or runs.
    waiting: HashMap<Arc<str>, VecDeque<Match>>,
    /// The namespaces of which matches wait and none runs.
    ready: VecDeque<Arc<str>>,
    threads: usize,
    is_closed: bool,
}

/// One body to match.
struct Match {
    pattern: BodyPattern,
    body: Vec<u8>,
    has_ended: bool,
    found_tx: oneshot::Sender<bool>,
}

impl Match {
    fn run(self) {
        // Not matched for a probe that has ended meanwhile.
        if !self.found_tx.is_closed()
            && let Ok(pattern) = self.pattern.compiled()
        {
            let _ = self.found_tx.send(pattern.matches(&self.body, self.has_ended));
        }
    }
}

impl MatchThreads {
    /// The matcher of `pattern` for probes of `namespace`.
    pub fn matcher(&self, namespace: &str, pattern: BodyPattern) -> PatternMatcher {
        PatternMatcher { threads: self.clone(), namespace: namespace.into(), pattern }
    }
}

impl fmt::Debug for MatchThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatchThreads").finish_non_exhaustive()
    }
}

/// Matches one expression for probes of one namespace.
#[derive(Debug)]
pub struct PatternMatcher {
    threads: MatchThreads,
    namespace: Arc<str>,
    pattern: BodyPattern,
}

impl PatternMatcher {
    /// Matches `body` on one of the threads, see
    /// [`CompiledPattern::matches`](maglev_model::body_pattern::CompiledPattern::matches). Dropping the future gives up a
    /// match that waits.
    ///
    /// # Errors
    /// Human-readable message if no thread can be started.
    pub async fn matches(&self, body: &[u8], has_ended: bool) -> Result<bool, String> {
        let (found_tx, found_rx) = oneshot::channel();
        let body = body.to_vec();
        let submitted = Match { pattern: self.pattern.clone(), body, has_ended, found_tx };
        self.threads
            .0
            .0
            .submit(&self.namespace, submitted)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        found_rx.await.map_err(|_| "the thread has ended".to_owned())
    }
}

impl Shared {
    fn submit(self: &Arc<Self>, namespace: &Arc<str>, submitted: Match) -> io::Result<()> {
        let mut lanes = self.lanes.lock();
        while lanes.threads < THREADS {
            let shared = Arc::clone(self);
            thread::Builder::new().name("match".into()).spawn(move || {
                maglev_net::lower_thread_priority(NICENESS);
                shared.run();
            })?;
            lanes.threads += 1;
        }
        if let Some(waiting) = lanes.waiting.get_mut(namespace) {
            waiting.push_back(submitted);
        } else {
            lanes.waiting.insert(Arc::clone(namespace), VecDeque::from([submitted]));
            lanes.ready.push_back(Arc::clone(namespace));
            self.submitted.notify_one();
        }
        Ok(())
    }

    fn run(&self) {
        let mut lanes = self.lanes.lock();
        while !lanes.is_closed {
            let Some(namespace) = lanes.ready.pop_front() else {
                self.submitted.wait(&mut lanes);
                continue;
            };
            let next = lanes.waiting.get_mut(&namespace).and_then(VecDeque::pop_front);
            drop(lanes);
            if let Some(next) = next {
                next.run();
            }
            lanes = self.lanes.lock();
            if lanes.waiting.get(&namespace).is_none_or(VecDeque::is_empty) {
                lanes.waiting.remove(&namespace);
            } else {
                lanes.ready.push_back(namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn expensive() -> BodyPattern {
        BodyPattern::new(&format!("{}c", ".*a".repeat(80)))
    }

    #[tokio::test]
    async fn expensive_patterns_of_a_namespace_delay_only_its_own_probes() {
        let threads = MatchThreads::default();
        let (slow, quick) = (threads.matcher("bad", expensive()), threads.matcher("shop", BodyPattern::new("ok")));
        let body = vec![b'a'; BodyPattern::BODY_LIMIT];
        let mut flood = Box::pin(join_all((0..2000).map(|_| slow.matches(&body, true))));
        assert!(futures::poll!(&mut flood).is_pending());
        for _ in 0..3 {
            assert_eq!(timeout(LIMIT, quick.matches(b"is ok", true)).await.expect("it ends"), Ok(true));
            assert!(futures::poll!(&mut flood).is_pending(), "the other namespace does not wait for the flood");
        }
    }

    #[tokio::test]
    async fn matches_given_up_are_skipped() {
        let threads = MatchThreads::default();
        let slow = threads.matcher("bad", expensive());
        let body = vec![b'a'; BodyPattern::BODY_LIMIT];
        let mut flood = Box::pin(join_all((0..5000).map(|_| slow.matches(&body, true))));
        assert!(futures::poll!(&mut flood).is_pending());
        drop(flood);
        assert_eq!(timeout(LIMIT, slow.matches(b"c", true)).await.expect("it ends"), Ok(false));
        let shared = Arc::clone(&threads.0.0);
        drop((threads, slow));
        assert!(shared.lanes.lock().is_closed, "the threads end with the last matcher");
    }
}
