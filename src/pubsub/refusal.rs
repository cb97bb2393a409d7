//! Why a caller may not have what it asked for. One file of each door turns a refusal into that
//! door's words (`xep/pubsub/errors.rs`, `http/problem.rs`), without a catch-all arm, so that a new
//! refusal does not compile until both answer it.

use std::sync::Arc;

use crate::pubsub::ItemId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such node, or one that the caller may not know of.
    NodeAbsent,
    /// The node was deleted; where its owner said to look instead.
    NodeGone { redirect: Option<Arc<str>> },
    /// A node of that name exists (XEP-0060 §8.1.1).
    NodeExists,
    /// The request names no node where it must (XEP-0060 §12.?: `nodeid-required`).
    NodeRequired,
    /// The caller's affiliation does not carry the verb.
    Forbidden,
    /// The caller is an outcast (XEP-0060 §6.1.3.8).
    Outcast,
    /// Whitelisted node, and the caller is not on the list (XEP-0060 §6.1.3.4).
    NotOnWhitelist,
    /// The caller may not create nodes here.
    MayNotCreate,
    /// The item is absent.
    ItemAbsent,
    /// The request bears no item where it must (XEP-0060 §7.1.3.6).
    ItemRequired,
    /// The request bears an item where it must not (XEP-0060 §7.1.3.6).
    ItemForbidden,
    /// The node wants a payload and the item has none.
    PayloadRequired,
    /// More than one element, or not of the node's type.
    InvalidPayload { why: &'static str },
    /// The payload is larger than the node accepts.
    PayloadTooBig { bytes: u64, bytes_max: u64 },
    /// More items in one request than the service or the node takes.
    TooManyItems { items: usize, items_max: u64 },
    /// Two items of one batch bear the same id.
    DuplicateItem { item: ItemId },
    /// An `If-Match` or `If-None-Match` that does not hold.
    PreconditionFailed,
    /// Publish options that do not match the node (XEP-0060 §7.1.3.?).
    OptionsMismatch { field: Arc<str> },
    /// A field of a configuration that does not exist, or a value that it does not take.
    InvalidConfig { field: Arc<str>, why: Arc<str> },
    /// The JID to be subscribed is not the caller's (XEP-0060 §6.1.3.1).
    InvalidJid,
    /// The owner has switched subscribing off (`pubsub#subscribe`).
    SubscriptionsClosed,
    /// The entity is not subscribed (XEP-0060 §6.2.3.2).
    NotSubscribed,
    /// The subscription identifier is not one of the entity's (XEP-0060 §6.2.3.5).
    InvalidSubId,
    /// The entity may have no more subscriptions here (XEP-0060 §6.1.3.?: `too-many-subscriptions`).
    TooManySubscriptions,
    /// A node keeps at least one owner (XEP-0060 §8.9.2.4).
    LastOwner,
    /// A change of affiliation or subscription that the specification does not know.
    InvalidChange { why: &'static str },
    /// The node does not keep items (XEP-0060 §6.5.9.?: `persistent-items`).
    NotPersistent,
    /// A place in a list that is not there (XEP-0059 §2.2).
    PageAbsent,
}
