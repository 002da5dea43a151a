//! Directories of the checkout that tests read from or write to.

use std::path::{Path, PathBuf};

/// The root of the checkout: the directory of the workspace's `Cargo.toml`.
pub fn checkout() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("testkit is two directories below the root")
}

/// Cargo's target directory, derived from the running test or benchmark (`target/PROFILE/deps/NAME`).
pub fn target_directory() -> PathBuf {
    profile_directory().parent().expect("a profile's directory is in the target directory").to_owned()
}

/// The directory of the profile that the running test or benchmark was built with, for example `target/debug`.
pub fn profile_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the path of the running program is readable");
    program.ancestors().nth(2).expect("a test runs from target/PROFILE/deps").to_owned()
}
