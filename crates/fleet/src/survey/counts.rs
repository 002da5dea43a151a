//! The counts of the status strip and the sentence that replaces them, for the dashboard and for `maglevc status`.

use super::{Flag, Survey};

/// Counts of problems, and the totals that they are out of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Number of objects and nodes with each flag, in the order of its variants.
    pub problems: [usize; Flag::ALL.len()],
    pub vips: usize,
    pub backends: usize,
    /// Backends that are up on every reporting node.
    pub backends_up: usize,
    pub nodes: usize,
    /// Nodes that report.
    pub reporting: usize,
}

impl From<&Survey> for StatusCounts {
    fn from(survey: &Survey) -> Self {
        let totals = Self {
            vips: survey.frontends.len(),
            backends: survey.backends.len(),
            backends_up: survey.backends.values().filter(|backend| backend.up).count(),
            nodes: survey.nodes.len(),
            reporting: survey.reporting,
            ..Self::default()
        };
        totals.with_problems(|flag| survey.count(flag))
    }
}

impl StatusCounts {
    /// Sets the count of each flag.
    pub fn with_problems(mut self, count: impl Fn(Flag) -> usize) -> Self {
        for flag in Flag::ALL {
            self.problems[flag as usize] = count(flag);
        }
        self
    }

    /// Number of objects and nodes with this flag.
    pub fn count(&self, flag: Flag) -> usize {
        self.problems[flag as usize]
    }

    /// True if no problem affects a VIP. A backend that is down does not, while the other backends of the first pool serve.
    pub fn is_fine(&self) -> bool {
        Flag::ALL.into_iter().all(|flag| flag == Flag::BackendsDown || self.count(flag) == 0)
    }

    /// The sentence for a fleet without problems; `None` if there are any, or if a node does not report.
    pub fn healthy_sentence(&self) -> Option<String> {
        let Self { vips, backends, backends_up, nodes, reporting, .. } = *self;
        if nodes == 0 || reporting < nodes || !self.is_fine() || self.count(Flag::BackendsDown) > 0 {
            return None;
        }
        let (vip_count, backend_count, nodes) =
            (counted(vips, "VIP"), counted(backends, "backend"), counted(nodes, "node"));
        Some(if vips == 0 {
            format!("No Frontends yet on {nodes}")
        } else if backends_up == backends {
            format!("Everything is up: {vip_count}, {backend_count} on {nodes}")
        } else {
            format!("No problems: {vip_count}, {backends_up} of {backend_count} up, on {nodes}")
        })
    }
}

/// `1 node`, `2 nodes`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
