//! Paths: from the raw request target to a place, and back to a `Location`.
//!
//! The raw path is split at its slashes first and each variable segment is decoded exactly once
//! afterwards, so that `%2F` is part of a name and never a separator. The fixed segments are compared
//! as they stand: nothing that needs decoding, folding or tidying up to look like one of our paths is
//! one of our paths.

use std::borrow::Cow;

use crate::http::problem::Problem;
use crate::jid::{BareJid, Jid};
use crate::pubsub::{ItemId, NodeId};

/// Whose nodes a path speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// `/v1/nodes`
    Default,
    /// `/v1/services/{jid}/nodes`
    Named(BareJid),
}

/// One resource of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: Service,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Several nodes on one stream.
    Watch,
    Tickets,
    Nodes,
    Node(NodeId),
    Items(NodeId),
    /// `items:batch`
    Batch(NodeId),
    Item(NodeId, ItemId),
    Subscriptions(NodeId),
    /// One entity's subscription.
    Subscription(NodeId, Jid),
    Affiliations(NodeId),
    Webhooks(NodeId, HookPlace),
    /// `/v1/webhooks/keys`
    WebhookKeys,
    /// `/v1/hooks/{source}`
    Hook(String),
}

/// What is below a node's webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HookPlace {
    All,
    One(String),
    Dead(String),
    Replay(String),
}

impl Place {
    /// Reads the raw path of a request.
    pub(super) fn parse(path: &str) -> Result<Self, Problem> {
        let rest = path.strip_prefix("/v1/").ok_or_else(no_such_path)?;
        // One more than the longest path of ours has, so that a longer one is not mistaken for it.
        let mut segments = [""; SEGMENTS_MAX + 1];
        let mut count = 0;
        for segment in rest.split('/') {
            let slot = segments.get_mut(count).ok_or_else(no_such_path)?;
            *slot = segment;
            count += 1;
        }
        match &segments[..count] {
            ["watch"] => Ok(Place { service: Service::Default, what: What::Watch }),
            ["tickets"] => Ok(Place { service: Service::Default, what: What::Tickets }),
            ["services", jid, "tickets"] => Ok(Place { service: Service::Named(service(jid)?), what: What::Tickets }),
            ["services", jid, "watch"] => Ok(Place { service: Service::Named(service(jid)?), what: What::Watch }),
            ["nodes", rest @ ..] => Ok(Place { service: Service::Default, what: What::parse(rest)? }),
            ["services", jid, "nodes", rest @ ..] => {
                Ok(Place { service: Service::Named(service(jid)?), what: What::parse(rest)? })
            }
            ["webhooks", "keys"] => Ok(Place { service: Service::Default, what: What::WebhookKeys }),
            ["hooks", source] => {
                Ok(Place { service: Service::Default, what: What::Hook(decode(source)?.into_owned()) })
            }
            _ => Err(no_such_path()),
        }
    }
}

impl What {
    fn parse(segments: &[&str]) -> Result<Self, Problem> {
        match segments {
            [] => Ok(What::Nodes),
            [node] => Ok(What::Node(node_id(node)?)),
            [node, "items"] => Ok(What::Items(node_id(node)?)),
            [node, "items:batch"] => Ok(What::Batch(node_id(node)?)),
            [node, "items", item] => Ok(What::Item(node_id(node)?, item_id(item)?)),
            [node, "subscriptions"] => Ok(What::Subscriptions(node_id(node)?)),
            [node, "subscriptions", jid] => Ok(What::Subscription(node_id(node)?, jid_of(jid)?)),
            [node, "affiliations"] => Ok(What::Affiliations(node_id(node)?)),
            [node, "webhooks", rest @ ..] => Ok(What::Webhooks(node_id(node)?, HookPlace::parse(rest)?)),
            _ => Err(no_such_path()),
        }
    }
}

