use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::http::problem::Problem;
use crate::http::watch::format::{Format, Gone};
use crate::jid::BareJid;
use crate::pubsub::{
    Event, ItemFact, ItemId, ItemReply, NodeAddress, NodeConfig, NodeKey, Payload, Seq, ServicePolicy, WhoCreates,
};
use crate::store::Identity;
use crate::time::Timestamp;

/// An event as a browser would dispatch it.
#[derive(Debug, PartialEq, Eq)]
struct Dispatched {
    event: String,
    data: String,
    id: String,
}

/// What a stream comes to: WHATWG HTML §9.2.6, "Interpreting an event stream", step by step.
#[derive(Default)]
struct Browser {
    data: String,
    event: String,
    id: String,
    last_id: String,
    retry: Option<u64>,
    dispatched: Vec<Dispatched>,
}

impl Browser {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("the stream is UTF-8");
        let mut browser = Browser::default();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            // A line that the end of the file cuts off is not a line.
            let Some(end) = rest.find(['\r', '\n']) else { break };
            browser.line(&rest[..end]);
            rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
        }
        browser
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        if line.starts_with(':') {
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => self.retry = value.parse().ok(),
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_id = self.id.clone();
        if self.data.is_empty() {
            self.event.clear();
            return;
        }
        let data = std::mem::take(&mut self.data);
        let event = std::mem::take(&mut self.event);
        self.dispatched.push(Dispatched {
            event: if event.is_empty() { "message".to_owned() } else { event },
            data: data.strip_suffix('\n').unwrap_or(&data).to_owned(),
            id: self.last_id.clone(),
        });
    }
}

/// H9: what tries to be more than one event.
const NASTY: &[&str] = &[
    "\n",
    "\r",
    "\r\n",
    "\n\r",
    "\0",
    "\u{2028}\u{2029}\u{85}",
    "x\nid: 9\ndata: forged\n\n",
    "x\rid: 9\rdata: forged\r\r",
    "x\r\nevent: deleted\r\n\r\n",
    "a\n\nb",
    "\n\n\n",
    ": comment",
    " leading and trailing ",
    "\u{feff}data: x",
    "",
];

fn cursors() -> Cursors {
    Cursors::new(&Identity { incarnation: 1, cursor_key: [7; 32], decoy_key: [0; 32] })
}

fn config() -> Arc<NodeConfig> {
    let policy = ServicePolicy {
        service: BareJid::parse("pubsub.localhost").unwrap(),
        who_creates: WhoCreates::Accounts,
        auto_create: false,
        templates: std::sync::Arc::default(),
        payload_bytes_max: 1000,
        items_max: 10,
        children_max: 10,
        parents_max: 10,
        of_server: false,
        batch_items_max: 10,
        attached_items_max: 10,
        subscriptions: crate::pubsub::SubscriptionPolicy::default(),
    };
    Arc::new(NodeConfig::new(&policy))
}

fn entry_of(node: &str, kind: EventKind, config: Arc<NodeConfig>) -> Entry {
    let service = BareJid::parse("pubsub.localhost").unwrap();
    let address = Arc::new(NodeAddress { service, node: NodeId::parse(node).unwrap() });
    Entry::new(NodeKey(3), address, Event { seq: Seq(9), time: Timestamp(5), kind }, config)
}

fn published(item: &str, payload: Option<Payload>) -> EventKind {
    EventKind::Published {
        item: ItemId::parse(item),
        publisher: BareJid::parse("romeo@localhost").unwrap(),
        payload,
        replaces: None,
    }
}

fn text_payload(text: &str) -> Payload {
    crate::payload::from_text(text.as_bytes()).unwrap()
}

#[test]
fn data_reaches_the_reader_as_it_was_but_for_its_line_ends() {
    for text in NASTY {
        let block = Block::default().event("published").id("c1").data(text.as_bytes()).end().into_bytes();
        let browser = Browser::read(&block);
        let data = text.replace("\r\n", "\n").replace('\r', "\n");
        let expected = Dispatched { event: "published".to_owned(), data, id: "c1".to_owned() };
        assert_eq!(browser.dispatched, [expected], "{text:?}");
    }
}

