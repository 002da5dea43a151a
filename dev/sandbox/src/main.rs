//! `maglev-sandbox`: a demo cluster on one machine, or parts of such a cluster.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use maglev_sandbox::demo_backend::{BackendArgs, PodArgs};
use maglev_sandbox::load::{self, LoadArgs};
use maglev_sandbox::up::{self, UpArgs};
use maglev_sandbox::vpp_command::{self, VppArgs};

const EXAMPLE: &str = "\
Example: a cluster that runs until Ctrl-C and, from another terminal, a failing backend
  maglev-sandbox up --dir .demo
  maglev-sandbox backend web-1 fail --dir .demo";

/// Runs a demo cluster on one machine, or parts of such a cluster
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
    /// Show or change the behaviour of a sandbox's backends
    Backend(BackendArgs),
    Load(LoadArgs),
    Pod(PodArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    // A single line, regardless of RUST_BACKTRACE.
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
        Command::Load(args) => Ok(load::run(args).await?),
        Command::Pod(args) => Ok(args.run().await?),
        Command::Backend(args) => Ok(writeln!(std::io::stdout(), "{}", args.run().await?)?),
    }
}
