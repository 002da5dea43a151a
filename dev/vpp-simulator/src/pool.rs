//! Numbered slots like VPP's `pool_t`: the last freed slot is reused first.
//!
//! Used for VIPs and application servers, whose indexes are visible in dumps and counters.

#[derive(Clone, Debug)]
pub(crate) struct Pool<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    reserved: u32,
}

impl<T> Pool<T> {
    /// An empty pool. The first `reserved` indexes are VPP's placeholders.
    pub(crate) fn new(reserved: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), reserved }
    }

    /// Stores `value`. Returns its index.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[(index - self.reserved) as usize] = Some(value);
            return index;
        }
        self.slots.push(Some(value));
        self.reserved + u32::try_from(self.slots.len() - 1).expect("a pool holds fewer than 2^32 slots")
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index.checked_sub(self.reserved)? as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index.checked_sub(self.reserved)? as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index.checked_sub(self.reserved)? as usize)?.as_mut()
    }

    /// All values with their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (self.reserved..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (self.reserved..).zip(&mut self.slots).filter_map(|(index, slot)| Some((index, slot.as_mut()?)))
    }

    /// Number of used slots without placeholders.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_freed_slot_is_reused_first_and_reserved_indexes_never() {
        let mut pool = Pool::new(1);
        assert_eq!([pool.insert('a'), pool.insert('b'), pool.insert('c')], [1, 2, 3]);
        assert_eq!(pool.remove(0), None);
        assert_eq!((pool.remove(1), pool.remove(2), pool.remove(2)), (Some('a'), Some('b'), None));
        assert_eq!(pool.len(), 1);
        assert_eq!([pool.insert('d'), pool.insert('e'), pool.insert('f')], [2, 1, 4]);
        assert_eq!(pool.iter().collect::<Vec<_>>(), [(1, &'e'), (2, &'d'), (3, &'c'), (4, &'f')]);
    }
}
