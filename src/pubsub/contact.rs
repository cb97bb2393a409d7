//! What the owner of a service has written of somebody in his roster (XEP-0060 §4.5: presence, roster).

use std::sync::Arc;

/// One entry of the roster of an account, as far as access models look at it. Only entries that stand
/// in the roster are facts; of others there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// The account sees the contact's presence.
    pub to: bool,
    /// The contact sees the account's presence: what the access model `presence` asks for.
    pub from: bool,
    /// What the access model `roster` compares with `pubsub#roster_groups_allowed`.
    pub groups: Vec<Arc<str>>,
}
