//! How an event looks on the wire (XEP-0060 §7.1.2, §7.2.2, §8.2.5.3, §8.4.2, §8.5.2).
//!
//! A notification is a [`head`], which is the watch's own, and a [`body`], which all watchers of the
//! node share. Both are bytes for a stream whose namespace is `jabber:client`.

use bytes::Bytes;

use crate::delivery::{Notification, Shown};
use crate::engine::Entry;
use crate::jid::{BareJid, Jid};
use crate::payload;
use crate::pubsub::{
    Event, EventKind, ItemId, NodeAddress, NodeConfig, NodeId, NodeKey, NotificationType, Payload, SubId, shows,
};
use crate::xep::headers::{COLLECTION, NS_SHIM, SUBID};
use crate::xep::pubsub::{NS_EVENT, form};
use crate::xml::{escape_attribute, escape_text};
use crate::xmpp::NS_DELAY;

/// Whether the subscribers of a node are told of this event at all.
pub fn shown(entry: &Entry) -> bool {
    shows(&entry.config, &entry.event)
}

/// The beginning of a notification: the addresses, and how its id begins, which is this watcher's alone. An id is unique
/// within the service (XEP-0060 §12.4) though all watchers share what follows.
pub fn head(from: &BareJid, to: &Jid, name: u64) -> Bytes {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(b"<message");
    attribute(&mut out, "from", from.as_str());
    attribute(&mut out, "to", &to.to_string());
    out.extend_from_slice(format!(" id='{ID}{name:x}-").as_bytes());
    Bytes::from(out)
}

/// The beginning of a notification as it is kept: it was addressed to nobody.
pub fn head_unaddressed(from: &BareJid) -> Bytes {
    let mut out = b"<message".to_vec();
    attribute(&mut out, "from", from.as_str());
    out.extend_from_slice(format!(" id='{ID}").as_bytes());
    Bytes::from(out)
}

/// The rest of it, made once for all watchers.
pub fn body(entry: &Entry) -> &Bytes {
    entry.xmpp.get_or_init(|| Told::of(entry).write_with(None))
}

/// The rest of it as a watch wants it; nothing where subscribers are not told of this.
pub fn rest(seen: &Shown<'_>) -> Option<Bytes> {
    let told: Vec<&Entry> = seen.digest.iter().map(|entry| &**entry).filter(|entry| shown(entry)).collect();
    let body = match told.as_slice() {
        [_, _, ..] => digest(&told, seen.with_body),
        [one] => single(one, seen.with_body),
        [] if seen.digest.is_empty() && shown(seen.entry) => single(seen.entry, seen.with_body),
        [] => return None,
    };
    // XEP-0248 §5.3.1: by way of which collection. That a node was created says only the collection's log.
    let created = matches!(seen.entry.event.kind, EventKind::Associated { created: true, .. });
    let collection = seen.collection.or(created.then_some(&seen.entry.address.node));
    let plain = seen.subids.is_empty() && collection.is_none();
    Some(if plain { body } else { with_headers(&body, seen.subids, collection) })
}

/// What this is the id of, if it is one of ours.
pub fn named(id: &str) -> Option<Notification> {
    let mut parts = id.strip_prefix(ID)?.split('-');
    let name = u64::from_str_radix(parts.next()?, 16).ok()?;
    let node = parts.next()?.parse().ok().map(NodeKey)?;
    parts.next().map(|_| Notification { node, name })
}

/// XEP-0060 §12.8: a payload in which there is nothing to read gets no body.
fn single(entry: &Entry, with_body: bool) -> Bytes {
    if !with_body {
        return body(entry).clone();
    }
    let write = || match readable(entry) {
        None => body(entry).clone(),
        Some(words) => Told::of(entry).write_with(Some(&words)),
    };
    entry.xmpp_readable.get_or_init(write).clone()
}

fn readable(entry: &Entry) -> Option<String> {
    match &entry.event.kind {
        EventKind::Published { item, payload: Some(payload), .. } if entry.config.deliver_payloads => {
            payload::readable(payload, item.as_ref(), &entry.config.body)
        }
        _ => None,
    }
}

