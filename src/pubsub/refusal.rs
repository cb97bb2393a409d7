//! Why a caller may not have what it asked for. One file of each door turns a refusal into that
//! door's words (`xep/pubsub/errors.rs`, `http/problem.rs`), without a catch-all arm, so that a new
//! refusal does not compile until both answer it.

use std::sync::Arc;

use crate::jid::{BareJid, Jid};
use crate::pubsub::{Affiliation, ItemId, SubscriptionState};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such node, or one that the caller may not know of.
    NodeAbsent,
    /// The node was deleted; where its owner said to look instead (XEP-0060 §6.1.3.11).
    NodeGone { redirect: Option<Arc<str>> },
    /// A node of that name exists (XEP-0060 §8.1.1).
    NodeExists,
    /// The request names no node where it must (XEP-0060 §7.2.3.3, §8.2.3.3).
    NodeRequired,
    /// The caller's affiliation does not carry the verb (XEP-0060 §7.1.3.1, §14.2).
    Forbidden,
    /// The caller is an outcast (XEP-0060 §6.1.3.8, §6.5.9.10).
    Outcast,
    /// Whitelisted node, and the caller is not on the list (XEP-0060 §6.1.3.4, §6.5.9.8).
    NotOnWhitelist,
    /// The node is for those who see its owner's presence (XEP-0060 §6.1.3.2, §6.5.9.6).
    PresenceRequired,
    /// The node is for groups of its owner's roster, and the caller is in none of them (XEP-0060
    /// §6.1.3.3, §6.5.9.7).
    NotInRosterGroup,
    /// Only subscribers whom an owner has approved may read the node (XEP-0060 §6.5.9.3).
    SubscriptionRequired,
    /// The entity has asked already, and no owner has answered (XEP-0060 §6.1.3.7).
    SubscriptionPending,
    /// An owner answers a request that is not, or no longer, waiting for an answer (XEP-0060 §8.6).
    NotPending,
    /// The node holds as much as it may, and its owner wants nothing to give way (XEP-0060 §7.1.3.4).
    NodeFull,
    /// The caller may not create nodes here (XEP-0060 §8.1.1).
    MayNotCreate,
    /// Those who have an account here may create nodes, and the caller has none (XEP-0060 §8.1.1:
    /// `registration-required`).
    RegistrationRequired,
    /// An item that is to be retracted is absent (XEP-0060 §7.2.3.2).
    ItemAbsent,
    /// The request bears no item where it must (XEP-0060 §7.1.3.7, §7.2.3.4).
    ItemRequired,
    /// The request bears an item where it must not (XEP-0060 §7.1.3.7).
    ItemForbidden,
    /// The node wants a payload and the item has none (XEP-0060 §7.1.3.7).
    PayloadRequired,
    /// More than one element, or not of the node's type (XEP-0060 §7.1.3.6).
    InvalidPayload { why: &'static str },
    /// The payload is larger than the node accepts (XEP-0060 §7.1.3.5).
    PayloadTooBig { bytes: u64, bytes_max: u64 },
    /// More items in one request than the service or the node takes (XEP-0060 §12.11).
    TooManyItems { items: usize, items_max: u64 },
    /// Two items of one batch bear the same id.
    DuplicateItem { item: ItemId },
    /// An `If-Match` or `If-None-Match` that does not hold.
    PreconditionFailed,
    /// Publish options that do not match the node (XEP-0060 §7.1.5: `precondition-not-met`).
    OptionsMismatch { field: Arc<str> },
    /// A field of a configuration that does not exist, or a value that it does not take (XEP-0060
    /// §8.1.2 for `access_model`, §8.2.5.2, and §7.1.5 for an unknown publish option).
    InvalidConfig { field: Arc<str>, why: Arc<str> },
    /// The JID to be subscribed is not the caller's (XEP-0060 §6.1.3.1).
    InvalidJid,
    /// The owner has switched subscribing off with `pubsub#subscribe` (XEP-0060 §6.1.3.10).
    SubscriptionsClosed,
    /// The entity is not subscribed (XEP-0060 §6.2.3.2).
    NotSubscribed,
    /// The subscription identifier is not that of the entity's subscription (XEP-0060 §6.2.3.5).
    InvalidSubId,
    /// The JID has several subscriptions to the node, and the request does not say which it means
    /// (XEP-0060 §6.2.3.1, §6.3.4.4, §6.5.9.1).
    SubIdRequired,
    /// A subscription option that does not exist, or a value that it does not take (XEP-0060 §6.3.6.2).
    InvalidOptions { field: Arc<str>, why: Arc<str> },
    /// The entity may have no more subscriptions here (XEP-0060 §6.1.3.9).
    TooManySubscriptions,
    /// A node keeps at least one owner (XEP-0060 §8.9.2.4).
    LastOwner { unchanged: Unchanged },
    /// A change of affiliation or subscription that the rules do not know (XEP-0060 §8.8.2.4,
    /// §8.9.2.4). Nothing of the request was done.
    InvalidChange { why: &'static str, unchanged: Unchanged },
    /// One entity twice in one request to change affiliations or subscriptions (XEP-0060 §8.8.2.4,
    /// §8.9.2.4: `bad-request`).
    DuplicateChange { jid: Jid },
    /// The node does not keep items (XEP-0060 §6.5.9.4, §7.2.3.5, §8.5.3.3: `persistent-items`).
    NotPersistent,
    /// What only a leaf node can do is asked of a collection (XEP-0248 §4.1, §6.2.3); the feature that it
    /// lacks.
    NotOfCollections { feature: &'static str },
    /// The service, which is an account, has no collections (XEP-0248 §7.1.3.1).
    CollectionsUnsupported,
    /// A collection would be within itself, a leaf would hold nodes, a collection would become a leaf
    /// (XEP-0248 §7.2.3).
    InvalidGraph { why: &'static str },
    /// The collection would hold more nodes than it may (XEP-0248 §7.2.3.3).
    TooManyChildren { children_max: u64 },
    /// The node does not stand in the collection (XEP-0248 §7.6.3.1).
    NotAssociated,
    /// The service keeps the node, and nobody else makes it, sets it, or writes to it (XEP-0470 §4.4, §4.6).
    KeptByService,
    /// What is attached to an item is not as it must be (XEP-0470 §4.5).
    InvalidAttachments { why: &'static str },
    /// A place in a list that is not there (XEP-0059 §2.2).
    PageAbsent,
}

/// The entries of a refused request as they still are, each of them, because none was changed: the
/// answer must bear them (XEP-0060 §8.8.2.4, §8.9.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    Affiliations(Vec<(BareJid, Affiliation)>),
    Subscriptions(Vec<(Jid, SubscriptionState)>),
}
