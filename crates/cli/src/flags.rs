//! Flags of maglevc. Flags can be placed anywhere between the words, also in the shell.

use std::{borrow::Cow, path::PathBuf};

use clap::{CommandFactory as _, Parser, ValueEnum};

use super::style;
use maglev_model::{flow_hash::FlowHash, printable::escaped};

const EXAMPLES: &str = "\
Examples:
  maglevc                                        shell: Tab completes, ? helps, Ctrl-D exits
  maglevc status                                 overall state of all nodes
  maglevc show frontends --node node-a           Frontends on one node
  maglevc why backend web-1                      explain the state and the weights of a Backend
  maglevc diff -f shop/                          effect of manifests, which are not applied
  maglevc set backend web-1 pause --reason 'disk replaced'
  maglevc drain backend web-1 --deadline 10m     no new flows, then wait for the last one to end
  maglevc --server 192.0.2.7:9090 show backends  connect to one agent, without Kubernetes

Words can be abbreviated as long as they are unambiguous: maglevc sh no.
To use it as kubectl maglev, link kubectl-maglev on your PATH to this program.

Exit status: 0 success, 1 problem or failure, 2 status unknown, 64 invalid command line; of diff as of kubectl diff:
0 nothing changes, 1 something does, 2 failure.";

/// Output formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// The hash function with which `trace` computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HashFunction {
    /// That of VPP on amd64 and arm64.
    #[default]
    Auto,
    Crc32c,
    #[value(name = "xxhash")]
    XxHash,
}

impl HashFunction {
    /// The function. The agents do not report the architecture of their node, so `auto` is that of the common ones.
    pub fn hash(self) -> FlowHash {
        match self {
            Self::Auto | Self::Crc32c => FlowHash::Crc32c,
            Self::XxHash => FlowHash::XxHash,
        }
    }
}

/// The deadline of a drain.
pub type Deadline = maglev_crd::Duration<1000, 86_400_000, 1000>;

/// Shows and changes the state of Maglev load balancers, on all nodes or on one.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "maglevc",
    after_help = EXAMPLES,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "maglevc [FLAGS] [COMMAND]",
)]
pub struct Flags {
    /// The command, such as: show backends
    #[arg(value_name = "WORDS", hide = true)]
    pub words: Vec<String>,

    /// Path of the kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount]
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current context]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Namespace of names without a namespace [default: that of the context]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Namespace of the agents' pods [default: the only namespace with agents]
    #[arg(long, value_name = "NAME")]
    pub agent_namespace: Option<String>,

    /// gRPC address of an agent, repeatable; agents are not looked up in Kubernetes then
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Vec<String>,

    /// With --server: file with the authorities of the agents' certificates; connects with TLS, and requires --agent-namespace
    #[arg(long, value_name = "PATH")]
    pub agent_ca_file: Option<PathBuf>,

    /// With --server and --agent-ca-file: file with a ServiceAccount token for the audience maglevd.maglev.vpp.io
    #[arg(long, value_name = "PATH")]
    pub agent_token_file: Option<PathBuf>,

    /// Restrict the command to this node
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,

    /// Output format [default: table]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,

    /// With set and drain: reason to record in the object's annotations and in the Kubernetes Event
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// With diff: file, directory or - (standard input) with manifests, repeatable; directories are read recursively
    #[arg(short, long, value_name = "PATH")]
    pub filename: Vec<PathBuf>,

    /// With set and drain: take ownership of the field from other field managers, and allow leaving Frontends without
    /// effective weight. With diff: assume that ownership is taken
    #[arg(long)]
    pub force: bool,

    /// With drain: time that flows have to end, 1s to 24h, such as 10m; written to spec.drain [default: that of spec.drain]
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<Deadline>,

    /// With drain and --deadline: have the agents flush the flows that are left then
    #[arg(long, requires = "deadline")]
    pub flush_at_deadline: bool,

    /// With trace: hash of VPP, crc32c (built with CRC instructions: amd64, arm64) or xxhash; auto is crc32c [default: auto]
    #[arg(long, value_enum, value_name = "HASH")]
    pub hash: Option<HashFunction>,

    /// Print help for the words on the line
    #[arg(short, long)]
    pub help: bool,

    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,
}

impl Flags {
    /// Parses a line without the program's name.
    ///
    /// # Errors
    /// Unknown flags and missing values.
    pub fn from_line(words: &[String]) -> Result<Self, clap::Error> {
        let parse = |words: Vec<Cow<'_, str>>| {
            Self::try_parse_from(std::iter::once("maglevc").chain(words.iter().map(|word| &**word)))
        };
        // Errors quote words. Their text has styles, so that it cannot be escaped as a whole.
        let escaped = |error| parse(words.iter().map(|word| escaped(word)).collect()).err().unwrap_or(error);
        parse(words.iter().map(Into::into).collect()).map_err(escaped)
    }

    /// Fills in missing flags of a line in the shell from the flags that the shell was started with.
    ///
    /// # Errors
    /// The line has a flag that is allowed only when the shell starts.
    pub(crate) fn or_start_flags(self, start: &Self) -> anyhow::Result<Self> {
        let Self { kubeconfig, context, agent_namespace, server, agent_ca_file, agent_token_file, .. } = &self;
        let files = [kubeconfig, agent_ca_file, agent_token_file].into_iter().any(Option::is_some);
        if files || context.is_some() || agent_namespace.is_some() || !server.is_empty() {
            anyhow::bail!(
                "--kubeconfig, --context, --agent-namespace, --server, --agent-ca-file and --agent-token-file are allowed \
                 only when the shell starts"
            );
        }
        Ok(Self {
            kubeconfig: start.kubeconfig.clone(),
            context: start.context.clone(),
            agent_namespace: start.agent_namespace.clone(),
            server: start.server.clone(),
            agent_ca_file: start.agent_ca_file.clone(),
            agent_token_file: start.agent_token_file.clone(),
            namespace: self.namespace.clone().or_else(|| start.namespace.clone()),
            node: self.node.clone().or_else(|| start.node.clone()),
            output: self.output.or(start.output),
            ..self
        })
    }

    /// The text of `--help` without words; `verbs` is the list of commands.
    pub(crate) fn overview(program: &str, verbs: &str) -> String {
        let text = Self::command().render_help().ansi().to_string().replace("maglevc", program);
        let (head, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
        let (usage, rest) = rest.split_once("\n\n").unwrap_or((rest, ""));
        format!("{head}\n\n{usage}\n\n{}\n{verbs}\n{rest}", style::strong("Commands:"))
    }
}

/// A flag, for completion and documentation.
#[derive(Clone, Debug)]
pub struct FlagInfo {
    /// `--name`.
    pub(crate) long: String,
    /// `-n`.
    pub(crate) short: Option<String>,
    pub(crate) help: String,
    /// Placeholder of the value, for flags with a value.
    pub(crate) value: Option<String>,
    /// The allowed values, if they are a closed list.
    pub(crate) values: Vec<String>,
}

pub fn all() -> Vec<FlagInfo> {
    let command = Flags::command();
    let flag = |arg: &clap::Arg| {
        Some(FlagInfo {
            long: format!("--{}", arg.get_long()?),
            short: arg.get_short().map(|short| format!("-{short}")),
            help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            value: arg
                .get_value_names()
                .and_then(|names| Some(names.first()?.to_string()))
                .filter(|_| arg.get_action().takes_values()),
            values: arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        })
    };
    command.get_arguments().filter_map(flag).collect()
}
