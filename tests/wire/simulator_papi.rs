//! The simulated VPP against `vpp-papi`, VPP's own Python client: nothing of ours is on the other side.
//!
//! `MAGLEV_PAPI_PYTHON` names an interpreter that has `tests/wire/papi/requirements.txt` installed;
//! without it, a virtual environment is made once in `target/papi`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use maglev::sandbox::vpp_simulator::{Simulator, SimulatorOptions};
use tokio::{process::Command, time::timeout};

const INSTALLATION: Duration = Duration::from_secs(300);
const REPLAY: Duration = Duration::from_secs(120);

/// Runs a program to its end and returns whether it succeeded, and all it printed.
async fn run(program: &Path, arguments: &[&Path], limit: Duration) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(limit, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{} runs longer than {limit:?}", program.display()));
    let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

async fn interpreter() -> PathBuf {
    if let Some(python) = std::env::var_os("MAGLEV_PAPI_PYTHON") {
        return python.into();
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the directory is in the target directory");
    let environment = target.join("papi");
    let python = environment.join("bin/python");
    let has_client = [Path::new("-c"), Path::new("import vpp_papi")];
    if python.exists() && run(&python, &has_client, INSTALLATION).await.0 {
        return python;
    }
    let make = [Path::new("-m"), Path::new("venv"), Path::new("--clear"), &environment];
    let (made, text) = run(Path::new("python3"), &make, INSTALLATION).await;
    assert!(made, "no virtual environment: {text}");
    let requirements = papi_directory().join("requirements.txt");
    let install = ["-m", "pip", "install", "--quiet", "--requirement"].map(Path::new);
    let (installed, text) = run(&python, &[&install[..], &[&requirements]].concat(), INSTALLATION).await;
    assert!(installed, "vpp-papi cannot be installed: {text}");
    python
}

fn papi_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/papi")
}

#[tokio::test]
async fn an_independent_client_gets_the_answers_it_got_from_a_real_vpp() {
    let python = interpreter().await;
    let directory = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(directory.path().join("api.sock"))).await.unwrap();
    let data = papi_directory().with_file_name("data");
    let (script, api, recording) = (papi_directory().join("replay.py"), data.join("api"), data.join("lb-26.10.json"));
    let (same, text) = run(&python, &[&script, simulator.api_socket(), &api, &recording], REPLAY).await;
    assert!(same && text.contains("65 calls, 0 differ"), "{text}");
}
