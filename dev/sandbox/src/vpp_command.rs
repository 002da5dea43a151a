//! `maglev-sandbox vpp`: runs one simulated VPP until a signal arrives.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::packets::forwarding;
use maglev_vpp_simulator::{Release, Simulator, SimulatorError, SimulatorOptions, Traffic};

const EXAMPLE: &str = "\
Example: a VPP with traffic to every VIP, and an agent that programs it
  maglev-sandbox vpp --api-socket /tmp/vpp/api.sock --stats-socket /tmp/vpp/stats.sock --traffic 1000
  maglevd --node-name node-a --vpp-api-socket /tmp/vpp/api.sock --vpp-stats-socket /tmp/vpp/stats.sock";

/// Run one simulated VPP with the lb plugin
///
/// The simulator implements VPP's binary API on a Unix socket and keeps VIPs and application servers as VPP does. With
/// --packets-socket, it forwards the packets that a sandbox sends to that socket, and counts them; with --traffic, the
/// counters in its stats segment increase as if it did.
///
/// SIGHUP simulates a restart of VPP: all connections are closed, all state is lost, and the reported process ID changes.
/// SIGUSR1 prints the number of requests so far that change VPP's state. SIGTERM and SIGINT stop the simulator and remove
/// the socket.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLE)]
pub struct VppArgs {
    /// Path of the API socket; directories are created, an existing socket is replaced
    #[arg(long, value_name = "PATH")]
    pub api_socket: PathBuf,

    /// Path of the stats socket [default: no stats socket]
    #[arg(long, value_name = "PATH")]
    pub stats_socket: Option<PathBuf>,

    /// Simulated traffic to each VIP, in packets of 100 bytes
    #[arg(long, value_name = "PACKETS-PER-SECOND", default_value = "0")]
    pub traffic: u32,

    /// Routes beside those of the VIPs and servers; each has counters in the stats segment
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub routes: u32,

    /// Path of the socket for packets; an existing socket is replaced [default: no packets]
    #[arg(long, value_name = "PATH", conflicts_with = "traffic")]
    pub packets_socket: Option<PathBuf>,

    /// VPP release to simulate
    #[arg(long, value_enum, default_value = "26.10")]
    pub release: Release,
}

/// Errors of `maglev-sandbox vpp`.
#[derive(Debug, thiserror::Error)]
pub enum VppCommandError {
    /// The simulator could not be started or stopped.
    #[error("the simulated VPP failed")]
    Simulator(#[from] SimulatorError),
    /// Failed to register signal handlers, to create the socket for packets, or to write to standard output.
    #[error("cannot register signal handlers, create the socket for packets, or write to standard output")]
    Io(#[from] std::io::Error),
    /// A request that crashes a real VPP, too: a VIP whose table has 0 buckets or does not fit into memory.
    #[error("the simulated VPP crashed on a request, as VPP would")]
    Died,
}

/// Runs the simulator until SIGINT or SIGTERM.
///
/// # Errors
/// The socket cannot be created, or a request crashes the simulated VPP.
pub async fn run(args: VppArgs) -> Result<(), VppCommandError> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut user = signal(SignalKind::user_defined1())?;
    let options = SimulatorOptions {
        release: args.release,
        stats_socket: args.stats_socket,
        traffic: traffic(args.traffic),
        routes: args.routes,
        ..SimulatorOptions::new(args.api_socket)
    };
    let simulator = Arc::new(Simulator::start(options).await?);
    let shutdown = CancellationToken::new();
    let _guard = shutdown.clone().drop_guard();
    if let Some(socket) = args.packets_socket {
        forwarding::serve(Arc::clone(&simulator), &socket, shutdown)?;
    }
    print(&simulator, "listening")?;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                simulator.restart().await?;
                print(&simulator, "restarted, listening")?;
            }
            _ = user.recv() => writeln!(std::io::stdout(), "{} writes", simulator.writes())?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = simulator.wait_until_dead() => return Err(VppCommandError::Died),
        }
    }
    Ok(simulator.stop().await?)
}

/// Flows of 50 packets, so that the default sticky table has room for the flows of several VIPs.
fn traffic(rate: u32) -> Traffic {
    let first = rate / 50;
    Traffic { existing: rate - first, first, untracked: 0, packet_bytes: 100 }
}

fn print(simulator: &Simulator, state: &str) -> std::io::Result<()> {
    writeln!(
        std::io::stdout(),
        "simulated vpp (pid {}) {state} on {}",
        simulator.pid(),
        simulator.api_socket().display()
    )
}
