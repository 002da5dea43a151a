//! Errors at start.

use std::path::PathBuf;

use super::options::AdminOptions;

/// An error at start. Later errors are logged, and reported to the browser.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A metric is already registered, or its name is invalid.
    #[error("cannot register the dashboard's metrics")]
    Metric(#[source] prometheus::Error),
    /// A file for signing in is unreadable.
    #[error("cannot read {}", path.display())]
    AdminFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The username or password is empty.
    #[error("{} is empty", path.display())]
    AdminEmpty { path: PathBuf },
    /// The secret that encrypts cookies is too short.
    #[error("{} has {length} bytes, but at least {} are required", path.display(), AdminOptions::KEY_BYTES)]
    AdminKey { path: PathBuf, length: usize },
}

impl Error {
    /// A fixed PascalCase word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Metric(_) => "MetricRejected",
            Self::AdminFile { .. } => "AdminFileUnreadable",
            Self::AdminEmpty { .. } => "AdminFileEmpty",
            Self::AdminKey { .. } => "AdminKeyTooShort",
        }
    }
}
