//! Permissions of subjects.

use std::{collections::BTreeSet, str::FromStr};

/// Enforcement of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// No token is looked at.
    #[default]
    Off,
    /// Every call is answered; calls that would be refused are logged and counted.
    Permissive,
    /// Calls without permission are refused.
    Required,
}

impl FromStr for AuthMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "permissive" => Ok(Self::Permissive),
            "required" => Ok(Self::Required),
            _ => Err(format!("found {text:?}, allowed are off, permissive and required")),
        }
    }
}

/// A permission that a call requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Reading, for viewers and operators.
    View,
    /// Requests that make an agent do something, for operators.
    Operate,
}

/// The subjects with each permission.
#[derive(Clone, Debug, Default)]
pub struct Access {
    viewers: BTreeSet<String>,
    operators: BTreeSet<String>,
}

impl Access {
    /// Subjects are user names such as `system:serviceaccount:NAMESPACE:NAME`. Operators are also viewers.
    pub fn new(viewers: impl IntoIterator<Item = String>, operators: impl IntoIterator<Item = String>) -> Self {
        Self { viewers: viewers.into_iter().collect(), operators: operators.into_iter().collect() }
    }

    /// True if `subject` has the permission.
    pub fn allows(&self, subject: &str, permission: Permission) -> bool {
        self.operators.contains(subject) || permission == Permission::View && self.viewers.contains(subject)
    }
}
