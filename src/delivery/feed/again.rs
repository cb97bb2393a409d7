//! Showing once more what was sent and not acknowledged.
//!
//! Whoever keeps unacknowledged notifications keeps [`Tag`]s, not copies: a tag names an event of a
//! watch, and the event comes from the tail or the log again, if it still may be read.

use futures_util::StreamExt as _;

use super::watch::Watch;
use super::{Behind, Feed, Shown};
use crate::engine::Pull;
use crate::pubsub::{Role, Seq};

/// An event that a watch was shown. It comes back to the feed when the peer has acknowledged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub(super) watch: u64,
    /// What is shown follows this: of a digest, several events.
    pub(super) after: Seq,
    pub(super) seq: Seq,
}

/// What became of an event that was to be shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It was shown, or there is nothing to show of it.
    Done,
    /// Ask again after [`Feed::settled`].
    Later,
}

impl Feed {
    /// Shows an event once more, unless the watch has ended or the event may not be read any more.
    pub fn again(&mut self, tag: Tag, show: &mut dyn FnMut(Shown<'_>) -> usize) -> Result<Again, Behind> {
        self.take_inbox();
        if let Some(behind) = self.behind.take() {
            return Err(behind);
        }
        let Some(watch) = self.watches.get_mut(&tag.watch) else { return Ok(Again::Done) };
        if watch.busy {
            return Ok(Again::Later);
        }
        if watch.kept_out.is_some() {
            return Ok(Again::Done);
        }
        let how = (self.role, self.shared.name());
        match watch.find(tag, show, how) {
            Found::Shown => return Ok(Again::Done),
            Found::Ask(access) => self.ask(tag.watch, access),
            // Nobody was promised these.
            Found::Below if watch.is_personal() => return Ok(Again::Done),
            Found::Below => self.read_after(tag.watch, tag.after),
            Found::Ended => self.end(tag.watch),
        }
        Ok(Again::Later)
    }

    /// Waits until something that was asked or read is there. May be dropped and called again.
    pub async fn settled(&mut self) {
        self.take_inbox();
        while !self.work.is_empty() && self.behind.is_none() {
            if let Some(done) = self.work.next().await {
                return self.done(done);
            }
        }
    }

    /// Keeps the watches in order while nobody can be shown anything. Never ends; may be dropped and
    /// called again.
    pub async fn rest(&mut self) {
        loop {
            self.take_inbox();
            if self.work.is_empty() {
                self.inlet.notify.notified().await;
            } else {
                tokio::select! {
                    () = self.inlet.notify.notified() => {}
                    Some(done) = self.work.next() => self.done(done),
                }
            }
        }
    }

    /// The peer has acknowledged what was tagged with this.
    pub fn acknowledged(&mut self, tag: Tag) {
        if let Some(watch) = self.watches.get_mut(&tag.watch) {
            watch.acknowledged = watch.acknowledged.max(tag.seq);
        }
    }
}

/// Where an event of a watch is.
enum Found {
    /// It was there, and has been shown.
    Shown,
    Ask(u64),
    Below,
    /// The node is gone, and the event with it.
    Ended,
}

impl Watch {
    fn find(&mut self, tag: Tag, show: &mut dyn FnMut(Shown<'_>) -> usize, how: (Role, u64)) -> Found {
        let (tail, checked) = (self.tail.clone(), self.checked);
        let backlog = self.backlog.clone();
        if let Some(page) = backlog
            && page.entries.first().is_some_and(|first| first.event.seq <= tag.after.next())
            && page.entries.last().is_some_and(|last| last.event.seq >= tag.seq)
        {
            let mut entries = page.entries.iter().filter(|entry| entry.event.seq > tag.after);
            return match tail.while_allowed(checked, || self.show_again(tag, &mut entries, show, how)) {
                Some(()) => Found::Shown,
                None => Found::Ask(tail.access()),
            };
        }
        tail.pull(tag.after, checked, |pull| match pull {
            Pull::Entries(mut entries) => {
                self.show_again(tag, &mut entries, show, how);
                Found::Shown
            }
            Pull::CaughtUp | Pull::Ended => Found::Ended,
            Pull::Ask { access } => Found::Ask(access),
            Pull::Below => Found::Below,
        })
    }
}
