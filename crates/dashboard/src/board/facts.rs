//! What one node contributes to a frontend's row: what it says, and the traffic that goes through it.

use crate::{document::Counters, inputs::Inputs};
use maglev_fleet::survey;
use maglev_model::{Name, actual::VppVip, event::ProgramResult};

/// A frontend on one node, as far as its row needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub(crate) said: survey::Facts,
    /// Packets per second, all and dropped.
    pub(crate) rate: f64,
    pub(crate) dropping: f64,
}

impl Facts {
    /// What the node says of `name`; `None` where it does not know it.
    pub fn new(inputs: &Inputs, name: &Name) -> Option<Self> {
        let said = survey::Facts::of(inputs.view(), name)?;
        let counters = inputs.traffic.as_ref().and_then(|of| of.vips.get(&VppVip::from(said.vip)));
        let counters = counters.filter(|_| !said.withdrawn);
        Some(Self {
            said,
            rate: counters.map_or(0.0, Counters::rate),
            dropping: counters.map_or(0.0, Counters::dropping),
        })
    }

    /// State, and how far the node is where it is not there.
    pub fn cell(&self) -> String {
        let word = self.said.word().as_str();
        match (self.said.withdrawn, self.said.result) {
            (true, _) | (_, ProgramResult::Programmed) => word.to_owned(),
            (false, other) => format!("{word} {}", other.as_str()),
        }
    }
}
