//! `maglev-sandbox`: a cluster on one machine, or parts of one.

use clap::{Parser, Subcommand};
use maglev::sandbox::vpp_command::{self, VppArgs};

/// A cluster on one machine, or parts of one
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Vpp(VppArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Vpp(args) => Ok(vpp_command::run(args).await?),
    }
}
