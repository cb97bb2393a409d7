//! The current state before the events: items up to a position, page by page, then a bookmark there.
//! Whatever changes meanwhile comes as an event after the position, so nothing is lost and nothing is
//! doubled, and no reading of the store outlives a page.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::delivery::Ending;
use crate::engine::{Answer, Wrong};
use crate::http::problem::Problem;
use crate::http::watch::watcher::{CHUNK_BYTES, News, Phase, Watcher};
use crate::pubsub::{Edge, Page, Refusal, Request, Selection, Seq, Verb, View};
use crate::store::{Failure, Item};

/// How far the sending of the current items has come.
pub(super) struct Initial {
    /// The strands whose items are to be sent, by their places.
    strands: VecDeque<usize>,
    /// The last item of the first of them that was sent.
    last: Seq,
    edge: Edge,
    page: VecDeque<Item>,
    /// When the page was read.
    read: Instant,
    deliver_payloads: bool,
    complete: bool,
}

impl Initial {
    pub(super) fn new(strands: impl IntoIterator<Item = usize>) -> Self {
        Initial {
            strands: strands.into_iter().collect(),
            last: BEFORE_EVERYTHING,
            edge: Edge::First,
            page: VecDeque::new(),
            read: Instant::now(),
            deliver_payloads: false,
            complete: false,
        }
    }

    /// One more strand.
    pub(super) fn add(&mut self, strand: usize) {
        self.strands.push_back(strand);
    }

    /// A strand went, and those behind it have moved up.
    pub(super) fn remove(&mut self, gone: usize) {
        let under_way = self.strands.front() == Some(&gone);
        self.strands.retain(|strand| *strand != gone);
        for strand in &mut self.strands {
            *strand -= usize::from(*strand > gone);
        }
        if under_way {
            *self = Initial::new(std::mem::take(&mut self.strands));
        }
    }

    /// Takes what is neither sent already nor changed since. Pages are in the order of seq.
    fn take(&mut self, items: Vec<Item>, until: Seq) {
        self.complete |= items.last().is_some_and(|item| item.fact.seq > until);
        // A page without an end would be asked for forever.
        self.complete |= items.is_empty();
        let last = self.last;
        self.page.extend(items.into_iter().filter(|item| item.fact.seq > last && item.fact.seq <= until));
        self.read = Instant::now();
    }

    /// Asks for the page once more.
    fn again(&mut self) {
        self.page.clear();
        self.complete = false;
        self.edge = match self.last {
            BEFORE_EVERYTHING => Edge::First,
            last => Edge::After(last.0.to_string()),
        };
    }
}

impl Watcher {
    /// One step through the current items: a chunk of them, another page, or the end of them.
    pub(super) async fn items(&mut self) -> Option<News> {
        let show_published = self.types.show_published();
        let Phase::Items(initial) = &mut self.phase else { return None };
        let Some(index) = initial.strands.front().copied() else {
            self.phase = Phase::Events;
            return Some(self.bookmark());
        };
        if initial.page.is_empty() && (initial.complete || !show_published) {
            initial.strands.pop_front();
            **initial = Initial::new(std::mem::take(&mut initial.strands));
            return None;
        }
        if !initial.page.is_empty() && initial.read.elapsed() > PAGE_AGE_MAX {
            initial.again();
        }
        if initial.page.is_empty() { self.read_items(index).await } else { self.show_items(index).await }
    }

    /// Encodes under the lock that a removal of rights needs.
    async fn show_items(&mut self, index: usize) -> Option<News> {
        let Phase::Items(initial) = &mut self.phase else { return None };
        let strand = &mut self.strands[index];
        let (node, format) = (&strand.node, self.format);
        let show = || {
            let (mut pieces, mut bytes) = (vec![], 0);
            while bytes < CHUNK_BYTES
                && let Some(item) = initial.page.pop_front()
            {
                let piece: Bytes = format.current(node, &item, initial.deliver_payloads);
                bytes += piece.len();
                initial.last = item.fact.seq;
                pieces.push(piece);
            }
            pieces
        };
        match strand.follower.while_allowed(show).await {
            Ok(pieces) => {
                self.watching.count_shown(pieces.len());
                Some(News::Pieces(pieces))
            }
            // Its last event comes as events do.
            Err(Ending::Deleted) => {
                self.phase = Phase::Events;
                None
            }
            Err(ending) => {
                self.phase = Phase::Events;
                self.ended(index, ending);
                None
            }
        }
    }

    async fn read_items(&mut self, index: usize) -> Option<News> {
        let Phase::Items(initial) = &mut self.phase else { return None };
        let strand = &self.strands[index];
        let page = Page { max: PAGE_ITEMS, edge: initial.edge.clone() };
        let verb = Verb::Items { node: strand.node.clone(), selection: Selection::All, page, view: View::default() };
        let request = Request { caller: self.caller.clone(), service: self.service.clone(), verb };
        let at = strand.follower.position();
        match self.door.rooms.engine.ask(request).await {
            Ok(answered) => match answered.answer {
                Answer::Items { node, list } if node.key == at.node => {
                    initial.complete = list.complete;
                    initial.edge = list.last.map_or(Edge::First, Edge::After);
                    initial.deliver_payloads = node.config.deliver_payloads;
                    initial.take(list.entries, at.seq);
                    None
                }
                Answer::Items { .. } => self.end(Refusal::NodeGone { redirect: None }.into()),
                _ => self.end(Problem::internal("items were answered with something else")),
            },
            // The item at the edge went: go over the pages again, and past what was sent.
            Err(Wrong::Refused(Refusal::PageAbsent) | Wrong::Failed(Failure::NoSuchEdge)) => {
                initial.edge = Edge::First;
                None
            }
            Err(Wrong::Refused(Refusal::NotPersistent)) => {
                initial.complete = true;
                None
            }
            Err(Wrong::Overloaded) => {
                tokio::time::sleep(OVERLOADED_PAUSE).await;
                None
            }
            Err(wrong) => self.end(wrong.into()),
        }
    }
}

/// Where a watcher stands that has been shown nothing yet.
const BEFORE_EVERYTHING: Seq = Seq(0);
/// Current items read at once: what a reader that stands still holds in memory.
const PAGE_ITEMS: u64 = 16;
/// An older page is read again: what it bears may be erased by now.
const PAGE_AGE_MAX: Duration = Duration::from_millis(100);
/// Between two tries to ask a queue that is full.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(50);
