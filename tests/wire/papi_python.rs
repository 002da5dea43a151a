//! The Python interpreter that has `vpp-papi`, for the tests and the benchmark that use it.
//!
//! `MAGLEV_PAPI_PYTHON` names one that has `tests/wire/papi/requirements.txt` installed; without it, a
//! virtual environment is made once in `target/papi`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{process::Command, time::timeout};

const INSTALLATION: Duration = Duration::from_secs(300);

/// Runs a program to its end and returns whether it succeeded, and all it printed.
pub(crate) async fn run(program: &Path, arguments: &[&Path], limit: Duration) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(limit, command.output()).await;
    let output = ended.with_context(|| format!("{} runs longer than {limit:?}", program.display()))?;
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// The interpreter; the first call may install the client.
pub(crate) async fn interpreter() -> anyhow::Result<PathBuf> {
    if let Some(python) = std::env::var_os("MAGLEV_PAPI_PYTHON") {
        return Ok(python.into());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("the directory is in the target directory")?;
    let environment = target.join("papi");
    let python = environment.join("bin/python");
    let has_client = [Path::new("-c"), Path::new("import vpp_papi")];
    if python.exists() && run(&python, &has_client, INSTALLATION).await?.0 {
        return Ok(python);
    }
    let make = [Path::new("-m"), Path::new("venv"), Path::new("--clear"), &environment];
    let (made, text) = run(Path::new("python3"), &make, INSTALLATION).await?;
    ensure!(made, "no virtual environment: {text}");
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/papi/requirements.txt");
    let install = ["-m", "pip", "install", "--quiet", "--requirement"].map(Path::new);
    let (installed, text) = run(&python, &[&install[..], &[&requirements]].concat(), INSTALLATION).await?;
    ensure!(installed, "vpp-papi cannot be installed: {text}");
    Ok(python)
}
