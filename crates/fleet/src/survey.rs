//! Is anything wrong? One look over all nodes, for whoever asks: the counts of the strip, and what they count.
//!
//! Pure: it reads the nodes' states and nothing else. What takes two looks (packets that are dropped *now*, a
//! disagreement that lasts) the caller knows and hands in.

mod facts;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

pub use self::facts::{Facts, MemberFact, Word};
use super::NodeState;
use maglev_model::{
    Name,
    actual::VppVip,
    config::Kind,
    event::{FrontendState, ProgramResult},
    health::BackendState,
};

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// A VIP is down on some reporting node.
    Down,
    /// A VIP drops packets now, because it has no server.
    Dropping,
    /// A node does not report, or has lost VPP.
    Silent,
    /// A VIP is served by another pool than its first, or hangs on its last backend, on some reporting node.
    Standby,
    /// Nodes that report and have VPP say different things of a VIP, for longer than a change takes.
    Disagree,
    /// An object is rejected, held or in conflict; or removals are held.
    Rejected,
    /// A node failed to program a VIP, or steps of its last pass.
    Sync,
}

impl Flag {
    /// All of them, the worst first.
    pub const ALL: [Self; 7] =
        [Self::Down, Self::Dropping, Self::Silent, Self::Sync, Self::Disagree, Self::Rejected, Self::Standby];

    /// The word for it, which is the name of its count in the strip.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Dropping => "dropping",
            Self::Silent => "silent",
            Self::Standby => "standby",
            Self::Disagree => "disagree",
            Self::Rejected => "rejected",
            Self::Sync => "sync",
        }
    }
}

/// What takes more than one look.
pub struct Lasting<'a> {
    /// Whether this VIP of this node drops packets now.
    pub dropping: &'a dyn Fn(&str, &VppVip) -> bool,
    /// Whether nodes have disagreed about this Frontend for longer than a change takes.
    pub disagree: &'a dyn Fn(&Name) -> bool,
}

/// What a look found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Every Frontend that some node knows.
    pub frontends: BTreeMap<Name, FrontendSurvey>,
    /// Every node's flags.
    pub nodes: BTreeMap<Arc<str>, BTreeSet<Flag>>,
    /// Objects with problems, and Frontends that are held.
    pub rejected: BTreeSet<(Kind, Name)>,
    pub holds: usize,
    /// Nodes that report.
    pub reporting: usize,
}

/// One Frontend, over all nodes.
#[derive(Clone, Debug)]
pub struct FrontendSurvey {
    /// Its state: the worst of those that reporting nodes say.
    pub state: Word,
    /// What is wrong with it.
    pub flags: BTreeSet<Flag>,
    /// Since when it is in that state.
    pub since: Option<Timestamp>,
    /// Its backends, and whether each is up on every reporting node.
    pub backends: BTreeMap<Name, bool>,
    /// What each node says that knows it.
    pub nodes: BTreeMap<Arc<str>, Facts>,
}

impl Survey {
    /// Looks at all nodes.
    pub fn new(nodes: &[NodeState], lasting: &Lasting<'_>) -> Self {
        let names: BTreeSet<&Name> = nodes.iter().flat_map(|node| node.view.frontends.keys()).collect();
        let frontends = names.into_iter().filter_map(|name| Some((name.clone(), frontend(nodes, name, lasting)?)));
        let reporting = || nodes.iter().filter(|node| node.reporting());
        let mut rejected: BTreeSet<_> = reporting().flat_map(|node| node.view.problems.keys().cloned()).collect();
        for node in reporting() {
            let held = node.view.reports.iter().filter(|(_, report)| report.result == ProgramResult::Held);
            rejected.extend(held.map(|(name, _)| (Kind::Frontend, name.clone())));
        }
        Self {
            frontends: frontends.collect(),
            nodes: nodes.iter().map(|node| (Arc::clone(&node.node), node_flags(node))).collect(),
            rejected,
            holds: reporting().map(|node| node.view.holds.len()).sum(),
            reporting: reporting().count(),
        }
    }

