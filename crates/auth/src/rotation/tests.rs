use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NAME: &str = "maglevd.lb.maglev.vpp.io";

fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a valid time")
}

/// Carries out everything that is due, and returns it.
fn settle(stored: &mut Stored, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(action) = stored.next_action(NAME, now) {
        stored.apply(action, NAME, now).expect("the name is a DNS name");
        actions.push(action);
        assert!(actions.len() < 10, "{actions:?} at {now}");
    }
    actions
}

/// The key ids of the authorities that a client of this bundle trusts.
fn trusted(stored: &Stored) -> BTreeSet<Vec<u8>> {
    let text = String::from_utf8(stored.bundle.get("ca.crt").cloned().unwrap_or_default()).expect("PEM is text");
    let certificates = text.split_inclusive("-----END CERTIFICATE-----").filter(|pem| pem.contains("BEGIN"));
    certificates.map(|pem| CertificateInfo::from_pem(pem.as_bytes()).expect("a certificate").key_id).collect()
}

#[test]
fn empty_objects_are_filled_in_an_order_that_clients_can_follow() {
    let mut stored = Stored::default();
    let actions = settle(&mut stored, start());
    assert_eq!(actions, [Action::CreateAuthority, Action::PublishBundle, Action::IssueLeaf]);
    assert_eq!(actions.map_objects(), [Object::Authority, Object::Bundle, Object::Leaf]);
    let leaf = stored.leaf_info().expect("a certificate");
    assert_eq!(leaf.names, [NAME]);
    assert_eq!(leaf.not_after, start() + 90 * DAY);
    assert!(trusted(&stored).contains(&leaf.authority_key_id));
}

trait MapObjects {
    fn map_objects(&self) -> Vec<Object>;
}

impl MapObjects for Vec<Action> {
    fn map_objects(&self) -> Vec<Object> {
        self.iter().map(|action| action.object()).collect()
    }
}

/// Twelve years with a controller that looks every day. A client may have the bundle of the day before, and an agent any
/// certificate that has not expired.
#[test]
fn every_certificate_in_use_is_trusted_for_twelve_years() {
    let (mut stored, mut actions) = (Stored::default(), Vec::new());
    let mut leaves: Vec<CertificateInfo> = Vec::new();
    let mut bundle_of_yesterday = BTreeSet::new();
    for day in 0..12 * 365 {
        let now = start() + day * DAY;
        actions.extend(settle(&mut stored, now).into_iter().map(|action| (day, action)));
        let leaf = stored.leaf_info().expect("there is always a certificate");
        assert!(day == 0 || bundle_of_yesterday.contains(&leaf.authority_key_id), "day {day}");
        if leaves.last() != Some(&leaf) {
            leaves.push(leaf);
        }
        leaves.retain(|leaf| now < leaf.not_after);
        let bundle = trusted(&stored);
        assert!(leaves.iter().all(|leaf| bundle.contains(&leaf.authority_key_id)), "day {day}");
        bundle_of_yesterday = bundle;
    }
    let of_authority: Vec<_> = actions.iter().filter(|(_, action)| action.object() == Object::Authority).collect();
    let year_before = 3650 - 365;
    assert_eq!(
        of_authority,
        [
            &(0, Action::CreateAuthority),
            &(year_before, Action::CreateNextAuthority),
            &(year_before + 1, Action::PromoteNextAuthority),
            &(year_before + 91, Action::DropPreviousAuthority),
        ]
    );
    let renewals: Vec<u32> =
        actions.iter().filter(|(_, action)| *action == Action::IssueLeaf).map(|(day, _)| *day).collect();
    assert_eq!(renewals[..3], [0, 60, 120]);
    assert!(renewals.contains(&(year_before + 1)), "the new authority signs a day after it was announced");
}

#[test]
fn lost_objects_are_made_again_and_a_kept_authority_stays() {
    let mut stored = Stored::default();
    settle(&mut stored, start());
    let now = start() + DAY;
    let complete = stored.clone();
    stored.leaf.clear();
    assert_eq!(settle(&mut stored, now), [Action::IssueLeaf]);
    stored.bundle.clear();
    assert_eq!(settle(&mut stored, now), [Action::PublishBundle]);
    assert_eq!((&stored.authority, &stored.bundle), (&complete.authority, &complete.bundle));
    stored.leaf.insert("tls.key".to_owned(), b"damaged".to_vec());
    assert_eq!(settle(&mut stored, now), [Action::IssueLeaf]);
    stored.authority.insert("tls.key".to_owned(), Authority::create(now).expect("an authority").key_pem().into());
    assert_eq!(settle(&mut stored, now), [Action::CreateAuthority, Action::PublishBundle, Action::IssueLeaf]);
    assert_eq!(settle(&mut stored, now), []);
}

#[test]
fn authority_of_a_controller_that_was_away_is_kept_until_the_new_certificate_has_arrived() {
    let mut stored = Stored::default();
    settle(&mut stored, start());
    let old = trusted(&stored);
    settle(&mut stored, start() + 3300 * DAY);
    // Away for 200 days, then back: the successor signs from now on only.
    let back = start() + 3500 * DAY;
    settle(&mut stored, back);
    assert!(trusted(&stored).is_superset(&old), "agents still use a certificate of the old authority");
    assert_eq!(settle(&mut stored, back + DAY), [Action::DropPreviousAuthority, Action::PublishBundle]);
    assert!(trusted(&stored).is_disjoint(&old));
}

#[test]
fn certificate_for_another_name_is_replaced() {
    let mut stored = Stored::default();
    settle(&mut stored, start());
    assert_eq!(stored.next_action("maglevd.other.maglev.vpp.io", start()), Some(Action::IssueLeaf));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever somebody wrote into the objects, the actions end, and the result can be used.
    #[test]
    fn any_content_is_repaired(damage in prop::collection::vec((0..3usize, 0..8usize, 0..4usize), 0..6), days in 0..4000u32) {
        let mut stored = Stored::default();
        settle(&mut stored, start());
        settle(&mut stored, start() + 3300 * DAY);
        for (object, key, value) in damage {
            let key = ["tls.crt", "tls.key", "next.crt", "next.key", "previous.crt", "ca.crt", "x", "y"][key];
            let other = Authority::create(start()).expect("an authority");
            let value = [b"".to_vec(), b"damaged".to_vec(), other.certificate_pem().into(), other.key_pem().into()][value].clone();
            [&mut stored.authority, &mut stored.leaf, &mut stored.bundle][object].insert(key.to_owned(), value);
        }
        let now = start() + 3300 * DAY + days * DAY;
        settle(&mut stored, now);
        let leaf = stored.leaf_info().expect("a certificate");
        let current = stored.authority("tls").expect("an authority");
        prop_assert_eq!(&leaf.authority_key_id, &current.info().key_id);
        prop_assert!(now < leaf.not_after);
        let bundle = stored.bundle.get("ca.crt").cloned().unwrap_or_default();
        prop_assert!(String::from_utf8_lossy(&bundle).contains(current.certificate_pem()));
    }
}
