//! What an account's roster holds of one contact (RFC 6121 §2.1).

use std::sync::Arc;

use crate::jid::BareJid;
use crate::time::Timestamp;

/// An entry of a roster, or what is remembered of somebody who is in none: that he asks to see the
/// account's presence (RFC 6121 §3.1.3, rule 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    pub jid: BareJid,
    /// The owner's name for the contact.
    pub name: Option<Arc<str>>,
    pub groups: Vec<Arc<str>>,
    pub links: Links,
    /// Whether it stands in the roster that the owner sees.
    pub listed: bool,
    /// The request of the contact that the owner has not answered, as it stands on the wire; present
    /// exactly when `links.pending_in`.
    pub request: Option<Arc<[u8]>>,
}

/// The nine states of RFC 6121 §A.1, and the approval given beforehand (§3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Links {
    /// The owner sees the contact's presence.
    pub to: bool,
    /// The contact sees the owner's presence.
    pub from: bool,
    /// The owner has asked to, and is not answered. Never with `to`.
    pub pending_out: bool,
    /// The contact has asked to, and is not answered. Never with `from`.
    pub pending_in: bool,
    /// The contact's next request is approved already.
    pub approved: bool,
}

/// Everything that an account has of others, ordered by JID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Grows with every change; 0 for a roster that never had one.
    pub version: u64,
    pub items: Vec<RosterItem>,
}

/// What must be known to change one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterPlace {
    pub item: Option<RosterItem>,
    /// How many entries the owner sees.
    pub listed: u64,
    /// How many requests of people who are not listed wait.
    pub waiting: u64,
    pub version: u64,
}

/// One entry as it shall be; absent when it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChange {
    pub owner: BareJid,
    pub contact: BareJid,
    pub item: Option<RosterItem>,
}

/// When an account was available last, and what it said as it went (XEP-0012).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    pub at: Timestamp,
    /// Empty where nothing was said.
    pub status: String,
}

/// A message that waits for its receiver to come online (XEP-0160).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStanza {
    pub time: Timestamp,
    /// As it stands on the wire.
    pub xml: Arc<[u8]>,
}
