//! `<items/>` (XEP-0060 §6.5). Payloads go into the answer as they are kept, without being parsed.

use crate::engine::Answer;
use crate::pubsub::{Edge, ItemId, Node, Order, Payloads, Selection, Under, Verb, View};
use crate::store::{Item, List};
use crate::xep::order::Ordering;
use crate::xep::pubsub::{NS_PUBSUB, Words, item_id, notify};
use crate::xep::{Body, Work, bad_request, rsm};
use crate::xml::escape_attribute;
use crate::xmpp::StanzaError;

pub(super) fn items(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let options = words.asked.options;
    let asked_for = Ordering::of(&words.asked.element)?;
    let ordering = asked_for.unwrap_or_default();
    let wanted = rsm::wanted(&words.asked.element, options.page_items_max)?;
    let selection = selection(words, wanted.page.max)?;
    let layout = Layout::of(&selection, &wanted, asked_for, options.page_bytes_max);
    let wanted = ordering.turn(wanted);
    let view = View { under: Under::Named(words.subid()), order: ordering.by, payloads: Payloads::Read };
    let request = words.asked.request(Verb::Items { node: node.clone(), selection, page: wanted.page, view });
    Ok(Work::ask(request, move |answered| {
        let Answer::Items { node, list } = answered.answer else { return None };
        Some(Body::Written(layout.write(&node, ordering.turn_list(list))))
    }))
}

/// Named items, the newest few, or all.
fn selection(words: &Words<'_>, entries_max: u64) -> Result<Selection, StanzaError> {
    let mut named = words.children("item").peekable();
    if named.peek().is_some() {
        let ids = named.map(item_id).collect::<Result<Vec<Option<ItemId>>, StanzaError>>()?;
        return Ok(Selection::These(ids.into_iter().flatten().collect()));
    }
    match words.verb.attr("max_items") {
        None => Ok(Selection::All),
        Some(number) => match number.trim().parse::<u64>() {
            Ok(newest) if newest > 0 => Ok(Selection::Newest(newest.min(entries_max))),
            _ => Err(bad_request("max_items is a number above 0")),
        },
    }
}

/// How an answer is cut to size.
struct Layout {
    bytes_max: usize,
    /// What does not fit goes from the beginning of the page, not from its end.
    keeps_end: bool,
    /// The part of the list is told, whether it is the whole or not.
    paged: bool,
    /// A page that ends before the list is told of.
    tells_rest: bool,
    /// What names the places in the list.
    order: Order,
}

impl Layout {
    fn of(selection: &Selection, wanted: &rsm::Wanted, asked_for: Option<Ordering>, bytes_max: usize) -> Self {
        let backwards = matches!(wanted.page.edge, Edge::Before(_) | Edge::Last);
        Layout {
            bytes_max,
            // XEP-0060 §6.5.7: of the most recent, the most recent.
            keeps_end: backwards || (asked_for.is_none() && matches!(selection, Selection::Newest(_))),
            paged: wanted.paged,
            tells_rest: *selection == Selection::All,
            order: asked_for.unwrap_or_default().by,
        }
    }

    fn write(&self, node: &Node, list: List<Item>) -> Vec<u8> {
        let (list, cut) = self.fitting(list);
        let mut out = Vec::with_capacity(256 + list.entries.iter().map(weight).sum::<usize>());
        out.extend_from_slice(b"<pubsub xmlns='");
        out.extend_from_slice(NS_PUBSUB.as_bytes());
        out.extend_from_slice(b"'><items node='");
        escape_attribute(&mut out, node.address.node.as_str());
        out.extend_from_slice(b"'>");
        for item in &list.entries {
            let payload = item.payload.as_ref();
            let publisher = node.config.told_publisher(&item.fact.publisher);
            notify::write_item(&mut out, &item.fact.id, publisher, payload);
        }
        out.extend_from_slice(b"</items>");
        let told = self.paged || cut || (self.tells_rest && !list.complete);
        if let Some(set) = told.then(|| rsm::notation(&list, true)).flatten() {
            set.write(&mut out, NS_PUBSUB);
        }
        out.extend_from_slice(b"</pubsub>");
        out
    }

    /// As many as fit, but at least one; and whether that is fewer.
    fn fitting(&self, mut list: List<Item>) -> (List<Item>, bool) {
        let mut bytes = 0;
        let mut fits = |item: &Item| {
            let first = bytes == 0;
            bytes += weight(item);
            first || bytes <= self.bytes_max
        };
        let whole = list.entries.len();
        let kept = match self.keeps_end {
            true => list.entries.iter().rev().take_while(|item| fits(item)).count(),
            false => list.entries.iter().take_while(|item| fits(item)).count(),
        };
        if kept == whole {
            return (list, false);
        }
        if self.keeps_end {
            let dropped = whole - kept;
            list.entries.drain(..dropped);
            list.index = list.index.map(|index| index + dropped as u64);
        } else {
            list.entries.truncate(kept);
        }
        let uid = |item: Option<&Item>| item.map(|item| item.edge(self.order));
        (list.first, list.last) = (uid(list.entries.first()), uid(list.entries.last()));
        list.complete = false;
        (list, true)
    }
}

