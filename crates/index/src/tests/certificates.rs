//! Certificates of HealthChecks: read, missing, forbidden, of no use, rotated.

use serde_json::{Value, json};

use super::world::{World, check, name, probed};
use crate::{Held, Holder, HolderKind};
use maglev_model::{
    config::{Authorities, Check, ClientCertificate, Kind, Probe},
    problem::Reason,
};

/// A certificate and its key as PEM.
fn certified() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn found(data: &[(&str, &str)]) -> Held {
    Held::Found(data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect())
}

fn authority() -> Holder {
    Holder { kind: HolderKind::ConfigMap, name: name("shop/ca") }
}

fn own() -> Holder {
    Holder { kind: HolderKind::Secret, name: name("shop/own") }
}

fn spec(tls: &Value) -> Value {
    let mut whole = json!({"type": "TCP", "port": 1, "tls": tls});
    whole["tls"]["serverName"] = "shop.example".into();
    whole
}

/// A HealthCheck that names both objects, and a Backend that names it.
fn world() -> World {
    let refs = json!({"caCertificateRef": {"name": "ca"}, "clientCertificateRef": {"name": "own"}});
    World::of(vec![check("shop/c", &spec(&refs)), probed("shop/web", "10.0.0.1", "c")])
}

fn read(world: &mut World, holder: &Holder, held: Held) -> usize {
    let mut batch = world.index.batch();
    batch.apply_certificates(holder, held);
    let changes = batch.publish();
    changes.applied.len() + changes.appeared.len()
}

/// The certificates that the Backend is probed with.
fn in_use(world: &World) -> Option<(Option<Authorities>, Option<ClientCertificate>)> {
    let Check::Probe(check) = world.check_of("shop/web") else { return None };
    let Probe::Tcp { tls: Some(tls), .. } = &check.probe else { panic!("{:?}", check.probe) };
    Some((tls.authorities.clone(), tls.client.clone()))
}

#[test]
fn a_check_is_probed_once_all_its_certificates_are_read_and_no_problem_before() {
    let mut world = world();
    assert_eq!(world.index.certificates_wanted(), [authority(), own()].into());
    let ((root, _), (certificate, key)) = (certified(), certified());
    let Check::Missing(why) = world.check_of("shop/web") else { panic!("it is probed already") };
    assert_eq!(why.reason, Reason::CertificateUnknown);
    assert_eq!(read(&mut world, &own(), found(&[("tls.crt", &certificate), ("tls.key", &key)])), 0);
    assert_eq!(in_use(&world), None);
    assert_eq!(read(&mut world, &authority(), found(&[("ca.crt", &root)])), 0, "all of the first list is in effect");
    let (trusted, presented) = in_use(&world).expect("it is probed");
    assert_eq!((trusted.unwrap().certificates.len(), presented.unwrap().chain.len()), (1, 1));
    for (kind, of) in [(Kind::HealthCheck, "shop/c"), (Kind::Backend, "shop/web")] {
        assert_eq!(world.problems(kind, of), []);
    }
}

