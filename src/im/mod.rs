//! The rules of instant messaging: rosters and presence subscriptions (RFC 6121).
//!
//! Pure: no async, no XML, no clock, no randomness, no logging; of the project it knows `jid` and
//! `time` alone. Not here: how a roster is kept (`store`), how it is written on a wire (`xep`).

mod archive;
mod block;
mod edit;
mod roster;
mod subscribe;

pub use archive::{Keeps, Policy, Preferences};
pub use block::blocks;
pub use edit::{Limits, Refusal, Wanted, remove, room_for, write};
pub use roster::{Departure, Links, Roster, RosterChange, RosterItem, RosterPlace, StoredStanza};
pub use subscribe::{Heard, Sent, Word, hear, send};
