//! Node configuration (XEP-0060 §8.2, §16.4.4): one description of each field, from which forms are
//! rendered, submissions validated, JSON read and written, and the reference is made.

pub(super) mod fields;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{FieldKind, Refusal, ServicePolicy};
use crate::time::Timestamp;

pub use self::fields::FIELDS;
pub(super) use self::fields::sane;

/// The line of the stored text that names [`NodeConfig::shown_owner`].
const SHOWN_OWNER: &str = "shown_owner";
/// Those that say what of [`Follows`] holds.
const MAX_ITEMS_IS: &str = "max_items_is";
const CHILDREN_MAX_IS: &str = "children_max_is";

/// What a node is set to. Valid by construction: built from defaults by [`NodeConfig::with`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    pub title: Arc<str>,
    pub description: Arc<str>,
    pub payload_type: Arc<str>,
    pub language: Arc<str>,
    pub contact: Arc<[Arc<str>]>,
    pub access_model: AccessModel,
    pub publish_model: PublishModel,
    pub persist_items: bool,
    pub max_items: u64,
    pub follows: Follows,
    pub deliver_payloads: bool,
    pub max_payload_size: u64,
    pub notify_config: bool,
    pub notify_delete: bool,
    pub notify_retract: bool,
    pub notification_type: NotificationType,
    pub send_last_published_item: SendLast,
    /// Whether anyone may subscribe at all.
    pub subscribe: bool,
    /// The groups that the access model `roster` lets in.
    pub roster_groups_allowed: Arc<[Arc<str>]>,
    /// How long an item stays, in seconds; without it, until something else lets it go.
    pub item_expire: Option<u64>,
    pub node_full: NodeFull,
    pub item_reply: ItemReply,
    /// The owner whose address items bear under [`ItemReply::Owner`]; no field of a form, it follows who owns the node.
    pub shown_owner: Option<BareJid>,
    /// Whether subscribers are told of anything.
    pub deliver_notifications: bool,
    /// Whether only sessions that are available are told (XEP-0060 §12.6).
    pub presence_based_delivery: bool,
    /// Items stand as long as their publishers are online.
    pub purge_offline: bool,
    /// Whether owners are told who subscribes and unsubscribes.
    pub notify_sub: bool,
    /// Whether subscriptions last as long as the presence of their subscribers (XEP-0060 §12.5).
    pub tempsub: bool,
    /// Whether the node holds items, or other nodes (XEP-0248).
    pub node_type: NodeType,
    /// Who may put nodes into the collection.
    pub children_association_policy: Associating,
    pub children_association_whitelist: Arc<[Arc<str>]>,
    /// How many nodes the collection holds at most.
    pub children_max: u64,
    /// Whether the node is absent to all who have nothing to do with it.
    pub hidden: bool,
}

/// XEP-0248 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeType {
    Leaf,
    Collection,
}

/// Who may put nodes into a collection, beside its owners (XEP-0248 §7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Associating {
    All,
    Owners,
    Whitelist,
}

/// XEP-0060 §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessModel {
    Open,
    Presence,
    Roster,
    Authorize,
    Whitelist,
}

/// What happens when an item comes and there is no room (XEP-0060 §7.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeFull {
    RetractOldest,
    /// The oldest goes, and nobody is told.
    DiscardOldest,
    Reject,
}

/// Counts that were asked for as `max`. They stay what that was then; and `max` they stay too, when the
/// operator allows more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Follows {
    pub max_items: bool,
    pub children_max: bool,
}

/// Whose address an item bears (XEP-0060 §12.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemReply {
    Publisher,
    /// One of the node's owners: [`NodeConfig::shown_owner`].
    Owner,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublishModel {
    Publishers,
    Subscribers,
    Open,
}

/// The type of the message that bears a notification (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationType {
    Normal,
    Headline,
}

/// When the last item is sent without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendLast {
    Never,
    OnSub,
    /// And whenever a session of the subscriber becomes available.
    OnSubAndPresence,
}

/// One field as a submission bears it: its name with or without `pubsub#`, and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawField {
    pub name: String,
    pub values: Vec<String>,
}

