//! The rules of publish-subscribe (XEP-0060), as nouns and one verb a file.
//!
//! Pure: no async, no XML, no clock, no randomness, no logging; of the project it knows `jid` and
//! `time` alone. A request is
//! decided by [`decide`] over [`Facts`] that somebody else gathered; what comes out is a reply and
//! the changes and events that must be committed before anyone is told.
//!
//! Not here: how a request is written on a wire, how facts are stored, who is woken. The doors
//! (`xep`, `http`) make requests, `engine` gathers facts and commits, `store` keeps.

mod affiliation;
mod audience;
mod config;
mod contact;
mod decide;
mod draft;
mod event;
mod facts;
mod field;
mod graph;
mod item;
mod kept;
mod node;
mod notice;
mod options;
mod refusal;
mod request;
mod rights;
mod subscription;
mod template;

mod affiliations;
mod approve;
mod configure;
mod create;
mod delete;
mod expire;
mod items;
mod publish;
mod purge;
mod retract;
mod subscribe;
mod subscriptions;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod world;

pub use affiliation::Affiliation;
pub use audience::{Reader, doubts, may_hear, may_know, may_read, shows};
pub use config::{
    AccessModel, Associating, BodyPart, BodyTemplate, FIELDS, Field, ItemReply, NodeConfig, NodeFull, NodeType,
    NotificationType, OWN_PREFIX, Origin, PREFIX, PublishModel, RawField, SendLast,
};
pub use contact::Contact;
pub use decide::{Given, decide, needs, rosters};
pub use event::{Event, EventKind};
pub use facts::{Facts, Needs, NodeState, Rosters, ServicePolicy, Tombstone, WhoCreates};
pub use field::FieldKind;
pub use graph::{ABOVE_MAX, Graph, Held, Related, named};
pub use item::{ItemFact, ItemId, Media, Payload, Seq};
pub use kept::{
    About, Attached, Beside, Kept, Question, REACTION_BYTES_MAX, REACTIONS_MAX, SUBSCRIBERS, Tally, Target, Told,
    Words, governed, questions, root,
};
pub use node::{Node, NodeAddress, NodeId, NodeKey};
pub use notice::{Notice, notices};
pub use options::{
    Depth, Expire, Kinds, OPTIONS, OptionField, PUBLIC, Show, ShowValues, SubscriptionOptions, SubscriptionPolicy,
};
pub use refusal::{Refusal, Unchanged};
pub use request::{
    Caller, Change, Decision, Edge, NewItem, Order, Page, Payloads, Precondition, Public, Published, Read, Reply,
    Request, Role, Selection, Share, Under, Verb, View,
};
pub use rights::may_create;
pub use subscribe::{sends_last, sends_last_at_presence};
pub use subscription::{SubId, Subscription, SubscriptionState};
pub use template::{Glob, Template};
