//! The table of fields, and how their values are read.

use std::sync::Arc;

use super::{
    AccessModel, Associating, Field, FieldKind, ItemReply, NodeFull, NodeType, NotificationType, Origin, PublishModel,
    SendLast,
};
use crate::jid::{Jid, JidError};

/// Every field, in the order of forms.
pub const FIELDS: &[Field] = &[
    Field {
        name: "title",
        origin: Origin::Registered,
        kind: FieldKind::Text,
        label: "A short name for the node",
        in_metadata: true,
        get: |config| text(&config.title),
        set: |config, values, _| {
            config.title = Arc::from(one_text(values)?);
            Ok(())
        },
    },
    Field {
        name: "description",
        origin: Origin::Registered,
        kind: FieldKind::Text,
        label: "What the node is about",
        in_metadata: true,
        get: |config| text(&config.description),
        set: |config, values, _| {
            config.description = Arc::from(one_text(values)?);
            Ok(())
        },
    },
    Field {
        name: "type",
        origin: Origin::Registered,
        kind: FieldKind::Text,
        label: "The namespace that payloads must have; empty for any",
        in_metadata: true,
        get: |config| text(&config.payload_type),
        set: |config, values, _| {
            config.payload_type = Arc::from(one_text(values)?);
            Ok(())
        },
    },
    Field {
        name: "language",
        origin: Origin::Registered,
        kind: FieldKind::Text,
        label: "The default language of the node",
        in_metadata: true,
        get: |config| text(&config.language),
        set: |config, values, _| {
            config.language = Arc::from(one_text(values)?);
            Ok(())
        },
    },
    Field {
        name: "contact",
        origin: Origin::Registered,
        kind: FieldKind::Jids,
        label: "JIDs of those to be asked about the node",
        in_metadata: true,
        get: |config| config.contact.iter().map(|contact| contact.to_string()).collect(),
        set: |config, values, _| {
            if values.len() > CONTACTS_MAX {
                return Err(format!("at most {CONTACTS_MAX} values"));
            }
            let jids = values.iter().filter(|value| !value.is_empty()).map(|value| Jid::parse(value));
            let jids: Result<Vec<Jid>, JidError> = jids.collect();
            config.contact = jids.map_err(|why| why.to_string())?.iter().map(|jid| jid.to_string().into()).collect();
            Ok(())
        },
    },
    Field {
        name: "access_model",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("open", "Anyone may subscribe and retrieve items"),
            ("presence", "Those who see the presence of an owner may subscribe and retrieve items"),
            ("roster", "Those in the allowed roster groups of an owner may subscribe and retrieve items"),
            ("authorize", "An owner approves every subscription, and only subscribers retrieve items"),
            ("whitelist", "Only those with an affiliation may subscribe and retrieve items"),
        ]),
        label: "Who may subscribe and retrieve items",
        in_metadata: true,
        get: |config| vec![config.access_model.as_str().to_owned()],
        set: |config, values, _| {
            config.access_model = match one(values)? {
                "open" => AccessModel::Open,
                "presence" => AccessModel::Presence,
                "roster" => AccessModel::Roster,
                "authorize" => AccessModel::Authorize,
                "whitelist" => AccessModel::Whitelist,
                _ => return Err("not an access model".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "roster_groups_allowed",
        origin: Origin::Registered,
        kind: FieldKind::Texts,
        label: "The roster groups that the access model 'roster' lets in",
        in_metadata: false,
        get: |config| config.roster_groups_allowed.iter().map(|group| group.to_string()).collect(),
        set: |config, values, _| {
            if values.len() > GROUPS_MAX {
                return Err(format!("at most {GROUPS_MAX} values"));
            }
            let mut groups: Vec<Arc<str>> = Vec::new();
            for value in values.iter().filter(|value| !value.is_empty()) {
                groups.push(Arc::from(sane(value)?));
            }
            config.roster_groups_allowed = groups.into();
            Ok(())
        },
    },
    Field {
        name: "publish_model",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("publishers", "Only publishers may publish"),
            ("subscribers", "Subscribers may publish too"),
            ("open", "Anyone may publish"),
        ]),
        label: "Who may publish",
        in_metadata: true,
        get: |config| vec![config.publish_model.as_str().to_owned()],
        set: |config, values, _| {
            config.publish_model = match one(values)? {
                "publishers" => PublishModel::Publishers,
                "subscribers" => PublishModel::Subscribers,
                "open" => PublishModel::Open,
                _ => return Err("not a publish model".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "persist_items",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether items are kept",
        in_metadata: false,
        get: |config| boolean(config.persist_items),
        set: |config, values, _| {
            config.persist_items = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "max_items",
        origin: Origin::Registered,
        kind: FieldKind::Number,
        label: "How many items are kept; 'max' for the most that the service allows",
        in_metadata: false,
        get: |config| vec![config.max_items.to_string()],
        set: |config, values, policy| {
            let asked = one(values)?;
            config.follows.max_items = asked == "max";
            config.max_items = match asked {
                "max" => policy.items_max,
                number => one_number(number, 1, policy.items_max)?,
            };
            Ok(())
        },
    },
    Field {
        name: "item_expire",
        origin: Origin::Registered,
        kind: FieldKind::Number,
        label: "After how many seconds an item goes; 'max' for no such limit",
        in_metadata: false,
        get: |config| vec![config.item_expire.map_or_else(|| "max".to_owned(), |seconds| seconds.to_string())],
        set: |config, values, _| {
            config.item_expire = match one(values)? {
                "max" => None,
                number => Some(one_number(number, 1, EXPIRE_SECONDS_MAX)?),
            };
            Ok(())
        },
    },
    Field {
        name: "publish_node_full",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("retract-oldest", "The oldest item is retracted"),
            ("discard-oldest", "The oldest item goes, and nobody is told"),
            ("reject", "The new item is refused"),
        ]),
        label: "What happens when an item comes and there is no room",
        in_metadata: false,
        get: |config| vec![config.node_full.as_str().to_owned()],
        set: |config, values, _| {
            config.node_full = match one(values)? {
                "retract-oldest" => NodeFull::RetractOldest,
                "discard-oldest" => NodeFull::DiscardOldest,
                "reject" => NodeFull::Reject,
                _ => return Err("not an offered choice".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "itemreply",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("publisher", "Who published it"),
            ("owner", "An owner of the node"),
            ("none", "Nobody's"),
        ]),
        label: "Whose address an item bears",
        in_metadata: false,
        get: |config| vec![config.item_reply.as_str().to_owned()],
        set: |config, values, _| {
            config.item_reply = match one(values)? {
                "publisher" => ItemReply::Publisher,
                "owner" => ItemReply::Owner,
                "none" => ItemReply::None,
                _ => return Err("not an offered choice".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "deliver_notifications",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether subscribers are notified at all",
        in_metadata: false,
        get: |config| boolean(config.deliver_notifications),
        set: |config, values, _| {
            config.deliver_notifications = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "deliver_payloads",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether notifications bear the payload",
        in_metadata: false,
        get: |config| boolean(config.deliver_payloads),
        set: |config, values, _| {
            config.deliver_payloads = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "max_payload_size",
        origin: Origin::Registered,
        kind: FieldKind::Number,
        label: "The largest payload, in bytes",
        in_metadata: false,
        get: |config| vec![config.max_payload_size.to_string()],
        set: |config, values, policy| {
            config.max_payload_size = one_number(one(values)?, 1, policy.payload_bytes_max)?;
            Ok(())
        },
    },
    Field {
        name: "notify_config",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether subscribers are told when the configuration changes",
        in_metadata: false,
        get: |config| boolean(config.notify_config),
        set: |config, values, _| {
            config.notify_config = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "notify_delete",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether subscribers are told when the node is deleted",
        in_metadata: false,
        get: |config| boolean(config.notify_delete),
        set: |config, values, _| {
            config.notify_delete = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "notify_retract",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether subscribers are told when items go",
        in_metadata: false,
        get: |config| boolean(config.notify_retract),
        set: |config, values, _| {
            config.notify_retract = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "notify_sub",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether owners are told who subscribes and unsubscribes",
        in_metadata: false,
        get: |config| boolean(config.notify_sub),
        set: |config, values, _| {
            config.notify_sub = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "tempsub",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether subscriptions end when their subscribers go offline",
        in_metadata: false,
        get: |config| boolean(config.tempsub),
        set: |config, values, _| {
            config.tempsub = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "presence_based_delivery",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether only subscribers who are available are notified",
        in_metadata: false,
        get: |config| boolean(config.presence_based_delivery),
        set: |config, values, _| {
            config.presence_based_delivery = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "purge_offline",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether an item goes when its publisher goes offline, or the server starts anew",
        in_metadata: false,
        get: |config| boolean(config.purge_offline),
        set: |config, values, _| {
            config.purge_offline = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "notification_type",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("normal", "Messages of type normal"),
            ("headline", "Messages of type headline, which nobody stores for later"),
        ]),
        label: "The message type of notifications",
        in_metadata: false,
        get: |config| vec![config.notification_type.as_str().to_owned()],
        set: |config, values, _| {
            config.notification_type = match one(values)? {
                "normal" => NotificationType::Normal,
                "headline" => NotificationType::Headline,
                _ => return Err("not an offered message type".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "send_last_published_item",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("never", "Never"),
            ("on_sub", "When somebody subscribes"),
            ("on_sub_and_presence", "When somebody subscribes, and when he comes online"),
        ]),
        label: "When the last item is sent without being asked for",
        in_metadata: false,
        get: |config| vec![config.send_last_published_item.as_str().to_owned()],
        set: |config, values, _| {
            config.send_last_published_item = match one(values)? {
                "never" => SendLast::Never,
                "on_sub" => SendLast::OnSub,
                "on_sub_and_presence" => SendLast::OnSubAndPresence,
                _ => return Err("not an offered choice".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "subscribe",
        origin: Origin::Registered,
        kind: FieldKind::Boolean,
        label: "Whether subscribing is allowed",
        in_metadata: false,
        get: |config| boolean(config.subscribe),
        set: |config, values, _| {
            config.subscribe = one_boolean(values)?;
            Ok(())
        },
    },
    Field {
        name: "node_type",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[("leaf", "The node holds items"), ("collection", "The node holds other nodes")]),
        label: "What the node holds",
        in_metadata: false,
        get: |config| vec![config.node_type.as_str().to_owned()],
        set: |config, values, policy| {
            config.node_type = match one(values)? {
                "leaf" => NodeType::Leaf,
                "collection" if policy.is_personal() => return Err("accounts have no collections".to_owned()),
                "collection" => NodeType::Collection,
                _ => return Err("not a type of node".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "children_association_policy",
        origin: Origin::Registered,
        kind: FieldKind::Choice(&[
            ("all", "Anyone may associate nodes of theirs with the collection"),
            ("owners", "Only owners of the collection may associate nodes with it"),
            ("whitelist", "Those on the whitelist may associate nodes of theirs with the collection"),
        ]),
        label: "Who may associate nodes with the collection",
        in_metadata: false,
        get: |config| vec![config.children_association_policy.as_str().to_owned()],
        set: |config, values, _| {
            config.children_association_policy = match one(values)? {
                "all" => Associating::All,
                "owners" => Associating::Owners,
                "whitelist" => Associating::Whitelist,
                // Whole forms of leaf nodes bear it so.
                "" => config.children_association_policy,
                _ => return Err("not an offered choice".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "children_association_whitelist",
        origin: Origin::Registered,
        kind: FieldKind::Jids,
        label: "JIDs of those who may associate nodes with the collection",
        in_metadata: false,
        get: |config| config.children_association_whitelist.iter().map(|jid| jid.to_string()).collect(),
        set: |config, values, _| {
            if values.len() > WHITELIST_MAX {
                return Err(format!("at most {WHITELIST_MAX} values"));
            }
            let jids = values.iter().filter(|value| !value.is_empty()).map(|value| Jid::parse(value));
            let jids: Result<Vec<Jid>, JidError> = jids.collect();
            let jids = jids.map_err(|why| why.to_string())?;
            config.children_association_whitelist = jids.iter().map(|jid| jid.bare().as_str().into()).collect();
            Ok(())
        },
    },
    Field {
        name: "children_max",
        origin: Origin::Registered,
        kind: FieldKind::Number,
        label: "How many nodes the collection holds at most; 'max' for the most that is offered",
        in_metadata: false,
        get: |config| vec![config.children_max.to_string()],
        set: |config, values, policy| {
            let asked = one(values)?;
            config.follows.children_max = asked == "max";
            config.children_max = match asked {
                // Whole forms of leaf nodes bear it so.
                "" | "0" if config.node_type == NodeType::Leaf => config.children_max,
                "max" => policy.children_max,
                number => one_number(number, 1, policy.children_max)?,
            };
            Ok(())
        },
    },
    Field {
        name: "hidden",
        origin: Origin::Own,
        kind: FieldKind::Boolean,
        label: "Whether the node is absent to all who are neither affiliated nor subscribed",
        in_metadata: false,
        get: |config| boolean(config.hidden),
        set: |config, values, _| {
            config.hidden = one_boolean(values)?;
            Ok(())
        },
    },
];

fn text(value: &str) -> Vec<String> {
    vec![value.to_owned()]
}

pub(in crate::pubsub) fn boolean(value: bool) -> Vec<String> {
    vec![if value { "1" } else { "0" }.to_owned()]
}

pub(in crate::pubsub) fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] => Ok(value),
        _ => Err("exactly one value is needed".to_owned()),
    }
}

/// A text field that is submitted without a value is emptied.
fn one_text(values: &[String]) -> Result<&str, String> {
    match values {
        [] => Ok(""),
        [value] => sane(value),
        _ => Err("at most one value".to_owned()),
    }
}

/// A text that any form can bear: not too long, and of characters that XML has (XML 1.0 §2.2).
pub fn sane(value: &str) -> Result<&str, String> {
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("at most {TEXT_BYTES_MAX} bytes"));
    }
    let foreign =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if value.contains(foreign) {
        return Err("no control characters".to_owned());
    }
    Ok(value)
}

/// The lexical forms of xs:boolean, which XEP-0004 §3.3 takes.
pub(in crate::pubsub) fn one_boolean(values: &[String]) -> Result<bool, String> {
    match one(values)? {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("not a boolean: 1, 0, true or false".to_owned()),
    }
}

pub(in crate::pubsub) fn one_number(value: &str, least: u64, most: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("not a whole number from {least} to {most}"))
}

pub(super) const TEXT_BYTES_MAX: usize = 4096;
pub(super) const CONTACTS_MAX: usize = 16;
pub(super) const GROUPS_MAX: usize = 64;
pub(super) const WHITELIST_MAX: usize = 256;
/// A hundred years: no date is passed by adding it to one.
pub(super) const EXPIRE_SECONDS_MAX: u64 = 3_155_760_000;
