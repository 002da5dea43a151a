//! Version, commit and build date of the programs, for `--version`, the metric `maglev_build_info`, gRPC and the page.
//!
//! Only the programs depend on this crate and pass the values on, so that a new commit recompiles nothing else.

use std::sync::LazyLock;

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit: the environment variable `MAGLEV_COMMIT` at build time, else the checkout's `HEAD`, else `unknown`.
pub const COMMIT: &str = first(option_env!("MAGLEV_COMMIT"), option_env!("VERGEN_GIT_SHA"));

/// The date in RFC 3339: `MAGLEV_BUILD_DATE` at build time, else the date of the checkout's commit, else `unknown`.
pub const BUILD_DATE: &str = first(option_env!("MAGLEV_BUILD_DATE"), option_env!("VERGEN_GIT_COMMIT_TIMESTAMP"));

/// The text that `--version` prints after the program's name.
pub static LONG_VERSION: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT})"));

const fn first(variable: Option<&'static str>, git: Option<&'static str>) -> &'static str {
    match (variable, git) {
        (Some(value), _) | (None, Some(value)) => value,
        (None, None) => "unknown",
    }
}
