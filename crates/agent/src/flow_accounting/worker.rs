//! The thread that computes effects on flows.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_queue::ArrayQueue;

use super::{Computed, ExecutedPlan, Publication};

/// The thread starts when no plan has been executed for this time: the effects of a burst are computed after it.
const QUIET: Duration = Duration::from_millis(50);
/// The longest time that a plan waits for that.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Time that the thread rests after each computation, as a multiple of its CPU time: many changes at once must not
/// slow down the next transition, also where cores share their units.
const REST: u32 = 3;

/// A computation and its result.
pub struct Job {
    plan: ExecutedPlan,
    stats: Publication,
    submitted: Instant,
    computed: OnceLock<Computed>,
}

impl Job {
    pub fn new(plan: ExecutedPlan, stats: Publication) -> Self {
        Self { plan, stats, submitted: Instant::now(), computed: OnceLock::new() }
    }

    /// True if the computation takes no time.
    pub fn is_trivial(&self) -> bool {
        self.plan.adds_only()
    }

    pub fn compute(&self) {
        self.computed.get_or_init(|| Computed::new(&self.plan, self.stats.as_deref()));
    }

    /// The result; `None` until it is computed.
    pub fn computed(&self) -> Option<&Computed> {
        self.computed.get()
    }
}

/// State of the thread and of the agent's task.
struct Shared {
    jobs: ArrayQueue<Arc<Job>>,
    start: Instant,
    /// The time of the last job, in nanoseconds since `start`.
    last_job: AtomicU64,
    is_stopped: AtomicBool,
}

/// The thread. It ends when this is dropped.
pub struct Worker {
    shared: Arc<Shared>,
    thread: thread::Thread,
}

impl Worker {
    /// Starts the thread, for up to `waiting` jobs.
    ///
    /// # Errors
    /// The operating system refused the thread.
    pub fn start(waiting: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: ArrayQueue::new(waiting),
            start: Instant::now(),
            last_job: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        });
        let run = {
            let shared = Arc::clone(&shared);
            move || shared.run()
        };
        let thread = thread::Builder::new().name("flows".to_owned()).spawn(run)?.thread().clone();
        Ok(Self { shared, thread })
    }

    /// Has the job computed. Returns false if too many are waiting.
    pub fn submit(&self, job: &Arc<Job>) -> bool {
        let last_job = job.submitted.duration_since(self.shared.start).as_nanos();
        self.shared.last_job.store(u64::try_from(last_job).unwrap_or(u64::MAX), Ordering::Relaxed);
        let is_queued = self.shared.jobs.push(Arc::clone(job)).is_ok();
        self.thread.unpark();
        is_queued
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "the thread runs nothing else")]
    fn run(&self) {
        maglev_net::run_thread_when_idle();
        while !self.is_stopped.load(Ordering::Relaxed) {
            let Some(job) = self.jobs.pop() else {
                thread::park();
                continue;
            };
            while let Some(rest) = self.rest_of_burst(&job) {
                thread::sleep(rest);
            }
            let start = maglev_net::thread_cpu_time();
            job.compute();
            // What the agent's task has published by now is freed by it.
            drop(job);
            thread::sleep(maglev_net::thread_cpu_time().saturating_sub(start) * REST);
        }
    }

    /// The time after which to look again if a burst has ended; `None` once `job` may be computed.
    fn rest_of_burst(&self, job: &Job) -> Option<Duration> {
        let last_job = self.start + Duration::from_nanos(self.last_job.load(Ordering::Relaxed));
        let at = (last_job + QUIET).min(job.submitted + LONGEST_WAIT);
        at.checked_duration_since(Instant::now())
            .filter(|rest| !rest.is_zero() && !self.is_stopped.load(Ordering::Relaxed))
    }
}
