//! Flags of `maglev-tester`.

use std::{io::Read as _, path::Path, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use http::{HeaderName, HeaderValue};
use jiff::SignedDuration;
use maglev_build_info::{LONG_VERSION, VERSION};
use maglev_tester::{
    BackendMatcher, Expectation, ExpectedWeight, Format, Options, Payload, Percent, TlsSettings, Vip, read_manifest,
};

/// The longest accepted duration.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);

const EXAMPLES: &str = "\
A flow is one TCP connection or one UDP datagram, from a new port. It succeeds if, within --timeout,
  http, https  a complete response arrives with a status below 400; redirects are not followed
  tcp          the connection is established; with --send or --backend-pattern, if anything arrives
  udp          a datagram comes back from the address and port of the VIP

TCP connections end with a reset (SO_LINGER 0) after the complete answer, so that neither the client nor the backend \
keeps a socket in TIME_WAIT. A VIP has failed if no flow has succeeded for a second and at least three failed in a row; \
with the default --rate and --timeout this shows within 2 s. A VIP is degraded for 10 s after a failed flow.

Exit status:
  0  every VIP passed: --min-success is reached, the VIP has not failed at the end, --expect holds
  1  a VIP did not pass; the output has the reasons
  2  a flag is wrong, or a file, name or certificate cannot be used; nothing was tested

Examples:
  maglev-tester http://203.0.113.10/
  maglev-tester https://shop.example/ tcp://203.0.113.10:9000 'udp://[2001:db8::53]:53'
For monitoring: 100 flows, and the exit status
  maglev-tester --count 100 --min-success 99% --output json http://203.0.113.10/healthz
The shares of the backends against the weights of a Frontend
  maglev-tester --rate 200 --count 5000 --expect web-1=10,web-2=20 http://203.0.113.10/
The backend's name in a header, in a banner, in the answer to a text
  maglev-tester --backend-header x-served-by https://shop.example/
  maglev-tester --backend-pattern '^220 ([a-z0-9-]+)' tcp://203.0.113.25:25
  maglev-tester --send 'HELLO\\n' --backend-pattern 'name=(\\S+)' udp://203.0.113.10:9000
The VIPs of manifests, and of a cluster
  maglev-tester --from examples/frontends.yaml --for 30s
  kubectl get frontends -A -o yaml | maglev-tester --from - --for 30s";

/// Opens new flows to VIPs, from any client, and shows which backend answers, failures and latencies
///
/// Needs no Kubernetes and no access to the load balancer. Runs until --count, --for or Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "maglev-tester", version = LONG_VERSION.as_str(), after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Flags {
    /// VIPs: http://ADDRESS:PORT/PATH, https://… (port and path are optional), tcp://ADDRESS:PORT, udp://ADDRESS:PORT. A
    /// name is resolved once
    #[arg(value_name = "URL", required_unless_present = "from")]
    vips: Vec<Vip>,

    /// Manifest with Frontends to test, or - for standard input, repeatable; other kinds are ignored
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,

    /// Ports of TCP Frontends of --from that are tested by HTTP; other TCP ports are only connected to
    #[arg(long, value_name = "PORT", value_delimiter = ',', default_value = "80", requires = "from")]
    http_ports: Vec<u16>,

    /// Ports of TCP Frontends of --from that are tested by HTTPS
    #[arg(long, value_name = "PORT", value_delimiter = ',', requires = "from")]
    https_ports: Vec<u16>,

    /// New flows per second and VIP
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_rate)]
    rate: f64,

    /// Limit of new flows per second to all VIPs together; more are refused at the start
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_rate)]
    max_rate: f64,

    /// End after N flows to each VIP
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after this time, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Time limit of a flow, from the first packet to the complete answer. With 1s, a lost SYN fails a flow
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    timeout: Duration,

    /// Header of HTTP responses with the backend's name [default: x-backend, else the pattern]
    #[arg(long, value_name = "NAME")]
    backend_header: Option<HeaderName>,

    /// Regular expression whose first group is the backend's name, in the body, the banner or the datagram
    /// [default: the first word of the answer]
    #[arg(long, value_name = "REGEX")]
    backend_pattern: Option<String>,

    /// Text that is sent to TCP and UDP VIPs; \r, \n, \t, \0, \\ and \x1f are escapes [default: nothing over TCP]
    #[arg(long, value_name = "TEXT")]
    send: Option<Payload>,

    /// Name for the header Host and, over TLS, for the certificate [default: that of the URL]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// File with the certificate authorities of https VIPs, PEM [default: the public ones]
    #[arg(long, value_name = "PATH", conflicts_with = "insecure")]
    ca_file: Option<PathBuf>,

    /// Accept any certificate
    #[arg(long)]
    insecure: bool,

    /// Share of flows to each VIP that must succeed
    #[arg(long, value_name = "PERCENT", default_value = "100%")]
    min_success: Percent,

    /// Expected weights of the backends of each VIP, such as web-1=10,web-2=20; no other backend may answer
    #[arg(long, value_name = "BACKEND=WEIGHT", value_delimiter = ',')]
    expect: Vec<ExpectedWeight>,

    /// Allowed difference between a backend's share of the answers and its share of the weights, in percentage points
    #[arg(long, value_name = "PERCENT", default_value = "5%", requires = "expect")]
    tolerance: Percent,

    /// table (live on a terminal, else at the end) or json (lines) [default: table on a terminal, else json]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    output: Option<OutputFormat>,

    /// Interval between two lines of JSON for each VIP
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    report_every: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    Table,
    Json,
}

