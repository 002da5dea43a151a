//! Tests of values of headers: from Secrets, and literal ones of headers for credentials.

use serde_json::{Value, json};

use super::fixture::{IndexFixture, check, name, probed};
use crate::{Holder, HolderContent, HolderKind};
use maglev_model::{
    config::{Check, Kind, Probe},
    problem::Reason,
};

const FIELD: &str = "spec.http.headers[Authorization].valueFrom.secretKeyRef";

fn holder(key: &str) -> Holder {
    Holder { kind: HolderKind::Secret, name: name("shop/probe"), key: Some(key.into()) }
}

fn existing(key: &str, value: &[u8]) -> HolderContent {
    HolderContent::Found([(key.to_owned(), value.to_vec())].into())
}

fn spec(headers: &Value) -> Value {
    json!({"type": "HTTP", "port": 80, "http": {"headers": headers}})
}

fn from_secret(key: &str) -> Value {
    json!({"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "probe", "key": key}}})
}

fn fixture(headers: &Value) -> IndexFixture {
    IndexFixture::new(vec![check("shop/c", &spec(headers)), probed("shop/web", "10.0.0.1", "c")])
}

fn read(fixture: &mut IndexFixture, holder: &Holder, content: HolderContent) {
    let mut batch = fixture.index.batch();
    batch.apply_certificates(holder, content);
    batch.publish();
}

/// The headers that the Backend is probed with.
fn in_use(fixture: &IndexFixture) -> Option<Vec<(String, String)>> {
    let Check::Probe(check) = fixture.health_check("shop/web") else { return None };
    let Probe::Http { http, .. } = &check.probe else { panic!("{:?}", check.probe) };
    Some(http.headers.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect())
}

#[test]
fn value_of_a_secret_is_used_and_rotated() {
    let mut fixture = fixture(&json!([{"name": "X-Probe", "value": "1"}, from_secret("key")]));
    assert_eq!(fixture.index.required_certificates(), [holder("key")].into());
    assert_eq!(in_use(&fixture), None, "the Secret has not been read");
    for kind in [Kind::HealthCheck, Kind::Backend] {
        let name = if kind == Kind::Backend { "shop/web" } else { "shop/c" };
        assert_eq!(fixture.problems(kind, name), [], "waiting is not a problem");
    }
    for (stored, value) in [("Bearer s3cret", "Bearer s3cret"), ("Bearer r0tated\r\n", "Bearer r0tated")] {
        read(&mut fixture, &holder("key"), existing("key", stored.as_bytes()));
        let expected = [("X-Probe", "1"), ("Authorization", value)].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(in_use(&fixture).as_deref(), Some(&expected[..]));
        assert_eq!(fixture.problems(Kind::HealthCheck, "shop/c"), []);
    }
    let printed = format!("{:?}", fixture.config());
    assert!(!printed.contains("r0tated"), "{printed}");
}

#[test]
fn value_that_cannot_be_used_is_a_problem_and_keeps_the_state() {
    for (content, reason, clause) in [
        (HolderContent::Missing, Reason::SecretNotFound, "Secret shop/probe, which does not exist"),
        (HolderContent::Found([].into()), Reason::SecretNotFound, "Secret shop/probe, which has no key key"),
        (HolderContent::Forbidden, Reason::SecretForbidden, "agent.rbac"),
        (HolderContent::Failed("no answer".into()), Reason::SecretUnknown, "no answer"),
        (existing("key", b"s3cret\nX: y"), Reason::SecretUnreadable, "not one line"),
        (existing("key", "s3cret\u{e9}".as_bytes()), Reason::SecretUnreadable, "not one line"),
        (existing("key", &[b's'; 8193]), Reason::SecretUnreadable, "at most 8192"),
    ] {
        let mut fixture = fixture(&json!([from_secret("key")]));
        read(&mut fixture, &holder("key"), existing("key", b"Bearer s3cret"));
        assert!(in_use(&fixture).is_some());
        read(&mut fixture, &holder("key"), content.clone());
        let problems = fixture.problems(Kind::HealthCheck, "shop/c");
        assert_eq!(problems.iter().map(|p| (p.reason, p.field.as_str())).collect::<Vec<_>>(), [(reason, FIELD)]);
        let message = &problems[0].message;
        for part in ["HealthCheck shop/c", FIELD, clause, "keep their weights"] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert!(!format!("{message}{content:?}").contains("s3cret"), "{message}");
        assert!(matches!(fixture.health_check("shop/web"), Check::Missing(_)), "its state and weight are kept");
        read(&mut fixture, &holder("key"), existing("key", b"Bearer mended"));
        assert!(in_use(&fixture).is_some());
        assert_eq!(fixture.problems(Kind::HealthCheck, "shop/c"), []);
    }
}

#[test]
fn each_key_of_a_secret_is_required_once() {
    let header = |name: &str, key| json!({"name": name, "valueFrom": from_secret(key)["valueFrom"]});
    let headers = json!([header("X-A", "one"), header("X-B", "two"), header("X-C", "two")]);
    let mut fixture = fixture(&headers);
    assert_eq!(fixture.index.required_certificates(), [holder("one"), holder("two")].into());
    read(&mut fixture, &holder("one"), existing("one", b"1"));
    assert_eq!(in_use(&fixture), None);
    read(&mut fixture, &holder("two"), existing("two", b"2"));
    assert_eq!(in_use(&fixture).unwrap().into_iter().map(|(_, value)| value).collect::<Vec<_>>(), ["1", "2", "2"]);
    fixture.apply(check("shop/c", &spec(&json!([header("X-C", "two")]))));
    assert_eq!(fixture.index.required_certificates(), [holder("two")].into());
    fixture.delete(Kind::HealthCheck, "shop/c");
    assert_eq!(fixture.index.required_certificates(), [].into());
}

#[test]
fn stored_value_of_a_header_for_credentials_is_used_and_reported() {
    let fixture = fixture(&json!([{"name": "X-Probe", "value": "1"}, {"name": "authorization", "value": "s3cret"}]));
    assert_eq!(in_use(&fixture).unwrap()[1].1, "s3cret");
    let problems = fixture.problems(Kind::HealthCheck, "shop/c");
    assert_eq!(problems.iter().map(|p| p.reason).collect::<Vec<_>>(), [Reason::LiteralSecret]);
    assert_eq!(problems[0].field, "spec.http.headers[authorization].value");
    let message = &problems[0].message;
    assert!(message.contains("valueFrom.secretKeyRef") && !message.contains("s3cret"), "{message}");
    assert_eq!(fixture.problems(Kind::Backend, "shop/web"), []);
}

#[test]
fn header_needs_either_a_value_or_its_source() {
    let mut both = from_secret("key");
    both["value"] = "s3cret".into();
    for header in [both, json!({"name": "X-Probe"})] {
        let fixture = fixture(&json!([header]));
        let problems = fixture.problems(Kind::HealthCheck, "shop/c");
        assert_eq!(
            (problems.len(), problems[0].reason, &*problems[0].field),
            (1, Reason::Invalid, "spec.http.headers")
        );
        assert!(!problems[0].message.contains("s3cret"), "{}", problems[0].message);
    }
}