/// What an item takes, about.
fn weight(item: &Item) -> usize {
    ITEM_BYTES + item.fact.id.as_str().len() + item.payload.as_ref().map_or(0, |payload| payload.xml.len())
}

/// The tags of an item and its publisher.
const ITEM_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::BareJid;
    use crate::pubsub::{ItemFact, Media, NodeAddress, NodeId, Payload, Seq};
    use crate::time::Timestamp;
    use crate::xep::pubsub::tests::a_node as some_node;
    use crate::xml::{Limits, parse_document};
    use crate::xmpp::{NS_RSM, SetResult};
    use std::sync::Arc;

    fn a_node() -> Node {
        Node { address: NodeAddress { node: NodeId::parse("a'b").unwrap(), ..some_node().address }, ..some_node() }
    }

    fn item(seq: u64, bytes: usize) -> Item {
        let publisher = BareJid::parse("p@b.example").unwrap();
        let id = ItemId::parse(&format!("<{seq}>")).unwrap();
        let fact = ItemFact { id, seq: Seq(seq), publisher, published: Timestamp(0) };
        let xml = format!("<x xmlns='urn:x'>{}</x>", "y".repeat(bytes));
        let payload = Payload { media: Media::Xml, namespace: Arc::from("urn:x"), xml: Arc::from(xml.as_bytes()) };
        Item { created: fact.seq, fact, payload: Some(payload) }
    }

    fn list(seqs: std::ops::Range<u64>, count: u64, complete: bool) -> List<Item> {
        let uid = |seq: u64| Some(seq.to_string());
        let (first, last) = (uid(seqs.start), uid(seqs.end - 1));
        List { entries: seqs.map(|seq| item(seq, 1000)).collect(), count, first, last, index: Some(4), complete }
    }

    fn layout(bytes_max: usize, keeps_end: bool, paged: bool) -> Layout {
        Layout { bytes_max, keeps_end, paged, tells_rest: true, order: Order::Modification }
    }

    fn written(layout: &Layout, list: List<Item>) -> (Vec<String>, Option<SetResult>) {
        let bytes = layout.write(&a_node(), list);
        let pubsub = parse_document(&bytes, &Limits::authenticated()).unwrap();
        assert!(pubsub.is("pubsub", NS_PUBSUB));
        let items = pubsub.child("items", NS_PUBSUB).unwrap();
        assert_eq!(items.attr("node"), Some("a'b"));
        let ids = items.children().map(|item| {
            assert!(item.is("item", NS_PUBSUB) && item.child("x", "urn:x").is_some());
            assert_eq!(item.attr("publisher"), Some("p@b.example"));
            item.attr("id").unwrap().to_owned()
        });
        (ids.collect(), pubsub.child("set", NS_RSM).and_then(SetResult::parse))
    }

    fn set(first: &str, index: u64, last: &str, count: u64) -> Option<SetResult> {
        let text = |text: &str| Some(text.to_owned());
        Some(SetResult { first: text(first), first_index: Some(index), last: text(last), count: Some(count) })
    }

    // rows: 202, 237
    #[test]
    fn a_whole_list_says_nothing_of_parts() {
        let (ids, set) = written(&layout(1 << 20, false, false), list(5..8, 3, true));
        assert_eq!((ids, set), (vec!["<5>".to_owned(), "<6>".to_owned(), "<7>".to_owned()], None));
    }

    // rows: 203
    #[test]
    fn a_part_of_a_list_says_so() {
        let (ids, told) = written(&layout(1 << 20, false, false), list(5..8, 9, false));
        assert_eq!((ids.len(), told), (3, set("5", 4, "7", 9)));
    }

    // rows: 202, 203, 209
    #[test]
    fn what_is_too_large_is_cut_where_the_next_page_begins() {
        let (ids, told) = written(&layout(2500, false, false), list(5..9, 9, true));
        assert_eq!((ids, told), (vec!["<5>".to_owned(), "<6>".to_owned()], set("5", 4, "6", 9)));
        let (ids, told) = written(&layout(2500, true, false), list(5..9, 9, true));
        assert_eq!((ids, told), (vec!["<7>".to_owned(), "<8>".to_owned()], set("7", 6, "8", 9)));
        let (ids, _) = written(&layout(10, false, false), list(5..9, 9, true));
        assert_eq!(ids, ["<5>"]);
    }
}
