//! The programs of this workspace, for tests that start them.
//!
//! Cargo gives `CARGO_BIN_EXE_*` only to tests in the package of a binary. The tests are packages of their own, so the
//! programs are built here, once per test process: a stale program would test outdated code. If nothing changed,
//! the build only checks timestamps.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use crate::paths::{checkout, profile_directory};

static BINARIES: LazyLock<PathBuf> = LazyLock::new(build);

/// The path of a program of this workspace, up to date and built with the profile of the running test.
///
/// # Panics
/// The workspace does not build, or has no such program.
pub fn binary(name: &str) -> PathBuf {
    let path = BINARIES.join(name);
    assert!(path.is_file(), "{} does not exist: no package of this workspace has a binary {name}", path.display());
    path
}

fn build() -> PathBuf {
    let directory = profile_directory();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = profile(&directory);
    let mut command = Command::new(cargo);
    command.current_dir(checkout()).args([
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--bins",
        "--profile",
        &profile,
    ]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_test_package)) {
        command.env_remove(name);
    }
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "the programs of this workspace do not build ({status})");
    directory
}

/// True for a variable that Cargo sets for the package of the running test. The build script of `ring` depends on some of
/// them: with another package's values, `ring` and everything that uses it would be built again.
fn is_of_test_package(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The profile's name: that of its directory, except for `dev`, which is built into `debug`, and `bench`, which is built
/// into `release`. Cargo passes `--bench` to benchmarks.
fn profile(directory: &Path) -> String {
    let name = directory.file_name().expect("a profile's directory has a name").to_string_lossy();
    match &*name {
        "debug" => "dev".to_owned(),
        "release" if std::env::args().any(|argument| argument == "--bench") => "bench".to_owned(),
        _ => name.into_owned(),
    }
}
