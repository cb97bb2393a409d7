//! What tests do to the store in memory, and what they learn from it.

use std::sync::PoisonError;

use super::MemoryStore;
use crate::store::{Ask, NodeCommit, Pending};

/// What a test does before a commit is made, and instead of it where it fails.
pub type Twist = Box<dyn FnOnce(&[NodeCommit]) -> Pending<'static, ()> + Send>;

/// What the store was asked, for a test that says what something may cost.
#[derive(Debug, Default)]
pub struct Asked {
    /// Each operation by its name, in order.
    pub operations: Vec<&'static str>,
    /// What [`crate::store::Store::gather`] was asked.
    pub facts: Vec<Ask>,
}

impl MemoryStore {
    /// The next commit for which nothing is prepared yet goes through this.
    pub fn twist(&self, twist: Twist) {
        self.twists.lock().unwrap_or_else(PoisonError::into_inner).push_back(twist);
    }

    /// What was asked since this was called last.
    pub fn take_asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes an operation, known by the closure that is its work: the path to a closure ends with the
    /// function in which it stands.
    pub(super) fn note_operation<W>(&self) {
        let path = std::any::type_name::<W>().trim_end_matches("::{{closure}}");
        let operation = path.rsplit("::").next().unwrap_or_default();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).operations.push(operation);
    }

    pub(super) fn note_facts(&self, asks: &[Ask]) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).facts.extend(asks.iter().cloned());
    }
}
