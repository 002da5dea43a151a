//! The effect of executed plans on flows: `buckets-moved` and `flows-flushed` of `vpp-lb-sync-done`, and the metric.

use maglev_model::{
    event::{Event, Scope, SyncFlows},
    health::BackendState::{Down, Up},
    table_change::{TableChange, TableSpec},
    vip::TableLength,
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use prometheus::Registry;

use super::fixture::Node;

/// Length of the tables of `testkit`'s Frontends.
const LENGTH: u32 = 1024;

/// The effects of all syncs of an address that changed something.
fn effects(node: &Node) -> Vec<SyncFlows> {
    let effect = |event: &Event| match event {
        Event::SyncDone { scope: Scope::Address(_), counts, flows, .. } if counts.any() => Some(*flows),
        _ => None,
    };
    node.published().iter().filter_map(effect).collect()
}

fn table(weights: [u8; 2]) -> TableSpec {
    TableSpec { length: LENGTH, servers: vec![(ip("192.0.2.1"), weights[0]), (ip("192.0.2.2"), weights[1])] }
}

fn counted(registry: &Registry) -> Option<f64> {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "maglev_vpp_buckets_moved_total")?;
    family
        .get_metric()
        .iter()
        .find(|metric| metric.get_label()[0].value() == "default/web")
        .map(|metric| metric.get_counter().get_value())
}

#[tokio::test]
async fn moved_buckets_are_published_and_counted() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let node = Node::following(config([web], node_config())).await;
    let registry = Registry::new();
    node.metrics.register(&registry).unwrap();
    node.until_programmed().await;
    assert_eq!(counted(&registry).unwrap_or_default(), 0.0, "no bucket of a new VIP moves");

    let lost = TableChange::between(Some(&table([10, 10])), Some(&table([0, 10])));
    node.set_state(&a, Down);
    node.until("the loss of a server is published", |node| effects(node).len() == 1).await;
    assert_eq!(effects(&node)[0].buckets_moved, Some(lost.moved_percent()));
    assert!((40.0..60.0).contains(&lost.moved_percent()), "about half: {lost:?}");
    node.until("the moved buckets are counted", |_| counted(&registry) == Some(f64::from(lost.moved()))).await;

    let back = TableChange::between(Some(&table([0, 10])), Some(&table([10, 10])));
    node.set_state(&a, Up);
    node.until("its return is published", |node| effects(node).len() == 2).await;
    let expected = SyncFlows { buckets_moved: Some(back.moved_percent()), flushed: Some(0) };
    assert_eq!(effects(&node)[1], expected, "a server that comes back flushes nothing");

    let total = f64::from(lost.moved() + back.moved());
    node.until("both are counted", |_| counted(&registry) == Some(total)).await;
    node.edit("web", |web| web.table_length = TableLength::new(2048).unwrap());
    node.until("the recreate is published", |node| effects(node).len() == 3).await;
    assert!(effects(&node)[2].buckets_moved > Some(0.0), "the longer table has other buckets");

    node.remove("web");
    node.until("the removal is published", |node| effects(node).len() == 4).await;
    assert_eq!(effects(&node)[3].buckets_moved, Some(100.0));
    node.until("the series of the deleted Frontend is gone", |_| counted(&registry).is_none()).await;
}