/// Several items, or several that went, in one message. Its id is of its first and last event.
fn digest(entries: &[&Entry], with_body: bool) -> Bytes {
    let (first, last) = (entries[0], entries[entries.len() - 1]);
    let mut out = Vec::with_capacity(entries.iter().map(|entry| entry.weight()).sum::<usize>() / 2 + 512);
    out.extend_from_slice(format!("{}-{}-{}'", last.key.0, first.event.seq.0, last.event.seq.0).as_bytes());
    attribute(&mut out, "type", Told::of(last).message_type());
    out.push(b'>');
    if with_body {
        let words: Vec<String> = entries.iter().filter_map(|entry| readable(entry)).collect();
        write_body(&mut out, &words.join("\n"));
    }
    out.extend_from_slice(b"<event xmlns='");
    out.extend_from_slice(NS_EVENT.as_bytes());
    out.extend_from_slice(b"'><items");
    attribute(&mut out, "node", last.address.node.as_str());
    out.push(b'>');
    entries.iter().for_each(|entry| Told::of(entry).write_in_items(&mut out));
    out.extend_from_slice(b"</items></event>");
    out.extend_from_slice(END);
    Bytes::from(out)
}

fn write_body(out: &mut Vec<u8>, words: &str) {
    if !words.is_empty() {
        out.extend_from_slice(b"<body>");
        escape_text(out, words);
        out.extend_from_slice(b"</body>");
    }
}

/// XEP-0060 §7.1.2.4: headers (XEP-0131) as the last child of the message.
fn with_headers(body: &Bytes, subids: &[SubId], collection: Option<&NodeId>) -> Bytes {
    let mut out = body.strip_suffix(END).unwrap_or(body).to_vec();
    out.extend_from_slice(b"<headers xmlns='");
    out.extend_from_slice(NS_SHIM.as_bytes());
    out.extend_from_slice(b"'>");
    let subids = subids.iter().map(|subid| (SUBID, subid.as_str()));
    for (name, value) in subids.chain(collection.map(|node| (COLLECTION, node.as_str()))) {
        out.extend_from_slice(format!("<header name='{name}'>").as_bytes());
        escape_text(&mut out, value);
        out.extend_from_slice(b"</header>");
    }
    out.extend_from_slice(b"</headers>");
    out.extend_from_slice(END);
    Bytes::from(out)
}

/// An item with its publisher, in the namespace in which it stands. The publisher is told wherever an
/// item is, unless the owner wants it otherwise (§12.17), and as the bare JID whose rights were used
/// (XEP-0060 §7.1.2.3).
pub(super) fn write_item(out: &mut Vec<u8>, id: &ItemId, publisher: Option<&BareJid>, payload: Option<&Payload>) {
    out.extend_from_slice(b"<item");
    attribute(out, "id", id.as_str());
    if let Some(publisher) = publisher {
        attribute(out, "publisher", publisher.as_str());
    }
    match payload {
        None => out.extend_from_slice(b"/>"),
        Some(payload) => {
            out.push(b'>');
            out.extend_from_slice(&payload.xml);
            out.extend_from_slice(b"</item>");
        }
    }
}

/// An event that is being told.
struct Told<'a> {
    key: NodeKey,
    address: &'a NodeAddress,
    event: &'a Event,
    config: &'a NodeConfig,
    late: Option<u64>,
}

impl<'a> Told<'a> {
    fn of(entry: &'a Entry) -> Self {
        Told { key: entry.key, address: &entry.address, event: &entry.event, config: &entry.config, late: entry.late }
    }

    fn write_with(&self, words: Option<&str>) -> Bytes {
        let payload = match &self.event.kind {
            EventKind::Published { payload: Some(payload), .. } => payload.xml.len(),
            _ => 0,
        };
        let mut out = Vec::with_capacity(payload + 512);
        // The key is of this incarnation of the node; what is told late is told apart from what was told in time, and
        // from any other such telling.
        out.extend_from_slice(format!("{}-{}", self.key.0, self.event.seq.0).as_bytes());
        if let Some(telling) = self.late {
            out.extend_from_slice(format!("-l{telling:x}").as_bytes());
        }
        out.push(b'\'');
        attribute(&mut out, "type", self.message_type());
        out.push(b'>');
        write_body(&mut out, words.unwrap_or_default());
        out.extend_from_slice(b"<event xmlns='");
        out.extend_from_slice(NS_EVENT.as_bytes());
        out.extend_from_slice(b"'>");
        self.write_event(&mut out);
        out.extend_from_slice(b"</event>");
        if self.late.is_some() {
            out.extend_from_slice(b"<delay xmlns='");
            out.extend_from_slice(NS_DELAY.as_bytes());
            out.push(b'\'');
            attribute(&mut out, "from", self.address.service.as_str());
            attribute(&mut out, "stamp", &self.event.time.to_string());
            out.extend_from_slice(b"/>");
        }
        out.extend_from_slice(END);
        Bytes::from(out)
    }