/// The description of one field.
pub struct Field {
    /// Without its prefix.
    pub name: &'static str,
    /// Whether it is one of XEP-0060's, or our own.
    pub origin: Origin,
    pub kind: FieldKind,
    /// What it means, for forms and the reference.
    pub label: &'static str,
    /// Shown to those who may see the node but not its configuration (XEP-0060 §5.4).
    pub in_metadata: bool,
    get: fn(&NodeConfig) -> Vec<String>,
    set: fn(&mut NodeConfig, &[String], &ServicePolicy) -> Result<(), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `pubsub#`
    Registered,
    /// `tidings#`
    Own,
}

impl NodeConfig {
    /// The configuration of a new node of a generic service.
    pub fn new(policy: &ServicePolicy) -> Self {
        // XEP-0163 §5.
        let personal = policy.is_personal();
        NodeConfig {
            title: Arc::from(""),
            description: Arc::from(""),
            payload_type: Arc::from(""),
            language: Arc::from(""),
            contact: Arc::from([]),
            access_model: if personal { AccessModel::Presence } else { AccessModel::Open },
            publish_model: PublishModel::Publishers,
            persist_items: true,
            max_items: if personal { 1 } else { ITEMS_MAX_NEW.min(policy.items_max) },
            follows: Follows::default(),
            deliver_payloads: true,
            max_payload_size: PAYLOAD_BYTES_MAX_NEW.min(policy.payload_bytes_max),
            notify_config: false,
            notify_delete: true,
            notify_retract: true,
            notification_type: NotificationType::Headline,
            send_last_published_item: if personal || policy.of_server {
                SendLast::OnSubAndPresence
            } else {
                SendLast::OnSub
            },
            subscribe: true,
            roster_groups_allowed: Arc::from([]),
            item_expire: None,
            node_full: NodeFull::RetractOldest,
            item_reply: ItemReply::Publisher,
            shown_owner: None,
            deliver_notifications: true,
            presence_based_delivery: false,
            purge_offline: false,
            notify_sub: false,
            tempsub: false,
            node_type: NodeType::Leaf,
            children_association_policy: Associating::Owners,
            children_association_whitelist: Arc::from([]),
            children_max: policy.children_max,
            hidden: false,
        }
    }

