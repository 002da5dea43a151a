//! The status of an object of any kind, and how much a change of it matters.

use serde::de::DeserializeOwned;
use serde_json::Value;

use maglev_crd::{
    BackendStatus, Condition, FrontendStatus, HealthCheckStatus, LoadBalancerConfigStatus, MaglevNodeStatus,
};
use maglev_kube::status_writer::Written;
use maglev_model::config::Kind;

#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    HealthCheck(HealthCheckStatus),
    Backend(BackendStatus),
    Frontend(FrontendStatus),
    LoadBalancerConfig(LoadBalancerConfigStatus),
    MaglevNode(MaglevNodeStatus),
}

/// How much a change of a status matters; what matters more is written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// The first word on a new generation, or the first outcome of it: somebody is waiting.
    Answer,
    /// A condition changed.
    Condition,
    /// A Backend's state changed.
    State,
    /// Only numbers and sentences changed.
    Numbers,
}

impl Class {
    /// The word for metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Condition => "condition",
            Self::State => "state",
            Self::Numbers => "numbers",
        }
    }
}

impl Status {
    /// What is stored as the status of an object of this kind; an empty one where that is none of ours.
    pub fn read(what: Written, value: &Value) -> Self {
        fn of<T: DeserializeOwned + Default>(value: &Value) -> T {
            T::deserialize(value).unwrap_or_default()
        }
        match what {
            Written::Kind(Kind::HealthCheck) => Self::HealthCheck(of(value)),
            Written::Kind(Kind::Backend) => Self::Backend(of(value)),
            Written::Kind(Kind::Frontend) => Self::Frontend(of(value)),
            Written::Kind(Kind::LoadBalancerConfig | Kind::Node) => Self::LoadBalancerConfig(of(value)),
            Written::MaglevNode => Self::MaglevNode(of(value)),
        }
    }

    /// As it is written.
    pub fn value(&self) -> Value {
        let value = match self {
            Self::HealthCheck(status) => serde_json::to_value(status),
            Self::Backend(status) => serde_json::to_value(status),
            Self::Frontend(status) => serde_json::to_value(status),
            Self::LoadBalancerConfig(status) => serde_json::to_value(status),
            Self::MaglevNode(status) => serde_json::to_value(status),
        };
        value.expect("a status is plain data")
    }

    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::HealthCheck(status) => &status.conditions,
            Self::Backend(status) => &status.conditions,
            Self::Frontend(status) => &status.conditions,
            Self::LoadBalancerConfig(status) => &status.conditions,
            Self::MaglevNode(status) => &status.conditions,
        }
    }

    /// One of its conditions.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions().iter().find(|of| of.type_ == kind)
    }

    fn observed_generation(&self) -> Option<i64> {
        match self {
            Self::HealthCheck(status) => status.observed_generation,
            Self::Backend(status) => status.observed_generation,
            Self::Frontend(status) => status.observed_generation,
            Self::LoadBalancerConfig(status) => status.observed_generation,
            Self::MaglevNode(status) => status.observed_generation,
        }
    }

    /// How much it matters that this becomes `new`; `None` where both are the same.
    pub fn change_to(&self, new: &Self) -> Option<Class> {
        if self == new {
            return None;
        }
        if self.observed_generation() != new.observed_generation() || self.awaits_outcome(new) {
            return Some(Class::Answer);
        }
        let said = |status: &Self| -> Vec<(String, String, String)> {
            let said = |of: &Condition| (of.type_.clone(), of.status.clone(), of.reason.clone());
            status.conditions().iter().map(said).collect()
        };
        if said(self) != said(new) {
            return Some(Class::Condition);
        }
        match (self, new) {
            (Self::Backend(old), Self::Backend(new)) if old.state != new.state => Some(Class::State),
            _ => Some(Class::Numbers),
        }
    }

    /// Whether `new` is the first outcome of a generation.
    fn awaits_outcome(&self, new: &Self) -> bool {
        let waits = self.condition("Programmed").is_some_and(|of| of.status == "Unknown" && of.reason == PENDING);
        waits && new.condition("Programmed").is_some_and(|of| of.status != "Unknown")
    }
}

/// The reason of what was never decided for this generation.
pub const PENDING: &str = "Pending";
