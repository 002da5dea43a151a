use serde_json::json;

use super::*;

fn object(name: &str, version: u32) -> RawObject {
    let metadata = json!({"name": name, "namespace": "x", "uid": name, "resourceVersion": version.to_string()});
    serde_json::from_value(json!({"metadata": metadata, "spec": {}})).expect("an object")
}

fn name(name: &str) -> Name {
    Name::namespaced("x", name)
}

fn list(tracker: &mut ObjectTracker, objects: &[(&str, u32)]) {
    tracker.begin_list();
    for (name, version) in objects {
        tracker.add_listed(object(name, *version));
    }
    tracker.complete_list();
}

fn listed(objects: &[(&str, u32)]) -> ObjectTracker {
    let mut tracker = ObjectTracker::default();
    list(&mut tracker, objects);
    assert!(tracker.confirm().first);
    tracker
}

/// Names in an update: deleted objects, then new and changed ones.
fn names(update: &TrackerUpdate) -> (Vec<&str>, Vec<String>) {
    let objects = update.objects.iter().map(|object| object.name().name().to_owned()).collect();
    (update.deleted.iter().map(Name::name).collect(), objects)
}

#[test]
fn first_list_waits_for_confirmation_even_when_empty() {
    let mut tracker = ObjectTracker::default();
    assert!(!tracker.needs_confirmation());
    list(&mut tracker, &[]);
    assert!(tracker.needs_confirmation() && tracker.take_ready().is_none());
    tracker.miss_confirmation();
    assert!(tracker.needs_confirmation() && tracker.take_ready().is_none());
    let update = tracker.confirm();
    assert!(update.first && update.objects.is_empty());
    assert!(!tracker.needs_confirmation());
}

#[test]
fn first_list_of_an_unserved_kind_is_discarded() {
    let mut tracker = ObjectTracker::default();
    list(&mut tracker, &[("a", 1)]);
    tracker.mark_not_served();
    assert!(!tracker.needs_confirmation() && tracker.take_ready().is_none());
    list(&mut tracker, &[("a", 1), ("b", 2)]);
    let update = tracker.confirm();
    assert!(update.first);
    assert_eq!(names(&update).1, ["a", "b"]);
}

#[test]
fn incomplete_list_changes_nothing() {
    let mut tracker = listed(&[("a", 1), ("b", 1)]);
    tracker.begin_list();
    tracker.add_listed(object("a", 1));
    assert!(!tracker.needs_confirmation() && tracker.take_ready().is_none());
    list(&mut tracker, &[("a", 1), ("b", 1)]);
    assert!(!tracker.needs_confirmation() && tracker.take_ready().is_none());
}

#[test]
fn new_list_delivers_only_the_difference() {
    let mut tracker = listed(&[("a", 1), ("b", 1), ("c", 1)]);
    list(&mut tracker, &[("a", 1), ("b", 2), ("d", 3)]);
    assert!(tracker.needs_confirmation());
    let update = tracker.confirm();
    assert!(!update.first);
    assert_eq!(names(&update), (vec!["c"], vec!["b".to_owned(), "d".to_owned()]));
}

#[test]
fn new_objects_are_delivered_at_once() {
    let mut tracker = listed(&[]);
    tracker.apply(object("a", 1));
    assert!(!tracker.needs_confirmation());
    assert_eq!(names(&tracker.take_ready().expect("a is ready")).1, ["a"]);
    assert_eq!(tracker.delivered_count(), 1);
}

#[test]
fn changes_wait_with_a_pending_deletion() {
    let mut tracker = listed(&[("old", 1)]);
    tracker.delete(name("old"));
    tracker.apply(object("new", 2));
    assert!(tracker.take_ready().is_none());
    assert_eq!(names(&tracker.confirm()), (vec!["old"], vec!["new".to_owned()]));
}

#[test]
fn without_confirmation_only_deletions_keep_waiting() {
    let mut tracker = listed(&[("old", 1)]);
    tracker.delete(name("old"));
    tracker.apply(object("new", 2));
    tracker.miss_confirmation();
    assert_eq!(names(&tracker.take_ready().expect("new is ready")), (vec![], vec!["new".to_owned()]));
    assert_eq!(tracker.pending_deletions(), 1);
    assert_eq!(names(&tracker.confirm()), (vec!["old"], vec![]));
    assert_eq!(tracker.delivered_count(), 1);
}

#[test]
fn recreated_object_cancels_its_deletion() {
    let mut tracker = listed(&[("a", 1)]);
    tracker.delete(name("a"));
    tracker.apply(object("a", 3));
    assert!(!tracker.needs_confirmation());
    assert_eq!(names(&tracker.take_ready().expect("a is ready")), (vec![], vec!["a".to_owned()]));
    tracker.delete(name("a"));
    assert_eq!(names(&tracker.confirm()), (vec!["a"], vec![]));
}

#[test]
fn object_deleted_before_delivery_is_never_delivered() {
    let mut tracker = listed(&[("old", 1)]);
    tracker.delete(name("old"));
    tracker.apply(object("brief", 2));
    tracker.delete(name("brief"));
    assert_eq!(names(&tracker.confirm()), (vec!["old"], vec![]));
}

#[test]
fn objects_of_a_deleted_crd_stay_until_a_new_list_is_confirmed() {
    let mut tracker = listed(&[("a", 1), ("b", 1)]);
    tracker.delete(name("a"));
    tracker.delete(name("b"));
    tracker.mark_not_served();
    assert!(!tracker.needs_confirmation() && tracker.take_ready().is_none());
    assert_eq!(tracker.delivered_count(), 2);
    // Served again: b was restored, a was not.
    list(&mut tracker, &[("b", 9)]);
    assert_eq!(names(&tracker.confirm()), (vec!["a"], vec!["b".to_owned()]));
}
