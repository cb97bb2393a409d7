//! Pages of lists (XEP-0059), cut from what stands in memory.

use std::collections::BTreeMap;
use std::ops::Bound as End;

use crate::pubsub::{Order, Page, Seq};
use crate::store::page::{Bound, Cut, ItemPage};
use crate::store::{Failure, Item, List};

/// A page of items, which come in the order that was asked for.
pub(super) fn item_list(cut: &Cut<Seq>, order: Order, items: Vec<Item>) -> List<Item> {
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
pub(super) fn page_of<K: Ord, T: Clone>(
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
