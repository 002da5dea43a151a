//! The flags of maglevc. They may stand anywhere between the words, in the shell as well.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, ValueEnum};

use super::paint;

const EXAMPLES: &str = "\
Examples:
  maglevc                                        the shell: Tab completes, ? helps, Ctrl-D leaves
  maglevc status                                 is anything wrong?
  maglevc show frontends --node node-a           what one node says
  maglevc why backend web-1                      why it is down, paused or without weight
  maglevc set backend web-1 pause --reason 'disk replaced'
  maglevc --server 192.0.2.7:9090 show backends  an agent by its address, without Kubernetes

Every word may be shortened as long as only one fits: maglevc sh no.
As kubectl maglev, if a program of the name kubectl-maglev on your PATH is a link to this one.

Exit status: 0 well, 1 a problem or a failure, 2 status not known, 64 a command line that makes no sense.";

/// How an answer is printed.
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

/// Shows and changes what Maglev load balancers do, on all nodes or one.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "maglevc",
    after_help = EXAMPLES,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "maglevc [FLAGS] [WORDS]…",
)]
pub struct Flags {
    /// What to do, such as: show backends
    #[arg(value_name = "WORDS", hide = true)]
    pub words: Vec<String>,

    /// The kubeconfig to use; without it KUBECONFIG, ~/.kube/config and the pod's own ServiceAccount are tried
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use, if not its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// The namespace of names that are given without one, if not the context's
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Where the agents' pods are; without it they are looked for in all namespaces
    #[arg(long, value_name = "NAME")]
    pub agent_namespace: Option<String>,

    /// The address of an agent's gRPC, instead of asking Kubernetes for the agents; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Vec<String>,

    /// Only this node
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,

    /// How answers are printed [default: table]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,

    /// With set: why, for the object's annotations and its Event
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// With set: take a field that another manager owns, and leave Frontends without effective weight
    #[arg(long)]
    pub force: bool,

    /// Say more about the words given
    #[arg(short, long)]
    pub help: bool,

    /// The version of this program
    #[arg(short = 'V', long)]
    pub version: bool,
}

impl Flags {
    /// The flags and words of a line that does not begin with the program's name.
    ///
    /// # Errors
    /// If a flag is not known or lacks its value.
    pub fn of_line(words: &[String]) -> Result<Self, clap::Error> {
        Self::try_parse_from(std::iter::once("maglevc").chain(words.iter().map(String::as_str)))
    }

    /// The flags of a line of the shell, the others being those that the shell was started with.
    ///
    /// # Errors
    /// If the line has a flag that only counts at the start.
    pub(crate) fn over(self, start: &Self) -> anyhow::Result<Self> {
        let Self { kubeconfig, context, agent_namespace, server, .. } = &self;
        if kubeconfig.is_some() || context.is_some() || agent_namespace.is_some() || !server.is_empty() {
            anyhow::bail!("whom the shell talks to is decided when it starts: leave it, and give the flag then");
        }
        Ok(Self {
            kubeconfig: start.kubeconfig.clone(),
            context: start.context.clone(),
            agent_namespace: start.agent_namespace.clone(),
            server: start.server.clone(),
            namespace: self.namespace.clone().or_else(|| start.namespace.clone()),
            node: self.node.clone().or_else(|| start.node.clone()),
            output: self.output.or(start.output),
            ..self
        })
    }

    /// What `--help` says without words; `verbs` are the lines about them.
    pub(crate) fn overview(program: &str, verbs: &str) -> String {
        let text = Self::command().render_help().ansi().to_string().replace("maglevc", program);
        let (head, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
        let (usage, rest) = rest.split_once("\n\n").unwrap_or((rest, ""));
        format!("{head}\n\n{usage}\n\n{}\n{verbs}\n{rest}", paint::strong("Words:"))
    }
}

/// A flag as completion sees it.
#[derive(Clone, Debug)]
pub struct Known {
    /// `--name`.
    pub(crate) long: String,
    /// `-n`.
    pub(crate) short: Option<String>,
    /// What it is.
    pub(crate) help: String,
    /// What stands for its value, if it takes one.
    pub(crate) value: Option<String>,
    /// The values that it may have, where that is a closed list.
    pub(crate) values: Vec<String>,
}

/// All flags.
pub fn known() -> Vec<Known> {
    let command = Flags::command();
    let flag = |arg: &clap::Arg| {
        Some(Known {
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
