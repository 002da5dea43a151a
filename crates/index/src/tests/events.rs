//! Tests of the reported changes.

use serde_json::Value;

use super::fixture::{IndexFixture, at, frontend, name, node, object, probed, tcp, vip};
use crate::{Changes, Object};
use maglev_model::{config::Kind, problem::Reason};

const VIP: &str = "203.0.113.1";

fn web(generation: i64, backends: &[&str]) -> Object {
    object(Kind::Frontend, "shop/web", 1, generation, &vip(VIP, 80, backends))
}

fn appeared(changes: &Changes) -> Vec<(Kind, String, i64, Reason)> {
    let summary = |problem: &crate::ObjectProblem| {
        (problem.kind, problem.name.as_str().to_owned(), problem.generation, problem.problem.reason)
    };
    changes.appeared.iter().map(summary).collect()
}

#[test]
fn first_lists_are_reported_by_count_and_problems_after_the_last_list() {
    let mut fixture = IndexFixture::unlisted(false);
    let changes = fixture.index.reset(Kind::Frontend, vec![web(1, &["a", "b"])]);
    assert_eq!(changes, Changes { listed: vec![(Kind::Frontend, 1)], ..Changes::default() });
    assert_eq!(fixture.problems(Kind::Frontend, "shop/web"), []);
    for kind in [Kind::HealthCheck, Kind::LoadBalancerConfig, Kind::AddressPolicy, Kind::Node] {
        let nodes = if kind == Kind::Node { vec![node("role", "lb")] } else { vec![] };
        let count = u32::try_from(nodes.len()).unwrap();
        assert_eq!(fixture.index.reset(kind, nodes).listed, [(kind, count)]);
        assert!(fixture.config_rx.borrow().is_none());
    }
    let changes = fixture.index.reset(Kind::Backend, vec![at("shop/a", "10.0.0.1")]);
    assert_eq!(changes.listed, [(Kind::Backend, 1)]);
    assert_eq!(changes.applied, []);
    assert_eq!(appeared(&changes), [(Kind::Frontend, "shop/web".to_owned(), 1, Reason::BackendNotFound)]);
    assert!(fixture.config_rx.borrow().is_some());
}

#[test]
fn object_is_reported_once_per_generation_and_when_deleted() {
    let mut fixture = IndexFixture::new(vec![]);
    let changes = fixture.apply(at("shop/a", "10.0.0.1"));
    assert_eq!(changes, Changes { applied: vec![(Kind::Backend, name("shop/a"), 1)], ..Changes::default() });
    assert!(fixture.apply(at("shop/a", "10.0.0.1")).is_empty());
    let again = object(Kind::Backend, "shop/a", 0, 2, &serde_json::json!({"address": "10.0.0.2"}));
    assert_eq!(fixture.apply(again).applied, [(Kind::Backend, name("shop/a"), 2)]);
    let changes = fixture.delete(Kind::Backend, "shop/a");
    assert_eq!(changes, Changes { removed: vec![(Kind::Backend, name("shop/a"))], ..Changes::default() });
    assert!(fixture.delete(Kind::Backend, "shop/a").is_empty());
}

#[test]
fn unreadable_object_is_reported_as_problem_only() {
    let mut fixture = IndexFixture::new(vec![]);
    let changes = fixture.apply(frontend("shop/web", 1, &Value::Null));
    assert_eq!(appeared(&changes), [(Kind::Frontend, "shop/web".to_owned(), 1, Reason::Unreadable)]);
    assert_eq!(changes.applied, []);
    let changes = fixture.delete(Kind::Frontend, "shop/web");
    assert_eq!((changes.vanished.len(), changes.removed.len()), (1, 1));
}

#[test]
fn problem_is_reported_once_per_generation() {
    let mut fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1")]);
    let missing = |generation| (Kind::Frontend, "shop/web".to_owned(), generation, Reason::BackendNotFound);
    assert_eq!(appeared(&fixture.apply(web(1, &["a", "b"]))), [missing(1)]);
    assert_eq!(appeared(&fixture.apply(at("shop/a", "10.0.0.2"))), []);
    let changes = fixture.apply(web(2, &["a", "b"]));
    assert_eq!((appeared(&changes), changes.vanished.len()), (vec![missing(2)], 0));
    let changes = fixture.apply(at("shop/b", "10.0.0.9"));
    assert_eq!((appeared(&changes), changes.vanished.len()), (vec![], 1));
}

#[test]
fn batch_is_resolved_as_a_whole() {
    let mut fixture = IndexFixture::new(vec![]);
    let published = fixture.index.work().published;
    let mut batch = fixture.index.batch();
    batch.apply(web(1, &["a"]));
    batch.apply(probed("shop/a", "10.0.0.1", "tcp"));
    batch.apply(tcp("shop/tcp"));
    let changes = batch.publish();
    assert_eq!((changes.appeared.len(), changes.applied.len()), (0, 3));
    assert_eq!(fixture.index.work().published, published + 1);
    assert_eq!(fixture.standing("shop/web"), "serving");
}

#[test]
fn later_list_reports_only_differences() {
    let mut fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1"), at("shop/b", "10.0.0.2")]);
    let changes = fixture.index.reset(Kind::Backend, vec![at("shop/b", "10.0.0.2"), at("shop/c", "10.0.0.3")]);
    assert_eq!(changes.listed, []);
    assert_eq!(changes.removed, [(Kind::Backend, name("shop/a"))]);
    assert_eq!(changes.applied, [(Kind::Backend, name("shop/c"), 1)]);
}
