//! The progress of one probe: the code that a timeout has in the current step, and an optional trace of all steps.

use std::{cell::Cell, fmt};

use maglev_model::health::ProbeCode;

/// Receives each step of a probe as one line of text, at the time of the step. Lines never contain the value of a
/// header.
pub type ProbeTrace = dyn Fn(String);

pub struct ProbeProgress<'a> {
    timeout_code: Cell<ProbeCode>,
    is_busy: Cell<bool>,
    trace: Option<&'a ProbeTrace>,
}

impl<'a> ProbeProgress<'a> {
    /// Starts with the code of a connection timeout.
    pub fn new(trace: Option<&'a ProbeTrace>) -> Self {
        Self { timeout_code: Cell::new(ProbeCode::L4Timeout), is_busy: Cell::new(false), trace }
    }

    /// Begins a step in which a timeout has `code`.
    pub fn enter(&self, code: ProbeCode) {
        self.timeout_code.set(code);
    }

    pub fn timeout_code(&self) -> ProbeCode {
        self.timeout_code.get()
    }

    /// Awaits `work` of this process, during which the backend owes nothing: a timeout is not its failure.
    pub async fn while_busy<T>(&self, work: impl Future<Output = T>) -> T {
        self.is_busy.set(true);
        let result = work.await;
        self.is_busy.set(false);
        result
    }

    /// True while the probe waits for work of this process.
    pub fn is_busy(&self) -> bool {
        self.is_busy.get()
    }

    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Adds a line to the trace, if there is one; `line` is built only then.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace(line());
        }
    }
}

impl fmt::Debug for ProbeProgress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeProgress").field("timeout_code", &self.timeout_code).finish_non_exhaustive()
    }
}
