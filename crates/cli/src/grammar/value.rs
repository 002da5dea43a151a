//! The kinds of values in a command, and their ranges.

use maglev_model::event::Level;

/// Levels of events.
pub const LEVELS: [(&str, Level); 4] =
    [("debug", Level::Debug), ("info", Level::Info), ("warn", Level::Warn), ("error", Level::Error)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `namespace/name`, or a name in the current namespace.
    Backend,
    /// `namespace/name`, or a name in the current namespace.
    Frontend,
    /// A pool of the preceding Frontend.
    Pool,
    /// A member of the preceding pool.
    Member,
    Weight,
    Count,
    Level,
    /// ID of a hold on removals.
    Hold,
    /// Name of a Namespace.
    Namespace,
    /// Name of an AddressPolicy.
    Policy,
}

impl Value {
    /// The placeholder in usage lines.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Backend | Self::Member => "BACKEND",
            Self::Frontend => "FRONTEND",
            Self::Pool => "POOL",
            Self::Weight => "WEIGHT",
            Self::Count => "N",
            Self::Level => "LEVEL",
            Self::Hold => "HOLD-ID",
            Self::Namespace => "NAMESPACE",
            Self::Policy => "POLICY",
        }
    }

    /// True for names that have to be requested from the agents.
    pub fn is_name(self) -> bool {
        matches!(self, Self::Backend | Self::Frontend | Self::Pool | Self::Member | Self::Hold | Self::Namespace)
    }

    /// Checks `text`; the error is the allowed range.
    pub fn check(self, text: &str) -> Result<(), &'static str> {
        let fits = match self {
            Self::Backend | Self::Frontend => is_name(text),
            Self::Pool | Self::Member | Self::Namespace | Self::Policy => !text.is_empty() && !text.contains('/'),
            Self::Weight => text.parse::<u8>().is_ok_and(|weight| weight <= 100),
            Self::Count => text.parse::<u64>().is_ok_and(|count| count > 0),
            Self::Level => LEVELS.iter().any(|(word, _)| *word == text),
            Self::Hold => !text.is_empty(),
        };
        fits.then_some(()).ok_or(match self {
            Self::Backend | Self::Frontend => "a name, or namespace/name",
            Self::Pool | Self::Member | Self::Policy => "a name without a namespace",
            Self::Namespace => "the name of a namespace",
            Self::Weight => "a whole number from 0 to 100",
            Self::Count => "a whole number above 0",
            Self::Level => "debug, info, warn or error",
            Self::Hold => "an ID listed by show nodes",
        })
    }
}

fn is_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|part| !part.is_empty())
}
