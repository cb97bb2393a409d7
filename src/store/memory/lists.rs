//! Lists that are shown by the page.

use std::collections::BTreeMap;
use std::ops::Bound as End;

use super::State;
use crate::jid::BareJid;
use crate::pubsub::{Affiliation, Node, NodeId, NodeKey, Order, Page, Payloads, Selection, Seq, Subscription};
use crate::store::page::{Bound, Cut, ItemPage, SubscriptionEdge, cut_these, seq_edge};
use crate::store::{Failure, Item, List};

impl State {
    pub(super) fn read_items_by(
        &self,
        node: NodeKey,
        selection: Selection,
        page: Page,
        order: Order,
        payloads: Payloads,
    ) -> Result<List<Item>, Failure> {
        match (self.nodes.get(&node), selection) {
            (None, Selection::These(_)) => cut_these(page, Vec::new(), |_| unreachable!("nothing was found")),
            (None, _) => Ok(item_list(&Cut::new(page, seq_edge)?, order, Vec::new())),
            (Some(kept), Selection::These(ids)) => {
                let facts = ids.iter().filter_map(|id| kept.fact(id)).collect();
                cut_these(page, facts, |fact| Ok(kept.item(fact, Payloads::Read)))
            }
            (Some(kept), selection) => {
                let mut items: Vec<Item> = kept.facts().into_iter().map(|fact| kept.item(fact, payloads)).collect();
                if order == Order::Creation {
                    items.sort_by_key(|item| item.created);
                }
                if let Selection::Newest(count) = selection {
                    let newest = usize::try_from(count).unwrap_or(usize::MAX).min(items.len());
                    items.drain(..items.len() - newest);
                }
                Ok(item_list(&Cut::new(page, seq_edge)?, order, items))
            }
        }
    }

    pub(super) fn read_subscriptions_of(
        &self,
        service: &BareJid,
        jid: &BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Result<List<(NodeId, Subscription)>, Failure> {
        let mut found = BTreeMap::new();
        for kept in self.of(service, node) {
            for subscription in kept.subscriptions.values().filter(|subscription| *subscription.jid.bare() == *jid) {
                let id = &kept.node.address.node;
                found.insert(SubscriptionEdge::new(Some(id), subscription), (id.clone(), subscription.clone()));
            }
        }
        page_of(&found, page, SubscriptionEdge::parse, SubscriptionEdge::text)
    }

    pub(super) fn read_affiliations_of(
        &self,
        service: &BareJid,
        jid: &BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Result<List<(NodeId, Affiliation)>, Failure> {
        let found: BTreeMap<NodeId, (NodeId, Affiliation)> = self
            .of(service, node)
            .filter_map(|kept| Some((kept.node.address.node.clone(), *kept.affiliations.get(jid)?)))
            .map(|(id, affiliation)| (id.clone(), (id, affiliation)))
            .collect();
        page_of(&found, page, NodeId::parse, NodeId::to_string)
    }

    pub(super) fn read_node_subscriptions(&self, node: NodeKey, page: Page) -> Result<List<Subscription>, Failure> {
        let none = BTreeMap::new();
        let found = self.nodes.get(&node).map_or(&none, |kept| &kept.subscriptions);
        page_of(found, page, SubscriptionEdge::parse, SubscriptionEdge::text)
    }

    pub(super) fn read_node_affiliations(
        &self,
        node: NodeKey,
        page: Page,
    ) -> Result<List<(BareJid, Affiliation)>, Failure> {
        let kept = self.nodes.get(&node).into_iter().flat_map(|kept| &kept.affiliations);
        let found = kept.map(|(jid, affiliation)| (jid.to_string(), (jid.clone(), *affiliation))).collect();
        page_of(&found, page, |text| BareJid::parse(text).ok().map(|jid| jid.to_string()), String::clone)
    }

    pub(super) fn read_nodes(
        &self,
        service: &BareJid,
        viewer: Option<&BareJid>,
        page: Page,
    ) -> Result<List<Node>, Failure> {
        let shown = self.of(service, None).filter(|kept| kept.is_known_to(viewer));
        let found = shown.map(|kept| (kept.node.address.node.clone(), (*kept.node).clone()));
        page_of(&found.collect(), page, NodeId::parse, NodeId::to_string)
    }
}

fn item_list(cut: &Cut<Seq>, order: Order, items: Vec<Item>) -> List<Item> {
    let key = |item: &Item| if order == Order::Creation { item.created } else { item.fact.seq };
    let place = |seq: Seq| items.partition_point(|item| key(item) < seq);
    let skip = usize::try_from(cut.skip()).unwrap_or(usize::MAX).min(items.len());
    let chosen = match cut.bound {
        Bound::First | Bound::Last => &items[..],
        Bound::At(_) => &items[skip..],
        Bound::AtEnd(_) => &items[..items.len() - skip],
        Bound::After(seq) => &items[place(Seq(seq.0.saturating_add(1)))..],
        Bound::Before(seq) => &items[..place(seq)],
    };
    let mut page = ItemPage::new(cut.max);
    let mut ahead = chosen.iter();
    let mut back = chosen.iter().rev();
    while let Some(item) = if cut.forward() { ahead.next() } else { back.next() }
        && page.takes()
    {
        page.push(item.clone());
    }
    cut.list(page.entries, page.more, items.len() as u64, |item: &Item| item.edge(order))
}

/// A page of what is ordered by its edges.
fn page_of<K: Ord, T: Clone>(
    all: &BTreeMap<K, T>,
    page: Page,
    parse: impl FnOnce(&str) -> Option<K>,
    text: impl Fn(&K) -> String,
) -> Result<List<T>, Failure> {
    let cut = Cut::new(page, parse)?;
    let range = match &cut.bound {
        Bound::First | Bound::Last | Bound::At(_) | Bound::AtEnd(_) => (End::Unbounded, End::Unbounded),
        Bound::After(edge) => (End::Excluded(edge), End::Unbounded),
        Bound::Before(edge) => (End::Unbounded, End::Excluded(edge)),
    };
    let mut chosen: Vec<(&K, &T)> = all.range::<K, _>(range).collect();
    if !cut.forward() {
        chosen.reverse();
    }
    chosen.drain(..usize::try_from(cut.skip()).unwrap_or(usize::MAX).min(chosen.len()));
    let more = chosen.len() > cut.max;
    chosen.truncate(cut.max);
    let list = cut.list(chosen, more, all.len() as u64, |(edge, _)| text(edge));
    Ok(List {
        entries: list.entries.into_iter().map(|(_, entry)| entry.clone()).collect(),
        count: list.count,
        first: list.first,
        last: list.last,
        index: list.index,
        complete: list.complete,
    })
}
