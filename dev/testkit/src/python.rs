//! Python interpreters with third-party clients, for tests and a benchmark.
//!
//! An environment variable can select an interpreter with the packages; otherwise a virtual environment is created once in
//! `target/`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use crate::{checkout, target_directory};
use anyhow::{Context as _, ensure};
use tokio::{process::Command, sync::Mutex, time::timeout};

/// Held while an environment is created, so that concurrent tests create it once.
static CREATION: Mutex<()> = Mutex::const_new(());
const INSTALLATION: Duration = Duration::from_secs(300);

/// The packages that an interpreter must have.
pub struct Packages {
    /// Environment variable that selects an interpreter.
    pub variable: &'static str,
    /// Name of the virtual environment in `target/`.
    pub environment: &'static str,
    /// Statement that succeeds if the packages are installed.
    pub import: &'static str,
    /// Path of the requirements file for pip, relative to the checkout.
    pub requirements: &'static str,
}

/// `vpp-papi`, the client of the VPP project.
pub const PAPI: Packages = Packages {
    variable: "MAGLEV_PAPI_PYTHON",
    environment: "papi",
    import: "import vpp_papi",
    requirements: "tests/wire/papi/requirements.txt",
};

/// gRPC, with reflection.
pub const GRPC: Packages = Packages {
    variable: "MAGLEV_GRPC_PYTHON",
    environment: "grpc",
    import: "import grpc_reflection.v1alpha",
    requirements: "tests/wire/rpc/requirements.txt",
};

/// Runs a program. Returns its success and output.
pub async fn run(program: &Path, arguments: &[&Path], limit: Duration) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(limit, command.output()).await;
    let output = ended.with_context(|| format!("{} did not exit within {limit:?}", program.display()))?;
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// The path of an interpreter with `packages`, which the first call may install.
pub async fn interpreter(packages: &Packages) -> anyhow::Result<PathBuf> {
    if let Some(python) = std::env::var_os(packages.variable) {
        return Ok(python.into());
    }
    let _guard = CREATION.lock().await;
    let environment = target_directory().join(packages.environment);
    let python = environment.join("bin/python");
    let check = [Path::new("-c"), Path::new(packages.import)];
    if python.exists() && run(&python, &check, INSTALLATION).await?.0 {
        return Ok(python);
    }
    let create = [Path::new("-m"), Path::new("venv"), Path::new("--clear"), &environment];
    let (created, text) = run(Path::new("python3"), &create, INSTALLATION).await?;
    ensure!(created, "cannot create a virtual environment: {text}");
    let requirements = checkout().join(packages.requirements);
    let install = ["-m", "pip", "install", "--quiet", "--requirement"].map(Path::new);
    let (installed, text) = run(&python, &[&install[..], &[&requirements]].concat(), INSTALLATION).await?;
    ensure!(installed, "cannot install {}: {text}", packages.requirements);
    Ok(python)
}
