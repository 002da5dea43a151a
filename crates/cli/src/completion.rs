//! Completion for the user's own shell: the scripts, and the hidden command that they call.
//!
//! `maglevc complete -- WORDS…` prints what the last of the words can become, one candidate a line, with a tab and what
//! it is. The scripts know nothing of the grammar, so they fit every version.

use std::{fmt::Write as _, time::Duration};

use super::{
    command::Shell,
    flags::{self, Flags, Known},
    grammar::{
        Walk, Wrong,
        complete::{Candidate, Names, complete},
        help,
    },
    names::names,
    session::Session,
};
use maglev_fleet::NodeState;

/// The flag whose value is a node.
const NODE: &str = "--node";
/// How long a shell waits for names at most.
const LIMIT: Duration = Duration::from_secs(3);

/// The script for this shell.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completion/maglevc.bash"),
        Shell::Fish => include_str!("completion/maglevc.fish"),
        Shell::Zsh => include_str!("completion/maglevc.zsh"),
    }
}

/// What the last of `words` can become.
pub async fn candidates(words: &[String]) -> Vec<(String, String)> {
    let (partial, before) = words.split_last().map_or(("", &[][..]), |(partial, before)| (partial.as_str(), before));
    let place = Place::of(false, before, partial);
    let offline = place.candidates(partial, &|_, _| Vec::new(), &[]);
    // Nobody is asked where only words can stand.
    if !offline.is_empty() || !place.wants_names() {
        return offline;
    }
    let Some((nodes, namespace)) = ask(&place.flags).await else { return Vec::new() };
    place.candidates(partial, &|kind, read| names(&nodes, &namespace, kind, read), &nodes)
}

/// A place in a line, however unfinished the line is.
pub struct Place {
    /// The flags before it.
    flags: Vec<String>,
    kind: Kind,
}

enum Kind {
    /// The value of this flag.
    ValueOf(Known),
    Flag,
    /// A word, or a value between words.
    Word(Walk),
    /// What comes before makes no sense.
    Nothing(Wrong),
}

impl Place {
    /// After the words of `before`, where `partial` has been typed; `shell` is that of our own shell.
    pub fn of(shell: bool, before: &[String], partial: &str) -> Self {
        let Split { words, flags, pending } = Split::of(before, &flags::known());
        let kind = match (pending, Walk::along(shell, &words)) {
            (Some(flag), _) => Kind::ValueOf(flag),
            (None, _) if partial.starts_with('-') => Kind::Flag,
            (None, Ok(walk)) => Kind::Word(walk),
            (None, Err(wrong)) => Kind::Nothing(wrong),
        };
        Self { flags, kind }
    }

    /// Whether only the agents can tell what stands here.
    fn wants_names(&self) -> bool {
        match &self.kind {
            Kind::ValueOf(flag) => flag.long == NODE,
            Kind::Word(walk) => walk.wants_names(),
            Kind::Flag | Kind::Nothing(_) => false,
        }
    }

    /// What `partial` can become, each with what it is.
    pub fn candidates(&self, partial: &str, names: &Names<'_>, nodes: &[NodeState]) -> Vec<(String, String)> {
        let plain = |text: String| (text, String::new());
        let found: Vec<(String, String)> = match &self.kind {
            Kind::ValueOf(flag) if flag.long == NODE => nodes.iter().map(|of| plain(of.node.to_string())).collect(),
            Kind::ValueOf(flag) => flag.values.iter().cloned().map(plain).collect(),
            Kind::Flag => flags::known().into_iter().map(|flag| (flag.long, flag.help)).collect(),
            Kind::Word(walk) => {
                let pair = |of: Candidate| (of.text, of.help.to_owned());
                complete(walk, partial, names).into_iter().map(pair).collect()
            }
            Kind::Nothing(_) => Vec::new(),
        };
        found.into_iter().filter(|(text, _)| text.starts_with(partial)).collect()
    }

    /// What `?` says here.
    pub fn help(&self, partial: &str, names: &Names<'_>, nodes: &[NodeState]) -> String {
        match &self.kind {
            Kind::Nothing(wrong) => format!("  {wrong}\n"),
            Kind::Word(walk) => {
                let mut text = help::inline(walk, partial);
                if walk.wants_names() {
                    let names = self.candidates(partial, names, nodes);
                    let _ =
                        writeln!(text, "  {}", names.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join("  "));
                }
                text
            }
            Kind::Flag | Kind::ValueOf(_) => {
                let found = self.candidates(partial, names, nodes);
                help::table(&found.iter().map(|(name, help)| (&**name, &**help)).collect::<Vec<_>>())
            }
        }
    }
}

/// The nodes, and the namespace of short names, if somebody tells in time.
async fn ask(flags: &[String]) -> Option<(Vec<NodeState>, String)> {
    let flags = Flags::of_line(flags).ok()?;
    let namespace = flags.namespace.clone();
    let session = Session::new(flags);
    let asked = async {
        let nodes = session.nodes(None).await.ok()?;
        Some((nodes, session.namespace(namespace.as_deref()).await))
    };
    tokio::time::timeout(LIMIT, asked).await.ok()?
}

/// A line taken apart, however unfinished it is.
struct Split {
    words: Vec<String>,
    flags: Vec<String>,
    /// The flag whose value comes next.
    pending: Option<Known>,
}

impl Split {
    fn of(before: &[String], known: &[Known]) -> Self {
        let mut split = Self { words: Vec::new(), flags: Vec::new(), pending: None };
        for word in before {
            if split.pending.take().is_some() {
                split.flags.push(word.clone());
            } else if word.starts_with('-') {
                let is = |flag: &&Known| flag.long == *word || flag.short.as_deref() == Some(word);
                split.pending = known.iter().find(is).filter(|flag| flag.value.is_some()).cloned();
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&words).await.into_iter().map(|(text, _)| text).collect()
    }

    #[tokio::test]
    async fn words_flags_and_their_values_are_completed_without_asking_anybody() {
        assert_eq!(of("st").await, ["status"]);
        assert_eq!(of("--node node-a show vpp ").await, ["info", "lb"]);
        assert_eq!(of("show nodes --o").await, ["--output"]);
        assert_eq!(of("show nodes -o ").await, ["table", "wide", "json", "yaml"]);
        assert_eq!(of("show nodes --output y").await, ["yaml"]);
        assert_eq!(of("show nonsense ").await, [""; 0]);
        assert_eq!(of("completion ").await, ["bash", "fish", "zsh"]);
    }

    #[tokio::test]
    async fn an_agent_that_does_not_answer_leaves_the_shell_without_names_and_without_words_of_ours() {
        assert_eq!(of("--server 127.0.0.1:1 show backend ").await, [""; 0]);
    }
}