    fn message_type(&self) -> &'static str {
        match self.config.notification_type {
            NotificationType::Normal => "normal",
            NotificationType::Headline => "headline",
        }
    }

    fn write_event(&self, out: &mut Vec<u8>) {
        match &self.event.kind {
            // XEP-0060 §4.3: a transient node that does not deliver payloads has no items either.
            EventKind::Published { item: None, .. } => self.write_about(out, "items", |_| {}),
            EventKind::Published { item: Some(_), .. } | EventKind::Retracted { .. } => {
                self.write_about(out, "items", |out| self.write_in_items(out));
            }
            EventKind::Purged => self.write_about(out, "purge", |_| {}),
            // XEP-0248 §5.3.1.2, §5.3.2.
            EventKind::Associated { node, created: true, .. } => write_node(out, "create", node),
            EventKind::Associated { node, created: false, .. } => {
                self.write_about(out, "collection", |out| write_node(out, "associate", node));
            }
            EventKind::Dissociated { node, .. } => {
                self.write_about(out, "collection", |out| write_node(out, "dissociate", node));
            }
            // XEP-0060 §8.2.5.3: with the form where payloads are delivered.
            EventKind::Configured { config } => self.write_about(out, "configuration", |out| {
                if self.config.deliver_payloads {
                    form::as_told(config).to_element().write(out, NS_EVENT);
                }
            }),
            EventKind::Deleted { redirect } => self.write_about(out, "delete", |out| {
                if let Some(uri) = redirect {
                    out.extend_from_slice(b"<redirect");
                    attribute(out, "uri", uri);
                    out.extend_from_slice(b"/>");
                }
            }),
        }
    }

    /// What an event of an item writes between `<items>` and `</items>`.
    fn write_in_items(&self, out: &mut Vec<u8>) {
        match &self.event.kind {
            EventKind::Published { item: Some(id), publisher, payload, .. } => {
                let payload = payload.as_ref().filter(|_| self.config.deliver_payloads);
                write_item(out, id, self.config.told_publisher(publisher), payload);
            }
            EventKind::Retracted { item, .. } => {
                out.extend_from_slice(b"<retract");
                attribute(out, "id", item.as_str());
                out.extend_from_slice(b"/>");
            }
            _ => {}
        }
    }

    fn write_about(&self, out: &mut Vec<u8>, name: &str, inside: impl FnOnce(&mut Vec<u8>)) {
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        attribute(out, "node", self.address.node.as_str());
        out.push(b'>');
        inside(out);
        out.extend_from_slice(b"</");
        out.extend_from_slice(name.as_bytes());
        out.push(b'>');
    }
}

fn write_node(out: &mut Vec<u8>, name: &str, node: &NodeId) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    attribute(out, "node", node.as_str());
    out.extend_from_slice(b"/>");
}

/// How the ids of notifications begin.
const ID: &str = "e";
const END: &[u8] = b"</message>";

fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attribute(out, value);
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pubsub::{Media, NodeId, RawField, Seq};
    use crate::time::Timestamp;
    use crate::xep::pubsub::tests::policy;
    use crate::xml::{Element, Limits, parse_document};
    use crate::xmpp::{Delay, Form, FormType, Message, MessageType, NS_CLIENT, Stanza};

    fn config(fields: &[(&str, &str)]) -> NodeConfig {
        let field = |(name, value): &(&str, &str)| RawField { name: (*name).into(), values: vec![(*value).into()] };
        let fields: Vec<RawField> = fields.iter().map(field).collect();
        NodeConfig::new(&policy()).with(&fields, &policy()).unwrap()
    }

    fn entry(kind: EventKind, fields: &[(&str, &str)]) -> Entry {
        let service = BareJid::parse("pubsub.b.example").unwrap();
        let address = Arc::new(NodeAddress { service, node: NodeId::parse("o'<n>").unwrap() });
        let event = Event { seq: Seq(42), time: Timestamp::from_seconds(1_000_000_000), kind };
        Entry::new(NodeKey(7), address, event, Arc::new(config(fields)))
    }

    /// The same, told late.
    fn late(kind: EventKind, fields: &[(&str, &str)], telling: u64) -> Entry {
        let Entry { key, address, event, config, .. } = entry(kind, fields);
        Entry::late(key, address, event, config, telling)
    }

    fn published(id: Option<&str>, xml: Option<&str>) -> EventKind {
        let payload =
            |xml: &str| Payload { media: Media::Xml, namespace: Arc::from("urn:x"), xml: Arc::from(xml.as_bytes()) };
        EventKind::Published {
            item: id.map(|id| ItemId::parse(id).unwrap()),
            publisher: BareJid::parse("a@b.example").unwrap(),
            payload: xml.map(payload),
            replaces: None,
        }
    }

    fn every_kind() -> Vec<EventKind> {
        let id = || ItemId::parse("i&1").unwrap();
        vec![
            published(Some("i&1"), Some("<x xmlns='urn:x'>a<y/></x>")),
            published(Some("i&1"), None),
            published(None, None),
            EventKind::Retracted { item: id(), notify: true },
            EventKind::Purged,
            EventKind::Configured { config: Arc::new(config(&[("title", "T <&'")])) },
            EventKind::Deleted { redirect: None },
            EventKind::Deleted { redirect: Some(Arc::from("xmpp:p.example?;node='m'")) },
        ]
    }

    /// The notification as its receiver reads it.
    fn received(rest: &[u8]) -> Message {
        let from = BareJid::parse("pubsub.b.example").unwrap();
        let head = head(&from, &Jid::parse("a@b.example/o'neil <x>").unwrap(), 0xab);
        let stream = [b"<stream xmlns='jabber:client'>", &head[..], rest, b"</stream>"].concat();
        let stream = parse_document(&stream, &Limits::authenticated()).unwrap();
        let message = stream.children().next().unwrap().clone();
        let Ok(Stanza::Message(message)) = Stanza::parse(message) else { panic!("a message") };
        assert_eq!(message.from, Some(Jid::Bare(from)));
        assert_eq!(message.to, Jid::parse("a@b.example/o'neil <x>").ok());
        message
    }

    fn event(message: &Message) -> &Element {
        message.content.child("event", NS_EVENT).expect("an event").children().next().expect("what happened")
    }

    /// Reads a notification back as an event, as far as a subscriber is told of one.
    fn read(message: &Message) -> EventKind {
        let about = event(message);
        assert!(about.ns() == NS_EVENT && about.attr("node") == Some("o'<n>"));
        let id = |element: &Element| ItemId::parse(element.attr("id").unwrap()).unwrap();
        let child = about.children().next();
        match (about.name(), child.map(Element::name)) {
            ("items", None) => published(None, None),
            ("items", Some("item")) => {
                let item = child.unwrap();
                assert_eq!(item.attr("publisher"), Some("a@b.example"));
                let payload = item.children().next().map(Element::to_string);
                published(Some(id(item).as_str()), payload.as_deref())
            }
            ("items", Some("retract")) => EventKind::Retracted { item: id(child.unwrap()), notify: true },
            ("purge", None) => EventKind::Purged,
            ("configuration", Some("x")) => {
                let form = Form::parse(child.unwrap()).unwrap();
                assert_eq!(form.kind, FormType::Result);
                let raw =
                    |(name, values): (&str, &[String])| RawField { name: name.to_owned(), values: values.to_vec() };
                let fields: Vec<RawField> = form.answers().map(raw).collect();
                EventKind::Configured { config: Arc::new(NodeConfig::new(&policy()).with(&fields, &policy()).unwrap()) }
            }
            ("delete", child) => {
                assert!(child.is_none_or(|name| name == "redirect"));
                let uri = about.children().next().and_then(|redirect| redirect.attr("uri"));
                EventKind::Deleted { redirect: uri.map(Arc::from) }
            }
            other => panic!("no event is told as {other:?}"),
        }
    }

    // rows: 49, 53, 235, 237, 239, 277, 328, 343, 352
    #[test]
    fn every_event_reads_back_from_its_notification() {
        for kind in every_kind() {
            let entry = entry(kind.clone(), &[]);
            let message = received(body(&entry));
            assert_eq!(read(&message), kind);
            assert_eq!(message.content.children().count(), 1, "{kind:?}");
        }
    }

    // rows: 150
    #[test]
    fn a_late_notification_says_when_its_event_was() {
        for kind in every_kind() {
            let entry = late(kind.clone(), &[], 1);
            let message = received(body(&entry));
            assert_eq!(read(&message), kind);
            let delay = message.content.child("delay", NS_DELAY).and_then(Delay::parse).expect("a delay");
            assert_eq!((delay.from, delay.stamp), (Jid::parse("pubsub.b.example").ok(), entry.event.time));
            assert_eq!(message.content.children().count(), 2);
        }
    }

    #[test]
    fn a_notification_has_an_id_that_no_other_has() {
        let id = |entry: &Entry, name: u64| {
            let from = BareJid::parse("pubsub.b.example").unwrap();
            let to = Jid::parse("a@b.example").unwrap();
            let stream =
                [b"<stream xmlns='jabber:client'>", &head(&from, &to, name)[..], body(entry), b"</stream>"].concat();
            let stream = parse_document(&stream, &Limits::authenticated()).unwrap();
            stream.children().next().unwrap().attr("id").unwrap().to_owned()
        };
        let one = entry(EventKind::Purged, &[]);
        let mut later = entry(EventKind::Purged, &[]);
        later.event.seq = Seq(43);
        let mut reborn = entry(EventKind::Purged, &[]);
        reborn.key = NodeKey(8);
        let (again, once_more) = (late(EventKind::Purged, &[], 1), late(EventKind::Purged, &[], 2));
        let mut ids = Vec::new();
        for name in [0, 1, 0x10, u64::MAX] {
            for entry in [&one, &later, &reborn, &again, &once_more] {
                ids.push(id(entry, name));
                assert_eq!(named(&ids[ids.len() - 1]), Some(Notification { node: entry.key, name }));
            }
        }
        let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for foreign in ["", "e", "e7-42", "x7-7-42", "ez-7-42", "e1-x-42", "e-7-42", "server-ping"] {
            assert_eq!(named(foreign), None, "{foreign}");
        }
    }

    // rows: 15, 46, 235, 236, 327
    #[test]
    fn a_node_that_delivers_no_payloads_tells_only_that_something_happened() {
        let silent = &[("deliver_payloads", "0")][..];
        let item = entry(published(Some("i&1"), Some("<x xmlns='urn:x'/>")), silent);
        assert_eq!(read(&received(body(&item))), published(Some("i&1"), None));
        let configured = entry(EventKind::Configured { config: Arc::new(config(silent)) }, silent);
        let message = received(body(&configured));
        assert_eq!((event(&message).name(), event(&message).nodes().len()), ("configuration", 0));
    }

    // rows: 539, 540, F9
    #[test]
    fn an_item_bears_its_publisher_unless_the_owner_wants_that_untold() {
        let item = published(Some("i"), Some("<x xmlns='urn:x'/>"));
        for (reply, told) in [("publisher", Some("a@b.example")), ("none", None)] {
            let message = received(body(&entry(item.clone(), &[("itemreply", reply)])));
            let item = event(&message).children().next().unwrap();
            assert_eq!((item.attr("id"), item.attr("publisher")), (Some("i"), told));
        }
    }

    // rows: 51
    #[test]
    fn a_transient_node_without_payloads_has_no_items_to_tell() {
        let transient = &[("persist_items", "0"), ("deliver_payloads", "0")];
        let message = received(body(&entry(published(None, None), transient)));
        assert_eq!((event(&message).name(), event(&message).nodes().len()), ("items", 0));
    }

    #[test]
    fn the_owner_chooses_the_type_of_messages() {
        for (word, kind) in [("normal", MessageType::Normal), ("headline", MessageType::Headline)] {
            let entry = entry(EventKind::Purged, &[("notification_type", word)]);
            assert_eq!(received(body(&entry)).kind, kind);
        }
    }

    #[test]
    fn a_notification_is_written_once() {
        let entry = entry(published(Some("i"), Some("<x xmlns='urn:x'/>")), &[]);
        assert_eq!(body(&entry).as_ptr(), body(&entry).as_ptr());
        let expected = "7-42' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
                        <items node='o&#39;&lt;n&gt;'><item id='i' publisher='a@b.example'><x xmlns='urn:x'/></item>\
                        </items></event></message>";
        assert_eq!(std::str::from_utf8(body(&entry)).unwrap(), expected);
    }

    // rows: 325, F15, F16
    #[test]
    fn the_owner_chooses_what_is_told() {
        let retracted = |notify| EventKind::Retracted { item: ItemId::parse("i").unwrap(), notify };
        let configured = || EventKind::Configured { config: Arc::new(config(&[])) };
        for (kind, fields, told) in [
            (published(Some("i"), None), &[][..], true),
            (retracted(true), &[], true),
            (retracted(false), &[], false),
            (configured(), &[], false),
            (configured(), &[("notify_config", "1")], true),
            (EventKind::Deleted { redirect: None }, &[], true),
            (EventKind::Deleted { redirect: None }, &[("notify_delete", "0")], false),
        ] {
            assert_eq!(shown(&entry(kind.clone(), fields)), told, "{kind:?} {fields:?}");
        }
    }

    #[test]
    fn a_head_stands_in_the_stream_s_namespace() {
        let head = head(&BareJid::parse("p.example").unwrap(), &Jid::parse("a@b/c'd").unwrap(), 31);
        assert_eq!(&head[..], b"<message from='p.example' to='a@b/c&#39;d' id='e1f-");
        assert_eq!(NS_CLIENT, "jabber:client");
    }
}
