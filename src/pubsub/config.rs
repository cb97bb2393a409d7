//! Node configuration (XEP-0060 §8.2, §16.4.4): one description of each field, from which forms are
//! rendered, submissions validated, JSON read and written, and the reference is made.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use crate::jid::{Jid, JidError};
use crate::pubsub::{FieldKind, Refusal, ServicePolicy};

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
    pub deliver_payloads: bool,
    pub max_payload_size: u64,
    pub notify_config: bool,
    pub notify_delete: bool,
    pub notify_retract: bool,
    pub notification_type: NotificationType,
    pub send_last_published_item: SendLast,
    /// Whether anyone may subscribe at all.
    pub subscribe: bool,
}

/// XEP-0060 §4.5. The models that stand on presence and rosters are not offered yet, and a
/// configuration that asks for one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessModel {
    Open,
    Whitelist,
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
}

/// One field as a submission bears it: its name with or without `pubsub#`, and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawField {
    pub name: String,
    pub values: Vec<String>,
}

/// The description of one field.
pub struct Field {
    /// Without the prefix `pubsub#`.
    pub name: &'static str,
    pub kind: FieldKind,
    /// What it means, for forms and the reference.
    pub label: &'static str,
    /// Shown to those who may see the node but not its configuration (XEP-0060 §5.4).
    pub in_metadata: bool,
    get: fn(&NodeConfig) -> Vec<String>,
    set: fn(&mut NodeConfig, &[String], &ServicePolicy) -> Result<(), String>,
}

impl NodeConfig {
    /// The configuration of a new node of a generic service.
    pub fn new(policy: &ServicePolicy) -> Self {
        NodeConfig {
            title: Arc::from(""),
            description: Arc::from(""),
            payload_type: Arc::from(""),
            language: Arc::from(""),
            contact: Arc::from([]),
            access_model: AccessModel::Open,
            publish_model: PublishModel::Publishers,
            persist_items: true,
            max_items: ITEMS_MAX_NEW.min(policy.items_max),
            deliver_payloads: true,
            max_payload_size: PAYLOAD_BYTES_MAX_NEW.min(policy.payload_bytes_max),
            notify_config: false,
            notify_delete: true,
            notify_retract: true,
            notification_type: NotificationType::Headline,
            send_last_published_item: SendLast::OnSub,
            subscribe: true,
        }
    }

    /// This configuration with the given fields changed. A field that does not exist, or that cannot
    /// be honoured, is refused with its name: nothing is stored and forgotten.
    pub fn with(&self, changes: &[RawField], policy: &ServicePolicy) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        for change in changes {
            let name = change.bare_name();
            let invalid = |why: &str| Refusal::InvalidConfig { field: Arc::from(name), why: Arc::from(why) };
            if name == NODE_TYPE {
                match change.values.as_slice() {
                    [kind] if kind == "leaf" => continue,
                    _ => return Err(invalid("only leaf nodes are offered")),
                }
            }
            let field = Field::named(name).ok_or_else(|| invalid("there is no such field"))?;
            (field.set)(&mut changed, &change.values, policy).map_err(|why| invalid(&why))?;
        }
        Ok(changed)
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
        text
    }

    /// Reads what [`NodeConfig::to_text`] wrote. Fields that it does not name keep the default; one
    /// that this version does not know is an error, for it would be forgotten by the next change. A
    /// number beyond what the operator allows by now is brought down to that.
    pub fn from_text(text: &str, policy: &ServicePolicy) -> Result<Self, Refusal> {
        let mut fields: Vec<RawField> = Vec::new();
        for line in text.lines() {
            let (name, escaped) = line.split_once('=').unwrap_or((line, ""));
            let value = unescape(escaped);
            match fields.last_mut() {
                Some(last) if last.name == name => last.values.push(value),
                _ => fields.push(RawField { name: name.to_owned(), values: vec![value] }),
            }
        }
        let unlimited = ServicePolicy { payload_bytes_max: u64::MAX, items_max: u64::MAX, ..policy.clone() };
        let mut config = NodeConfig::new(policy).with(&fields, &unlimited)?;
        config.max_items = config.max_items.min(policy.items_max);
        config.max_payload_size = config.max_payload_size.min(policy.payload_bytes_max);
        Ok(config)
    }
}

impl RawField {
    /// The name without `pubsub#`.
    pub fn bare_name(&self) -> &str {
        self.name.strip_prefix(PREFIX).unwrap_or(&self.name)
    }
}

impl Field {
    pub fn named(name: &str) -> Option<&'static Field> {
        FIELDS.iter().find(|field| field.name == name)
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
            AccessModel::Whitelist => "whitelist",
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
        }
    }
}

/// Every field, in the order of forms.
pub const FIELDS: &[Field] = &[
    Field {
        name: "title",
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
        kind: FieldKind::Choice(&[
            ("open", "Anyone may subscribe and retrieve items"),
            ("whitelist", "Only those with an affiliation may subscribe and retrieve items"),
        ]),
        label: "Who may subscribe and retrieve items",
        in_metadata: true,
        get: |config| vec![config.access_model.as_str().to_owned()],
        set: |config, values, _| {
            config.access_model = match one(values)? {
                "open" => AccessModel::Open,
                "whitelist" => AccessModel::Whitelist,
                "presence" | "roster" | "authorize" => return Err("this access model is not offered".to_owned()),
                _ => return Err("not an access model".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "publish_model",
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
        kind: FieldKind::Number,
        label: "How many items are kept; 'max' for the most that the service allows",
        in_metadata: false,
        get: |config| vec![config.max_items.to_string()],
        set: |config, values, policy| {
            config.max_items = match one(values)? {
                "max" => policy.items_max,
                number => one_number(number, 1, policy.items_max)?,
            };
            Ok(())
        },
    },
    Field {
        name: "deliver_payloads",
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
        name: "notification_type",
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
        kind: FieldKind::Choice(&[("never", "Never"), ("on_sub", "When somebody subscribes")]),
        label: "When the last item is sent without being asked for",
        in_metadata: false,
        get: |config| vec![config.send_last_published_item.as_str().to_owned()],
        set: |config, values, _| {
            config.send_last_published_item = match one(values)? {
                "never" => SendLast::Never,
                "on_sub" => SendLast::OnSub,
                _ => return Err("not an offered choice".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "subscribe",
        kind: FieldKind::Boolean,
        label: "Whether subscribing is allowed",
        in_metadata: false,
        get: |config| boolean(config.subscribe),
        set: |config, values, _| {
            config.subscribe = one_boolean(values)?;
            Ok(())
        },
    },
];

fn text(value: &str) -> Vec<String> {
    vec![value.to_owned()]
}

fn boolean(value: bool) -> Vec<String> {
    vec![if value { "1" } else { "0" }.to_owned()]
}

fn one(values: &[String]) -> Result<&str, String> {
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
pub(super) fn sane(value: &str) -> Result<&str, String> {
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
fn one_boolean(values: &[String]) -> Result<bool, String> {
    match one(values)? {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("not a boolean: 1, 0, true or false".to_owned()),
    }
}

fn one_number(value: &str, least: u64, most: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("not a whole number from {least} to {most}"))
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
/// The field that tells leaf nodes from collections (XEP-0060 §16.4.4).
const NODE_TYPE: &str = "node_type";
const ITEMS_MAX_NEW: u64 = 1000;
const PAYLOAD_BYTES_MAX_NEW: u64 = 131_072;
const TEXT_BYTES_MAX: usize = 4096;
const CONTACTS_MAX: usize = 16;