    /// This configuration with the given fields changed. A field that does not exist, or that cannot
    /// be honoured, is refused with its name: nothing is stored and forgotten.
    pub fn with(&self, changes: &[RawField], policy: &ServicePolicy) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        for change in changes {
            let name = change.bare_name();
            let invalid = |why: &str| Refusal::InvalidConfig { field: Arc::from(name), why: Arc::from(why) };
            if let Some((_, taken, why)) = FIXED.iter().find(|(fixed, ..)| *fixed == name) {
                match change.values.as_slice() {
                    [] if taken.contains(&"") => continue,
                    [value] if taken.contains(&value.as_str()) => continue,
                    _ => return Err(invalid(why)),
                }
            }
            let field = Field::named(name).ok_or_else(|| invalid("there is no such field"))?;
            (field.set)(&mut changed, &change.values, policy).map_err(|why| invalid(&why))?;
        }
        Ok(changed)
    }

    /// Whether all values are the same, where `max` and what that is are the same.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let mut same = NodeConfig { follows: other.follows, ..self.clone() };
        if self.follows.max_items && other.follows.max_items {
            same.max_items = other.max_items;
        }
        if self.follows.children_max && other.follows.children_max {
            same.children_max = other.children_max;
        }
        same == *other
    }

    pub fn is_collection(&self) -> bool {
        self.node_type == NodeType::Collection
    }

    /// Whose address an item bears that somebody has published (XEP-0060 §12.17).
    pub fn told_publisher<'a>(&'a self, publisher: &'a BareJid) -> Option<&'a BareJid> {
        match self.item_reply {
            ItemReply::Publisher => Some(publisher),
            ItemReply::Owner => self.shown_owner.as_ref(),
            ItemReply::None => None,
        }
    }

    /// Whether anybody may know who has published what.
    pub fn tells_publishers(&self) -> bool {
        self.item_reply == ItemReply::Publisher
    }

    /// This configuration with an owner to show, where it wants one: the one that it shows while that is
    /// an owner, else the first of these.
    pub(super) fn showing(mut self, mut owners: impl Iterator<Item = BareJid>) -> Self {
        let wanted = self.item_reply == ItemReply::Owner;
        if !wanted {
            self.shown_owner = None;
        } else if self.shown_owner.is_none() {
            self.shown_owner = owners.next();
        }
        self
    }

    /// Items published at this instant or earlier are due to go, where items are.
    pub fn expired_before(&self, now: Timestamp) -> Option<Timestamp> {
        let seconds = i64::try_from(self.item_expire?).unwrap_or(i64::MAX);
        Some(now.plus_seconds(seconds.saturating_neg()))
    }

    /// When an item that was published then is due to go.
    pub fn due(&self, published: Timestamp) -> Option<Timestamp> {
        let seconds = i64::try_from(self.item_expire?).unwrap_or(i64::MAX);
        Some(published.plus_seconds(seconds))
    }

    /// One line a field that differs from nothing: how a store keeps it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for field in FIELDS {
            for value in field.values(self) {
                let escaped = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
                let _ = writeln!(text, "{}={escaped}", field.name);
            }
        }
        for (line, follows) in [(MAX_ITEMS_IS, self.follows.max_items), (CHILDREN_MAX_IS, self.follows.children_max)] {
            if follows {
                let _ = writeln!(text, "{line}=max");
            }
        }
        if let Some(owner) = &self.shown_owner {
            let _ = writeln!(text, "{SHOWN_OWNER}={owner}");
        }
        text
    }

    /// Reads what [`NodeConfig::to_text`] wrote. Fields that it does not name keep the default; one
    /// that this version does not know is an error, for it would be forgotten by the next change. A
    /// number beyond what the operator allows by now is brought down to that.
    pub fn from_text(text: &str, policy: &ServicePolicy) -> Result<Self, Refusal> {
        let mut fields: Vec<RawField> = Vec::new();
        let (mut shown_owner, mut follows) = (None, Follows::default());
        for line in text.lines() {
            let (name, escaped) = line.split_once('=').unwrap_or((line, ""));
            match name {
                SHOWN_OWNER => shown_owner = BareJid::parse(escaped).ok(),
                MAX_ITEMS_IS => follows.max_items = true,
                CHILDREN_MAX_IS => follows.children_max = true,
                _ => {}
            }
            if [SHOWN_OWNER, MAX_ITEMS_IS, CHILDREN_MAX_IS].contains(&name) {
                continue;
            }
            let value = unescape(escaped);
            match fields.last_mut() {
                Some(last) if last.name == name => last.values.push(value),
                _ => fields.push(RawField { name: name.to_owned(), values: vec![value] }),
            }
        }
        let unlimited = ServicePolicy {
            payload_bytes_max: u64::MAX,
            items_max: u64::MAX,
            children_max: u64::MAX,
            ..policy.clone()
        };
        let mut config = NodeConfig::new(policy).with(&fields, &unlimited)?;
        (config.shown_owner, config.follows) = (shown_owner, follows);
        config.max_items = config.max_items.min(policy.items_max);
        config.max_payload_size = config.max_payload_size.min(policy.payload_bytes_max);
        config.children_max = config.children_max.min(policy.children_max);
        Ok(config)
    }
}

impl RawField {
    /// The name without its prefix, where it has the one that belongs to it.
    pub fn bare_name(&self) -> &str {
        if let Some(own) = self.name.strip_prefix(OWN_PREFIX) {
            let ours = Field::named(own).is_some_and(|field| field.origin == Origin::Own);
            return if ours { own } else { &self.name };
        }
        match self.name.strip_prefix(PREFIX) {
            Some(name) if Field::named(name).is_none_or(|field| field.origin == Origin::Registered) => name,
            _ => &self.name,
        }
    }
}

