//! What a watcher wants to see of the events.

use std::collections::HashSet;

use tonic::Status;

use crate::proto;
use maglev_model::{config::Kind, name::Name};
use maglev_telemetry::Stamped;

/// A watcher may name so many objects: what a browser shows at once.
const MAX_NAMES: usize = 200;

/// A part of the events: what is about certain objects.
#[derive(Debug)]
pub struct Selection {
    backends: bool,
    frontends: bool,
    /// Empty = all.
    names: HashSet<Name>,
}

impl Selection {
    /// `None` where everything is wanted.
    pub fn of(request: &proto::WatchEventsRequest) -> Result<Option<Self>, Status> {
        if request.names.len() > MAX_NAMES {
            let found = request.names.len();
            return Err(Status::invalid_argument(format!("names: found {found}, at most {MAX_NAMES} are allowed")));
        }
        let all_kinds = request.log || !(request.backend || request.frontend);
        let names: HashSet<Name> = request.names.iter().map(|name| Name::from(&**name)).collect();
        let (backends, frontends) = (all_kinds || request.backend, all_kinds || request.frontend);
        Ok((!all_kinds || !names.is_empty()).then_some(Self { backends, frontends, names }))
    }

    /// Whether it is about one of the objects.
    pub fn wants(&self, stamped: &Stamped) -> bool {
        let mut wanted = false;
        let mut visit = |kind, name: &Name| {
            let of_kind = match kind {
                Kind::Backend => self.backends,
                Kind::Frontend => self.frontends,
                Kind::HealthCheck | Kind::LoadBalancerConfig | Kind::Node => false,
            };
            wanted |= of_kind && (self.names.is_empty() || self.names.contains(name));
        };
        stamped.event.iter().for_each(|event| event.objects(&mut visit));
        stamped.change.iter().for_each(|change| change.objects(&mut visit));
        wanted
    }
}
