//! The kinds of values that stand between the words, and what each allows.

use maglev_model::event::Level;

/// The levels that can be asked for.
pub const LEVELS: [(&str, Level); 4] =
    [("debug", Level::Debug), ("info", Level::Info), ("warn", Level::Warn), ("error", Level::Error)];

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A Backend, `namespace/name` or a name of the namespace in use.
    Backend,
    /// A Frontend, likewise.
    Frontend,
    /// A pool of the Frontend before it.
    Pool,
    /// A member of the pool before it.
    Member,
    Weight,
    Count,
    /// A level of events.
    Level,
    /// The id of a hold.
    Hold,
}

impl Value {
    /// What stands for it in a usage line.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Backend | Self::Member => "BACKEND",
            Self::Frontend => "FRONTEND",
            Self::Pool => "POOL",
            Self::Weight => "WEIGHT",
            Self::Count => "N",
            Self::Level => "LEVEL",
            Self::Hold => "HOLD-ID",
        }
    }

    /// Whether it is a name that only the agents know.
    pub fn is_name(self) -> bool {
        matches!(self, Self::Backend | Self::Frontend | Self::Pool | Self::Member | Self::Hold)
    }

    /// Whether `text` can be such a value; else what is allowed.
    pub fn check(self, text: &str) -> Result<(), &'static str> {
        let fits = match self {
            Self::Backend | Self::Frontend => is_name(text),
            Self::Pool | Self::Member => !text.is_empty() && !text.contains('/'),
            Self::Weight => text.parse::<u8>().is_ok_and(|weight| weight <= 100),
            Self::Count => text.parse::<u64>().is_ok_and(|count| count > 0),
            Self::Level => LEVELS.iter().any(|(word, _)| *word == text),
            Self::Hold => !text.is_empty(),
        };
        fits.then_some(()).ok_or(match self {
            Self::Backend | Self::Frontend => "a name, or namespace/name",
            Self::Pool | Self::Member => "a name without a namespace",
            Self::Weight => "a whole number from 0 to 100",
            Self::Count => "a whole number above 0",
            Self::Level => "debug, info, warn or error",
            Self::Hold => "the id that show nodes tells",
        })
    }
}

fn is_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|part| !part.is_empty())
}