impl Field {
    pub fn named(name: &str) -> Option<&'static Field> {
        FIELDS.iter().find(|field| field.name == name)
    }

    /// The name with its prefix.
    pub fn var(&self) -> String {
        match self.origin {
            Origin::Registered => format!("{PREFIX}{}", self.name),
            Origin::Own => format!("{OWN_PREFIX}{}", self.name),
        }
    }

    /// The least and the most that a field of whole numbers takes, found by asking the field itself, so
    /// that no form says otherwise.
    pub fn range(&self, policy: &ServicePolicy) -> Option<(u64, u64)> {
        let takes = |number: u64| {
            let mut config = NodeConfig::new(policy);
            (self.set)(&mut config, &[number.to_string()], policy).is_ok()
        };
        let least = (self.kind == FieldKind::Number).then(|| (0..=1).find(|number| takes(*number)))??;
        let (mut most, mut above) = (least, u64::MAX);
        while most < above {
            let between = most + (above - most).div_ceil(2);
            if takes(between) { most = between } else { above = between - 1 }
        }
        Some((least, most))
    }

    /// The values of the field in a configuration, as a form writes them.
    pub fn values(&self, config: &NodeConfig) -> Vec<String> {
        (self.get)(config)
    }
}

impl AccessModel {
    pub fn as_str(self) -> &'static str {
        match self {
            AccessModel::Open => "open",
            AccessModel::Presence => "presence",
            AccessModel::Roster => "roster",
            AccessModel::Authorize => "authorize",
            AccessModel::Whitelist => "whitelist",
        }
    }

    /// Whether rosters say who may read.
    pub fn asks_rosters(self) -> bool {
        matches!(self, AccessModel::Presence | AccessModel::Roster)
    }
}

impl NodeType {
    pub fn as_str(self) -> &'static str {
        match self {
            NodeType::Leaf => "leaf",
            NodeType::Collection => "collection",
        }
    }
}

impl Associating {
    pub fn as_str(self) -> &'static str {
        match self {
            Associating::All => "all",
            Associating::Owners => "owners",
            Associating::Whitelist => "whitelist",
        }
    }
}

impl NodeFull {
    pub fn as_str(self) -> &'static str {
        match self {
            NodeFull::RetractOldest => "retract-oldest",
            NodeFull::DiscardOldest => "discard-oldest",
            NodeFull::Reject => "reject",
        }
    }
}

impl ItemReply {
    pub fn as_str(self) -> &'static str {
        match self {
            ItemReply::Publisher => "publisher",
            ItemReply::Owner => "owner",
            ItemReply::None => "none",
        }
    }
}

impl PublishModel {
    pub fn as_str(self) -> &'static str {
        match self {
            PublishModel::Publishers => "publishers",
            PublishModel::Subscribers => "subscribers",
            PublishModel::Open => "open",
        }
    }
}

impl NotificationType {
    pub fn as_str(self) -> &'static str {
        match self {
            NotificationType::Normal => "normal",
            NotificationType::Headline => "headline",
        }
    }
}

impl SendLast {
    pub fn as_str(self) -> &'static str {
        match self {
            SendLast::Never => "never",
            SendLast::OnSub => "on_sub",
            SendLast::OnSubAndPresence => "on_sub_and_presence",
        }
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => {}
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

/// What every field of the registered form begins with (XEP-0060 §16.4.4).
pub const PREFIX: &str = "pubsub#";
/// What our own fields begin with.
pub const OWN_PREFIX: &str = "tidings#";
/// Fields of the registered form that have but one value here, the values with which a form says so,
/// and why there is no other. Clients send whole forms: what says nothing new is no fault.
const FIXED: &[(&str, &[&str], &str)] = &[
    // Of nodes that may stand in collections these are no part of the configuration proper: see `graph.rs`.
    ("collection", &[""], "the node stands in no collection"),
    ("children", &[""], "the node holds no others"),
    ("body_xslt", &[""], "payloads are not transformed"),
    ("dataform_xslt", &[""], "payloads are not transformed"),
];
const ITEMS_MAX_NEW: u64 = 1000;
const PAYLOAD_BYTES_MAX_NEW: u64 = 131_072;
