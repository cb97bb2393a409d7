//! Stanzas on their way to sessions, and which of them must arrive.
//!
//! What somebody sent must arrive: it is acknowledged by one session of those that were given it, or it
//! goes on (`undelivered.rs`). Whoever of them has it last and was not acknowledged hands it on; the
//! others need not care. What the server says itself, and copies of what somebody was given, are
//! dropped with the session that they were for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::time::Timestamp;

/// A stanza for a session, as it stands on the wire.
#[derive(Clone, Debug)]
pub struct Parcel {
    bytes: Bytes,
    errand: Option<Arc<Errand>>,
}

/// Something that must arrive. All sessions that were given it share it.
#[derive(Debug)]
pub(super) struct Errand {
    /// The stanza itself, also where a session was given a copy of it.
    pub stanza: Bytes,
    /// When it was sent on its way.
    pub at: Timestamp,
    taken: AtomicBool,
}

impl From<Bytes> for Parcel {
    /// Something that is dropped where it does not arrive.
    fn from(bytes: Bytes) -> Self {
        Parcel { bytes, errand: None }
    }
}

impl Parcel {
    /// Something that must arrive.
    pub(super) fn errand(bytes: Bytes, at: Timestamp) -> Self {
        let errand = Errand { stanza: bytes.clone(), at, taken: AtomicBool::new(false) };
        Parcel { bytes, errand: Some(Arc::new(errand)) }
    }

    /// A copy of it: whoever is given that has what it says.
    pub(super) fn copy(&self, bytes: Bytes) -> Self {
        Parcel { bytes, errand: self.errand.clone() }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn must_arrive(&self) -> bool {
        self.errand.is_some()
    }

    /// It has arrived, as far as can be known.
    pub fn taken(self) {
        if let Some(errand) = self.errand {
            errand.taken.store(true, Ordering::Release);
        }
    }

    /// It will not arrive here. What comes back must go on: nobody else has it, or had it.
    pub(super) fn give_up(self) -> Option<Errand> {
        // Of those who give it up at the same time exactly one is the last.
        let errand = Arc::into_inner(self.errand?)?;
        (!errand.taken.load(Ordering::Acquire)).then_some(errand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel() -> Parcel {
        Parcel::errand(Bytes::from_static(b"<message/>"), Timestamp(7))
    }

    #[test]
    fn the_last_that_has_it_hands_it_on() {
        let one = parcel();
        let (other, copy) = (one.clone(), one.copy(Bytes::from_static(b"<copy/>")));
        assert_eq!(copy.bytes(), "<copy/>");
        assert!(one.give_up().is_none() && other.give_up().is_none());
        assert_eq!(copy.give_up().map(|errand| (errand.stanza, errand.at)), Some(("<message/>".into(), Timestamp(7))));
    }

    #[test]
    fn what_one_has_taken_nobody_hands_on() {
        let one = parcel();
        let (other, third) = (one.clone(), one.clone());
        other.taken();
        assert!(one.give_up().is_none() && third.give_up().is_none());
        assert!(Parcel::from(Bytes::from_static(b"<presence/>")).give_up().is_none());
    }
}