impl HookPlace {
    fn parse(segments: &[&str]) -> Result<Self, Problem> {
        let id = |segment: &str| decode(segment).map(std::borrow::Cow::into_owned);
        match segments {
            [] => Ok(HookPlace::All),
            [webhook] => Ok(HookPlace::One(id(webhook)?)),
            [webhook, "dead"] => Ok(HookPlace::Dead(id(webhook)?)),
            [webhook, "replay"] => Ok(HookPlace::Replay(id(webhook)?)),
            _ => Err(no_such_path()),
        }
    }
}

/// The path of a node, or of an item of it.
pub(super) fn location(service: &Service, node: &NodeId, item: Option<&ItemId>) -> String {
    let mut path = match service {
        Service::Default => String::from("/v1/nodes/"),
        Service::Named(jid) => {
            let mut path = String::from("/v1/services/");
            encode(&mut path, jid.as_str());
            path.push_str("/nodes/");
            path
        }
    };
    encode(&mut path, node.as_str());
    if let Some(item) = item {
        path.push_str("/items/");
        encode(&mut path, item.as_str());
    }
    path
}

/// The last segment of the path of an entity's subscription.
pub(super) fn subscription_location(jid: &Jid) -> String {
    let mut segment = String::new();
    encode(&mut segment, &jid.to_string());
    segment
}

pub(super) fn no_such_path() -> Problem {
    let detail = "there is nothing at this path";
    Problem::new(axum::http::StatusCode::NOT_FOUND, "no-such-path", "No such path", detail)
}

fn service(segment: &str) -> Result<BareJid, Problem> {
    BareJid::parse(&decode(segment)?)
        .map_err(|error| Problem::bad_request(format!("the service is not a bare JID: {error}")))
}

fn node_id(segment: &str) -> Result<NodeId, Problem> {
    NodeId::parse(&decode(segment)?).ok_or_else(|| Problem::bad_request("the path names no valid node id"))
}

fn item_id(segment: &str) -> Result<ItemId, Problem> {
    ItemId::parse(&decode(segment)?).ok_or_else(|| Problem::bad_request("the path names no valid item id"))
}

fn jid_of(segment: &str) -> Result<Jid, Problem> {
    Jid::parse(&decode(segment)?).map_err(|error| Problem::bad_request(format!("the path names no JID: {error}")))
}

/// Decodes one segment, once.
pub(super) fn decode(segment: &str) -> Result<Cow<'_, str>, Problem> {
    let decoded = percent_decode(segment, Plus::Itself)?;
    // An intermediary may have resolved such a segment, or may yet: to us it is nobody's name.
    if decoded.is_empty() || decoded == "." || decoded == ".." {
        return Err(Problem::bad_request("a segment of the path is empty, or made of dots only"));
    }
    Ok(decoded)
}

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    Itself,
    /// As in a query (application/x-www-form-urlencoded).
    Space,
}

/// RFC 3986 §2.1; what is malformed, or not UTF-8, is refused and never repaired.
pub(super) fn percent_decode(text: &str, plus: Plus) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|byte| byte == b'%' || (byte == b'+' && plus == Plus::Space)) {
        return Ok(Cow::Borrowed(text));
    }
    let malformed = || Problem::bad_request("the percent-encoding of the URL is malformed, or not of UTF-8");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(malformed)?
            }
            b'+' if plus == Plus::Space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| malformed())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Everything but the unreserved characters (RFC 3986 §2.3) is encoded.
fn encode(path: &mut String, segment: &str) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push(char::from(HEX[usize::from(byte >> 4)]));
            path.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// `services/{jid}/nodes/{node}/webhooks/{id}/dead`
