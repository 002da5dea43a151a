use serde_json::json;

use super::*;

fn object(name: &str, version: u32) -> Raw {
    let metadata = json!({"name": name, "namespace": "x", "uid": name, "resourceVersion": version.to_string()});
    serde_json::from_value(json!({"metadata": metadata, "spec": {}})).expect("an object")
}

fn name(name: &str) -> Name {
    Name::namespaced("x", name)
}

fn list(ledger: &mut Ledger, objects: &[(&str, u32)]) {
    ledger.list_begins();
    for (name, version) in objects {
        ledger.list_has(object(name, *version));
    }
    ledger.list_ends();
}

fn listed(objects: &[(&str, u32)]) -> Ledger {
    let mut ledger = Ledger::default();
    list(&mut ledger, objects);
    assert!(ledger.word_given().first);
    ledger
}

/// The names in a change: gone, then there.
fn names(change: &Change) -> (Vec<&str>, Vec<String>) {
    let there = change.objects.iter().map(|object| object.name().name().to_owned()).collect();
    (change.gone.iter().map(Name::name).collect(), there)
}

#[test]
fn a_first_list_waits_for_word_even_when_it_is_empty() {
    let mut ledger = Ledger::default();
    assert!(!ledger.needs_word());
    list(&mut ledger, &[]);
    assert!(ledger.needs_word() && ledger.ready().is_none());
    ledger.word_missing();
    assert!(ledger.needs_word() && ledger.ready().is_none());
    let change = ledger.word_given();
    assert!(change.first && change.objects.is_empty());
    assert!(!ledger.needs_word());
}

#[test]
fn a_first_list_of_a_kind_that_is_not_served_is_void() {
    let mut ledger = Ledger::default();
    list(&mut ledger, &[("a", 1)]);
    ledger.not_served();
    assert!(!ledger.needs_word() && ledger.ready().is_none());
    list(&mut ledger, &[("a", 1), ("b", 2)]);
    let change = ledger.word_given();
    assert!(change.first);
    assert_eq!(names(&change).1, ["a", "b"]);
}

#[test]
fn a_list_that_failed_half_way_changes_nothing() {
    let mut ledger = listed(&[("a", 1), ("b", 1)]);
    ledger.list_begins();
    ledger.list_has(object("a", 1));
    assert!(!ledger.needs_word() && ledger.ready().is_none());
    list(&mut ledger, &[("a", 1), ("b", 1)]);
    assert!(!ledger.needs_word() && ledger.ready().is_none());
}

#[test]
fn a_new_list_tells_only_the_difference() {
    let mut ledger = listed(&[("a", 1), ("b", 1), ("c", 1)]);
    list(&mut ledger, &[("a", 1), ("b", 2), ("d", 3)]);
    assert!(ledger.needs_word());
    let change = ledger.word_given();
    assert!(!change.first);
    assert_eq!(names(&change), (vec!["c"], vec!["b".to_owned(), "d".to_owned()]));
}

#[test]
fn what_is_there_counts_at_once() {
    let mut ledger = listed(&[]);
    ledger.applied(object("a", 1));
    assert!(!ledger.needs_word());
    assert_eq!(names(&ledger.ready().expect("a is there")).1, ["a"]);
    assert_eq!(ledger.known(), 1);
}

#[test]
fn what_changes_while_something_is_gone_waits_with_it() {
    let mut ledger = listed(&[("old", 1)]);
    ledger.deleted(name("old"));
    ledger.applied(object("new", 2));
    assert!(ledger.ready().is_none());
    assert_eq!(names(&ledger.word_given()), (vec!["old"], vec!["new".to_owned()]));
}

#[test]
fn without_word_only_what_is_gone_waits_on() {
    let mut ledger = listed(&[("old", 1)]);
    ledger.deleted(name("old"));
    ledger.applied(object("new", 2));
    ledger.word_missing();
    assert_eq!(names(&ledger.ready().expect("new is there")), (vec![], vec!["new".to_owned()]));
    assert_eq!(ledger.gone(), 1);
    assert_eq!(names(&ledger.word_given()), (vec!["old"], vec![]));
    assert_eq!(ledger.known(), 1);
}

#[test]
fn an_object_deleted_and_created_again_is_there() {
    let mut ledger = listed(&[("a", 1)]);
    ledger.deleted(name("a"));
    ledger.applied(object("a", 3));
    assert!(!ledger.needs_word());
    assert_eq!(names(&ledger.ready().expect("a is there")), (vec![], vec!["a".to_owned()]));
    ledger.deleted(name("a"));
    assert_eq!(names(&ledger.word_given()), (vec!["a"], vec![]));
}

#[test]
fn an_object_created_and_deleted_before_it_counted_was_never_there() {
    let mut ledger = listed(&[("old", 1)]);
    ledger.deleted(name("old"));
    ledger.applied(object("brief", 2));
    ledger.deleted(name("brief"));
    assert_eq!(names(&ledger.word_given()), (vec!["old"], vec![]));
}

#[test]
fn what_went_with_its_crd_stays_until_a_new_list_counts() {
    let mut ledger = listed(&[("a", 1), ("b", 1)]);
    ledger.deleted(name("a"));
    ledger.deleted(name("b"));
    ledger.not_served();
    assert!(!ledger.needs_word() && ledger.ready().is_none());
    assert_eq!(ledger.known(), 2);
    // Served again: b was restored, a was not.
    list(&mut ledger, &[("b", 9)]);
    assert_eq!(names(&ledger.word_given()), (vec!["a"], vec!["b".to_owned()]));
}
