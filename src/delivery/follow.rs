//! A watcher of nodes that is not an XMPP session: an event stream, a WebSocket, a long poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::{Delivery, Shared};
use crate::engine::{Answer, Entry, Position, Pull, Tail, Wake, WatcherId, Wrong};
use crate::jid::BareJid;
use crate::pubsub::{Caller, Node, NodeId, Refusal, Reply, Request, Seq, Verb, may_hear};
use crate::store::Failure;

/// Where a follower begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is committed from now on.
    Now,
    /// With the oldest event that is retained.
    Earliest,
    /// After this position. One outside the retained log gives a [`Followed::Reset`] first.
    After(Seq),
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// Entries were shown; there may be more.
    Shown,
    /// Nothing follows yet: wait for the ring.
    CaughtUp,
    /// The position fell below what is retained (or was not in this log to begin with); the follower
    /// goes on from `earliest`.
    Reset { earliest: Position, latest: Position },
    /// Nothing more will come.
    Ended(Ending),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The node was deleted, and its last event was shown.
    Deleted,
    /// The caller may not read any more.
    Forbidden,
    /// The server stops.
    Closing,
    Failed(Failure),
}

/// Rings when one of the followers that share it should look again. One task waits for it.
#[derive(Clone, Default)]
pub struct Ring {
    shared: Arc<Rung>,
}

#[derive(Default)]
struct Rung {
    rung: AtomicBool,
    waiting: AtomicWaker,
}

/// A position in one node's log that moves with what it shows. Holds no events of its own: what is
/// shown is encoded at that moment, under the lock that a removal of rights needs before it is
/// answered.
pub struct Follower {
    shared: Arc<Shared>,
    caller: Caller,
    node: Arc<Node>,
    tail: Arc<Tail>,
    watcher: WatcherId,
    position: Seq,
    /// The access version for which the caller's right to read is known to hold.
    checked: Option<u64>,
    ended: bool,
}

/// What a look at the tail came to.
enum Look {
    Shown,
    Wait,
    Ended,
    Below,
    Ask(u64),
}

impl Ring {
    /// Before looking: what comes from now on rings again.
    pub fn reset(&self) {
        self.shared.rung.store(false, Ordering::Release);
    }

    /// Rings by hand: for whatever else its owner should look at.
    pub fn ring(&self) {
        self.shared.wake();
    }

    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered first, so that a ring between the two is not missed.
        self.shared.waiting.register(cx.waker());
        if self.shared.rung.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    pub async fn rung(&self) {
        std::future::poll_fn(|cx| self.poll_rung(cx)).await;
    }
}

impl Wake for Rung {
    fn wake(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waiting.wake();
        }
    }
}

impl Delivery {
    /// Begins to follow; refused as any reading is. `ring` rings when there may be something to show.
    pub async fn follow(
        &self,
        caller: Caller,
        service: BareJid,
        node: NodeId,
        start: Start,
        ring: &Ring,
    ) -> Result<Follower, Wrong> {
        let engine = &self.shared.engine;
        let verb = Verb::Watch { node };
        let answered = engine.ask(Request { caller: caller.clone(), service, verb }).await?;
        let Answer::Reply(Reply::Watching { node }) = answered.answer else {
            return Err(Wrong::Failed(Failure::Read("a watch was answered with something else".to_owned())));
        };
        let tail = engine.tails(vec![node.clone()]).await?.pop().flatten();
        let tail = tail.ok_or(Wrong::Refused(Refusal::NodeAbsent))?;
        let watcher = tail.add_watcher(ring.shared.clone());
        let position = match start {
            Start::Now => tail.head(),
            Start::Earliest => Seq(node.floor_seq.0.saturating_sub(1)),
            Start::After(seq) => seq,
        };
        let shared = self.shared.clone();
        Ok(Follower { shared, caller, node, tail, watcher, position, checked: None, ended: false })
    }
}

impl Follower {
    /// The node as it was when following began.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Everything up to here was shown (or skipped by a reset).
    pub fn position(&self) -> Position {
        Position { node: self.node.key, seq: self.position }
    }

    /// Skips to a position of this log.
    pub fn skip_to(&mut self, seq: Seq) {
        self.position = seq;
    }

    /// Shows what follows the position, in order of seq, each entry once, until `show` takes no more
    /// (answers false for the entry that it has no room for). `show` runs under the lock that a
    /// removal of rights needs before it is answered, so it must be quick, and encode. May be dropped
    /// and called again without loss.
    pub async fn advance(&mut self, mut show: impl FnMut(&Arc<Entry>) -> bool + Send) -> Followed {
        let role = self.caller.role;
        let mut show = move |entry: &Arc<Entry>| !may_hear(&entry.event.kind, role) || show(entry);
        loop {
            if self.ended {
                return Followed::Ended(Ending::Deleted);
            }
            if self.shared.stop.is_cancelled() {
                return Followed::Ended(Ending::Closing);
            }
            let before = self.position;
            match self.look(&mut show) {
                Look::Shown => return Followed::Shown,
                Look::Wait if before > self.tail.head() => return self.reset().await,
                Look::Wait => return Followed::CaughtUp,
                Look::Ended => return Followed::Ended(Ending::Deleted),
                Look::Below => {
                    if let Some(followed) = self.catch_up(&mut show).await {
                        return followed;
                    }
                }
                Look::Ask(access) => {
                    if let Some(followed) = self.ask_again(access, &mut show).await {
                        return followed;
                    }
                }
            }
        }
    }

