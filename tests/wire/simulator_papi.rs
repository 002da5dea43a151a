//! The simulated VPP against `vpp-papi`, VPP's own Python client: nothing of ours is on the other side.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use maglev::sandbox::vpp_simulator::{Simulator, SimulatorOptions};

use crate::papi_python::{interpreter, run};

pub(crate) const REPLAY: Duration = Duration::from_secs(120);

pub(crate) fn papi_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/papi")
}

#[tokio::test]
async fn an_independent_client_gets_the_answers_it_got_from_a_real_vpp() {
    let python = interpreter().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(directory.path().join("api.sock"))).await.unwrap();
    let data = papi_directory().with_file_name("data");
    let (script, api, recording) = (papi_directory().join("replay.py"), data.join("api"), data.join("lb-26.10.json"));
    let (same, text) = run(&python, &[&script, simulator.api_socket(), &api, &recording], REPLAY).await.unwrap();
    assert!(same && text.contains("65 calls, 0 differ"), "{text}");
}