    /// How many are so.
    pub fn count(&self, flag: Flag) -> usize {
        let frontends = || self.frontends.values().filter(|of| of.flags.contains(&flag)).count();
        let nodes = || self.nodes.values().filter(|of| of.contains(&flag)).count();
        match flag {
            Flag::Rejected => self.rejected.len() + self.holds,
            Flag::Silent => nodes(),
            Flag::Sync => frontends() + nodes(),
            Flag::Down | Flag::Dropping | Flag::Standby | Flag::Disagree => frontends(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_fine(&self) -> bool {
        Flag::ALL.into_iter().all(|flag| self.count(flag) == 0)
    }
}

/// What one node says of a Frontend, and what that counts for.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// What it says.
    pub facts: &'a Facts,
    /// Whether that is what is.
    pub reporting: bool,
    /// The VIP drops packets there now.
    pub dropping: bool,
}

/// What several nodes say of one Frontend, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Some node reports. Without one, what was last seen is better than nothing, but no flag is set for it.
    pub reported: bool,
    /// The worst state of those that count.
    pub state: Word,
    /// What is wrong.
    pub flags: BTreeSet<Flag>,
    /// Since when it is in that state.
    pub since: Option<Timestamp>,
    /// The backends, and whether each is up on every node that counts.
    pub backends: BTreeMap<Name, bool>,
}

impl Folded {
    /// Puts together what nodes say; `None` where none says anything.
    pub fn of<'a>(said: &(impl Iterator<Item = Said<'a>> + Clone)) -> Option<Self> {
        let reported = said.clone().any(|said| said.reporting);
        let counted = || said.clone().filter(|said| said.reporting || !reported);
        counted().next()?;
        let words = counted().map(|said| said.facts.word());
        let state = if reported { Word::worst(words) } else { Word::Unknown };
        let mut flags = BTreeSet::new();
        for Said { facts: of, dropping, .. } in counted().filter(|_| reported) {
            flags.extend(those([
                (Flag::Down, !of.withdrawn && of.state == FrontendState::Down),
                (Flag::Dropping, !of.withdrawn && dropping),
                (Flag::Standby, of.standby_for.is_some() || of.last.is_some()),
                (Flag::Rejected, of.problem.is_some() || of.result == ProgramResult::Held),
                (Flag::Sync, !of.withdrawn && of.result == ProgramResult::Failed),
            ]));
        }
        let mut backends = BTreeMap::new();
        for member in counted().flat_map(|said| &said.facts.members) {
            *backends.entry(member.backend.clone()).or_insert(true) &= member.state == BackendState::Up;
        }
        let since = counted().filter(|said| said.facts.word() == state).filter_map(|said| said.facts.since).min();
        Some(Self { reported, state, flags, since, backends })
    }

    /// The same where nodes disagree about it, for longer than a change takes.
    pub fn disagreeing(mut self, disagree: bool) -> Self {
        if disagree && self.reported {
            self.flags.insert(Flag::Disagree);
        }
        self
    }
}

/// Whether nodes that should say the same say different things: other states of a Backend, or other effective weights.
/// One that withdraws the Frontend says nothing.
pub fn differ<'a>(facts: impl Iterator<Item = &'a Facts>) -> bool {
    let mut members = facts.filter(|facts| !facts.withdrawn).map(|facts| &facts.members);
    let says = |member: &'a MemberFact| (&member.backend, member.state, member.effective);
    members.next().is_some_and(|first| members.any(|other| !first.iter().map(says).eq(other.iter().map(says))))
}

/// The Frontends about which nodes that report and have VPP say different things at this moment.
pub fn disagreeing(nodes: &[NodeState]) -> BTreeSet<Name> {
    let comparable: Vec<_> = nodes.iter().filter(|node| node.reporting() && node.view.vpp.is_some()).collect();
    let names: BTreeSet<&Name> = comparable.iter().flat_map(|node| node.view.frontends.keys()).collect();
    let differs = |name: &&Name| {
        let facts: Vec<_> = comparable.iter().filter_map(|node| Facts::of(&node.view, name)).collect();
        differ(facts.iter())
    };
    names.into_iter().filter(differs).cloned().collect()
}

/// What is wrong with a node.
pub fn node_flags(node: &NodeState) -> BTreeSet<Flag> {
    let (view, reporting) = (&node.view, node.reporting());
    let found = [
        (Flag::Silent, !reporting || view.vpp.is_none()),
        (Flag::Sync, reporting && (view.sync.failed_steps > 0 || view.sync.error.is_some())),
        (Flag::Rejected, reporting && !view.holds.is_empty()),
    ];
    those(found).collect()
}

/// The flags that are set.
fn those<const N: usize>(found: [(Flag, bool); N]) -> impl Iterator<Item = Flag> {
    found.into_iter().filter(|(_, is)| *is).map(|(flag, _)| flag)
}

/// `None` where no node knows it.
fn frontend(nodes: &[NodeState], name: &Name, lasting: &Lasting<'_>) -> Option<FrontendSurvey> {
    let of = |node: &NodeState| Some((Arc::clone(&node.node), Facts::of(&node.view, name)?));
    let facts: BTreeMap<Arc<str>, Facts> = nodes.iter().filter_map(of).collect();
    let reports: BTreeSet<&str> = nodes.iter().filter(|node| node.reporting()).map(|node| &*node.node).collect();
    let said = facts.iter().map(|(node, facts)| Said {
        facts,
        reporting: reports.contains(&**node),
        dropping: (lasting.dropping)(node, &facts.vip.into()),
    });
    let folded = Folded::of(&said)?.disagreeing((lasting.disagree)(name));
    let Folded { state, flags, since, backends, .. } = folded;
    Some(FrontendSurvey { state, flags, since, backends, nodes: facts })
}