const SEGMENTS_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> NodeId {
        NodeId::parse(text).unwrap()
    }

    fn item(text: &str) -> ItemId {
        ItemId::parse(text).unwrap()
    }

    #[test]
    fn every_place_has_its_path() {
        let service = || BareJid::parse("romeo@example.org").unwrap();
        for (path, place) in [
            ("/v1/nodes", What::Nodes),
            ("/v1/watch", What::Watch),
            ("/v1/tickets", What::Tickets),
            ("/v1/nodes/orders", What::Node(node("orders"))),
            ("/v1/nodes/orders%2F42", What::Node(node("orders/42"))),
            ("/v1/nodes/orders%2f42/items", What::Items(node("orders/42"))),
            ("/v1/nodes/a/items:batch", What::Batch(node("a"))),
            ("/v1/nodes/a/items/b", What::Item(node("a"), item("b"))),
            ("/v1/nodes/a/items/b%20c+d;e=f", What::Item(node("a"), item("b c+d;e=f"))),
            ("/v1/nodes/a/subscriptions", What::Subscriptions(node("a"))),
            ("/v1/nodes/a/subscriptions/b%40c%2Fd", What::Subscription(node("a"), Jid::parse("b@c/d").unwrap())),
            ("/v1/nodes/a/affiliations", What::Affiliations(node("a"))),
            // Decoded once, and once only.
            ("/v1/nodes/a%252Fb", What::Node(node("a%2Fb"))),
            ("/v1/nodes/%C3%A9", What::Node(node("é"))),
            ("/v1/nodes/items/items/items", What::Item(node("items"), item("items"))),
        ] {
            assert_eq!(Place::parse(path), Ok(Place { service: Service::Default, what: place.clone() }), "{path}");
            let named = path.replacen("/v1/", "/v1/services/romeo%40example.org/", 1);
            assert_eq!(Place::parse(&named), Ok(Place { service: Service::Named(service()), what: place }), "{named}");
        }
    }

    #[test]
    fn what_only_resembles_a_path_is_none() {
        for (path, status) in [
            ("/", 404),
            ("", 404),
            ("/v1", 404),
            ("/v1/", 404),
            ("/V1/nodes", 404),
            ("//v1/nodes", 404),
            ("/v1//nodes", 404),
            ("/v1/%6Eodes", 404),
            ("/v1/nodes/", 400),
            ("/v1/nodes//items", 400),
            ("/v1/nodes/a/items/", 400),
            ("/v1/nodes/a/Items", 404),
            ("/v1/nodes/a/items;x", 404),
            ("/v1/nodes/a/items%2Fb", 404),
            ("/v1/nodes/a/subscriptions/", 400),
            ("/v1/nodes/a/subscriptions/%40c", 400),
            ("/v1/services/b%40c/webhooks/keys", 404),
            ("/v1/nodes/a/items/b/c", 404),
            ("/v1/nodes/a/items/b/c/d/e/f/g/h", 404),
            ("/v1/nodes/a/items%3Abatch", 404),
            ("/v1/nodes/..", 400),
            ("/v1/nodes/%2e%2e", 400),
            ("/v1/nodes/%2E/items", 400),
            ("/v1/nodes/../admin/users", 404),
            ("/v1/nodes/a/items/..", 400),
            ("/v1/nodes/%u002e%u002e", 400),
            ("/v1/nodes/%", 400),
            ("/v1/nodes/%4", 400),
            ("/v1/nodes/%zz", 400),
            ("/v1/nodes/%+4", 400),
            ("/v1/nodes/%00", 400),
            ("/v1/nodes/a%00b", 400),
            ("/v1/nodes/a%0Ab", 400),
            ("/v1/nodes/a/items/b%0D%0Ac", 400),
            ("/v1/nodes/%FF", 400),
            ("/v1/nodes/%C0%AF", 400),
            ("/v1/services/a%2Fb/nodes", 400),
            ("/v1/services/%2e%2e/nodes", 400),
            ("/v1/services//nodes", 400),
            ("/v1/admin/users", 404),
        ] {
            let problem = Place::parse(path).expect_err(path);
            assert_eq!(problem.status.as_u16(), status, "{path}");
        }
    }

    #[test]
    fn a_location_leads_back() {
        for (name, id) in [("orders/42", "7"), ("é ü", "a\"b<c>&?#%"), ("a%2Fb", "..a;x=1"), ("x\u{1f600}", "~-._")] {
            for service in [Service::Default, Service::Named(BareJid::parse("juliet@example.org").unwrap())] {
                let path = location(&service, &node(name), Some(&item(id)));
                assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
                assert_eq!(Place::parse(&path), Ok(Place { service, what: What::Item(node(name), item(id)) }));
            }
        }
    }
}
