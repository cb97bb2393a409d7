//! What the names of kept nodes say.

use std::fmt::Write as _;

use crate::jid::BareJid;
use crate::pubsub::{ItemId, NodeAddress, NodeId};

/// What the service keeps under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What is attached to an item (XEP-0470 §4.1.1).
    Attachments { target: NodeId, item: ItemId },
    /// The sums of what is attached to each item of a node (XEP-0470 §4.6).
    Summary { target: NodeId },
    /// Who is publicly subscribed to a node (XEP-0465 §4.4).
    Subscribers { target: NodeId },
    /// A name of these kinds behind which nothing can stand: there is one spelling for each item, and only those of
    /// this service.
    Astray,
}

impl Kept {
    /// Nothing, where the name is an ordinary one.
    pub fn of(service: &BareJid, node: &NodeId) -> Option<Self> {
        if let Some(target) = node.as_str().strip_prefix(SUMMARY) {
            return Some(ordinary(service, target).map_or(Kept::Astray, |target| Kept::Summary { target }));
        }
        if let Some(target) = node.as_str().strip_prefix(SUBSCRIBERS) {
            return Some(ordinary(service, target).map_or(Kept::Astray, |target| Kept::Subscribers { target }));
        }
        let uri = node.as_str().strip_prefix(ATTACHMENTS)?;
        let of_item = || {
            let (_, query) = uri.split_once("?;node=")?;
            let (target, item) = query.split_once(";item=")?;
            let (target, item) = (ordinary(service, &decoded(target)?)?, ItemId::parse(&decoded(item)?)?);
            (attachments(service, &target, &item)? == *node).then_some(Kept::Attachments { target, item })
        };
        Some(of_item().unwrap_or(Kept::Astray))
    }

    pub fn target(&self) -> Option<&NodeId> {
        match self {
            Kept::Attachments { target, .. } | Kept::Summary { target } | Kept::Subscribers { target } => Some(target),
            Kept::Astray => None,
        }
    }
}

/// The address at which a node and all that is kept of it are known as one: what changes one of them may change the
/// others.
pub fn root(address: &NodeAddress) -> NodeAddress {
    match Kept::of(&address.service, &address.node).as_ref().and_then(Kept::target) {
        Some(target) => NodeAddress { service: address.service.clone(), node: target.clone() },
        None => address.clone(),
    }
}

/// The node for what is attached to an item; nothing where its name would be too long for one.
pub(super) fn attachments(service: &BareJid, target: &NodeId, item: &ItemId) -> Option<NodeId> {
    let mut name = format!("{ATTACHMENTS}xmpp:");
    encode(&mut name, service.as_str(), "@");
    name.push_str("?;node=");
    encode(&mut name, target.as_str(), "");
    name.push_str(";item=");
    encode(&mut name, item.as_str(), "");
    NodeId::parse(&name)
}

pub(super) fn summary(target: &NodeId) -> Option<NodeId> {
    NodeId::parse(&format!("{SUMMARY}{target}"))
}

pub(super) fn subscribers(target: &NodeId) -> Option<NodeId> {
    NodeId::parse(&format!("{SUBSCRIBERS}{target}"))
}

/// What is kept has nothing kept of it.
fn ordinary(service: &BareJid, target: &str) -> Option<NodeId> {
    let target = NodeId::parse(target).filter(|parsed| parsed.as_str() == target)?;
    Kept::of(service, &target).is_none().then_some(target)
}

/// RFC 3986 §2.3: what is not encoded, beside these.
fn encode(out: &mut String, text: &str, beside: &str) {
    for byte in text.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || "-._~".contains(letter) || byte.is_ascii() && beside.contains(letter) {
            out.push(letter);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit()? << 4 | digit()?);
    }
    String::from_utf8(bytes).ok()
}

const ATTACHMENTS: &str = "urn:xmpp:pubsub-attachments:1/";
const SUMMARY: &str = "urn:xmpp:pubsub-attachments:summary:1/";

/// What stands before the name of a node in that of its public subscribers.
pub const SUBSCRIBERS: &str = "urn:xmpp:pps:subscribers:0/";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(service: &str, node: &str) -> Option<Kept> {
        Kept::of(&BareJid::parse(service).unwrap(), &NodeId::parse(node).unwrap())
    }

    fn of_item(target: &str, item: &str) -> Option<Kept> {
        Some(Kept::Attachments { target: NodeId::parse(target).unwrap(), item: ItemId::parse(item).unwrap() })
    }

    #[test]
    fn the_names_of_the_specification_are_understood() {
        let example = "urn:xmpp:pubsub-attachments:1/xmpp:juliet@capulet.lit?;node=urn%3Axmpp%3Amicroblog%3A0;item=balcony-restoration-afd1";
        assert_eq!(kept("juliet@capulet.lit", example), of_item("urn:xmpp:microblog:0", "balcony-restoration-afd1"));
        assert_eq!(kept("romeo@capulet.lit", example), Some(Kept::Astray), "of another service");
        let subscribers = "urn:xmpp:pps:subscribers:0/urn:xmpp:microblog:0";
        let target = NodeId::parse("urn:xmpp:microblog:0").unwrap();
        assert_eq!(kept("romeo@montague.lit", subscribers), Some(Kept::Subscribers { target }));
        let summary = "urn:xmpp:pubsub-attachments:summary:1/urn:xmpp:microblog:0";
        let target = NodeId::parse("urn:xmpp:microblog:0").unwrap();
        assert_eq!(kept("juliet@capulet.lit", summary), Some(Kept::Summary { target }));
    }

    #[test]
    fn all_other_spellings_are_astray() {
        for (name, why) in [
            ("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.d?;node=a%3ab;item=i", "digits are written large"),
            ("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.d?;node=a:b;item=i", "what is reserved is encoded"),
            ("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.d?;node=%61;item=i", "what is not, is not"),
            ("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.d?;item=i;node=a", "the order is one"),
            ("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.d?;node=a", "an item is named"),
            ("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.d?;node=a;item=%C3", "the letters are UTF-8"),
            ("urn:xmpp:pubsub-attachments:1/", "a URI follows"),
            (
                "urn:xmpp:pubsub-attachments:summary:1/urn:xmpp:pubsub-attachments:summary:1/a",
                "nothing is kept of what is kept",
            ),
        ] {
            assert_eq!(kept("pubsub.d", name), Some(Kept::Astray), "{why}");
        }
        for name in ["urn:xmpp:microblog:0", "urn:xmpp:pubsub-attachments:1", "urn:xmpp:pubsub-attachments:2/x", "n"] {
            assert_eq!(kept("pubsub.d", name), None, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_item_has_one_name(target in "[ -~äß愛]{1,20}", item in "[ -~äß愛]{1,20}") {
            let service = BareJid::parse("d!artagnan@ex\u{e4}mple.org").unwrap();
            if let (Some(target), Some(item)) = (NodeId::parse(&target), ItemId::parse(&item)) {
                prop_assume!(Kept::of(&service, &target).is_none());
                let name = attachments(&service, &target, &item).unwrap();
                let address = NodeAddress { service: service.clone(), node: name.clone() };
                prop_assert_eq!(&root(&address).node, &target);
                prop_assert_eq!(Kept::of(&service, &name), Some(Kept::Attachments { target: target.clone(), item }));
                let summary = summary(&target).unwrap();
                prop_assert_eq!(Kept::of(&service, &summary), Some(Kept::Summary { target: target.clone() }));
                let subscribers = subscribers(&target).unwrap();
                prop_assert_eq!(Kept::of(&service, &subscribers), Some(Kept::Subscribers { target }));
            }
        }
    }
}
