//! Tests of the certificates of HealthChecks: readable, missing, forbidden, unusable, rotated.

use serde_json::{Value, json};

use super::fixture::{IndexFixture, check, name, probed};
use crate::{Holder, HolderContent, HolderKind};
use maglev_model::{
    config::{Authorities, Check, ClientCertificate, Kind, Probe},
    problem::Reason,
};

/// A certificate and its key as PEM.
fn certified() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn existing(data: &[(&str, &str)]) -> HolderContent {
    HolderContent::Found(data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect())
}

fn authority() -> Holder {
    Holder::of_certificates(HolderKind::ConfigMap, name("shop/ca"))
}

fn own() -> Holder {
    Holder::of_certificates(HolderKind::Secret, name("shop/own"))
}

fn spec(tls: &Value) -> Value {
    let mut whole = json!({"type": "TCP", "port": 1, "tls": tls});
    whole["tls"]["serverName"] = "shop.example".into();
    whole
}

/// A HealthCheck that names both objects, and a Backend that names it.
fn fixture() -> IndexFixture {
    let refs = json!({"caCertificateRef": {"name": "ca"}, "clientCertificateRef": {"name": "own"}});
    IndexFixture::new(vec![check("shop/c", &spec(&refs)), probed("shop/web", "10.0.0.1", "c")])
}

fn read(fixture: &mut IndexFixture, holder: &Holder, content: HolderContent) -> usize {
    let mut batch = fixture.index.batch();
    batch.apply_certificates(holder, content);
    let changes = batch.publish();
    changes.applied.len() + changes.appeared.len()
}

/// The certificates that the Backend is probed with.
fn in_use(fixture: &IndexFixture) -> Option<(Option<Authorities>, Option<ClientCertificate>)> {
    let Check::Probe(check) = fixture.health_check("shop/web") else { return None };
    let Probe::Tcp { tls: Some(tls), .. } = &check.probe else { panic!("{:?}", check.probe) };
    Some((tls.authorities.clone(), tls.client.clone()))
}

#[test]
fn check_is_pending_without_problem_until_all_certificates_are_read() {
    let mut fixture = fixture();
    assert_eq!(fixture.index.required_certificates(), [authority(), own()].into());
    let ((root, _), (certificate, key)) = (certified(), certified());
    let Check::Missing(why) = fixture.health_check("shop/web") else { panic!("it is probed already") };
    assert_eq!(why.reason, Reason::CertificateUnknown);
    assert_eq!(read(&mut fixture, &own(), existing(&[("tls.crt", &certificate), ("tls.key", &key)])), 0);
    assert_eq!(in_use(&fixture), None);
    assert_eq!(
        read(&mut fixture, &authority(), existing(&[("ca.crt", &root)])),
        0,
        "all of the first list is in effect"
    );
    let (trusted, presented) = in_use(&fixture).expect("it is probed");
    assert_eq!((trusted.unwrap().certificates.len(), presented.unwrap().chain.len()), (1, 1));
    for (kind, object) in [(Kind::HealthCheck, "shop/c"), (Kind::Backend, "shop/web")] {
        assert_eq!(fixture.problems(kind, object), []);
    }
}

#[test]
fn unusable_certificate_is_a_problem_and_makes_the_check_unreadable() {
    let ((certificate, key), (_, other_key)) = (certified(), certified());
    let no_certificate = certificate.replace("MI", "AA");
    let pair = |certificate: &str, key: &str| existing(&[("tls.crt", certificate), ("tls.key", key)]);
    let table = [
        (authority(), HolderContent::Missing, Reason::CertificateNotFound, "does not exist"),
        (authority(), HolderContent::Forbidden, Reason::CertificateForbidden, "agent.rbac.certificates"),
        (authority(), HolderContent::Failed("no answer".into()), Reason::CertificateUnknown, "no answer"),
        (authority(), existing(&[]), Reason::CertificateUnreadable, "has no key ca.crt"),
        (authority(), existing(&[("ca.crt", "")]), Reason::CertificateUnreadable, "no certificate in PEM"),
        (authority(), existing(&[("ca.crt", &key)]), Reason::CertificateUnreadable, "no certificate in PEM"),
        (authority(), existing(&[("ca.crt", &no_certificate)]), Reason::CertificateUnreadable, "number 1"),
        (own(), existing(&[("tls.crt", &certificate)]), Reason::CertificateUnreadable, "has no key tls.key"),
        (own(), pair(&certificate, &certificate), Reason::CertificateUnreadable, "no private key in PEM"),
        (own(), pair(&certificate, &other_key), Reason::CertificateUnreadable, "not the key of the certificate"),
        (own(), pair(&no_certificate, &key), Reason::CertificateUnreadable, "no usable certificate"),
    ];
    for (holder, content, reason, clause) in table {
        let mut fixture = fixture();
        read(&mut fixture, &authority(), existing(&[("ca.crt", &certificate)]));
        read(&mut fixture, &own(), pair(&certificate, &key));
        assert!(in_use(&fixture).is_some());
        let (field, text) = match holder.kind {
            HolderKind::ConfigMap => ("spec.tls.caCertificateRef", "ConfigMap shop/ca"),
            HolderKind::Secret => ("spec.tls.clientCertificateRef", "Secret shop/own"),
        };
        assert!(read(&mut fixture, &holder, content.clone()) > 0, "{content:?} is a change");
        let problems = fixture.problems(Kind::HealthCheck, "shop/c");
        assert_eq!(problems.iter().map(|p| (p.reason, p.field.as_str())).collect::<Vec<_>>(), [(reason, field)]);
        let message = &problems[0].message;
        for part in ["HealthCheck shop/c", text, clause, "keep their weights"] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        let secret = key.lines().nth(1).unwrap();
        assert!(!format!("{message}{content:?}").contains(secret), "{message}");
        let Check::Missing(why) = fixture.health_check("shop/web") else { panic!("{content:?}: it is probed") };
        assert_eq!(why.reason, Reason::HealthCheckUnreadable);
        assert!(!fixture.config().health_checks.contains_key(&name("shop/c")));
        // Mended, it is in effect again.
        let mended = if holder == own() { pair(&certificate, &key) } else { existing(&[("ca.crt", &certificate)]) };
        assert!(read(&mut fixture, &holder, mended) > 0);
        assert!(in_use(&fixture).is_some());
        assert_eq!(fixture.problems(Kind::HealthCheck, "shop/c"), []);
    }
}

