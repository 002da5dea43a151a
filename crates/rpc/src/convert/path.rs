//! Paths and their probes.

use super::{
    Malformed,
    scalar::{duration, number, read_address, read_duration, read_time, time},
};
use crate::proto;
use maglev_model::{
    name::Name,
    path::{PathHealth, PathKey, PathMode, PathProbe},
};

pub fn path(key: &PathKey, health: Option<&PathHealth>) -> proto::Path {
    proto::Path { frontend: key.frontend.to_string(), backend: key.backend.to_string(), health: health.map(Into::into) }
}

pub fn read_path(path: proto::Path) -> Result<(PathKey, Option<PathHealth>), Malformed> {
    let key = PathKey { frontend: Name::from(&*path.frontend), backend: Name::from(&*path.backend) };
    Ok((key, path.health.map(PathHealth::try_from).transpose()?))
}

/// Reads paths of which each has a state.
pub fn read_paths<P: FromIterator<(PathKey, PathHealth)>>(paths: Vec<proto::Path>) -> Result<P, Malformed> {
    let with_state = |path| match read_path(path)? {
        (key, Some(health)) => Ok((key, health)),
        (_, None) => Err(Malformed::missing("health")),
    };
    paths.into_iter().map(with_state).collect()
}

impl From<&PathHealth> for proto::PathHealth {
    fn from(PathHealth { address, state, since, in_doubt, detail }: &PathHealth) -> Self {
        Self {
            address: address.to_string(),
            state: proto::PathState::from(*state).into(),
            since: Some(time(*since)),
            detail: detail.to_string(),
            in_doubt: *in_doubt,
        }
    }
}

impl TryFrom<proto::PathHealth> for PathHealth {
    type Error = Malformed;

    fn try_from(health: proto::PathHealth) -> Result<Self, Malformed> {
        Ok(Self {
            address: read_address(&health.address, "address")?,
            state: health.state().try_into()?,
            since: read_time(health.since, "since")?,
            in_doubt: health.in_doubt,
            detail: health.detail.into(),
        })
    }
}

impl From<PathProbe> for proto::PathProbe {
    fn from(PathProbe { mode, interval, packet_size }: PathProbe) -> Self {
        Self { interval: duration(interval), packet_size: packet_size.into(), required: mode == PathMode::Require }
    }
}

impl TryFrom<proto::PathProbe> for PathProbe {
    type Error = Malformed;

    fn try_from(probe: proto::PathProbe) -> Result<Self, Malformed> {
        Ok(Self {
            mode: if probe.required { PathMode::Require } else { PathMode::Report },
            interval: read_duration(probe.interval, "interval")?,
            packet_size: number(probe.packet_size, "packet_size")?,
        })
    }
}
