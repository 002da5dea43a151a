//! The members of a pool.

use std::{
    ops::{Deref, DerefMut},
    slice,
    sync::Arc,
};

use super::Member;

/// The members of a pool, in the order of the manifest. There are as many as Frontends times Backends, so Frontends with the
/// same members share their memory: clones do, until one of them is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Arc<Vec<Member>>);

impl Members {
    /// Shares the memory of `other`, if both are equal. Returns true if so.
    pub fn share_with(&mut self, other: &Self) -> bool {
        let is_equal = self == other;
        if is_equal {
            self.clone_from(other);
        }
        is_equal
    }
}

impl Deref for Members {
    type Target = Vec<Member>;

    fn deref(&self) -> &Vec<Member> {
        &self.0
    }
}

impl DerefMut for Members {
    fn deref_mut(&mut self) -> &mut Vec<Member> {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<Member>> for Members {
    fn from(mut members: Vec<Member>) -> Self {
        members.shrink_to_fit();
        Self(Arc::new(members))
    }
}

impl FromIterator<Member> for Members {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Self {
        members.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a mut Members {
    type Item = &'a mut Member;
    type IntoIter = slice::IterMut<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
