//! Drains and their settings.

use super::{
    Malformed,
    scalar::{duration, read_duration, read_time, time},
};
use crate::proto;
use maglev_model::{
    drain::{Drain, DrainConf, DrainLosses, OnDeadline},
    name::Name,
};

pub fn drain_change(name: &Name, drain: Option<&Drain>) -> proto::DrainChange {
    proto::DrainChange { name: name.to_string(), drain: drain.map(Into::into) }
}

pub fn read_drain_change(change: proto::DrainChange) -> Result<(Name, Option<Drain>), Malformed> {
    let proto::DrainChange { name, drain } = change;
    Ok((Name::from(&*name), drain.map(Drain::try_from).transpose()?))
}

/// Reads drains of which each has a state.
pub fn read_drains<D: FromIterator<(Name, Drain)>>(drains: Vec<proto::DrainChange>) -> Result<D, Malformed> {
    let with_state = |drain| match read_drain_change(drain)? {
        (name, Some(drain)) => Ok((name, drain)),
        (_, None) => Err(Malformed::missing("drain")),
    };
    drains.into_iter().map(with_state).collect()
}

impl From<&Drain> for proto::Drain {
    fn from(drain: &Drain) -> Self {
        let Drain { generation, state, since, flows, bits_per_second, idle, is_shared, is_overdue, losses } = drain;
        Self {
            generation: *generation,
            state: proto::DrainState::from(*state).into(),
            since: Some(time(*since)),
            flows: *flows,
            bits_per_second: *bits_per_second,
            idle_seconds: *idle,
            is_shared: *is_shared,
            is_overdue: *is_overdue,
            losses: (*losses != DrainLosses::default()).then(|| proto::DrainLosses::from(*losses)),
        }
    }
}

impl TryFrom<proto::Drain> for Drain {
    type Error = Malformed;

    fn try_from(drain: proto::Drain) -> Result<Self, Malformed> {
        Ok(Self {
            generation: drain.generation,
            state: drain.state().try_into()?,
            since: read_time(drain.since, "since")?,
            flows: drain.flows,
            bits_per_second: drain.bits_per_second,
            idle: drain.idle_seconds,
            is_shared: drain.is_shared,
            is_overdue: drain.is_overdue,
            losses: drain.losses.map(DrainLosses::from).unwrap_or_default(),
        })
    }
}

impl From<DrainLosses> for proto::DrainLosses {
    fn from(DrainLosses { untracked, vpp_restarted, sticky_tables_resized }: DrainLosses) -> Self {
        Self { untracked, vpp_restarted, sticky_tables_resized }
    }
}

impl From<proto::DrainLosses> for DrainLosses {
    fn from(losses: proto::DrainLosses) -> Self {
        let proto::DrainLosses { untracked, vpp_restarted, sticky_tables_resized } = losses;
        Self { untracked, vpp_restarted, sticky_tables_resized }
    }
}

/// The message of the settings; `None` for the defaults.
pub fn drain_conf(conf: DrainConf) -> Option<proto::DrainConf> {
    let DrainConf { deadline, on_deadline } = conf;
    let flush = on_deadline == OnDeadline::Flush;
    (conf != DrainConf::default()).then(|| proto::DrainConf { deadline: deadline.and_then(duration), flush })
}

pub fn read_drain_conf(conf: Option<proto::DrainConf>) -> Result<DrainConf, Malformed> {
    let Some(proto::DrainConf { deadline, flush }) = conf else { return Ok(DrainConf::default()) };
    let on_deadline = if flush { OnDeadline::Flush } else { OnDeadline::Keep };
    let deadline = deadline.map(|deadline| read_duration(Some(deadline), "deadline")).transpose()?;
    Ok(DrainConf { deadline, on_deadline })
}
