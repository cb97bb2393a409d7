//! How a page of a list is cut (XEP-0059), the same for every store.

use std::collections::HashSet;

use crate::pubsub::{Edge, Event, EventKind, ItemFact, NodeId, Order, Page, Payload, Seq, Subscription};
use crate::store::{Failure, Item, List, counted};

/// A page that was asked for, its edge understood. `K` is what the list is ordered by.
pub(super) struct Cut<K> {
    pub bound: Bound<K>,
    /// The most entries that the page may have.
    pub max: usize,
}

pub(super) enum Bound<K> {
    First,
    After(K),
    Before(K),
    Last,
    /// So many entries behind the beginning.
    At(u64),
    /// So many entries ahead of the end.
    AtEnd(u64),
}

impl<K> Cut<K> {
    /// An edge names a place and not an entry, so it serves when its entry has gone meanwhile. Only one
    /// that no list can have handed out is refused (XEP-0059 §2.4).
    pub fn new(page: Page, key: impl FnOnce(&str) -> Option<K>) -> Result<Self, Failure> {
        let bound = match page.edge {
            Edge::First => Bound::First,
            Edge::Last => Bound::Last,
            Edge::At(0) => Bound::First,
            Edge::At(number) => Bound::At(number),
            Edge::AtEnd(number) => Bound::AtEnd(number),
            Edge::After(text) => Bound::After(key(&text).ok_or(Failure::NoSuchEdge)?),
            Edge::Before(text) => Bound::Before(key(&text).ok_or(Failure::NoSuchEdge)?),
        };
        Ok(Cut { bound, max: usize::try_from(page.max).unwrap_or(usize::MAX).min(PAGE_ENTRIES_MAX) })
    }

    /// Whether the page is read from its beginning. A page before an edge, or the last one, is read
    /// from its end.
    pub fn forward(&self) -> bool {
        matches!(self.bound, Bound::First | Bound::After(_) | Bound::At(_))
    }

    /// How many entries from the place of the bound on are not read.
    pub fn skip(&self) -> u64 {
        match self.bound {
            Bound::At(number) | Bound::AtEnd(number) => number,
            Bound::First | Bound::After(_) | Bound::Before(_) | Bound::Last => 0,
        }
    }

    /// The same as SQLite takes it.
    pub fn skip_rows(&self) -> i64 {
        i64::try_from(self.skip()).unwrap_or(i64::MAX)
    }

    /// How many rows to read so as to know whether there are more than the page takes.
    pub fn rows(&self) -> i64 {
        self.max as i64 + 1
    }

    /// Makes the page of what was read, in the order of reading; `more` tells that reading could have
    /// gone on.
    pub fn list<T>(&self, mut entries: Vec<T>, more: bool, count: u64, key: impl Fn(&T) -> String) -> List<T> {
        if !self.forward() {
            entries.reverse();
        }
        let before_the_last = count.saturating_sub(entries.len() as u64);
        let index = match self.bound {
            _ if entries.is_empty() => None,
            Bound::First => Some(0),
            Bound::At(number) => Some(number),
            Bound::AtEnd(number) => Some(before_the_last.saturating_sub(number)),
            Bound::Last => Some(before_the_last),
            Bound::After(_) => (!more).then_some(before_the_last),
            Bound::Before(_) => (!more).then_some(0),
        };
        List {
            count,
            first: entries.first().map(&key),
            last: entries.last().map(&key),
            index,
            complete: !more,
            entries,
        }
    }
}

