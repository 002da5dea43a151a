//! The difference between two configurations, with all objects that it refers to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{Malformed, Resolver};
use crate::proto;
use maglev_model::{
    change::{ConfigDelta, Problems},
    config::{Backend, Check, Frontend, HealthCheck, Kind, MemberTarget, NodeConfig},
    name::Name,
};

/// Collects the objects that listed objects refer to and that are not listed. Names are unique within a configuration.
pub struct References<'a, C, B> {
    is_check_listed: C,
    is_backend_listed: B,
    checks: BTreeMap<&'a Name, &'a HealthCheck>,
    backends: BTreeMap<&'a Name, &'a Backend>,
}

impl<'a, C: Fn(&Name) -> bool, B: Fn(&Name) -> bool> References<'a, C, B> {
    pub fn new(is_check_listed: C, is_backend_listed: B) -> Self {
        Self { is_check_listed, is_backend_listed, checks: BTreeMap::new(), backends: BTreeMap::new() }
    }

    pub fn add_backend(&mut self, backend: &'a Backend) {
        if let Check::Probe(check) = &backend.check
            && !(self.is_check_listed)(&check.name)
        {
            self.checks.insert(&check.name, check);
        }
    }

    pub fn add_frontend(&mut self, frontend: &'a Frontend) {
        for member in frontend.pools.iter().flat_map(|pool| &pool.members) {
            if let MemberTarget::Backend(backend) = &member.target
                && !(self.is_backend_listed)(&backend.name)
                && self.backends.insert(&backend.name, backend).is_none()
            {
                self.add_backend(backend);
            }
        }
    }

    /// The collected objects; `None` if there are none.
    pub fn into_message(self) -> Option<proto::Referenced> {
        let Self { checks, backends, .. } = self;
        (!checks.is_empty() || !backends.is_empty()).then(|| proto::Referenced {
            health_checks: checks.into_values().map(Into::into).collect(),
            backends: backends.into_values().map(Into::into).collect(),
        })
    }
}

impl From<&ConfigDelta> for proto::ConfigDelta {
    fn from(delta: &ConfigDelta) -> Self {
        let ConfigDelta { health_checks, backends, frontends, node, claims_unknown, problems } = delta;
        let (listed_checks, listed_backends) = (listed(health_checks), listed(backends));
        let mut references =
            References::new(|name| listed_checks.contains(name), |name| listed_backends.contains(name));
        backends
            .iter()
            .filter_map(|(_, backend)| backend.as_deref())
            .for_each(|backend| references.add_backend(backend));
        frontends
            .iter()
            .filter_map(|(_, frontend)| frontend.as_deref())
            .for_each(|frontend| references.add_frontend(frontend));
        Self {
            referenced: references.into_message(),
            health_checks: present(health_checks),
            backends: present(backends),
            frontends: present(frontends),
            node: node.as_deref().map(proto::NodeConfig::from),
            claims_unknown: *claims_unknown,
            problems: problems.iter().map(|(object, problems)| object_problems(object, problems)).collect(),
            health_checks_gone: removed(health_checks),
            backends_gone: removed(backends),
            frontends_gone: removed(frontends),
        }
    }
}

type Changed<T> = [(Name, Option<Arc<T>>)];

fn listed<T>(changed: &Changed<T>) -> HashSet<&Name> {
    changed.iter().filter(|(_, object)| object.is_some()).map(|(name, _)| name).collect()
}

fn present<'a, T, P: From<&'a T>>(changed: &'a Changed<T>) -> Vec<P> {
    changed.iter().filter_map(|(_, object)| object.as_deref().map(P::from)).collect()
}

fn removed<T>(changed: &Changed<T>) -> Vec<String> {
    changed.iter().filter(|(_, object)| object.is_none()).map(|(name, _)| name.to_string()).collect()
}

impl TryFrom<proto::ConfigDelta> for ConfigDelta {
    type Error = Malformed;

    fn try_from(delta: proto::ConfigDelta) -> Result<Self, Malformed> {
        let mut resolver = Resolver::new(delta.referenced)?;
        let checks = delta.health_checks.into_iter().map(|check| resolver.health_check(check));
        let checks = checks.collect::<Result<Vec<_>, _>>()?;
        let backends = delta.backends.into_iter().map(|backend| resolver.backend(backend));
        let backends = backends.collect::<Result<Vec<_>, _>>()?;
        let frontends = delta.frontends.into_iter().map(|frontend| resolver.frontend(frontend));
        let frontends = frontends.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            health_checks: merge(checks, |check| check.name.clone(), delta.health_checks_gone),
            backends: merge(backends, |backend| backend.name.clone(), delta.backends_gone),
            frontends: merge(frontends, |frontend| frontend.name.clone(), delta.frontends_gone),
            node: delta.node.map(NodeConfig::try_from).transpose()?.map(Arc::new),
            claims_unknown: delta.claims_unknown,
            problems: delta.problems.into_iter().map(read_object_problems).collect::<Result<_, _>>()?,
        })
    }
}

/// Present and removed objects, sorted by name.
fn merge<T>(present: Vec<Arc<T>>, name: impl Fn(&T) -> Name, removed: Vec<String>) -> Vec<(Name, Option<Arc<T>>)> {
    let removed = removed.into_iter().map(|name| (Name::from(&*name), None));
    let mut changed: Vec<_> = present.into_iter().map(|object| (name(&object), Some(object))).chain(removed).collect();
    changed.sort_by(|(a, _), (b, _)| a.cmp(b));
    changed
}

pub fn object_problems((kind, name): &(Kind, Name), problems: &Problems) -> proto::ObjectProblems {
    proto::ObjectProblems {
        kind: proto::Kind::from(*kind).into(),
        name: name.to_string(),
        problems: Some(problems.into()),
    }
}

pub fn read_object_problems(message: proto::ObjectProblems) -> Result<((Kind, Name), Problems), Malformed> {
    let kind = message.kind().try_into()?;
    Ok(((kind, Name::from(&*message.name)), message.problems.unwrap_or_default().into()))
}

impl From<&Problems> for proto::Problems {
    fn from(Problems { generation, problems }: &Problems) -> Self {
        Self { generation: *generation, problems: problems.iter().map(proto::Problem::from).collect() }
    }
}

impl From<proto::Problems> for Problems {
    fn from(proto::Problems { generation, problems }: proto::Problems) -> Self {
        Self { generation, problems: problems.into_iter().map(Into::into).collect() }
    }
}
