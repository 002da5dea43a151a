//! Completion: the scripts for users' shells, and the hidden command that the scripts run.
//!
//! `maglevc complete -- WORDS…` prints the candidates for the last word, one per line, each followed by a tab and its
//! help. The scripts do not depend on the grammar, so they work with every version of maglevc.

use std::{collections::BTreeSet, fmt::Write as _, net::SocketAddr, time::Duration};

use super::{
    command::Shell,
    flags::{self, FlagInfo, Flags},
    grammar::{
        LineParser, ParseError, ParsedLine, Value,
        complete::{Candidate, Names, complete},
        help,
    },
    session::Session,
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::Frontend,
    printable::{escaped, is_unprintable},
    vip::Service,
};

const NODE: &str = "--node";
/// Time limit for requesting names.
const LIMIT: Duration = Duration::from_secs(3);

pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completion/maglevc.bash"),
        Shell::Fish => include_str!("completion/maglevc.fish"),
        Shell::Zsh => include_str!("completion/maglevc.zsh"),
    }
}

/// The candidates for the last of `words`, each with its help.
pub async fn candidates(words: &[String]) -> Vec<(String, String)> {
    let (partial, before) = words.split_last().map_or(("", &[][..]), |(partial, before)| (partial.as_str(), before));
    let context = CursorContext::new(false, before, partial);
    let offline = context.candidates(partial, &|_, _| Vec::new(), &[]);
    // Only names need a connection to the agents.
    if !offline.is_empty() || !context.expects_name() {
        return offline;
    }
    let Some((nodes, namespace)) = request_nodes(&context.flags).await else { return Vec::new() };
    context.candidates(partial, &|kind, line| names(&nodes, &namespace, kind, line), &nodes)
}

/// The position of the cursor in a line, which can be incomplete.
pub struct CursorContext {
    /// The flags before the cursor.
    flags: Vec<String>,
    expected: Expected,
}

/// The text expected at the cursor.
enum Expected {
    FlagValue(FlagInfo),
    Flag,
    /// A word or value of the command.
    Word(LineParser),
    /// Nothing, since the line before the cursor is invalid.
    Nothing(ParseError),
}

impl CursorContext {
    /// The position after the words `before`, at the end of `partial`; `shell` selects the grammar of the interactive shell.
    pub fn new(shell: bool, before: &[String], partial: &str) -> Self {
        let Split { words, flags, pending } = Split::new(before, &flags::all());
        let expected = match (pending, LineParser::parse(shell, &words)) {
            (Some(flag), _) => Expected::FlagValue(flag),
            (None, _) if partial.starts_with('-') => Expected::Flag,
            (None, Ok(parser)) => Expected::Word(parser),
            (None, Err(error)) => Expected::Nothing(error),
        };
        Self { flags, expected }
    }

    /// True if the candidates have to be requested from the agents.
    fn expects_name(&self) -> bool {
        match &self.expected {
            Expected::FlagValue(flag) => flag.long == NODE,
            Expected::Word(parser) => parser.expects_name(),
            Expected::Flag | Expected::Nothing(_) => false,
        }
    }

    /// The candidates that start with `partial`, each with its help.
    pub fn candidates(&self, partial: &str, names: &Names<'_>, nodes: &[NodeState]) -> Vec<(String, String)> {
        let plain = |text: String| (text, String::new());
        let candidates: Vec<(String, String)> = match &self.expected {
            Expected::FlagValue(flag) if flag.long == NODE => {
                nodes.iter().map(|node| plain(node.node.to_string())).collect()
            }
            Expected::FlagValue(flag) => flag.values.iter().cloned().map(plain).collect(),
            Expected::Flag => flags::all().into_iter().map(|flag| (flag.long, flag.help)).collect(),
            Expected::Word(parser) => {
                let pair = |candidate: Candidate| (candidate.text, candidate.help.to_owned());
                complete(parser, partial, names).into_iter().map(pair).collect()
            }
            Expected::Nothing(_) => Vec::new(),
        };
        let is_printable = |text: &str| !text.contains(is_unprintable);
        candidates.into_iter().filter(|(text, _)| text.starts_with(partial) && is_printable(text)).collect()
    }

    /// The text that `?` shows.
    pub fn help(&self, partial: &str, names: &Names<'_>, nodes: &[NodeState]) -> String {
        match &self.expected {
            Expected::Nothing(error) => format!("  {}\n", escaped(&error.to_string())),
            Expected::Word(parser) => {
                let mut text = help::inline(parser, partial);
                if parser.expects_name() {
                    let names = self.candidates(partial, names, nodes);
                    let _ =
                        writeln!(text, "  {}", names.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join("  "));
                }
                text
            }
            Expected::Flag | Expected::FlagValue(_) => {
                let candidates = self.candidates(partial, names, nodes);
                help::table(&candidates.iter().map(|(name, help)| (&**name, &**help)).collect::<Vec<_>>())
            }
        }
    }
}

/// The nodes and the current namespace; `None` on errors and after [`LIMIT`].
async fn request_nodes(flags: &[String]) -> Option<(Vec<NodeState>, String)> {
    let flags = Flags::from_line(flags).ok()?;
    let namespace = flags.namespace.clone();
    let session = Session::new(flags);
    let request = async {
        let nodes = session.nodes(None).await.ok()?;
        Some((nodes, session.namespace(namespace.as_deref()).await))
    };
    tokio::time::timeout(LIMIT, request).await.ok()?
}

