//! `why service X`: its address and Frontends, or the reason for which it has none.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    output::{Cell, Page, Printable, Table},
    style::Style,
};
use maglev_crd::Condition;
use maglev_kube::{
    ReadFrontend, ReadService,
    service_objects::{PREFIX, SERVICE_CLASS},
};
use maglev_model::Name;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExplanation {
    name: String,
    service_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// True if this load balancer serves the Service.
    is_served: bool,
    /// The addresses that the Service asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<String>,
    /// The addresses in its status.
    addresses: Vec<String>,
    conditions: Vec<State>,
    frontends: Vec<FrontendState>,
}

/// A condition.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// Without the prefix `maglev.vpp.io/`.
    condition: String,
    status: String,
    reason: String,
    message: String,
}

/// A Frontend that was made for the Service.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FrontendState {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    conditions: Vec<State>,
}

impl State {
    fn new(condition: &Condition) -> Self {
        Self {
            condition: condition.type_.trim_start_matches(PREFIX).to_owned(),
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    }

    fn text(&self) -> String {
        match &*self.status {
            "True" => "True".to_owned(),
            status => format!("{status} ({})", self.reason),
        }
    }

    fn style(&self) -> Style {
        if self.status == "True" { Style::Plain } else { Style::Warn }
    }
}

impl ServiceExplanation {
    /// Explains a Service with the Frontends of its namespace.
    pub fn new(name: &Name, service: &ReadService, frontends: &[ReadFrontend]) -> Self {
        let object = service.object.as_ref();
        let spec = object.and_then(|object| object.spec.as_ref());
        let requested = spec.and_then(|spec| spec.annotations.get("address").or(spec.load_balancer_ip.as_ref()));
        let is_made_for =
            |frontend: &&ReadFrontend| frontend.object.owner.as_ref().is_some_and(|owner| owner.service == *name);
        let state = |frontend: &ReadFrontend| FrontendState {
            name: frontend.object.name.name().to_owned(),
            address: frontend.object.address.map(|address| address.to_string()),
            conditions: ["Accepted", "Programmed"]
                .iter()
                .filter_map(|kind| frontend.object.condition(kind).map(State::new))
                .collect(),
        };
        Self {
            name: name.to_string(),
            service_type: service.service_type.clone(),
            class: service.class.clone(),
            is_served: spec.is_some(),
            requested: requested.cloned(),
            addresses: object.into_iter().flat_map(|object| &object.ingress).map(ToString::to_string).collect(),
            conditions: object.into_iter().flat_map(|object| &object.conditions).map(State::new).collect(),
            frontends: frontends.iter().filter(is_made_for).map(state).collect(),
        }
    }

    /// The reason for which this load balancer does not serve the Service.
    fn foreign(&self) -> String {
        match &self.class {
            _ if self.service_type != "LoadBalancer" => {
                format!("Maglev serves only Services of type LoadBalancer with loadBalancerClass {SERVICE_CLASS}")
            }
            Some(class) => {
                format!("another implementation serves the class {class}; that of Maglev is {SERVICE_CLASS}")
            }
            None => format!(
                "the Service has no loadBalancerClass, and Maglev serves only {SERVICE_CLASS}; the class can be set only \
                 while the type is changed to LoadBalancer"
            ),
        }
    }
}

impl Printable for ServiceExplanation {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let or_none = |text: &Option<String>| text.clone().map_or_else(Cell::none, Cell::from);
        let addresses = if self.addresses.is_empty() { Cell::none() } else { self.addresses.join(", ").into() };
        page.fields([
            ("Service", self.name.clone().into()),
            ("Type", self.service_type.clone().into()),
            ("Class", or_none(&self.class)),
            ("Asks for", or_none(&self.requested)),
            ("Addresses", addresses),
        ]);
        if !self.is_served {
            page.line(self.foreign());
        } else if self.conditions.is_empty() {
            page.styled(
                Style::Warn,
                "not looked at yet: check that maglev-controller runs with --services (services.enabled of the chart)",
            );
        }
        for state in &self.conditions {
            page.line_with(format_args!("{}: ", state.condition), state.style(), &state.text());
            if state.status != "True" {
                page.styled(state.style(), format_args!("  {}", state.message));
            }
        }
        if self.is_served || !self.frontends.is_empty() {
            page.heading("Frontends");
            let mut table = Table::new(["  NAME", "VIP", "ACCEPTED", "PROGRAMMED"]);
            for frontend in &self.frontends {
                let state = |kind: &str| {
                    let state = frontend.conditions.iter().find(|state| state.condition == kind);
                    state.map_or_else(Cell::none, |state| Cell::styled(state.text(), state.style()))
                };
                let name = format!("  {}", frontend.name).into();
                table.row([name, or_none(&frontend.address), state("Accepted"), state("Programmed")]);
            }
            page.table(&table, "  none");
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(service_type: &str, class: Option<&str>) -> ServiceExplanation {
        let class = class.map(str::to_owned);
        let service = ReadService { service_type: service_type.to_owned(), class, object: None };
        ServiceExplanation::new(&Name::namespaced("shop", "web"), &service, &[])
    }

    #[test]
    fn service_of_another_class_is_explained() {
        for (service_type, class, expected) in [
            ("ClusterIP", None, "only Services of type LoadBalancer"),
            ("LoadBalancer", None, "has no loadBalancerClass"),
            ("LoadBalancer", Some("example.com/other"), "another implementation serves the class example.com/other"),
        ] {
            let page = explanation(service_type, class).page(false, Timestamp::UNIX_EPOCH).to_string();
            assert!(page.contains(expected) && !page.contains("Frontends"), "{page}");
        }
    }
}
