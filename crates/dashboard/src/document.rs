//! What the page is given: three kinds of documents and the messages that change them, as they go over the wire.
//!
//! `docs/dashboard-api.md` explains them for the page's side. Nothing is ever `null`: what is not known is left out,
//! because in a patch `null` takes a key away.

mod node;
mod object;
mod summary;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(crate) use self::{
    node::{
        BackendDetail, Count, Counters, Foreign, FrontendDetail, HealthCheckDetail, InVpp, Member, NodeDocument,
        PastTransition, PoolDetail, Rate, ReportDetail, RouteDetail, Settings, VppConfDetail, VppPanel,
    },
    object::ObjectInfo,
    summary::{HoldDetail, LookedFor, NodeHead, ObjectProblems, Row, Strip, Summary, Totals, TransitionDetail},
};
use maglev_fleet::AsOf;
use maglev_model::{problem::Problem, vip::VipKey};

/// A moment, with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// A place in an agent's sequence; the epoch is hexadecimal, because it does not fit into a JavaScript number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub AsOf);

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Parts {
            epoch: String,
            seq: u64,
        }
        Parts { epoch: format!("{:x}", self.0.epoch), seq: self.0.seq }.serialize(serializer)
    }
}

/// Where the agents of the nodes were.
pub type Places = BTreeMap<Arc<str>, Place>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vip {
    pub(crate) address: String,
    /// `tcp`, `udp`, `any`; of what is foreign, any number.
    pub(crate) protocol: String,
    pub(crate) port: u16,
}

impl From<VipKey> for Vip {
    fn from(vip: VipKey) -> Self {
        let (protocol, port) = (vip.service.protocol().to_owned(), vip.service.port());
        Self { address: vip.address.to_string(), protocol, port }
    }
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemDetail {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl From<&Problem> for ProblemDetail {
    fn from(problem: &Problem) -> Self {
        let Problem { reason, field, message } = problem;
        Self { reason: reason.as_str(), field: field.clone(), message: message.clone() }
    }
}

/// One decimal is all that a rate is good for.
pub fn tenth(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
