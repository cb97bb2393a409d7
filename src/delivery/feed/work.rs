//! Work that a feed has begun and does not stand still for: what it reads, and what it does with it.

use std::collections::HashMap;
use std::sync::Arc;

use super::last::Owed;
use super::rights::Checked;
use super::{Behind, Feed, Loaded, Whom, collection, personal};
use crate::delivery::pages::Page;
use crate::delivery::recent::Hold;
use crate::jid::Jid;
use crate::pubsub::{Event, Node, Seq};
use crate::store::{Failure, Item};

/// Work that a feed waited for.
pub(super) enum Done {
    Loaded(Result<Vec<Loaded>, Failure>),
    Checked {
        watch: u64,
        access: u64,
        outcome: Checked,
    },
    /// The last item of a node, which is owed to a watch.
    Owed {
        watch: u64,
        owed: Owed,
        last: Option<(Node, Item)>,
    },
    Read {
        watch: u64,
        after: Seq,
        page: Result<Option<Arc<Page>>, Failure>,
    },
    Unsubscribed,
    /// What is below a collection.
    Gathered(collection::Found),
    /// Of accounts that it follows.
    Personal(Vec<personal::Found>),
    /// What was published while a session was away, by the watches that show it.
    Missed(Vec<(u64, Vec<Event>)>),
    /// Last items of nodes to which an account is subscribed, for these watches.
    Greeted(Vec<u64>, Vec<(Node, Item)>),
}

impl Feed {
    /// Reads the stored subscriptions that go to this session.
    pub(super) fn load(&mut self) {
        self.loading += 1;
        let shared = self.shared.clone();
        let inlet = self.inlet.clone();
        self.work.push(Box::pin(async move { Done::Loaded(shared.load(&inlet).await) }));
    }

    pub(super) fn read(&mut self, id: u64) {
        if let Some(watch) = self.watches.get(&id) {
            self.read_after(id, watch.position);
        }
    }

    pub(super) fn read_after(&mut self, id: u64, position: Seq) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = true;
        let (shared, tail) = (self.shared.clone(), watch.tail.clone());
        self.work.push(Box::pin(async move {
            let page = shared.page(&tail, position, usize::MAX).await;
            Done::Read { watch: id, after: position, page }
        }));
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Loaded(Ok(found)) => self.loaded(found),
            Done::Loaded(Err(failure)) => {
                tracing::error!(%failure, session = %self.inlet.whom, "a session's subscriptions cannot be read");
                self.behind = Some(Behind::Unreadable);
            }
            Done::Checked { watch, access, outcome } => self.checked(watch, access, outcome),
            Done::Owed { watch, owed, last } => self.paid(watch, owed, last),
            Done::Gathered(found) => self.gathered(found),
            Done::Personal(found) => self.personal_found(found),
            Done::Missed(found) => self.missed(found),
            Done::Greeted(watches, found) => self.greeted(watches, found),
            Done::Read { watch: id, after, page } => self.read_done(id, after, page),
            Done::Unsubscribed => {}
        }
    }

    /// Watches what was read, each from where its node stood at the session's moment.
    fn loaded(&mut self, found: Vec<Loaded>) {
        let grown = |hold: &Option<Hold>| hold.as_ref().map_or_else(|| Some(HashMap::new()), Hold::grown);
        let (Some(since_bound), Some(since_available)) = (grown(&self.bound), grown(&self.available)) else {
            tracing::error!(session = %self.inlet.whom, "too much was committed while subscriptions were being read");
            self.behind = Some(Behind::Unreadable);
            return;
        };
        let first = self.next_watch;
        for Loaded { tail, subscription, position } in found {
            let key = (tail.key(), subscription.subid.clone());
            if !self.inlet.concerns(&subscription.jid) || self.seldom.went.contains(&key) {
                continue;
            }
            let bare = matches!((&self.inlet.whom, &subscription.jid), (Whom::Session(_), Jid::Bare(_)));
            let since = if bare { &since_available } else { &since_bound };
            let position = since.get(&tail.key()).map_or(position, |before| position.min(*before));
            self.watch(tail, subscription, position);
            let hold = if bare { &self.available } else { &self.bound };
            let moment = hold.as_ref().map_or_else(|| self.shared.recent.moment(), Hold::moment);
            self.gather(key, moment);
        }
        let came = first..self.next_watch;
        came.clone().for_each(|id| self.watches.get_mut(&id).into_iter().for_each(|watch| watch.greeted = false));
        if let Some(since) = self.away.subscriptions {
            self.want_missed(came.collect(), since);
        }
        self.greet();
        self.loading -= 1;
        if self.loading == 0 {
            std::mem::take(&mut self.seldom.dues).into_iter().for_each(|due| self.due(due));
            self.away.subscriptions = None;
            self.seldom.went.clear();
            (self.bound, self.available) = (None, None);
        }
    }

    fn read_done(&mut self, id: u64, after: Seq, page: Result<Option<Arc<Page>>, Failure>) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = false;
        match page {
            Ok(Some(page)) if page.floor > after.next() && watch.is_personal() => {
                // Nobody was promised these: it goes on with what comes.
                watch.position = page.last;
                self.queue(id);
            }
            Ok(Some(page)) if page.floor > after.next() && self.inlet.whom.session().is_none() => {
                // Whoever speaks for many would rather miss events of one than end.
                tracing::warn!(node = %watch.tail.address(), "events were missed: they are no longer retained");
                watch.position = Seq(page.floor.0.saturating_sub(1));
                self.queue(id);
            }
            Ok(Some(page)) if page.floor > after.next() => {
                self.behind = Some(Behind::Retention { address: watch.tail.address().clone() });
            }
            Ok(Some(page)) => {
                watch.backlog = (!page.entries.is_empty()).then_some(page);
                watch.only = None;
                self.queue(id);
            }
            Ok(None) => match watch.tail.last_words() {
                Some(last) => {
                    watch.position = watch.position.max(Seq(last.event.seq.0 - 1));
                    self.queue(id);
                }
                None => self.end(id),
            },
            Err(failure) => {
                tracing::error!(%failure, node = %watch.tail.address(), "a log cannot be read for a session");
                self.behind = Some(Behind::Unreadable);
            }
        }
    }
}
