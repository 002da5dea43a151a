//! Threads whose work may wait.

use std::time::Duration;

/// The lowest priority of normal threads.
const LOWEST: i32 = 19;

/// Lowers the priority of the calling thread to `niceness`, from 0 (normal priority) to 19 (lowest). Ignored if the
/// operating system refuses.
pub fn lower_thread_priority(niceness: i32) {
    // Linux applies niceness to the calling thread only.
    let _ = rustix::process::setpriority_process(None, niceness);
}

/// Runs the calling thread only while no other thread of the machine needs the core: with the policy `SCHED_IDLE`, or with the
/// lowest niceness if the operating system refuses. Such a thread must hold no lock that other threads wait for.
pub fn run_thread_when_idle() {
    use thread_priority::{
        NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy::Normal, set_thread_priority_and_policy,
        thread_native_id,
    };
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, Normal(Idle)).is_err() {
        lower_thread_priority(LOWEST);
    }
}

/// The CPU time of the calling thread since its start.
pub fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}
