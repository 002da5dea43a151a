//! The priority of threads whose work may wait.

/// Lowers the priority of the calling thread to `niceness`, from 0 (normal priority) to 19 (lowest). Ignored if the
/// operating system refuses.
pub fn lower_thread_priority(niceness: i32) {
    // Linux applies niceness to the calling thread only.
    let _ = rustix::process::setpriority_process(None, niceness);
}
