//! Responses about objects, from one snapshot. Lists are sorted by name.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tonic::Status;

use crate::{
    convert::{backend_names, backend_status, frontend_names, frontend_status, path, time},
    proto,
};
use maglev_model::{
    config::{Check, Frontend, Kind, MemberTarget},
    event::ProgramResult,
    health::Probing,
    name::Name,
    view::View,
};
use maglev_telemetry::ViewSnapshot;

/// A snapshot, and the time at which VPP was last read.
pub struct Objects {
    view: View,
    as_of: Option<proto::AsOf>,
    read_at: Option<Timestamp>,
}

/// Users of each object, by its name.
type Users<'a> = BTreeMap<&'a Name, BTreeSet<&'a Name>>;

impl Objects {
    pub fn new(ViewSnapshot { view, as_of }: ViewSnapshot, read_at: Option<Timestamp>) -> Self {
        Self { view, as_of: Some(as_of.into()), read_at }
    }

    pub fn frontends(&self) -> proto::ListFrontendsResponse {
        let names = self.with_problems(Kind::Frontend, frontend_names(&self.view));
        let frontends = names.into_iter().map(|name| self.frontend_status(name)).collect();
        proto::ListFrontendsResponse { frontends, as_of: self.as_of }
    }

    pub fn frontend(&self, name: &Name) -> Result<proto::GetFrontendResponse, Status> {
        let exists = self.view.frontends.contains_key(name)
            || self.view.states.contains_key(name)
            || self.view.reports.contains_key(name);
        self.check(Kind::Frontend, name, exists)?;
        Ok(proto::GetFrontendResponse {
            frontend: Some(self.frontend_status(name)),
            referenced: self.view.frontends.get(name).map(|frontend| referenced_by(frontend)),
            as_of: self.as_of,
            paths: self.view.frontend_paths(name).map(|(key, health)| path(key, Some(health))).collect(),
        })
    }

    fn frontend_status(&self, name: &Name) -> proto::FrontendStatus {
        let mut status = frontend_status(&self.view, name);
        status.problems = self.problems(Kind::Frontend, name);
        let programmed = |report: &&mut proto::Report| report.result() == ProgramResult::Programmed.into();
        if let Some(report) = status.report.as_mut().filter(programmed) {
            report.verified_at = self.read_at.map(time);
        }
        status
    }

    pub fn backends(&self) -> proto::ListBackendsResponse {
        let users = self.users_of_backends();
        let names = self.with_problems(Kind::Backend, backend_names(&self.view));
        let status = |name| self.backend_status(name, users.get(name));
        proto::ListBackendsResponse { backends: names.into_iter().map(status).collect(), as_of: self.as_of }
    }

    pub fn backend(&self, name: &Name, probing: Option<Probing>) -> Result<proto::GetBackendResponse, Status> {
        let exists = self.view.backends.contains_key(name) || self.view.health.backends.contains_key(name);
        self.check(Kind::Backend, name, exists)?;
        let check = self.view.backends.get(name).and_then(|backend| match &backend.check {
            Check::Probe(check) => Some(proto::HealthCheck::from(&**check)),
            _ => None,
        });
        let referenced = check.map(|check| proto::Referenced { health_checks: vec![check], backends: Vec::new() });
        Ok(proto::GetBackendResponse {
            backend: Some(self.backend_status(name, self.users_of_backends().get(name))),
            probing: probing.map(Into::into),
            referenced,
            as_of: self.as_of,
            paths: self.view.backend_paths(name).map(|(key, health)| path(key, Some(health))).collect(),
        })
    }

    fn backend_status(&self, name: &Name, users: Option<&BTreeSet<&Name>>) -> proto::BackendStatus {
        proto::BackendStatus {
            problems: self.problems(Kind::Backend, name),
            frontends: names(users),
            ..backend_status(&self.view, name)
        }
    }

    fn users_of_backends(&self) -> Users<'_> {
        let mut users = Users::new();
        for (name, frontend) in &self.view.frontends {
            for member in frontend.pools.iter().flat_map(|pool| &pool.members) {
                users.entry(&member.backend).or_default().insert(name);
            }
        }
        users
    }

    pub fn health_checks(&self) -> proto::ListHealthChecksResponse {
        let users = self.users_of_checks();
        let names = self.with_problems(Kind::HealthCheck, self.view.health_checks.keys().collect());
        let status = |name| self.health_check_status(name, users.get(name));
        proto::ListHealthChecksResponse { health_checks: names.into_iter().map(status).collect(), as_of: self.as_of }
    }

    pub fn health_check(&self, name: &Name) -> Result<proto::GetHealthCheckResponse, Status> {
        self.check(Kind::HealthCheck, name, self.view.health_checks.contains_key(name))?;
        let status = self.health_check_status(name, self.users_of_checks().get(name));
        Ok(proto::GetHealthCheckResponse { health_check: Some(status), as_of: self.as_of })
    }

    fn health_check_status(&self, name: &Name, users: Option<&BTreeSet<&Name>>) -> proto::HealthCheckStatus {
        proto::HealthCheckStatus {
            name: name.to_string(),
            health_check: self.view.health_checks.get(name).map(|check| (&**check).into()),
            problems: self.problems(Kind::HealthCheck, name),
            backends: names(users),
        }
    }

    fn users_of_checks(&self) -> Users<'_> {
        let mut users = Users::new();
        for (name, backend) in &self.view.backends {
            if let Check::Probe(check) = &backend.check {
                users.entry(&check.name).or_default().insert(name);
            }
        }
        users
    }

    fn problems(&self, kind: Kind, name: &Name) -> Option<proto::Problems> {
        self.view.object_problems(kind, name).map(Into::into)
    }

    /// Adds the names of objects that only have problems, for example objects that do not decode.
    fn with_problems<'a>(&'a self, kind: Kind, mut names: BTreeSet<&'a Name>) -> BTreeSet<&'a Name> {
        names.extend(self.view.problems.keys().filter(|(object_kind, _)| *object_kind == kind).map(|(_, name)| name));
        names
    }

    fn check(&self, kind: Kind, name: &Name, exists: bool) -> Result<(), Status> {
        if exists || self.view.object_problems(kind, name).is_some() {
            return Ok(());
        }
        let hint = if name.namespace().is_empty() { "; names have the form namespace/name" } else { "" };
        Err(Status::not_found(format!("no {} {name} on this node{hint}", kind.as_str())))
    }
}

fn names(users: Option<&BTreeSet<&Name>>) -> Vec<String> {
    users.into_iter().flatten().map(ToString::to_string).collect()
}

/// The Backends of a Frontend and their HealthChecks.
fn referenced_by(frontend: &Frontend) -> proto::Referenced {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    let backends: BTreeMap<_, _> = members
        .filter_map(|member| match &member.target {
            MemberTarget::Backend(backend) => Some((&backend.name, &**backend)),
            MemberTarget::Unreadable { .. } => None,
        })
        .collect();
    let checks: BTreeMap<_, _> = backends
        .values()
        .filter_map(|backend| match &backend.check {
            Check::Probe(check) => Some((&check.name, &**check)),
            _ => None,
        })
        .collect();
    proto::Referenced {
        health_checks: checks.into_values().map(Into::into).collect(),
        backends: backends.into_values().map(Into::into).collect(),
    }
}
