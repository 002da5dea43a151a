//! `maglev-sandbox vpp`: one simulated VPP alone, until a signal ends it.

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use maglev_vpp_simulator::{Release, Simulator, SimulatorError, SimulatorOptions, Traffic};

const EXAMPLE: &str = "\
Example: a VPP with some traffic to every VIP, and an agent that drives it
  maglev-sandbox vpp --api-socket /tmp/vpp/api.sock --stats-socket /tmp/vpp/stats.sock --traffic 1000
  maglevd --node-name node-a --vpp-api-socket /tmp/vpp/api.sock --vpp-stats-socket /tmp/vpp/stats.sock";

/// Run one simulated VPP with the lb plugin
///
/// It speaks VPP's binary API on a real Unix socket and holds VIPs and application servers as VPP
/// does. It forwards no packets: with --traffic, the counters of its stats segment move as if it did.
///
/// SIGHUP restarts it as VPP would restart: all connections are closed, all state is lost, the process id it reports
/// changes. SIGTERM and SIGINT end it and remove the socket.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLE)]
pub struct VppArgs {
    /// Where to make the API socket; missing directories are made, an old socket is replaced
    #[arg(long, value_name = "PATH")]
    pub api_socket: PathBuf,

    /// Where to make the stats socket; without it there is none
    #[arg(long, value_name = "PATH")]
    pub stats_socket: Option<PathBuf>,

    /// How many packets, of 100 bytes, seem to come to each VIP
    #[arg(long, value_name = "PACKETS-PER-SECOND", default_value = "0")]
    pub traffic: u32,

    /// The VPP release to be
    #[arg(long, value_enum, default_value = "26.10")]
    pub release: Release,
}

/// Why `maglev-sandbox vpp` ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum VppCommandError {
    /// The simulator could not be started or stopped.
    #[error("the simulated vpp failed")]
    Simulator(#[from] SimulatorError),
    /// Signals cannot be received, or standard output is closed.
    #[error("cannot set up the command")]
    Io(#[from] std::io::Error),
    /// A request that kills a real VPP as well: a VIP with a table of 0 buckets, or one of more
    /// memory than there is.
    #[error("the simulated vpp died of a request, as vpp would")]
    Died,
}

/// Runs it until a signal comes.
///
/// # Errors
/// When the socket cannot be made, or VPP dies of a request.
pub async fn run(args: VppArgs) -> Result<(), VppCommandError> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let options = SimulatorOptions {
        release: args.release,
        stats_socket: args.stats_socket,
        traffic: traffic(args.traffic),
        ..SimulatorOptions::new(args.api_socket)
    };
    let simulator = Simulator::start(options).await?;
    say(&simulator, "listening")?;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                simulator.restart().await?;
                say(&simulator, "restarted, listening")?;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = simulator.wait_until_dead() => return Err(VppCommandError::Died),
        }
    }
    Ok(simulator.stop().await?)
}

/// Nine of ten packets belong to a flow that is known already.
fn traffic(rate: u32) -> Traffic {
    Traffic { existing: rate - rate / 10, first: rate / 10, untracked: 0, packet_bytes: 100 }
}

fn say(simulator: &Simulator, what: &str) -> std::io::Result<()> {
    writeln!(
        std::io::stdout(),
        "simulated vpp (pid {}) {what} on {}",
        simulator.pid(),
        simulator.api_socket().display()
    )
}
