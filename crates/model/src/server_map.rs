//! A map from the addresses of application servers.

use std::{cell::Cell, collections::BTreeMap, fmt, net::IpAddr, ops::Index, slice, sync::Arc};

/// A map by the address of an application server, in the order of the addresses.
///
/// A node may have hundreds of thousands of servers, and several maps with all of them. So entries are stored without gaps,
/// and clones share their memory. A change of a shared map copies it; an added or removed entry moves those after it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerMap<V>(Arc<Vec<(IpAddr, V)>>);

impl<V> ServerMap<V> {
    /// The value of `address`; `None` if the map lacks it.
    pub fn get(&self, address: &IpAddr) -> Option<&V> {
        let index = self.find(address).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// [`Self::get`] as a function, for many addresses that are mostly in order: it looks at the entry after the last one
    /// before it searches.
    pub fn get_in_order<'m>(&'m self) -> impl Fn(&IpAddr) -> Option<&'m V> {
        let next = Cell::new(0);
        move |address| {
            let index = match self.0.get(next.get()) {
                Some((other, _)) if other == address => Ok(next.get()),
                _ => self.find(address),
            };
            next.set(index.map_or_else(|absent| absent, |index| index + 1));
            self.0.get(index.ok()?).map(|(_, value)| value)
        }
    }

    /// True if the map has `address`.
    pub fn contains_key(&self, address: &IpAddr) -> bool {
        self.find(address).is_ok()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the map has no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries.
    pub fn iter(&self) -> Iter<'_, V> {
        self.0.iter().map(|(address, value)| (address, value))
    }

    /// All addresses.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &IpAddr> + ExactSizeIterator + Clone {
        self.0.iter().map(|(address, _)| address)
    }

    /// All values, in the order of their addresses.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The index of `address`, or the one that it would have.
    fn find(&self, address: &IpAddr) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(address))
    }
}

impl<V: Clone> ServerMap<V> {
    /// The value of `address`, to be changed; `None` if the map lacks it.
    pub fn get_mut(&mut self, address: &IpAddr) -> Option<&mut V> {
        let index = self.find(address).ok()?;
        Arc::make_mut(&mut self.0).get_mut(index).map(|(_, value)| value)
    }

    /// All values, to be changed, in the order of their addresses.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        Arc::make_mut(&mut self.0).iter_mut().map(|(_, value)| value)
    }

    /// Sets the value of `address`. Returns the one of before.
    pub fn insert(&mut self, address: IpAddr, value: V) -> Option<V> {
        let entries = Arc::make_mut(&mut self.0);
        match entries.binary_search_by(|(other, _)| other.cmp(&address)) {
            Ok(index) => entries.get_mut(index).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(index) => {
                entries.insert(index, (address, value));
                None
            }
        }
    }

    /// Removes `address`. Returns its value.
    pub fn remove(&mut self, address: &IpAddr) -> Option<V> {
        let index = self.find(address).ok()?;
        Some(Arc::make_mut(&mut self.0).remove(index).1)
    }
}

/// The entries of a [`ServerMap`].
pub type Iter<'a, V> = std::iter::Map<slice::Iter<'a, (IpAddr, V)>, fn(&'a (IpAddr, V)) -> (&'a IpAddr, &'a V)>;

impl<V> Default for ServerMap<V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<V: fmt::Debug> fmt::Debug for ServerMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// Panics if the map lacks the address.
impl<V> Index<&IpAddr> for ServerMap<V> {
    type Output = V;

    fn index(&self, address: &IpAddr) -> &V {
        self.get(address).expect("the map has the address")
    }
}

impl<'a, V> IntoIterator for &'a ServerMap<V> {
    type Item = (&'a IpAddr, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Of several entries with one address, the last one counts.
impl<V> FromIterator<(IpAddr, V)> for ServerMap<V> {
    fn from_iter<I: IntoIterator<Item = (IpAddr, V)>>(entries: I) -> Self {
        let mut sorted: Vec<(IpAddr, V)> = entries.into_iter().collect();
        if !sorted.is_sorted_by(|(this, _), (next, _)| this < next) {
            sorted = sorted.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
        sorted.shrink_to_fit();
        Self(Arc::new(sorted))
    }
}

impl<V, const N: usize> From<[(IpAddr, V); N]> for ServerMap<V> {
    fn from(entries: [(IpAddr, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    proptest! {
        #[test]
        fn map_behaves_as_a_btree_map(
            first in prop::collection::vec((0..12_u8, 0..4_u8), 0..12),
            changes in prop::collection::vec((0..12_u8, prop::option::of(0..4_u8)), 0..20),
        ) {
            let first = first.into_iter().map(|(last, value)| (address(last), value));
            let (mut map, mut model): (ServerMap<u8>, BTreeMap<_, _>) = (first.clone().collect(), first.collect());
            for (last, value) in changes {
                let (before, at) = (map.clone(), address(last));
                let unchanged = model.clone();
                match value {
                    Some(value) => prop_assert_eq!(map.insert(at, value), model.insert(at, value)),
                    None => prop_assert_eq!(map.remove(&at), model.remove(&at)),
                }
                for value in map.values_mut().chain(model.values_mut()) {
                    *value += 1;
                }
                prop_assert!(map.iter().eq(&model) && map.keys().eq(model.keys()) && map.values().eq(model.values()));
                prop_assert_eq!((map.get(&at), map.len()), (model.get(&at), model.len()));
                prop_assert_eq!(map.get_mut(&at), model.get_mut(&at));
                prop_assert!(before.iter().eq(&unchanged), "a clone changes with the map");
            }
        }

        #[test]
        fn look_up_in_order_finds_what_get_finds(
            entries in prop::collection::btree_map(0..12_u8, 0..4_u8, 0..12),
            mut wanted in prop::collection::vec(0..12_u8, 0..30),
            is_sorted in any::<bool>(),
        ) {
            let map: ServerMap<u8> = entries.into_iter().map(|(last, value)| (address(last), value)).collect();
            if is_sorted {
                wanted.sort_unstable();
            }
            let get = map.get_in_order();
            for last in wanted {
                prop_assert_eq!(get(&address(last)), map.get(&address(last)));
            }
        }
    }
}
