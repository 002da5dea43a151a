//! One value for each address family.

use std::ops::{Index, IndexMut};

use maglev_model::vip::Family;

#[derive(Clone, Copy, Debug, Default)]
pub struct PerFamily<T> {
    v4: T,
    v6: T,
}

impl<T> Index<Family> for PerFamily<T> {
    type Output = T;

    fn index(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl<T> IndexMut<Family> for PerFamily<T> {
    fn index_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}