#[test]
fn whatever_is_published_is_exactly_one_event_of_one_data_line() {
    for text in NASTY {
        let Ok(payload) = crate::payload::from_text(text.as_bytes()) else { continue };
        let expected: serde_json::Value = serde_json::from_str(&crate::payload::to_json(&payload)).unwrap();
        let entry = entry_of("orders/42\u{2003}x", published("a\u{2028}b", Some(payload)), config());
        let bytes = super::entry(&entry, &cursors());
        assert_eq!(bytes.windows(5).filter(|window| *window == b"data:").count(), 1 + text.matches("data:").count());
        let browser = Browser::read(&bytes);
        let [event] = browser.dispatched.as_slice() else { panic!("{text:?}: {:?}", browser.dispatched) };
        assert_eq!(event.event, "published");
        assert_eq!(cursors().decode(&event.id, NodeKey(3)), Ok(Seq(9)));
        let object: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(object["data"], expected, "{text:?}");
        assert_eq!(object["id"], "a\u{2028}b");
        assert_eq!(object["cursor"], event.id);
    }
}

#[test]
fn json_with_line_breaks_between_its_tokens_stays_one_line() {
    let text = "{\r\n  \"a\": [\n1,\r2 ],\n\"b\": \"x\\ny\"}\n";
    let payload = crate::payload::from_json(text.as_bytes()).unwrap();
    let entry = entry_of("n", published("i", Some(payload)), config());
    let bytes = super::entry(&entry, &cursors());
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 4);
    let browser = Browser::read(&bytes);
    let object: serde_json::Value = serde_json::from_str(&browser.dispatched[0].data).unwrap();
    assert_eq!(object["data"], serde_json::json!({"a": [1, 2], "b": "x\ny"}));
}

#[test]
fn every_kind_of_event_has_its_object() {
    let time = "1970-01-01T00:00:00.000005Z";
    let cursor = cursors().encode(Position { node: NodeKey(3), seq: Seq(9) });
    let item = || ItemId::parse("i").unwrap();
    let with = |extra: serde_json::Value| {
        let mut object = serde_json::json!({"cursor": cursor, "node": "n", "time": time});
        object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        object
    };
    for (kind, expected) in [
        (
            published("i", None),
            with(serde_json::json!({"type": "published", "id": "i", "publisher": "romeo@localhost"})),
        ),
        (
            EventKind::Retracted { item: item(), notify: false },
            with(serde_json::json!({"type": "retracted", "id": "i"})),
        ),
        (EventKind::Purged, with(serde_json::json!({"type": "purged"}))),
        (EventKind::Deleted { redirect: None }, with(serde_json::json!({"type": "deleted"}))),
        (
            EventKind::Deleted { redirect: Some(Arc::from("xmpp:a@b")) },
            with(serde_json::json!({"type": "deleted", "redirect": "xmpp:a@b"})),
        ),
    ] {
        let bytes = super::entry(&entry_of("n", kind, config()), &cursors());
        let browser = Browser::read(&bytes);
        let object: serde_json::Value = serde_json::from_str(&browser.dispatched[0].data).unwrap();
        assert_eq!(object, expected);
        assert_eq!(browser.dispatched[0].event, expected["type"]);
    }
    let bytes = super::entry(&entry_of("n", EventKind::Configured { config: config() }, config()), &cursors());
    let object: serde_json::Value = serde_json::from_str(&Browser::read(&bytes).dispatched[0].data).unwrap();
    assert_eq!((&object["type"], &object["config"]["access_model"]), (&"configured".into(), &"open".into()));
    assert_eq!(object["config"].get("max_items"), None);
}

#[test]
fn a_node_that_delivers_no_payloads_delivers_none_here() {
    let quiet = Arc::new(NodeConfig { deliver_payloads: false, ..(*config()).clone() });
    let bytes = super::entry(&entry_of("n", published("i", Some(text_payload("x"))), quiet), &cursors());
    let object: serde_json::Value = serde_json::from_str(&Browser::read(&bytes).dispatched[0].data).unwrap();
    assert_eq!(object.get("data"), None);
    let fact = ItemFact {
        id: ItemId::parse("i").unwrap(),
        seq: Seq(1),
        publisher: BareJid::parse("romeo@localhost").unwrap(),
        published: Timestamp(0),
    };
    let item = Item { created: fact.seq, fact, payload: Some(text_payload("x")) };
    let node = NodeId::parse("n").unwrap();
    for (deliver, item_reply) in [(true, ItemReply::Publisher), (false, ItemReply::None)] {
        let config = NodeConfig { deliver_payloads: deliver, item_reply, ..(*config()).clone() };
        let browser = Browser::read(&Format::Blocks.current(&node, &item, &config));
        let object: serde_json::Value = serde_json::from_str(&browser.dispatched[0].data).unwrap();
        assert_eq!((object.get("data").is_some(), browser.last_id.as_str()), (deliver, ""));
        assert_eq!(object.get("publisher").is_some(), item_reply == ItemReply::Publisher);
    }
}

