//! `maglev-sandbox load`: bounded HTTP traffic from the sandbox's clients to a VIP.
//!
//! ```text
//!  flow 1 ┐ a connection each, with requests
//!  flow 2 ┼──────────────────────────────────▶ Tally ─▶ a line per second, a table at the end
//!  flow N ┘
//! ```

mod flow;
mod latency;
mod tally;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use jiff::SignedDuration;
use tokio::time::{Instant, MissedTickBehavior};

use crate::packets::Namespace;
use flow::{Flow, Pace};
use tally::Tally;

/// Longest duration of a load.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// File descriptors beside those of the flows.
const OTHER_FILES: u64 = 64;

const EXAMPLE: &str = "\
Example: 100 requests per second on 50 connections to the demo's VIP, while a backend fails
  maglev-sandbox load --dir .demo --vip 203.0.113.10:80 --for 30s
and in another terminal:
  maglev-sandbox backend web-1 fail --dir .demo";

/// Send HTTP requests to a VIP from the sandbox's clients
///
/// Each flow is one TCP connection, which is opened again after it breaks. Prints a line per second and, at the end, the
/// share of each backend, the broken flows and the latencies. A flow is broken if its connection is reset or closed, or if a
/// response does not arrive within 10 s. Ctrl-C ends the load early. Requires root, and a sandbox that forwards packets.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLE)]
pub struct LoadArgs {
    /// Directory that was given to `maglev-sandbox up`
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Address and port of the VIP, such as 203.0.113.10:80; an IPv6 address is in brackets
    #[arg(long, value_name = "ADDRESS:PORT")]
    vip: SocketAddr,

    /// Requests per second over all flows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,

    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    flows: u32,

    /// Duration, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    duration: Duration,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    if parsed <= SignedDuration::ZERO || parsed > LONGEST {
        return Err("expected more than 0 and at most 24h".to_owned());
    }
    Duration::try_from(parsed).map_err(|error| error.to_string())
}

/// Errors of `maglev-sandbox load`.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot find the directory {}", dir.display())]
    Directory {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "no packets are forwarded by a sandbox in {}: start one as root with `maglev-sandbox up --packets on --dir {}`",
        dir.display(),
        dir.display()
    )]
    NoNamespace { dir: PathBuf },
    #[error("cannot send from the network namespace {namespace} (are you root?)")]
    Namespace {
        namespace: String,
        #[source]
        source: io::Error,
    },
}

/// Sends the requests and prints the results.
///
/// # Errors
/// The sandbox has no namespace for clients, or the namespace cannot be entered.
pub async fn run(args: LoadArgs) -> Result<(), LoadError> {
    let dir = args.dir.canonicalize();
    let dir = dir.map_err(|source| LoadError::Directory { dir: args.dir.clone(), source })?;
    let namespace = Namespace::client(&dir);
    if !namespace.exists() {
        return Err(LoadError::NoNamespace { dir });
    }
    // Every socket is opened by the thread that is in the namespace.
    let sent = namespace.run(move || {
        maglev_net::descriptors::raise_limit(u64::from(args.flows) + OTHER_FILES);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, send(&args));
        Ok(())
    });
    sent.await.map_err(|source| LoadError::Namespace { namespace: namespace.name().to_owned(), source })
}

async fn send(args: &LoadArgs) {
    let tally = Rc::new(Tally::default());
    let pause = Duration::from_secs(1) * args.flows / args.rate;
    let start = Instant::now();
    let mut flows = Vec::new();
    for number in 0..args.flows {
        let pace = Pace { first: start + pause * number / args.flows, pause };
        flows.push(tokio::task::spawn_local(Flow::new(args.vip, Rc::clone(&tally)).run(pace)));
    }
    let mut second = tokio::time::interval_at(start + Duration::from_secs(1), Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = tokio::time::sleep_until(start + args.duration);
    // One listener: one for each turn would miss a signal that arrives between two turns.
    let interrupted = interrupted();
    tokio::pin!(end, interrupted);
    loop {
        tokio::select! {
            _ = second.tick() => print(&tally.progress(start.elapsed())),
            () = &mut end => break,
            () = &mut interrupted => break,
        }
    }
    flows.iter().for_each(tokio::task::JoinHandle::abort);
    print(&tally.summary(start.elapsed()));
}

/// Waits for SIGINT. Never ends if the process cannot listen to signals.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Prints a text and a line break. Ignores a closed standard output.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
    let _ = stdout.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_bounded() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        for invalid in ["0s", "25h", "-1s", "soon", ""] {
            assert!(parse_duration(invalid).is_err(), "{invalid}");
        }
    }
}
