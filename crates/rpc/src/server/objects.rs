//! Answers about objects, from one snapshot. Lists are in the order of names.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tonic::Status;

use crate::{
    convert::{backend_names, backend_status, frontend_names, frontend_status, time},
    proto,
};
use maglev_model::{
    config::{Check, Frontend, Kind, Target},
    event::ProgramResult,
    health::Probing,
    name::Name,
    view::View,
};
use maglev_telemetry::Snapshot;

/// One snapshot, and when VPP was last read.
pub struct Objects {
    view: View,
    as_of: Option<proto::AsOf>,
    read_at: Option<Timestamp>,
}

/// Objects by name of what they use.
type Users<'a> = BTreeMap<&'a Name, BTreeSet<&'a Name>>;

impl Objects {
    pub fn new(Snapshot { view, as_of }: Snapshot, read_at: Option<Timestamp>) -> Self {
        Self { view, as_of: Some(as_of.into()), read_at }
    }

    pub fn frontends(&self) -> proto::ListFrontendsResponse {
        let names = self.with_problems(Kind::Frontend, frontend_names(&self.view));
        let frontends = names.into_iter().map(|name| self.frontend_status(name)).collect();
        proto::ListFrontendsResponse { frontends, as_of: self.as_of }
    }

    pub fn frontend(&self, name: &Name) -> Result<proto::GetFrontendResponse, Status> {
        let known = self.view.frontends.contains_key(name)
            || self.view.states.contains_key(name)
            || self.view.reports.contains_key(name);
        self.check(Kind::Frontend, name, known)?;
        Ok(proto::GetFrontendResponse {
            frontend: Some(self.frontend_status(name)),
            referenced: self.view.frontends.get(name).map(|frontend| of_frontend(frontend)),
            as_of: self.as_of,
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
        let known = self.view.backends.contains_key(name) || self.view.health.backends.contains_key(name);
        self.check(Kind::Backend, name, known)?;
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
        self.view.problems_of(kind, name).map(Into::into)
    }

    /// Together with the names of objects of which only problems are known, such as those that do not decode.
    fn with_problems<'a>(&'a self, kind: Kind, mut names: BTreeSet<&'a Name>) -> BTreeSet<&'a Name> {
        names.extend(self.view.problems.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name));
        names
    }

    fn check(&self, kind: Kind, name: &Name, known: bool) -> Result<(), Status> {
        if known || self.view.problems_of(kind, name).is_some() {
            return Ok(());
        }
        let hint = if name.namespace().is_empty() { "; names are namespace/name" } else { "" };
        Err(Status::not_found(format!("no {} {name} is known here{hint}", kind.as_str())))
    }
}

fn names(users: Option<&BTreeSet<&Name>>) -> Vec<String> {
    users.into_iter().flatten().map(ToString::to_string).collect()
}

/// A Frontend's Backends and their HealthChecks.
fn of_frontend(frontend: &Frontend) -> proto::Referenced {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    let backends: BTreeMap<_, _> = members
        .filter_map(|member| match &member.target {
            Target::Backend(backend) => Some((&backend.name, &**backend)),
            Target::Unreadable { .. } => None,
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