#[test]
fn the_block_of_an_entry_is_made_once_and_shared() {
    let entry = entry_of("n", published("i", Some(text_payload("x"))), config());
    let (first, second) = (super::entry(&entry, &cursors()), super::entry(&entry, &cursors()));
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn bookmarks_resets_and_ends() {
    let at = |seq| Position { node: NodeKey(3), seq: Seq(seq) };
    let blocks = Format::Blocks;
    let browser = Browser::read(&blocks.bookmark("c7"));
    assert_eq!((browser.last_id.as_str(), browser.dispatched.len()), ("c7", 0));
    for initial in [false, true] {
        let (earliest, latest) = (cursors().encode(at(4)), cursors().encode(at(9)));
        let browser = Browser::read(&blocks.reset(&Gone { node: None, earliest, latest, initial }));
        let object: serde_json::Value = serde_json::from_str(&browser.dispatched[0].data).unwrap();
        assert_eq!(browser.dispatched[0].event, "reset");
        let cursor = |name: &str| cursors().decode(object[name].as_str().unwrap(), NodeKey(3));
        assert_eq!((cursor("earliest"), cursor("latest")), (Ok(Seq(4)), Ok(Seq(9))));
        assert_eq!(browser.last_id.is_empty(), initial);
    }
    let browser = Browser::read(&blocks.end(&Problem::forbidden("why\nnot")));
    let object: serde_json::Value = serde_json::from_str(&browser.dispatched[0].data).unwrap();
    assert_eq!((browser.dispatched[0].event.as_str(), object["status"].as_u64()), ("end", Some(403)));
    let greeting = blocks.greeting(Duration::from_secs(2)).unwrap();
    let browser = Browser::read(&greeting);
    assert_eq!((browser.retry, browser.dispatched.len()), (Some(2000), 0));
}

#[test]
fn every_format_bears_the_same_object_and_shares_the_bytes() {
    let cursor = cursors().encode(Position { node: NodeKey(3), seq: Seq(9) });
    for kind in [
        published("i", Some(text_payload("x\ny"))),
        EventKind::Retracted { item: ItemId::parse("i").unwrap(), notify: true },
        EventKind::Purged,
        EventKind::Configured { config: config() },
        EventKind::Deleted { redirect: None },
    ] {
        let entry = entry_of("n", kind, config());
        let block = Format::Blocks.entry(&entry, &cursors());
        let object: serde_json::Value = serde_json::from_str(&Browser::read(&block).dispatched[0].data).unwrap();
        let line = Format::Lines.entry(&entry, &cursors());
        let bare = Format::Objects.entry(&entry, &cursors());
        assert_eq!(line.strip_suffix(b"\n"), Some(&bare[..]));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bare).unwrap(), object);
        assert!(block.as_ptr_range().contains(&bare.as_ptr()) && block.as_ptr_range().contains(&line.as_ptr()));
        // A watcher of several nodes has a cursor of its own, and else the same.
        for format in [Format::Lines, Format::Objects, Format::Blocks] {
            let other = format.entry_with(&entry, &cursors(), "other");
            let object_again: serde_json::Value = if format == Format::Blocks {
                let browser = Browser::read(&other);
                assert_eq!(browser.last_id, "other");
                serde_json::from_str(&browser.dispatched[0].data).unwrap()
            } else {
                serde_json::from_slice(&other).unwrap()
            };
            let mut expected = object.clone();
            assert_eq!(expected["cursor"], cursor.as_str());
            expected["cursor"] = "other".into();
            assert_eq!(object_again, expected);
        }
    }
}

#[test]
fn lines_are_told_of_bookmarks_resets_and_ends_too() {
    let read = |bytes: Bytes| -> serde_json::Value {
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&bytes).unwrap()
    };
    let lines = Format::Lines;
    assert_eq!(read(lines.bookmark("c")), serde_json::json!({"type": "bookmark", "cursor": "c"}));
    assert_eq!(read(lines.idle("c")), serde_json::json!({"type": "bookmark", "cursor": "c"}));
    let gone = Gone { node: NodeId::parse("n"), earliest: "e".to_owned(), latest: "l".to_owned(), initial: false };
    let reset = read(lines.reset(&gone));
    assert_eq!((&reset["type"], &reset["node"], &reset["latest"]), (&"reset".into(), &"n".into(), &"l".into()));
    let end = read(lines.end(&Problem::forbidden("why\nnot")));
    assert_eq!((&end["type"], &end["problem"]["status"]), (&"end".into(), &403.into()));
    assert_eq!(lines.greeting(Duration::from_secs(2)), None);
}
