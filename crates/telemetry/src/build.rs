//! What runs: the same for all programs of this package.

use std::sync::LazyLock;

/// The version of this package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this was built from; whoever builds a release sets `MAGLEV_COMMIT` for the compiler.
pub const COMMIT: &str = match option_env!("MAGLEV_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// When it was built; whoever builds a release sets `MAGLEV_BUILD_DATE`.
pub const BUILD_DATE: &str = match option_env!("MAGLEV_BUILD_DATE") {
    Some(date) => date,
    None => "unknown",
};

/// What `--version` prints after the program's name.
pub static LONG_VERSION: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT})"));