/// A page of items that were asked for by name, in that order, of which `facts` were found. Their
/// order is the caller's, so an edge that is not among them names no place.
pub(super) fn cut_these<E: From<Failure>>(
    page: Page,
    mut facts: Vec<ItemFact>,
    mut read: impl FnMut(ItemFact) -> Result<Item, E>,
) -> Result<List<Item>, E> {
    let cut = Cut::new(page, seq_edge)?;
    let mut seen = HashSet::new();
    facts.retain(|fact| seen.insert(fact.seq));
    let count = facts.len() as u64;
    let place = |seq: Seq| facts.iter().position(|fact| fact.seq == seq).ok_or(Failure::NoSuchEdge);
    let skip = usize::try_from(cut.skip()).unwrap_or(usize::MAX).min(facts.len());
    let range = match cut.bound {
        Bound::First | Bound::Last => 0..facts.len(),
        Bound::At(_) => skip..facts.len(),
        Bound::AtEnd(_) => 0..facts.len() - skip,
        Bound::After(seq) => place(seq)? + 1..facts.len(),
        Bound::Before(seq) => 0..place(seq)?,
    };
    let mut chosen: Vec<ItemFact> = facts.drain(range).collect();
    if !cut.forward() {
        chosen.reverse();
    }
    let mut page = ItemPage::new(cut.max);
    for fact in chosen {
        if !page.takes() {
            break;
        }
        page.push(read(fact)?);
    }
    Ok(cut.list(page.entries, page.more, count, |item: &Item| item.edge(Order::Modification)))
}

/// The items of a page while they are read: it ends when it has enough entries or enough bytes.
pub(super) struct ItemPage {
    pub entries: Vec<Item>,
    /// An item was there that the page did not take.
    pub more: bool,
    max: usize,
    bytes: usize,
}

impl ItemPage {
    pub fn new(max: usize) -> Self {
        ItemPage { entries: Vec::new(), more: false, max, bytes: 0 }
    }

    /// Whether the page takes the item that stands next.
    pub fn takes(&mut self) -> bool {
        self.more = self.entries.len() >= self.max || self.bytes > ITEMS_PAGE_BYTES_MAX;
        !self.more
    }

    pub fn push(&mut self, item: Item) {
        self.bytes += payload_bytes(item.payload.as_ref());
        self.entries.push(item);
    }
}

/// Where a subscription stands in a list of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubscriptionEdge {
    /// Empty in the list of one node.
    pub node: String,
    pub bare: String,
    pub resource: String,
    pub subid: String,
}

impl SubscriptionEdge {
    pub fn new(node: Option<&NodeId>, subscription: &Subscription) -> Self {
        SubscriptionEdge {
            node: node.map_or(String::new(), NodeId::to_string),
            bare: subscription.jid.bare().to_string(),
            resource: subscription.jid.resource().unwrap_or("").to_owned(),
            subid: subscription.subid.as_str().to_owned(),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let texts: [&str; 4] = counted::split(text)?.try_into().ok()?;
        let [node, bare, resource, subid] = texts.map(str::to_owned);
        Some(SubscriptionEdge { node, bare, resource, subid })
    }

    pub fn text(&self) -> String {
        counted::join([self.node.as_str(), &self.bare, &self.resource, &self.subid])
    }
}

pub(super) fn seq_edge(text: &str) -> Option<Seq> {
    text.parse().ok().map(Seq)
}

impl Item {
    /// Names the item's place in a list of this order.
    pub fn edge(&self, order: Order) -> String {
        match order {
            Order::Modification => self.fact.seq.0.to_string(),
            Order::Creation => self.created.0.to_string(),
        }
    }
}

pub(super) fn payload_bytes(payload: Option<&Payload>) -> usize {
    payload.map_or(0, |payload| payload.xml.len())
}

/// What an event counts towards the bytes of a page.
pub(super) fn event_bytes(event: &Event) -> usize {
    match &event.kind {
        EventKind::Published { payload, .. } => payload_bytes(payload.as_ref()),
        EventKind::Retracted { .. }
        | EventKind::Purged
        | EventKind::Configured { .. }
        | EventKind::Associated { .. }
        | EventKind::Dissociated { .. }
        | EventKind::Deleted { .. } => 0,
    }
}

/// A page of items ends when the payloads it has are more than this: the caller may have asked for
/// many, and they may be large.
pub const ITEMS_PAGE_BYTES_MAX: usize = 8 << 20;
/// No page has more entries than this, whatever is asked for.
const PAGE_ENTRIES_MAX: usize = 10_000;