#[test]
fn what_cannot_be_used_is_a_problem_that_names_object_and_field_and_the_check_counts_as_unreadable() {
    let ((certificate, key), (_, other_key)) = (certified(), certified());
    let no_certificate = certificate.replace("MI", "AA");
    let pair = |certificate: &str, key: &str| found(&[("tls.crt", certificate), ("tls.key", key)]);
    let table = [
        (authority(), Held::Missing, Reason::CertificateNotFound, "does not exist"),
        (authority(), Held::Forbidden, Reason::CertificateForbidden, "agent.rbac.secretNames"),
        (authority(), Held::Failed("no answer".into()), Reason::CertificateUnknown, "no answer"),
        (authority(), found(&[]), Reason::CertificateUnreadable, "has no key ca.crt"),
        (authority(), found(&[("ca.crt", "")]), Reason::CertificateUnreadable, "no certificate in PEM"),
        (authority(), found(&[("ca.crt", &key)]), Reason::CertificateUnreadable, "no certificate in PEM"),
        (authority(), found(&[("ca.crt", &no_certificate)]), Reason::CertificateUnreadable, "number 1"),
        (own(), found(&[("tls.crt", &certificate)]), Reason::CertificateUnreadable, "has no key tls.key"),
        (own(), pair(&certificate, &certificate), Reason::CertificateUnreadable, "no private key in PEM"),
        (own(), pair(&certificate, &other_key), Reason::CertificateUnreadable, "not the key of the certificate"),
        (own(), pair(&no_certificate, &key), Reason::CertificateUnreadable, "no certificate that can be used"),
    ];
    for (holder, held, reason, says) in table {
        let mut world = world();
        read(&mut world, &authority(), found(&[("ca.crt", &certificate)]));
        read(&mut world, &own(), pair(&certificate, &key));
        assert!(in_use(&world).is_some());
        let (field, text) = match holder.kind {
            HolderKind::ConfigMap => ("spec.tls.caCertificateRef", "ConfigMap shop/ca"),
            HolderKind::Secret => ("spec.tls.clientCertificateRef", "Secret shop/own"),
        };
        assert!(read(&mut world, &holder, held.clone()) > 0, "{held:?} is told");
        let problems = world.problems(Kind::HealthCheck, "shop/c");
        assert_eq!(problems.iter().map(|p| (p.reason, p.field.as_str())).collect::<Vec<_>>(), [(reason, field)]);
        let message = &problems[0].message;
        for part in ["HealthCheck shop/c", text, says, "keep their weights"] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        let secret = key.lines().nth(1).unwrap();
        assert!(!format!("{message}{held:?}").contains(secret), "{message}");
        let Check::Missing(why) = world.check_of("shop/web") else { panic!("{held:?}: it is probed") };
        assert_eq!(why.reason, Reason::HealthCheckUnreadable);
        assert!(!world.config().health_checks.contains_key(&name("shop/c")));
        // Mended, it is in effect again.
        let mended = if holder == own() { pair(&certificate, &key) } else { found(&[("ca.crt", &certificate)]) };
        assert!(read(&mut world, &holder, mended) > 0);
        assert!(in_use(&world).is_some());
        assert_eq!(world.problems(Kind::HealthCheck, "shop/c"), []);
    }
}

#[test]
fn a_rotated_certificate_is_in_use_at_once_and_the_same_one_again_is_no_news() {
    let mut world = world();
    let ((first, key), (second, _)) = (certified(), certified());
    read(&mut world, &own(), found(&[("tls.crt", &first), ("tls.key", &key)]));
    read(&mut world, &authority(), found(&[("ca.crt", &first)]));
    let before = in_use(&world).unwrap();
    let published = world.index.work().published;
    read(&mut world, &authority(), found(&[("ca.crt", &first)]));
    assert_eq!(world.index.work().published, published);
    read(&mut world, &authority(), found(&[("ca.crt", &(first + &second))]));
    let (authorities, client) = in_use(&world).unwrap();
    assert_eq!(authorities.unwrap().certificates.len(), 2);
    assert_eq!(client, before.1);
}

#[test]
fn what_nobody_refers_to_is_neither_wanted_nor_kept() {
    let mut world = world();
    let (root, _) = certified();
    read(&mut world, &authority(), found(&[("ca.crt", &root)]));
    world.apply(check("shop/c", &spec(&json!({"caCertificateRef": {"kind": "Secret", "name": "ca"}}))));
    let as_secret = Holder { kind: HolderKind::Secret, ..authority() };
    assert_eq!(world.index.certificates_wanted(), [as_secret.clone()].into());
    assert_eq!(in_use(&world), None, "a ConfigMap is no Secret");
    read(&mut world, &as_secret, found(&[("ca.crt", &root)]));
    assert!(in_use(&world).is_some());
    world.delete(Kind::HealthCheck, "shop/c");
    assert_eq!(world.index.certificates_wanted(), [].into());
    read(&mut world, &as_secret, found(&[("ca.crt", &root)]));
    world.apply(check("shop/c", &spec(&json!({"caCertificateRef": {"kind": "Secret", "name": "ca"}}))));
    assert_eq!(in_use(&world), None, "it has to be read anew");
}

#[test]
fn secrets_are_never_printed() {
    let mut world = world();
    let (certificate, key) = certified();
    read(&mut world, &own(), found(&[("tls.crt", &certificate), ("tls.key", &key)]));
    read(&mut world, &authority(), found(&[("ca.crt", &certificate)]));
    let printed = format!("{:?}", world.config());
    assert!(printed.contains("ClientCertificate"), "{printed}");
    let bytes = in_use(&world).unwrap().1.unwrap().key;
    let as_list = format!("{:?}", &bytes[..8]);
    assert!(!printed.contains(as_list.trim_matches(['[', ']'])), "{printed}");
}