impl Flags {
    /// The settings of the run.
    ///
    /// # Errors
    /// A file cannot be used, or flags contradict each other.
    pub fn options(self) -> anyhow::Result<Options> {
        let vips = self.all_vips()?;
        let total = self.rate * vips.len() as f64;
        ensure!(
            total <= self.max_rate,
            "{} VIPs with {} flows per second each are {total} flows per second, and --max-rate allows {}: lower --rate, or \
             raise --max-rate",
            vips.len(),
            self.rate,
            self.max_rate
        );
        let matcher = BackendMatcher::new(self.backend_header, self.backend_pattern.as_deref());
        let format = self.output.map_or_else(Format::for_stdout, |output| match output {
            OutputFormat::Table => Format::Table,
            OutputFormat::Json => Format::Json,
        });
        Ok(Options {
            vips,
            rate: self.rate,
            count: self.count,
            duration: self.duration,
            timeout: self.timeout,
            matcher: matcher.context("cannot use the value of --backend-pattern")?,
            tls: TlsSettings::new(self.ca_file, self.insecure)?,
            host: self.host,
            payload: self.send.map(|payload| payload.0),
            min_success: self.min_success,
            expectation: Expectation::new(self.expect, self.tolerance).map_err(anyhow::Error::msg)?,
            format,
            report_every: self.report_every,
            user_agent: HeaderValue::try_from(format!("maglev-tester/{VERSION}"))?,
        })
    }

    /// The VIPs of the command line and of the manifests, each once.
    fn all_vips(&self) -> anyhow::Result<Vec<Vip>> {
        let mut vips: Vec<Vip> = Vec::new();
        let mut without_port = Vec::new();
        for file in &self.from {
            let found = read_manifest(&file_name(file), &text(file)?, &self.http_ports, &self.https_ports)?;
            without_port.extend(found.without_port);
            vips.extend(found.vips);
        }
        if !without_port.is_empty() {
            eprint(&format!("not tested, as it is unknown which port answers: {}", without_port.join(", ")));
        }
        let mut all: Vec<Vip> = Vec::new();
        for vip in self.vips.iter().cloned().chain(vips) {
            if !all.contains(&vip) {
                all.push(vip);
            }
        }
        ensure!(!all.is_empty(), "no VIP to test: the manifests have no Frontend with a port");
        Ok(all)
    }
}

/// Writes a line to standard error, on which names of manifests may have control characters.
#[expect(clippy::print_stderr, reason = "messages of the command")]
pub fn eprint(message: &str) {
    eprintln!("maglev-tester: {}", maglev_model::printable::escaped(message));
}

fn file_name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn text(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the manifest from standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0.001 to 100000".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "expected a duration such as 500ms, 30s or 5m".to_owned())?;
    if parsed < SignedDuration::from_millis(1) || parsed > LONGEST {
        return Err("expected 1ms to 1y".to_owned());
    }
    Duration::try_from(parsed).map_err(|error| error.to_string())
}
