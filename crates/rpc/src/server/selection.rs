//! A watcher's selection of events.

use std::collections::HashSet;

use tonic::Status;

use crate::proto;
use maglev_model::{config::Kind, name::Name};
use maglev_telemetry::Stamped;

/// Limit of the names in one request: the number of objects that a browser shows at once.
const MAX_NAMES: usize = 200;

/// Selects events about certain objects.
#[derive(Debug)]
pub struct Selection {
    backends: bool,
    frontends: bool,
    /// Empty = all.
    names: HashSet<Name>,
}

impl Selection {
    /// `None` if all events are selected.
    pub fn from_request(request: &proto::WatchEventsRequest) -> Result<Option<Self>, Status> {
        if request.names.len() > MAX_NAMES {
            let count = request.names.len();
            return Err(Status::invalid_argument(format!("names: found {count}, at most {MAX_NAMES} are allowed")));
        }
        let all_kinds = request.log || !(request.backend || request.frontend);
        let names: HashSet<Name> = request.names.iter().map(|name| Name::from(&**name)).collect();
        let (backends, frontends) = (all_kinds || request.backend, all_kinds || request.frontend);
        Ok((!all_kinds || !names.is_empty()).then_some(Self { backends, frontends, names }))
    }

    /// True if the event is about one of the selected objects.
    pub fn matches(&self, stamped: &Stamped) -> bool {
        let mut selected = false;
        let mut visit = |kind, name: &Name| {
            let kind_selected = match kind {
                Kind::Backend => self.backends,
                Kind::Frontend => self.frontends,
                Kind::HealthCheck
                | Kind::LoadBalancerConfig
                | Kind::AddressPolicy
                | Kind::Node
                | Kind::Namespace
                | Kind::EndpointSlice => false,
            };
            selected |= kind_selected && (self.names.is_empty() || self.names.contains(name));
        };
        stamped.event.iter().for_each(|event| event.objects(&mut visit));
        stamped.change.iter().for_each(|change| change.objects(&mut visit));
        selected
    }
}
