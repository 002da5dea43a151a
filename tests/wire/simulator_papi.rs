//! The simulated VPP against `vpp-papi`, VPP's own Python client, which shares no code with this project.

use std::{path::PathBuf, time::Duration};

use maglev_vpp_simulator::{Release, Simulator, SimulatorOptions};

use maglev_testkit::python::{PAPI, interpreter, run};

pub const REPLAY: Duration = Duration::from_secs(120);

pub fn papi_directory() -> PathBuf {
    maglev_testkit::checkout().join("tests/wire/papi")
}

#[tokio::test]
async fn independent_client_gets_the_replies_of_a_real_vpp() {
    let python = interpreter(&PAPI).await.unwrap();
    let data = papi_directory().with_file_name("data");
    let (script, api) = (papi_directory().join("replay.py"), data.join("api"));
    for (release, recording, summary) in [
        (Release::V26_10, "lb-26.10.json", "65 calls, 0 differ"),
        (Release::V26_06, "lb-26.06.json", "35 calls, 0 differ"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let options = SimulatorOptions { release, ..SimulatorOptions::new(directory.path().join("api.sock")) };
        let simulator = Simulator::start(options).await.unwrap();
        let arguments = [&script, simulator.api_socket(), &api, &data.join(recording)];
        let (same, text) = run(&python, &arguments, REPLAY).await.unwrap();
        assert!(same && text.contains(summary), "{text}");
    }
}
