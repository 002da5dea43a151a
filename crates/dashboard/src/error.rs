//! Errors at start.

use std::path::PathBuf;

use super::options::SignInOptions;

/// An error at start. Later errors are logged, and reported to the browser.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A metric is already registered, or its name is invalid.
    #[error("cannot register the dashboard's metrics")]
    Metric(#[source] prometheus::Error),
    /// A file for signing in is unreadable.
    #[error("cannot read {}", path.display())]
    SignInFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The username or password is empty.
    #[error("{} is empty", path.display())]
    SignInEmpty { path: PathBuf },
    /// The secret that encrypts cookies is too short.
    #[error("{} has {length} bytes, but at least {} are required", path.display(), SignInOptions::KEY_BYTES)]
    SignInKey { path: PathBuf, length: usize },
}

impl Error {
    /// A fixed PascalCase word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Metric(_) => "MetricRejected",
            Self::SignInFile { .. } => "SignInFileUnreadable",
            Self::SignInEmpty { .. } => "SignInFileEmpty",
            Self::SignInKey { .. } => "SignInKeyTooShort",
        }
    }
}
