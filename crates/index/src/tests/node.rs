//! Tests of the selection of LoadBalancerConfigs.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{IndexFixture, lb_config, name, node};
use crate::{NodeObject, Object};
use maglev_model::{
    Name,
    config::{Kind, NodeConfig},
    problem::Reason,
};

fn every_node() -> Value {
    json!({"sync": {"interval": "7s"}})
}

fn selecting(value: &str) -> Value {
    json!({"nodeSelector": {"role": value}, "vpp": {"flowTimeout": "40s"}})
}

fn used(fixture: &IndexFixture) -> Option<String> {
    fixture.node_config().load_balancer_config.map(|name| name.as_str().to_owned())
}

#[test]
fn node_without_config_has_defaults_and_its_addresses() {
    let fixture = IndexFixture::new(vec![]);
    let wanted = NodeConfig {
        internal_ipv4: Some("192.0.2.7".parse().unwrap()),
        internal_ipv6: Some("2001:db8::7".parse().unwrap()),
        ..NodeConfig::default()
    };
    assert_eq!(fixture.node_config(), wanted);
}

#[test]
fn every_setting_is_applied() {
    let spec = json!({
        "vpp": {
            "ipv4SourceAddress": "192.0.2.1", "ipv6SourceAddress": "2001:db8::1",
            "stickyBucketsPerCore": 1024, "flowTimeout": "1m30s",
        },
        "sync": {
            "interval": "10s", "startupMinDelay": "0s", "startupMaxDelay": "1m", "foreignVIPs": "Remove",
            "massRemovalHold": "0s",
        },
        "probe": {
            "ipv4SourceAddress": "192.0.2.2", "ipv6SourceAddress": "2001:db8::2", "transitionHistory": 9,
            "failOpen": false,
        },
    });
    let fixture = IndexFixture::new(vec![lb_config("all", 1, &spec)]);
    let config = fixture.node_config();
    assert_eq!(used(&fixture).as_deref(), Some("all"));
    assert_eq!(config.vpp.ipv4_source, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(config.vpp.ipv6_source, Some("2001:db8::1".parse().unwrap()));
    assert_eq!((config.vpp.sticky_buckets_per_core, config.vpp.flow_timeout), (Some(1024), Some(90)));
    assert_eq!(config.sync.interval, Duration::from_secs(10));
    assert_eq!(
        (config.sync.startup_min_delay, config.sync.startup_max_delay),
        (Duration::ZERO, Duration::from_mins(1))
    );
    assert_eq!(config.sync.foreign_vips, maglev_model::config::ForeignVips::Remove);
    assert_eq!(config.sync.mass_removal_hold, Duration::ZERO);
    assert_eq!(config.probe.ipv4_source, Some("192.0.2.2".parse().unwrap()));
    assert_eq!(config.probe.ipv6_source, Some("2001:db8::2".parse().unwrap()));
    assert_eq!((config.probe.transition_history, config.probe.fail_open), (9, false));
}

#[test]
fn oldest_matching_config_is_used_and_others_conflict() {
    let mut fixture = IndexFixture::new(vec![
        lb_config("oldest", 1, &selecting("other")),
        lb_config("old", 2, &selecting("lb")),
        lb_config("new", 3, &every_node()),
    ]);
    assert_eq!(used(&fixture).as_deref(), Some("old"));
    assert_eq!(fixture.node_config().vpp.flow_timeout, Some(40));
    assert_eq!(fixture.problems(Kind::LoadBalancerConfig, "oldest"), []);
    let conflicted = (Reason::Conflicted, "spec.nodeSelector".to_owned());
    assert_eq!(fixture.reasons(Kind::LoadBalancerConfig, "new"), [conflicted]);

    fixture.delete(Kind::LoadBalancerConfig, "old");
    assert_eq!(used(&fixture).as_deref(), Some("new"));
    assert_eq!(fixture.problems(Kind::LoadBalancerConfig, "new"), []);

    fixture.apply(node("role", "other"));
    assert_eq!(used(&fixture).as_deref(), Some("oldest"));
    assert_eq!(fixture.reasons(Kind::LoadBalancerConfig, "new").len(), 1);
}

#[test]
fn unreadable_config_stays_selected_with_its_readable_blocks() {
    let broken = json!({
        "nodeSelector": {"role": "lb"}, "vpp": {"flowTimeout": "40s"}, "sync": {"interval": "soon"},
    });
    let mut fixture = IndexFixture::new(vec![lb_config("old", 1, &broken), lb_config("new", 2, &every_node())]);
    assert_eq!(used(&fixture).as_deref(), Some("old"));
    assert_eq!(fixture.node_config().vpp.flow_timeout, Some(40));
    assert_eq!(fixture.node_config().sync.interval, Duration::from_secs(30));
    let unreadable = (Reason::Unreadable, "spec.sync".to_owned());
    assert_eq!(fixture.reasons(Kind::LoadBalancerConfig, "old"), [unreadable]);

    fixture.apply(lb_config("old", 1, &json!({"nodeSelector": 7})));
    assert_eq!(used(&fixture).as_deref(), Some("new"));
}

#[test]
fn other_nodes_are_ignored_and_deleted_node_stays_as_last_seen() {
    let mut fixture = IndexFixture::new(vec![lb_config("lb", 1, &selecting("lb"))]);
    let stranger = NodeObject { name: "node-b".to_owned(), ..NodeObject::default() };
    fixture.apply(Object::Node(stranger));
    fixture.delete(Kind::Node, super::fixture::NODE);
    fixture.index.reset(Kind::Node, vec![]);
    assert_eq!(used(&fixture).as_deref(), Some("lb"));
    assert_eq!(fixture.node_config().internal_ipv4, Some("192.0.2.7".parse().unwrap()));
}

#[test]
fn no_configuration_before_the_own_node_is_seen() {
    let mut fixture = IndexFixture::unlisted(false);
    // Namespaces are not awaited, since no AddressPolicy selects them by label.
    for kind in Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Namespace | Kind::EndpointSlice)) {
        assert!(fixture.index.awaited().any(|awaited| awaited == kind));
        fixture.index.reset(kind, vec![]);
    }
    assert_eq!(fixture.index.awaited().collect::<Vec<_>>(), [Kind::Node]);
    assert!(fixture.config_rx.borrow().is_none());
    fixture.apply(node("role", "lb"));
    assert_eq!(fixture.index.awaited().count(), 0);
    assert!(fixture.config_rx.borrow().is_some());
    assert_eq!(fixture.problems(Kind::Node, "node-a"), []);
    assert!(!fixture.config().backends.contains_key(&name("shop/a")));
}

