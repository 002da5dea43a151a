//! Decides which objects of a namespace exceed a limit. A pure function of the objects and the limit: the oldest objects
//! come first, and each fits if it fits beside the older ones that fit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::claims::Age;
use maglev_model::Name;

/// One limit of every namespace.
#[derive(Debug, Default)]
pub struct Quotas {
    by_namespace: HashMap<Box<str>, Quota>,
    /// Namespaces to decide again.
    changed: BTreeSet<Box<str>>,
}

/// The objects of one namespace.
#[derive(Debug, Default)]
struct Quota {
    costs: BTreeMap<Age, u64>,
    total: u64,
    limit: u64,
    excess: BTreeSet<Name>,
}

/// The share of one object in a limit: its cost and the limit. `None` without a cost or a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(Option<(u64, u64)>);

impl Share {
    pub fn new(cost: Option<u64>, limit: Option<u64>) -> Self {
        Self(cost.zip(limit))
    }
}

impl Quotas {
    /// Replaces the share of an object. Without a difference, the objects of the namespace are not looked at.
    pub fn replace(&mut self, age: impl FnOnce() -> Age, share: &mut Share, wanted: Share) {
        let before = std::mem::replace(share, wanted);
        if before == wanted {
            return;
        }
        let age = age();
        let namespace = age.name.namespace();
        self.changed.insert(namespace.into());
        let quota = self.by_namespace.entry(namespace.into()).or_default();
        quota.total -= before.0.map_or(0, |(cost, _)| cost);
        if let Some((cost, limit)) = wanted.0 {
            quota.total += cost;
            quota.limit = limit;
            quota.costs.insert(age, cost);
        } else {
            quota.costs.remove(&age);
        }
    }

    /// Decides the changed namespaces. Returns the objects that exceed the limit now and did not before, and the reverse.
    pub fn decide(&mut self) -> BTreeSet<Name> {
        let mut differing = BTreeSet::new();
        for namespace in std::mem::take(&mut self.changed) {
            let Some(quota) = self.by_namespace.get_mut(&namespace) else { continue };
            let excess = quota.excess();
            differing.extend(excess.symmetric_difference(&quota.excess).cloned());
            quota.excess = excess;
            if quota.costs.is_empty() {
                self.by_namespace.remove(&namespace);
            }
        }
        differing
    }

    /// The limit that the object exceeds; `None` if it is within the limit.
    pub fn exceeded(&self, name: &Name) -> Option<u64> {
        let quota = self.by_namespace.get(name.namespace())?;
        quota.excess.contains(name).then_some(quota.limit)
    }
}

impl Quota {
    fn excess(&self) -> BTreeSet<Name> {
        let (mut left, mut excess) = (self.limit, BTreeSet::new());
        if self.total <= self.limit {
            return excess;
        }
        for (age, cost) in &self.costs {
            match left.checked_sub(*cost) {
                Some(rest) => left = rest,
                None => drop(excess.insert(age.name.clone())),
            }
        }
        excess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(created: i64, name: &str) -> Age {
        Age { created: jiff::Timestamp::from_second(created).unwrap(), name: Name::namespaced("shop", name) }
    }

    fn names(names: &BTreeSet<Name>) -> Vec<String> {
        names.iter().map(|name| name.name().to_owned()).collect()
    }

    /// Objects of the namespace `shop`, each with its share.
    #[derive(Default)]
    struct Objects {
        quotas: Quotas,
        shares: BTreeMap<Age, Share>,
    }

    impl Objects {
        fn replace(&mut self, created: i64, name: &str, cost: Option<u64>, limit: Option<u64>) {
            let age = age(created, name);
            let share = self.shares.entry(age.clone()).or_default();
            self.quotas.replace(|| age, share, Share::new(cost, limit));
        }
    }

    #[test]
    fn youngest_objects_exceed_the_limit() {
        let mut objects = Objects::default();
        for (created, name, cost) in [(1, "old", 10), (2, "big", 40), (3, "young", 5)] {
            objects.replace(created, name, Some(cost), Some(50));
        }
        assert_eq!(names(&objects.quotas.decide()), ["young"]);
        assert_eq!(objects.quotas.exceeded(&Name::namespaced("shop", "young")), Some(50));
        objects.replace(2, "big", None, None);
        assert_eq!(names(&objects.quotas.decide()), ["young"], "within the limit again");
        assert_eq!(objects.quotas.exceeded(&Name::namespaced("shop", "young")), None);
        for (created, name, cost) in [(1, "old", 10), (3, "young", 5)] {
            objects.replace(created, name, Some(cost), Some(9));
        }
        assert_eq!(names(&objects.quotas.decide()), ["old"], "a younger object fits into the rest");
        assert_eq!(objects.quotas.decide(), BTreeSet::new());
    }

    #[test]
    fn namespace_without_a_limit_is_not_recorded() {
        let mut objects = Objects::default();
        objects.replace(1, "a", Some(1), None);
        assert!(objects.quotas.by_namespace.is_empty());
        objects.replace(1, "a", Some(1), Some(0));
        assert_eq!(names(&objects.quotas.decide()), ["a"]);
        objects.replace(1, "a", Some(1), None);
        assert_eq!(names(&objects.quotas.decide()), ["a"]);
        assert!(objects.quotas.by_namespace.is_empty());
    }

    #[test]
    fn equal_share_changes_nothing() {
        let mut objects = Objects::default();
        objects.replace(1, "a", Some(1), Some(5));
        objects.quotas.decide();
        objects.replace(1, "a", Some(1), Some(5));
        assert!(objects.quotas.changed.is_empty());
        objects.replace(1, "a", Some(6), Some(5));
        assert_eq!(names(&objects.quotas.decide()), ["a"]);
    }
}
