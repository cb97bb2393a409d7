//! Where expensive password work waits and runs: so many at once, so many waiting, so many of these
//! from one address prefix.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Options;
use super::throttle::Prefix;

/// The pool of password checks.
pub struct Pool {
    permits: Arc<Semaphore>,
    room: Arc<Room>,
}

/// A waiting room with a limited number of places, in all and for one address prefix.
pub struct Room {
    places_max: usize,
    per_prefix_max: usize,
    // A std mutex: held for a few counts, never across an await.
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_prefix: HashMap<Prefix, usize>,
}

/// A place in a waiting room, given back when dropped.
pub struct Place {
    room: Arc<Room>,
    prefix: Prefix,
}

impl Pool {
    pub fn new(options: &Options) -> Self {
        Pool {
            permits: Arc::new(Semaphore::new(options.checks_at_once.max(1))),
            room: Room::new(options.checks_waiting_max, options.checks_waiting_per_prefix_max),
        }
    }

    /// Waits for a turn, which lasts until the permit is dropped; absent when the room is full.
    pub async fn turn(&self, prefix: Prefix) -> Option<OwnedSemaphorePermit> {
        let _place = self.room.enter(prefix)?;
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Waits for a turn among the checks for as long as it takes: for administrators, whose waits are
    /// bounded by their number.
    pub async fn turn_of_administrator(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }
}

impl Room {
    pub fn new(places_max: usize, per_prefix_max: usize) -> Arc<Self> {
        Arc::new(Room { places_max, per_prefix_max, taken: Mutex::default() })
    }

    pub fn enter(self: &Arc<Self>, prefix: Prefix) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.places_max {
            return None;
        }
        let of_prefix = taken.by_prefix.get(&prefix).copied().unwrap_or(0);
        if of_prefix >= self.per_prefix_max {
            return None;
        }
        taken.by_prefix.insert(prefix, of_prefix + 1);
        taken.total += 1;
        drop(taken);
        Some(Place { room: self.clone(), prefix })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(count) = taken.by_prefix.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                taken.by_prefix.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_so_many_places_in_all_and_for_each_prefix() {
        let prefix = |text: &str| Prefix::of(text.parse().unwrap());
        let room = Room::new(3, 2);
        let first = room.enter(prefix("10.0.0.1")).unwrap();
        let _second = room.enter(prefix("10.0.0.1")).unwrap();
        assert!(room.enter(prefix("10.0.0.1")).is_none());
        let _third = room.enter(prefix("10.0.0.2")).unwrap();
        assert!(room.enter(prefix("10.0.0.3")).is_none());
        drop(first);
        assert!(room.enter(prefix("10.0.0.1")).is_some());
        assert_eq!(room.taken.lock().unwrap().total, 2);
    }
}
