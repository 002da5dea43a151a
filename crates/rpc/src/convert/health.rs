//! Health of backends, and reports about Frontends.

use super::{
    Malformed,
    enums::{code, read_code},
    scalar::{duration, number, read_address, read_duration, read_time, time},
};
use crate::proto;
use maglev_model::{
    change::Report,
    fingerprint::Fingerprint,
    health::{BackendHealth, LastProbe, Probing, Transition},
};

impl From<&BackendHealth> for proto::BackendHealth {
    fn from(BackendHealth { address, state, ever_known, in_doubt, history }: &BackendHealth) -> Self {
        Self {
            address: address.to_string(),
            state: proto::BackendState::from(*state).into(),
            ever_known: *ever_known,
            in_doubt: *in_doubt,
            history: history.iter().map(|transition| (*transition).into()).collect(),
        }
    }
}

impl TryFrom<proto::BackendHealth> for BackendHealth {
    type Error = Malformed;

    fn try_from(health: proto::BackendHealth) -> Result<Self, Malformed> {
        Ok(Self {
            address: read_address(&health.address, "address")?,
            state: health.state().try_into()?,
            ever_known: health.ever_known,
            in_doubt: health.in_doubt,
            history: health.history.into_iter().map(Transition::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Transition> for proto::Transition {
    fn from(transition: Transition) -> Self {
        Self {
            from: proto::BackendState::from(transition.from).into(),
            to: proto::BackendState::from(transition.to).into(),
            at: Some(time(transition.at)),
            code: code(transition.code),
        }
    }
}

impl TryFrom<proto::Transition> for Transition {
    type Error = Malformed;

    fn try_from(transition: proto::Transition) -> Result<Self, Malformed> {
        let (from, to) = (transition.from().try_into()?, transition.to().try_into()?);
        Ok(Self { from, to, code: read_code(transition.code()), at: read_time(transition.at, "at")? })
    }
}

impl From<&Report> for proto::Report {
    fn from(Report { uid, generation, fingerprint, result, reason }: &Report) -> Self {
        Self {
            uid: uid.to_string(),
            generation: *generation,
            hash: fingerprint.hash.to_vec(),
            hash_version: fingerprint.version,
            result: proto::ProgramResult::from(*result).into(),
            reason: reason.to_string(),
            verified_at: None,
        }
    }
}

impl TryFrom<proto::Report> for Report {
    type Error = Malformed;

    fn try_from(report: proto::Report) -> Result<Self, Malformed> {
        let result = report.result().try_into()?;
        let length = report.hash.len();
        let hash = report.hash.try_into().map_err(|_| Malformed::new("hash", format!("{length} bytes")))?;
        Ok(Self {
            uid: report.uid.into(),
            generation: report.generation,
            fingerprint: Fingerprint { version: report.hash_version, hash },
            result,
            reason: report.reason.into(),
        })
    }
}

impl From<Probing> for proto::Probing {
    fn from(Probing { counter, probes, last }: Probing) -> Self {
        Self { counter: counter.map(Into::into), probes, last: last.map(Into::into) }
    }
}

impl TryFrom<proto::Probing> for Probing {
    type Error = Malformed;

    fn try_from(probing: proto::Probing) -> Result<Self, Malformed> {
        let counter = probing.counter.map(|counter| number(counter, "counter")).transpose()?;
        Ok(Self { counter, probes: probing.probes, last: probing.last.map(LastProbe::try_from).transpose()? })
    }
}

impl From<LastProbe> for proto::LastProbe {
    fn from(last: LastProbe) -> Self {
        Self {
            started: Some(time(last.started)),
            duration: duration(last.duration),
            code: proto::ProbeCode::from(last.code).into(),
            detail: last.detail.into_owned(),
        }
    }
}

impl TryFrom<proto::LastProbe> for LastProbe {
    type Error = Malformed;

    fn try_from(last: proto::LastProbe) -> Result<Self, Malformed> {
        let code = last.code().try_into()?;
        let (started, duration) = (read_time(last.started, "started")?, read_duration(last.duration, "duration")?);
        Ok(Self { started, duration, code, detail: last.detail.into() })
    }
}
