//! A watcher of one node that is not an XMPP session: an SSE stream, a long poll, a command.

use std::sync::Arc;

use super::{Bell, Delivery, Shared};
use crate::engine::{Answer, Entry, Position, Pull, Tail, WatcherId, Wrong};
use crate::jid::BareJid;
use crate::pubsub::{Caller, Node, NodeId, Refusal, Reply, Request, Seq, Verb};
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

/// What comes next. Entries come in order of seq, each once, and never without a right to read
/// that holds when they are handed out.
pub enum Followed {
    /// Not empty.
    Entries(Vec<Arc<Entry>>),
    /// The position fell below what is retained (or was not in this log to begin with); the follower
    /// goes on from `earliest`.
    Reset { earliest: Position, latest: Position },
    /// Nothing more will come.
    Ended(Ending),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The node was deleted, and its last event was handed out.
    Deleted,
    /// The caller may not read any more.
    Forbidden,
    /// The server stops.
    Closing,
    Failed(Failure),
}

/// A position in one node's log that moves with what it is handed. Holds no events of its own.
pub struct Follower {
    shared: Arc<Shared>,
    caller: Caller,
    node: Arc<Node>,
    tail: Arc<Tail>,
    bell: Arc<Bell>,
    watcher: WatcherId,
    position: Seq,
    /// The access version for which the caller's right to read is known to hold.
    checked: Option<u64>,
    ended: bool,
}

/// What a look at the tail came to.
enum Look {
    Take(Vec<Arc<Entry>>),
    Wait,
    Ended,
    Below,
    Ask(u64),
}

impl Delivery {
    /// Begins to follow; refused as any reading is.
    pub async fn follow(
        &self,
        caller: Caller,
        service: BareJid,
        node: NodeId,
        start: Start,
    ) -> Result<Follower, Wrong> {
        let engine = &self.shared.engine;
        let verb = Verb::Watch { node };
        let answered = engine.ask(Request { caller: caller.clone(), service, verb }).await?;
        let Answer::Reply(Reply::Watching { node }) = answered.answer else {
            return Err(Wrong::Failed(Failure::Read("a watch was answered with something else".to_owned())));
        };
        let tail = engine.tails(vec![node.clone()]).await?.pop().flatten();
        let tail = tail.ok_or(Wrong::Refused(Refusal::NodeAbsent))?;
        let bell = Arc::new(Bell::default());
        let watcher = tail.add_watcher(bell.clone());
        let position = match start {
            Start::Now => tail.head(),
            Start::Earliest => Seq(node.floor_seq.0.saturating_sub(1)),
            Start::After(seq) => seq,
        };
        let shared = self.shared.clone();
        Ok(Follower { shared, caller, node, tail, bell, watcher, position, checked: None, ended: false })
    }
}

impl Follower {
    /// The node as it was when following began.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Everything up to here was handed out (or skipped by a reset).
    pub fn position(&self) -> Position {
        Position { node: self.node.key, seq: self.position }
    }

    /// Waits for what comes next. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Followed {
        loop {
            if self.ended {
                return Followed::Ended(Ending::Deleted);
            }
            if self.shared.stop.is_cancelled() {
                return Followed::Ended(Ending::Closing);
            }
            self.bell.reset();
            match self.look() {
                Look::Take(entries) => return self.take(entries),
                Look::Wait if self.position > self.tail.head() => return self.reset().await,
                Look::Wait => {
                    tokio::select! {
                        () = self.bell.wait() => {}
                        () = self.shared.stop.cancelled() => {}
                    }
                }
                Look::Ended => return Followed::Ended(Ending::Deleted),
                Look::Below => {
                    if let Some(followed) = self.catch_up().await {
                        return followed;
                    }
                }
                Look::Ask(access) => {
                    if let Some(followed) = self.ask_again(access).await {
                        return followed;
                    }
                }
            }
        }
    }

    fn look(&self) -> Look {
        self.tail.pull(self.position, self.checked, |pull| match pull {
            Pull::Entries(entries) => {
                let mut bytes = 0;
                let within = |entry: &&Arc<Entry>| {
                    let begun = bytes < ENTRIES_BYTES_MAX;
                    bytes += entry.weight();
                    begun
                };
                Look::Take(entries.take(ENTRIES_MAX).take_while(within).cloned().collect())
            }
            Pull::CaughtUp => Look::Wait,
            Pull::Ended => Look::Ended,
            Pull::Below => Look::Below,
            Pull::Ask { access } => Look::Ask(access),
        })
    }

    fn take(&mut self, entries: Vec<Arc<Entry>>) -> Followed {
        if let Some(last) = entries.last() {
            self.position = last.event.seq;
        }
        Followed::Entries(entries)
    }

    async fn catch_up(&mut self) -> Option<Followed> {
        match self.shared.page(&self.tail, self.position).await {
            Ok(Some(page)) if page.floor > self.position.next() => {
                self.position = Seq(page.floor.0 - 1);
                let latest = Position { node: self.node.key, seq: page.last };
                Some(Followed::Reset { earliest: self.position(), latest })
            }
            Ok(Some(page)) => {
                let allowed = self.tail.while_allowed(self.checked, || page.entries.clone())?;
                (!allowed.is_empty()).then(|| self.take(allowed))
            }
            Ok(None) => self.last_words(),
            Err(failure) => Some(Followed::Ended(Ending::Failed(failure))),
        }
    }

    /// A position above the head: of a future that this log never had.
    async fn reset(&mut self) -> Followed {
        match self.shared.page(&self.tail, Seq(0)).await {
            Ok(Some(page)) => {
                self.position = Seq(page.floor.0.saturating_sub(1));
                let latest = Position { node: self.node.key, seq: page.last };
                Followed::Reset { earliest: self.position(), latest }
            }
            Ok(None) => self.last_words().unwrap_or(Followed::Ended(Ending::Deleted)),
            Err(failure) => Followed::Ended(Ending::Failed(failure)),
        }
    }

    async fn ask_again(&mut self, access: u64) -> Option<Followed> {
        let verb = Verb::Watch { node: self.node.address.node.clone() };
        let request = Request { caller: self.caller.clone(), service: self.node.address.service.clone(), verb };
        match self.shared.engine.ask(request).await {
            Ok(answered) => {
                let same = answered.at.is_some_and(|at| at.node == self.node.key);
                if !same {
                    return self.last_words();
                }
                self.checked = Some(access);
                None
            }
            Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => self.last_words(),
            Err(Wrong::Refused(_)) => Some(Followed::Ended(Ending::Forbidden)),
            Err(Wrong::Failed(failure)) => Some(Followed::Ended(Ending::Failed(failure))),
            Err(Wrong::Overloaded) => {
                tokio::time::sleep(OVERLOADED_PAUSE).await;
                None
            }
        }
    }

    /// The node is gone: its last event bears nothing that could be forbidden.
    fn last_words(&mut self) -> Option<Followed> {
        self.ended = true;
        let last = self.tail.last_words().filter(|last| last.event.seq > self.position);
        last.map(|last| self.take(vec![last]))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tail.remove_watcher(self.watcher);
    }
}

/// Entries handed out at once: a reader that stalls holds on to no more.
const ENTRIES_MAX: usize = 64;
/// No entry is added to those handed out once they weigh so much.
const ENTRIES_BYTES_MAX: usize = 64 << 10;
/// Between two tries to ask a queue that is full.
const OVERLOADED_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
