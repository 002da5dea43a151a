//! `maglev-sandbox`: a cluster on one machine, or parts of one.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use maglev_sandbox::demo_backend::BackendArgs;
use maglev_sandbox::up::{self, UpArgs};
use maglev_sandbox::vpp_command::{self, VppArgs};

const EXAMPLE: &str = "\
Example: a cluster until Ctrl-C, and a backend that fails, from another terminal
  maglev-sandbox up --dir .demo
  maglev-sandbox backend web-1 fail --dir .demo";

/// A cluster on one machine, or parts of one
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(UpArgs),
    Vpp(VppArgs),
    /// Show how a sandbox's backends behave, or change it
    Backend(BackendArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    // One sentence, whatever RUST_BACKTRACE says: it is for the person at the terminal.
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            let _ = writeln!(std::io::stderr(), "Error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Up(args) => Ok(up::run(args).await?),
        Command::Vpp(args) => Ok(vpp_command::run(args).await?),
        Command::Backend(args) => Ok(writeln!(std::io::stdout(), "{}", args.run().await?)?),
    }
}
