//! A bounded table that forgets what was not used lately.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Two generations: what is used stands in the young one; when that is full it becomes the old one, and
/// the former old one is forgotten. Every operation costs the same however many entries there are.
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_max: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// Holds at most `entries_max` entries, and at least the latest half of that.
    pub fn new(entries_max: usize) -> Self {
        Recent { young: HashMap::new(), old: HashMap::new(), generation_max: (entries_max / 2).max(1) }
    }

    /// Looks an entry up, and keeps it young.
    pub fn find<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.young.contains_key(key)
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_its_limit_and_keeps_what_is_used() {
        let mut table = Recent::new(10);
        for number in 0..1_000 {
            table.insert(number, ());
            table.find(&0);
            assert!(table.young.len() + table.old.len() <= 10);
        }
        assert!(table.find(&0).is_some());
        assert!(table.find(&999).is_some());
        assert!(table.find(&500).is_none());
        table.remove(&0);
        assert!(table.find(&0).is_none());
    }
}