    /// Runs something under the same lock if the caller may read at this moment; for what is shown of
    /// the node beside its log.
    pub async fn while_allowed<T>(&mut self, show: impl FnOnce() -> T + Send) -> Result<T, Ending> {
        let mut show = Some(show);
        loop {
            let run = || show.take().map(|show| show());
            if let Some(Some(shown)) = self.tail.while_allowed(self.checked, run) {
                return Ok(shown);
            }
            let access = self.tail.access();
            match self.ask_again(access, &mut |_| false).await {
                None if self.ended => return Err(Ending::Deleted),
                None => {}
                Some(Followed::Ended(ending)) => return Err(ending),
                // Its last event is still to be shown.
                Some(_) => return Err(Ending::Deleted),
            }
        }
    }

    fn look(&mut self, show: &mut (impl FnMut(&Arc<Entry>) -> bool + Send)) -> Look {
        let mut position = self.position;
        let look = self.tail.pull(self.position, self.checked, |pull| match pull {
            Pull::Entries(entries) => {
                show_all(entries, &mut position, show);
                Look::Shown
            }
            Pull::CaughtUp => Look::Wait,
            Pull::Ended => Look::Ended,
            Pull::Below => Look::Below,
            Pull::Ask { access } => Look::Ask(access),
        });
        self.position = position;
        look
    }

    async fn catch_up(&mut self, show: &mut (impl FnMut(&Arc<Entry>) -> bool + Send)) -> Option<Followed> {
        match self.shared.page(&self.tail, self.position, PAGE_BYTES_MAX).await {
            Ok(Some(page)) if page.floor > self.position.next() => {
                self.position = Seq(page.floor.0 - 1);
                let latest = Position { node: self.node.key, seq: page.last };
                Some(Followed::Reset { earliest: self.position(), latest })
            }
            Ok(Some(page)) => {
                let mut position = self.position;
                self.tail.while_allowed(self.checked, || show_all(page.entries.iter(), &mut position, show))?;
                self.position = position;
                (!page.entries.is_empty()).then_some(Followed::Shown)
            }
            Ok(None) => self.last_words(show),
            Err(failure) => Some(Followed::Ended(Ending::Failed(failure))),
        }
    }

    /// A position above the head: of a future that this log never had.
    async fn reset(&mut self) -> Followed {
        match self.shared.page(&self.tail, Seq(0), PAGE_BYTES_MAX).await {
            Ok(Some(page)) => {
                self.position = Seq(page.floor.0.saturating_sub(1));
                let latest = Position { node: self.node.key, seq: page.last };
                Followed::Reset { earliest: self.position(), latest }
            }
            Ok(None) => Followed::Ended(Ending::Deleted),
            Err(failure) => Followed::Ended(Ending::Failed(failure)),
        }
    }

    async fn ask_again(
        &mut self,
        access: u64,
        show: &mut (impl FnMut(&Arc<Entry>) -> bool + Send),
    ) -> Option<Followed> {
        let verb = Verb::Watch { node: self.node.address.node.clone() };
        let request = Request { caller: self.caller.clone(), service: self.node.address.service.clone(), verb };
        match self.shared.engine.ask(request).await {
            Ok(answered) => {
                let same = answered.at.is_some_and(|at| at.node == self.node.key);
                if !same {
                    return self.last_words(show);
                }
                self.checked = Some(access);
                None
            }
            Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => self.last_words(show),
            Err(Wrong::Refused(_)) => Some(Followed::Ended(Ending::Forbidden)),
            Err(Wrong::Failed(failure)) => Some(Followed::Ended(Ending::Failed(failure))),
            Err(Wrong::Overloaded) => {
                tokio::time::sleep(OVERLOADED_PAUSE).await;
                None
            }
        }
    }

    /// The node is gone: its last event bears nothing that could be forbidden.
    fn last_words(&mut self, show: &mut (impl FnMut(&Arc<Entry>) -> bool + Send)) -> Option<Followed> {
        let last = self.tail.last_words().filter(|last| last.event.seq > self.position);
        if let Some(last) = last {
            if show(&last) {
                self.position = last.event.seq;
                self.ended = true;
            }
            return Some(Followed::Shown);
        }
        self.ended = true;
        None
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tail.remove_watcher(self.watcher);
    }
}

/// Moves the position over what was taken.
fn show_all<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    position: &mut Seq,
    show: &mut (impl FnMut(&Arc<Entry>) -> bool + Send),
) {
    for entry in entries {
        if !show(entry) {
            return;
        }
        *position = entry.event.seq;
    }
}

/// Bytes of payload in a page of the log: about what one chunk of a stream takes, so that no page is
/// read twice.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Between two tries to ask a queue that is full.
const OVERLOADED_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
