//! Paths of VIPs as probed by the nodes, for `why` and `doctor`.

use jiff::Timestamp;
use serde::Serialize;

use super::output::{Time, age};
use crate::style::Style;
use maglev_model::path::{PathHealth, PathState};

/// The state of one path.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    /// The other end: the Frontend of a Backend, or the Backend of a Frontend.
    pub name: String,
    pub state: &'static str,
    pub since: Time,
    /// The path failed together with all others of its address family: the fault may be the node's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(skip)]
    pub kind: PathState,
}

impl Path {
    pub fn new(name: &impl ToString, health: &PathHealth) -> Self {
        Self {
            name: name.to_string(),
            state: health.state.as_str(),
            since: Time(health.since),
            in_doubt: health.in_doubt,
            detail: health.detail.to_string(),
            kind: health.state,
        }
    }

    pub fn style(&self) -> Style {
        match self.kind {
            PathState::Ok => Style::Good,
            PathState::Unknown => Style::Faint,
            _ => Style::Warn,
        }
    }

    /// State, age and detail.
    pub fn text(&self, now: Timestamp) -> String {
        let doubt = if self.in_doubt { ", in doubt" } else { "" };
        format!("{} for {}{doubt}{}", self.state, age(self.since.0, now), self.because())
    }

    /// State and detail, for the result of one probe.
    pub fn result(&self) -> String {
        format!("{}{}", self.state, self.because())
    }

    fn because(&self) -> String {
        if self.detail.is_empty() { String::new() } else { format!(": {}", self.detail) }
    }
}

/// Advice on a state; `None` if nothing is to be done.
pub fn advice(state: PathState) -> Option<&'static str> {
    match state {
        PathState::Ok => None,
        PathState::Unknown => Some("no probe has finished yet; wait for one interval of pathProbe"),
        PathState::Timeout => Some(
            "the tunnel does not end here, the VIP is not on lo, rp_filter or a firewall drops the packet, or the answer \
             does not reach the node",
        ),
        PathState::Refused => Some("tunnel and VIP work, but no server listens on the VIP and port"),
        PathState::MtuTooSmall => {
            Some("small packets arrive and large ones are lost: lower the segment size, or raise the MTU on the way")
        }
        PathState::Unable => Some("this node cannot send the probe; nothing is known about the path"),
    }
}
