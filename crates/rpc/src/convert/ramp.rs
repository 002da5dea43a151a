//! Ramps.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    Malformed,
    scalar::{duration, number, read_address, read_duration, read_time, time},
};
use crate::proto;
use maglev_model::{
    config::RampUp,
    name::Name,
    ramp::{Ramp, Ramps},
    vip::Weight,
};

pub fn frontend_ramps(frontend: &Name, ramps: &BTreeMap<IpAddr, Ramp>) -> proto::FrontendRamps {
    let ramp = |(address, ramp): (&IpAddr, &Ramp)| {
        let Ramp { weight, step, steps, full_at } = ramp;
        proto::Ramp {
            address: address.to_string(),
            weight: weight.get().into(),
            step: (*step).into(),
            steps: (*steps).into(),
            full_at: Some(time(*full_at)),
        }
    };
    proto::FrontendRamps { frontend: frontend.to_string(), ramps: ramps.iter().map(ramp).collect() }
}

pub fn read_frontend_ramps(message: &proto::FrontendRamps) -> Result<(Name, Ramps), Malformed> {
    let ramps = message.ramps.iter().map(read_ramp).collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok((Name::from(&*message.frontend), Arc::new(ramps)))
}

fn read_ramp(ramp: &proto::Ramp) -> Result<(IpAddr, Ramp), Malformed> {
    let weight = Weight::new(number(ramp.weight, "weight")?);
    let read = Ramp {
        weight: weight.ok_or_else(|| Malformed::new("weight", ramp.weight.to_string()))?,
        step: number(ramp.step, "step")?,
        steps: number(ramp.steps, "steps")?,
        full_at: read_time(ramp.full_at, "full_at")?,
    };
    Ok((read_address(&ramp.address, "address")?, read))
}

impl From<RampUp> for proto::RampUp {
    fn from(RampUp { duration: whole, steps }: RampUp) -> Self {
        Self { duration: duration(whole), steps: steps.into() }
    }
}

impl TryFrom<proto::RampUp> for RampUp {
    type Error = Malformed;

    fn try_from(ramp_up: proto::RampUp) -> Result<Self, Malformed> {
        let duration = read_duration(ramp_up.duration, "duration")?;
        Ok(Self { duration, steps: number(ramp_up.steps, "steps")? })
    }
}
