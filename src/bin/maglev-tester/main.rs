//! `maglev-tester`: tests VIPs from a client's place. Flags, signals, and the exit status.

mod flags;

use std::{io::ErrorKind, process::ExitCode};

use clap::Parser as _;
use maglev_net::error_chain;
use maglev_tester::TesterError;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use flags::{Flags, eprint};

/// Exit status of a test with a VIP that did not pass.
const NOT_PASSED: u8 = 1;
/// Exit status without a test, as clap's for wrong flags.
const USAGE: u8 = 2;

fn main() -> anyhow::Result<ExitCode> {
    let options = match Flags::parse().options() {
        Ok(options) => options,
        Err(error) => {
            eprint(&error_chain(error.as_ref()));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut signals =
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        let on_signal = shutdown.clone();
        tokio::spawn(async move {
            let [interrupt, terminate, hangup] = &mut signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            on_signal.cancel();
        });
        maglev_tester::run(options, shutdown).await
    });
    // Without a wait for the lookup of a name.
    runtime.shutdown_background();
    Ok(match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_PASSED),
        // The reader closed the pipe early, like head(1).
        Err(TesterError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(NOT_PASSED),
        Err(error) => {
            eprint(&error_chain(&error));
            ExitCode::from(USAGE)
        }
    })
}
