//! The agent's metrics agree with its events.

use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use std::collections::BTreeMap;

use maglev_model::{
    event::{Event, Scope},
    health::BackendState::{Down, Up},
    vip::TableLength,
};
use prometheus::Registry;

use super::fixture::Node;

/// The values of a metric's series by label values, without zeros.
fn series(registry: &Registry, name: &str) -> BTreeMap<Vec<String>, u64> {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no metric {name}"));
    let value = |metric: &prometheus::proto::Metric| {
        let labels = metric.get_label().iter().map(|label| label.value().to_owned()).collect();
        let histogram = metric.get_histogram().get_sample_count();
        (labels, metric.get_counter().get_value() as u64 + histogram)
    };
    family.get_metric().iter().map(value).filter(|(_, value)| *value > 0).collect()
}

/// Number of events by `key`.
fn count_by(events: &[Event], key: impl Fn(&Event) -> Option<String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for key in events.iter().filter_map(key) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn change(event: &Event) -> Option<String> {
    let kind = event.name().strip_prefix("vpp-lb-sync-")?;
    (!["start", "done", "error", "held", "released"].contains(&kind)).then(|| kind.to_owned())
}

fn done(event: &Event) -> Option<String> {
    match event {
        Event::SyncDone { scope: Scope::All, .. } => Some("all".to_owned()),
        Event::SyncDone { scope: Scope::Address(_), .. } => Some("address".to_owned()),
        _ => None,
    }
}

fn error(event: &Event) -> Option<String> {
    match event {
        Event::SyncError { step, .. } => Some((*step).to_owned()),
        _ => None,
    }
}

/// The sums by the value of the label at `index`.
fn by_label(series: &BTreeMap<Vec<String>, u64>, index: usize) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (labels, value) in series {
        *sums.entry(labels[index].clone()).or_default() += value;
    }
    sums
}

#[tokio::test]
async fn changes_passes_and_errors_are_counted_as_published() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let other = frontend("other", vip("203.0.113.2"), vec![pool("primary", &[&b])]);
    let node = Node::following(config([web, other], node_config())).await;
    let registry = Registry::new();
    node.metrics.register(&registry).unwrap();
    node.until_programmed().await;
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    node.edit("web", |web| web.table_length = TableLength::new(2048).unwrap());
    node.until("it is recreated", |node| node.changes().iter().any(|line| line.contains("-vip-recreate "))).await;
    node.until_programmed().await;
    // Another client removed the server, so setting its weight is refused.
    node.simulator.edit(|lb| lb.remove_as(vip("203.0.113.1").into(), ip("192.0.2.1")).unwrap());
    node.set_state(&a, Up);
    node.until("it is refused", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-error "))).await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
    node.remove("other");
    node.until("it is removed", |node| node.changes().iter().any(|line| line.contains("-vip-removed "))).await;

    node.until("all is counted", |node| {
        let published = node.published();
        let changes = series(&registry, "maglev_vpp_lbsync_total");
        by_label(&changes, 0) == count_by(&published, change)
            && by_label(&series(&registry, "maglev_vpp_lbsync_duration_seconds"), 0) == count_by(&published, done)
            && by_label(&series(&registry, "maglev_vpp_lbsync_errors_total"), 0) == count_by(&published, error)
    })
    .await;
    let changes = series(&registry, "maglev_vpp_lbsync_total");
    let kinds: Vec<String> = by_label(&changes, 0).into_keys().collect();
    let all = ["as-added", "as-removed", "as-weight-updated", "vip-added", "vip-recreate", "vip-removed"];
    assert_eq!(kinds, all, "the labels are kind and scope");
    // The first pass adds the VIPs; later changes concern one address.
    assert_eq!(changes.get(&vec!["vip-added".to_owned(), "all".to_owned()]), Some(&2));
    assert_eq!(changes.get(&vec!["vip-recreate".to_owned(), "address".to_owned()]), Some(&1));
}