/// A line, which can be incomplete, split into words and flags.
struct Split {
    words: Vec<String>,
    flags: Vec<String>,
    /// The last flag, if its value is missing.
    pending: Option<FlagInfo>,
}

impl Split {
    fn new(before: &[String], flags: &[FlagInfo]) -> Self {
        let mut split = Self { words: Vec::new(), flags: Vec::new(), pending: None };
        for word in before {
            if split.pending.take().is_some() {
                split.flags.push(word.clone());
            } else if word.starts_with('-') {
                let matches = |flag: &&FlagInfo| flag.long == *word || flag.short.as_deref() == Some(word);
                split.pending = flags.iter().find(matches).filter(|flag| flag.value.is_some()).cloned();
                split.flags.push(word.clone());
            } else {
                split.words.push(word.clone());
            }
        }
        if split.pending.is_some() {
            split.flags.pop();
        }
        split
    }
}

/// The names that a value can have, given the words before it. Names in `namespace` are returned without namespace.
pub fn names(nodes: &[NodeState], namespace: &str, kind: Value, line: &ParsedLine) -> Vec<String> {
    let views = || nodes.iter().map(|node| &node.view);
    let short = |name: &Name| if name.namespace() == namespace { name.name().to_owned() } else { name.to_string() };
    let names: BTreeSet<String> = match kind {
        Value::Backend => views().flat_map(|view| view.backends.keys()).map(short).collect(),
        Value::Frontend => views().flat_map(|view| view.frontends.keys()).map(short).collect(),
        Value::Hold => views().flat_map(|view| view.holds.keys()).map(ToString::to_string).collect(),
        Value::Pool => frontends(nodes, namespace, line)
            .flat_map(|frontend| frontend.pools.iter().map(|pool| pool.name.to_string()))
            .collect(),
        Value::Member => {
            let pool_name = line.value(Value::Pool).unwrap_or_default();
            let pools = frontends(nodes, namespace, line).flat_map(|frontend| &frontend.pools);
            let members = pools.filter(|pool| &*pool.name == pool_name).flat_map(|pool| &pool.members);
            members.map(|member| member.backend.name().to_owned()).collect()
        }
        Value::Namespace => {
            let names = views().flat_map(|view| view.frontends.keys().chain(view.backends.keys()));
            names.map(|name| name.namespace().to_owned()).collect()
        }
        Value::Node => nodes.iter().map(|node| node.node.to_string()).collect(),
        Value::Destination => {
            views().flat_map(|view| view.frontends.values()).filter_map(|f| destination(f, line)).collect()
        }
        // Clients, AddressPolicies and Services are not known to the agents by name.
        Value::Weight
        | Value::Count
        | Value::Level
        | Value::Policy
        | Value::Service
        | Value::Protocol
        | Value::Source => BTreeSet::new(),
    };
    names.into_iter().collect()
}

/// The address and port of a VIP for one port of the line's protocol, and of the family of its source.
fn destination(frontend: &Frontend, line: &ParsedLine) -> Option<String> {
    let Service::Port { protocol, port } = frontend.vip.service else { return None };
    let destination = SocketAddr::new(frontend.vip.address, port.get()).to_string();
    let fits = Some(protocol) == line.protocol() && Value::Destination.check(&destination, line).is_ok();
    fits.then_some(destination)
}

/// The Frontend named earlier in the line, from each node that has it.
fn frontends<'n>(nodes: &'n [NodeState], namespace: &str, line: &ParsedLine) -> impl Iterator<Item = &'n Frontend> {
    let text = line.value(Value::Frontend).unwrap_or_default();
    let name = match text.split_once('/') {
        Some((namespace, name)) => Name::namespaced(namespace, name),
        None => Name::namespaced(namespace, text),
    };
    nodes.iter().filter_map(move |node| node.view.frontends.get(&name)).map(|frontend| &**frontend)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn complete_line(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&words).await.into_iter().map(|(text, _)| text).collect()
    }

    #[tokio::test]
    async fn words_flags_and_flag_values_are_completed_offline() {
        assert_eq!(complete_line("st").await, ["status"]);
        assert_eq!(complete_line("--node node-a show vpp ").await, ["info", "lb"]);
        assert_eq!(complete_line("show nodes --o").await, ["--output"]);
        assert_eq!(complete_line("show nodes -o ").await, ["table", "wide", "json", "yaml"]);
        assert_eq!(complete_line("show nodes --output y").await, ["yaml"]);
        assert_eq!(complete_line("show nonsense ").await, [""; 0]);
        assert_eq!(complete_line("completion ").await, ["bash", "fish", "zsh"]);
    }

    #[test]
    fn script_for_bash_takes_an_address_and_port_for_one_word() {
        // Prints two candidates: the last word with more characters, and that with the number of words.
        let stub = "stub() { shift 2; echo \"${!#}0\"; echo \"${!#}-$#\"; }";
        let words = "COMP_WORDS=(stub trace tcp 198.51.100.7 : 40312 203.0.113.10 : 8); COMP_CWORD=8";
        let line = format!("{}\n{stub}\n{words}; _maglevc; echo \"${{COMPREPLY[*]}}\"", script(Shell::Bash));
        let output = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "80 8-4\n", "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[tokio::test]
    async fn unreachable_agent_yields_no_candidates() {
        assert_eq!(complete_line("--server 127.0.0.1:1 show backend ").await, [""; 0]);
    }
}
