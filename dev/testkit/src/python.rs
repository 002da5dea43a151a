//! Python interpreters with clients that nobody here wrote, for the tests and the benchmark that use them.
//!
//! An environment variable may name an interpreter that has what is needed; without it, a virtual environment is made
//! once in `target/`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use crate::{checkout, target_directory};
use anyhow::{Context as _, ensure};
use tokio::{process::Command, sync::Mutex, time::timeout};

/// One test at a time makes an environment; the others find it.
static MAKING: Mutex<()> = Mutex::const_new(());
const INSTALLATION: Duration = Duration::from_secs(300);

/// What an interpreter needs to have.
pub struct Packages {
    /// The environment variable that may name one that has it.
    pub variable: &'static str,
    /// The virtual environment's name in `target/`.
    pub environment: &'static str,
    /// The statement that succeeds where it is there.
    pub import: &'static str,
    /// The list for pip, from the root of the checkout.
    pub requirements: &'static str,
}

/// `vpp-papi`, VPP's own client.
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

/// Runs a program to its end and returns whether it succeeded, and all it printed.
pub async fn run(program: &Path, arguments: &[&Path], limit: Duration) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(limit, command.output()).await;
    let output = ended.with_context(|| format!("{} runs longer than {limit:?}", program.display()))?;
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// An interpreter that has `packages`; the first call may install them.
pub async fn interpreter(packages: &Packages) -> anyhow::Result<PathBuf> {
    if let Some(python) = std::env::var_os(packages.variable) {
        return Ok(python.into());
    }
    let _making = MAKING.lock().await;
    let environment = target_directory().join(packages.environment);
    let python = environment.join("bin/python");
    let has_them = [Path::new("-c"), Path::new(packages.import)];
    if python.exists() && run(&python, &has_them, INSTALLATION).await?.0 {
        return Ok(python);
    }
    let make = [Path::new("-m"), Path::new("venv"), Path::new("--clear"), &environment];
    let (made, text) = run(Path::new("python3"), &make, INSTALLATION).await?;
    ensure!(made, "no virtual environment: {text}");
    let requirements = checkout().join(packages.requirements);
    let install = ["-m", "pip", "install", "--quiet", "--requirement"].map(Path::new);
    let (installed, text) = run(&python, &[&install[..], &[&requirements]].concat(), INSTALLATION).await?;
    ensure!(installed, "{} cannot be installed: {text}", packages.requirements);
    Ok(python)
}
