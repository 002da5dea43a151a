//! `maglevc`: shows and changes the state of Maglev load balancers.

use std::process::ExitCode;

use maglev_build_info::{COMMIT, VERSION};
use maglev_cli::{self as cli, Build};

fn main() -> anyhow::Result<ExitCode> {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let build = Build { version: VERSION.to_owned(), commit: COMMIT.to_owned() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(cli::main(args, build));
    // Without a wait for the thread that may block on reading the terminal.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}