#[test]
fn index_without_own_node_selects_configs_for_any_node() {
    let (mut index, config_rx) = crate::Index::new(crate::IndexOptions::default());
    for kind in Kind::ALL {
        index.reset(kind, vec![]);
    }
    assert!(config_rx.borrow().is_some());
    index.apply(lb_config("old", 1, &selecting("lb")));
    index.apply(lb_config("new", 2, &every_node()));
    let labelled = |role: &str| NodeObject {
        name: "any".to_owned(),
        labels: [("role".to_owned(), role.to_owned())].into(),
        ..NodeObject::default()
    };
    let selection = |index: &crate::Index, role: &str| {
        let (node, text) = (labelled(role), |name: &Name| name.as_str().to_owned());
        let selection = index.selection_for(&node);
        (selection.used.map(text), selection.overridden.into_iter().map(text).collect::<Vec<_>>())
    };
    assert_eq!(selection(&index, "lb"), (Some("old".to_owned()), vec!["new".to_owned()]));
    assert_eq!(selection(&index, "web"), (Some("new".to_owned()), vec![]));
    // Without an own Node, a LoadBalancerConfig that is overridden on a node has no problem.
    assert_eq!(index.problems(Kind::LoadBalancerConfig, &name("new")), []);
}

#[test]
fn empty_selector_selects_every_node_and_is_a_problem() {
    let fixture =
        IndexFixture::new(vec![lb_config("all", 1, &json!({"nodeSelector": {}, "sync": {"interval": "7s"}}))]);
    assert_eq!(used(&fixture).as_deref(), Some("all"), "the nodes keep their settings");
    assert_eq!(fixture.reasons(Kind::LoadBalancerConfig, "all"), [(Reason::Invalid, "spec.nodeSelector".to_owned())]);
}
