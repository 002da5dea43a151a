//! How far one probe is: which code it has if its time is up now, and, for who wants to watch it, each
//! step in words.

use std::{cell::Cell, fmt};

use maglev_model::health::ProbeCode;

/// Takes each step of a probe as a sentence, when it happens. Never the value of a header.
pub type Narrator = dyn Fn(String);

/// How far one probe is.
pub struct Progress<'a> {
    timeout_code: Cell<ProbeCode>,
    narrator: Option<&'a Narrator>,
}

impl<'a> Progress<'a> {
    /// A probe that is about to begin.
    pub fn new(narrator: Option<&'a Narrator>) -> Self {
        Self { timeout_code: Cell::new(ProbeCode::L4Timeout), narrator }
    }

    /// The probe goes on with what times out as `code`.
    pub fn enter(&self, code: ProbeCode) {
        self.timeout_code.set(code);
    }

    /// The code if the time is up now.
    pub fn timeout_code(&self) -> ProbeCode {
        self.timeout_code.get()
    }

    /// Whether anybody listens.
    pub fn is_told(&self) -> bool {
        self.narrator.is_some()
    }

    /// Tells of a step, if anybody listens; `what` is made only then.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(narrator) = self.narrator {
            narrator(what());
        }
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("timeout_code", &self.timeout_code).finish_non_exhaustive()
    }
}
