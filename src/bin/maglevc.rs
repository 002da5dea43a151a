//! `maglevc`: shows and changes what Maglev load balancers do.

use std::process::ExitCode;

use maglev_cli::{self as cli, Build};

fn main() -> anyhow::Result<ExitCode> {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let commit = option_env!("MAGLEV_COMMIT").unwrap_or("unknown");
    let build = Build { version: env!("CARGO_PKG_VERSION").to_owned(), commit: commit.to_owned() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(cli::main(args, build));
    // A thread that waits for the terminal is not waited for.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}