#[test]
fn invalid_authority_beside_a_valid_one_is_skipped_and_reported() {
    let ((valid, _), (own_certificate, key)) = (certified(), certified());
    let no_certificate = valid.replace("MI", "AA");
    let no_base64 = valid.replace("MI", "M!");
    for invalid in [no_certificate, no_base64] {
        for (list, number) in [(format!("{invalid}{valid}"), 1), (format!("{valid}{invalid}"), 2)] {
            let mut fixture = fixture();
            read(&mut fixture, &own(), existing(&[("tls.crt", &own_certificate), ("tls.key", &key)]));
            read(&mut fixture, &authority(), existing(&[("ca.crt", &list)]));
            let (trusted, _) = in_use(&fixture).expect("it is probed");
            assert_eq!(trusted.unwrap().certificates.len(), 1);
            let problems = fixture.problems(Kind::HealthCheck, "shop/c");
            assert_eq!(problems.iter().map(|p| p.reason).collect::<Vec<_>>(), [Reason::CertificateUnreadable]);
            let message = &problems[0].message;
            assert!(message.contains(&format!("number {number}")) && message.contains("not trusted"), "{message}");
            assert_eq!(fixture.problems(Kind::Backend, "shop/web"), []);
        }
    }
}

#[test]
fn rotated_certificate_is_used_at_once_and_equal_content_changes_nothing() {
    let mut fixture = fixture();
    let ((first, key), (second, _)) = (certified(), certified());
    read(&mut fixture, &own(), existing(&[("tls.crt", &first), ("tls.key", &key)]));
    read(&mut fixture, &authority(), existing(&[("ca.crt", &first)]));
    let before = in_use(&fixture).unwrap();
    let published = fixture.index.work().published;
    read(&mut fixture, &authority(), existing(&[("ca.crt", &first)]));
    assert_eq!(fixture.index.work().published, published);
    read(&mut fixture, &authority(), existing(&[("ca.crt", &(first + &second))]));
    let (authorities, client) = in_use(&fixture).unwrap();
    assert_eq!(authorities.unwrap().certificates.len(), 2);
    assert_eq!(client, before.1);
}

#[test]
fn unreferenced_certificates_are_neither_required_nor_kept() {
    let mut fixture = fixture();
    let (root, _) = certified();
    read(&mut fixture, &authority(), existing(&[("ca.crt", &root)]));
    fixture.apply(check("shop/c", &spec(&json!({"caCertificateRef": {"kind": "Secret", "name": "ca"}}))));
    let as_secret = Holder { kind: HolderKind::Secret, ..authority() };
    assert_eq!(fixture.index.required_certificates(), [as_secret.clone()].into());
    assert_eq!(in_use(&fixture), None, "a ConfigMap is no Secret");
    read(&mut fixture, &as_secret, existing(&[("ca.crt", &root)]));
    assert!(in_use(&fixture).is_some());
    fixture.delete(Kind::HealthCheck, "shop/c");
    assert_eq!(fixture.index.required_certificates(), [].into());
    read(&mut fixture, &as_secret, existing(&[("ca.crt", &root)]));
    fixture.apply(check("shop/c", &spec(&json!({"caCertificateRef": {"kind": "Secret", "name": "ca"}}))));
    assert_eq!(in_use(&fixture), None, "it has to be read anew");
}

#[test]
fn secrets_are_never_printed() {
    let mut fixture = fixture();
    let (certificate, key) = certified();
    read(&mut fixture, &own(), existing(&[("tls.crt", &certificate), ("tls.key", &key)]));
    read(&mut fixture, &authority(), existing(&[("ca.crt", &certificate)]));
    let printed = format!("{:?}", fixture.config());
    assert!(printed.contains("ClientCertificate"), "{printed}");
    let bytes = in_use(&fixture).unwrap().1.unwrap().key;
    let as_list = format!("{:?}", &bytes[..8]);
    assert!(!printed.contains(as_list.trim_matches(['[', ']'])), "{printed}");
}
