//! One watcher's stream: what to send next, when the socket can take more.
//!
//! The body of the response is polled only when the connection has room, and each poll gives one
//! chunk. So a reader that is slow, or stands still, holds a position and the one batch it was handed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::access::Login;
use crate::delivery::{Ending, Followed, Follower, Start};
use crate::engine::{Answer, Entry, Position, Wrong};
use crate::http::Door;
use crate::http::problem::Problem;
use crate::http::routes::Call;
use crate::http::watch::sse::{self, Block};
use crate::http::watch::{BEFORE_EVERYTHING, Types, Watching, Wish};
use crate::jid::BareJid;
use crate::pubsub::{Caller, Edge, EventKind, NodeId, Page, Refusal, Request, Selection, Seq, Verb, View};
use crate::store::{Failure, Item};

/// Where a stream begins.
pub(super) enum Begin {
    /// With the events after this position, which the client does not know yet.
    At(Follower),
    /// With the events after a cursor of the client.
    Resumed(Follower),
    /// With the items that are there.
    State(Follower),
    /// With the news that the client's cursor is gone.
    Reset { follower: Follower, earliest: Position, latest: Position },
}

pub(super) struct Watcher {
    door: Arc<Door>,
    login: Login,
    caller: Caller,
    service: BareJid,
    node: NodeId,
    types: Types,
    initial: bool,
    follower: Follower,
    revocations: Receiver<u64>,
    phase: Phase,
    /// What goes out next.
    chunk: Option<Bytes>,
    batch: Batch<Arc<Entry>>,
    /// The last event that was shown or passed over.
    taken: Seq,
    /// The last event that the client's own position covers.
    told: Seq,
    /// When silence must be broken.
    beat: Instant,
    /// When the stream ends by the caller's own wish.
    ends: Option<Instant>,
    /// When the credential expires.
    expires: Option<Instant>,
    _watching: Watching,
}

enum Phase {
    Items(Initial),
    Events,
    Over,
}

/// How far the sending of the current items has come.
struct Initial {
    /// Items up to here are sent as items; what follows comes as events.
    until: Seq,
    /// The last item that was sent.
    last: Seq,
    edge: Edge,
    page: Batch<Item>,
    deliver_payloads: bool,
    complete: bool,
}

/// What was handed out under a right to read that held then.
struct Batch<T> {
    queue: VecDeque<T>,
    handed: Instant,
}

/// What ended the waiting.
enum Woken {
    Closing,
    Revoked,
    Followed(Followed),
    Time,
}

impl Watcher {
    pub(super) fn new(call: &Call, node: NodeId, wish: Wish, begin: Begin, watching: Watching) -> Self {
        let door = call.door.clone();
        let now = Instant::now();
        let cursors = &door.rooms.cursors;
        let greeting = Block::default().retry(door.options.retry).comment("tidings").end();
        let (follower, phase, news) = match begin {
            // A client that is cut off before the first event must know where it stood.
            Begin::At(follower) => {
                let here = sse::bookmark(&cursors.encode(follower.position()));
                (follower, Phase::Events, here)
            }
            Begin::Resumed(follower) => (follower, Phase::Events, Bytes::new()),
            Begin::State(follower) => {
                let until = follower.position().seq;
                (follower, Phase::Items(Initial::new(until)), Bytes::new())
            }
            Begin::Reset { follower, earliest, latest } => {
                let phase = if wish.initial { Phase::Items(Initial::new(latest.seq)) } else { Phase::Events };
                let news = sse::reset(cursors, earliest, latest, wish.initial);
                (follower, phase, news)
            }
        };
        let mut chunk = BytesMut::from(greeting.into_bytes());
        chunk.extend_from_slice(&news);
        let position = follower.position().seq;
        let expires = call.login.expires.map(|expires| {
            let micros = expires.0.saturating_sub(door.rooms.clock.now().0);
            now + Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(FAR_AWAY)
        });
        Watcher {
            login: call.login.clone(),
            caller: call.caller(),
            service: call.service_jid(),
            node,
            types: wish.types,
            initial: wish.initial,
            revocations: door.rooms.access.revocations(),
            phase,
            chunk: Some(chunk.freeze()),
            batch: Batch::empty(now),
            taken: position,
            told: position,
            beat: now,
            ends: wish.timeout.map(|timeout| now + timeout),
            expires,
            follower,
            door,
            _watching: watching,
        }
    }

    /// The stream as a body takes it.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        // In a box, because it moves in and out of each step.
        stream::unfold(Box::new(self), |mut watcher| async {
            let chunk = watcher.next().await?;
            Some((Ok(chunk), watcher))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.chunk.take() {
                self.beat = Instant::now() + self.door.options.heartbeat;
                return Some(chunk);
            }
            match self.phase {
                Phase::Over => return None,
                _ if self.door.closing.is_cancelled() => self.close(),
                _ if self.ends.is_some_and(|ends| ends <= Instant::now()) => self.finish(),
                _ if !self.door.rooms.access.still_valid(&self.login) => self.end(&credential_ended()),
                Phase::Items(_) => self.items().await,
                Phase::Events => self.events().await,
            }
        }
    }

    /// One step through the log: something to send, or nothing yet.
    async fn events(&mut self) {
        if !self.batch.queue.is_empty() {
            return match self.batch.is_stale() {
                true => self.follow_from(self.taken).await,
                false => self.show_batch(),
            };
        }
        let wake = [Some(self.beat), self.ends, self.expires].into_iter().flatten().min().unwrap_or(self.beat);
        let woken = tokio::select! {
            biased;
            () = self.door.closing.cancelled() => Woken::Closing,
            Ok(()) = self.revocations.changed() => Woken::Revoked,
            followed = self.follower.next() => Woken::Followed(followed),
            () = sleep_until(wake) => Woken::Time,
        };
        match woken {
            Woken::Closing | Woken::Revoked => {}
            Woken::Followed(Followed::Entries(entries)) => self.batch.take(entries),
            Woken::Followed(Followed::Reset { earliest, latest }) => self.reset(earliest, latest).await,
            Woken::Followed(Followed::Ended(ending)) => self.ended(ending),
            Woken::Time => self.time(),
        }
    }

    fn show_batch(&mut self) {
        let mut chunk = Chunk::default();
        while let Some(entry) = self.batch.queue.front() {
            if self.types.show(&entry.event.kind) {
                if !chunk.add(sse::entry(entry, &self.door.rooms.cursors)) {
                    break;
                }
                self.told = entry.event.seq;
            }
            self.taken = entry.event.seq;
            if matches!(entry.event.kind, EventKind::Deleted { .. }) {
                self.phase = Phase::Over;
            }
            self.batch.queue.pop_front();
        }
        self.chunk = chunk.into_bytes();
    }

    fn time(&mut self) {
        let now = Instant::now();
        // An expired credential is found by the check of every step; this timer only wakes it. Where
        // the clock that decides is behind the one that wakes, it is looked at again in a while.
        self.expires = self.expires.map(|expires| if expires <= now { now + EXPIRY_PAUSE } else { expires });
        if self.beat <= now {
            self.chunk = Some(match self.taken > self.told {
                true => self.bookmark(),
                false => Block::default().comment("").end().into_bytes(),
            });
        }
    }

    /// The caller's own time is up.
    fn finish(&mut self) {
        let moved = matches!(self.phase, Phase::Events) && self.taken > self.told;
        self.chunk = moved.then(|| self.bookmark());
        self.phase = Phase::Over;
    }

    /// Moves the client's position over what it was not shown.
    fn bookmark(&mut self) -> Bytes {
        self.told = self.taken;
        let at = Position { node: self.follower.position().node, seq: self.taken };
        sse::bookmark(&self.door.rooms.cursors.encode(at))
    }

    async fn reset(&mut self, earliest: Position, latest: Position) {
        if self.initial {
            self.follow_from(latest.seq).await;
            if matches!(self.phase, Phase::Over) {
                return;
            }
            self.phase = Phase::Items(Initial::new(latest.seq));
        }
        self.taken = if self.initial { latest.seq } else { earliest.seq };
        self.told = self.taken;
        self.chunk = Some(sse::reset(&self.door.rooms.cursors, earliest, latest, self.initial));
    }

    /// Begins again after a position, with the rights of this moment. For a batch that had to wait for
    /// the socket: what it was handed under may not hold any more.
    async fn follow_from(&mut self, seq: Seq) {
        self.batch.queue.clear();
        let key = self.follower.node().key;
        for _ in 0..OVERLOADED_TRIES {
            let delivery = &self.door.rooms.delivery;
            let start = Start::After(seq);
            match delivery.follow(self.caller.clone(), self.service.clone(), self.node.clone(), start).await {
                Ok(follower) if follower.node().key == key => {
                    self.follower = follower;
                    self.taken = seq;
                    return;
                }
                Ok(_) => return self.end(&Refusal::NodeGone { redirect: None }.into()),
                Err(Wrong::Overloaded) => tokio::time::sleep(OVERLOADED_PAUSE).await,
                Err(wrong) => return self.end(&wrong.into()),
            }
        }
        self.end(&Wrong::Overloaded.into());
    }

    /// One step through the current items: a chunk of them, another page, or the end of them.
    async fn items(&mut self) {
        let Phase::Items(initial) = &mut self.phase else { return };
        if !initial.page.queue.is_empty() && initial.page.is_stale() {
            initial.again();
        }
        if !initial.page.queue.is_empty() {
            self.chunk = initial.show(&self.node);
        } else if initial.complete || !self.types.show_published() {
            self.taken = initial.until;
            self.phase = Phase::Events;
            self.chunk = Some(self.bookmark());
        } else {
            self.fetch_items().await;
        }
    }

    async fn fetch_items(&mut self) {
        let Phase::Items(initial) = &mut self.phase else { return };
        let page = Page { max: PAGE_ITEMS, edge: initial.edge.clone() };
        let verb = Verb::Items { node: self.node.clone(), selection: Selection::All, page, view: View::default() };
        let request = Request { caller: self.caller.clone(), service: self.service.clone(), verb };
        match self.door.rooms.engine.ask(request).await {
            Ok(answered) => match answered.answer {
                Answer::Items { node, list } if node.key == self.follower.node().key => {
                    initial.complete = list.complete;
                    initial.edge = list.last.map_or(Edge::First, Edge::After);
                    initial.deliver_payloads = node.config.deliver_payloads;
                    initial.take(list.entries);
                }
                Answer::Items { .. } => self.end(&Refusal::NodeGone { redirect: None }.into()),
                _ => self.end(&Problem::internal("items were answered with something else")),
            },
            // The item at the edge went: go over the pages again, and past what was sent.
            Err(Wrong::Refused(Refusal::PageAbsent) | Wrong::Failed(Failure::NoSuchEdge)) => initial.edge = Edge::First,
            Err(Wrong::Refused(Refusal::NotPersistent)) => initial.complete = true,
            Err(Wrong::Overloaded) => tokio::time::sleep(OVERLOADED_PAUSE).await,
            Err(wrong) => self.end(&wrong.into()),
        }
    }

    fn ended(&mut self, ending: Ending) {
        match ending {
            // The event itself has been sent.
            Ending::Deleted => self.phase = Phase::Over,
            Ending::Forbidden => self.end(&Refusal::Forbidden.into()),
            Ending::Closing => self.close(),
            Ending::Failed(failure) => self.end(&failure.into()),
        }
    }

    fn end(&mut self, problem: &Problem) {
        self.chunk = Some(sse::end(problem));
        self.batch.queue.clear();
        self.phase = Phase::Over;
    }

    /// The server stops: each stream comes back at another moment.
    fn close(&mut self) {
        let options = &self.door.options;
        let most = options.retry_closing_max.saturating_sub(options.retry);
        // Without randomness they all come back at once, which is no reason to fail.
        let share = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
        self.chunk = Some(Block::default().retry(options.retry + most.mul_f64(share)).end().into_bytes());
        self.phase = Phase::Over;
    }
}

impl Initial {
    fn new(until: Seq) -> Self {
        let page = Batch::empty(Instant::now());
        Initial { until, last: BEFORE_EVERYTHING, edge: Edge::First, page, deliver_payloads: false, complete: false }
    }

    /// Takes what is neither sent already nor changed since. Pages are in the order of seq.
    fn take(&mut self, items: Vec<Item>) {
        self.complete |= items.last().is_some_and(|item| item.fact.seq > self.until);
        // A page without an end would be asked for forever.
        self.complete |= items.is_empty();
        let wanted = items.into_iter().filter(|item| item.fact.seq > self.last && item.fact.seq <= self.until);
        self.page.take(wanted);
    }

    fn show(&mut self, node: &NodeId) -> Option<Bytes> {
        let mut chunk = Chunk::default();
        while let Some(item) = self.page.queue.front() {
            if !chunk.add(sse::current(node, item, self.deliver_payloads)) {
                break;
            }
            self.last = item.fact.seq;
            self.page.queue.pop_front();
        }
        chunk.into_bytes()
    }

    /// Asks for the page once more, with the rights of that moment.
    fn again(&mut self) {
        self.page.queue.clear();
        self.complete = false;
        self.edge = match self.last {
            BEFORE_EVERYTHING => Edge::First,
            last => Edge::After(last.0.to_string()),
        };
    }
}

impl<T> Batch<T> {
    fn empty(now: Instant) -> Self {
        Batch { queue: VecDeque::new(), handed: now }
    }

    fn take(&mut self, entries: impl IntoIterator<Item = T>) {
        self.queue.extend(entries);
        self.handed = Instant::now();
    }

    fn is_stale(&self) -> bool {
        self.handed.elapsed() > HANDED_MAX
    }
}

/// Blocks that go out together: small ones are copied into one, a large one goes as it is.
#[derive(Default)]
struct Chunk {
    first: Option<Bytes>,
    joined: BytesMut,
}

impl Chunk {
    /// Whether there was room for it. There always is for the first.
    fn add(&mut self, block: Bytes) -> bool {
        match self.first.take() {
            None if self.joined.is_empty() => self.first = Some(block),
            Some(first) if first.len() + block.len() <= CHUNK_BYTES => {
                self.joined.extend_from_slice(&first);
                self.joined.extend_from_slice(&block);
            }
            None if self.joined.len() + block.len() <= CHUNK_BYTES => self.joined.extend_from_slice(&block),
            first => {
                self.first = first;
                return false;
            }
        }
        true
    }

    fn into_bytes(self) -> Option<Bytes> {
        self.first.or_else(|| (!self.joined.is_empty()).then(|| self.joined.freeze()))
    }
}

fn credential_ended() -> Problem {
    let detail = "the credential has expired or was revoked";
    Problem::new(axum::http::StatusCode::UNAUTHORIZED, "credential-ended", "Credential ended", detail)
}

/// What is joined for one write.
const CHUNK_BYTES: usize = 16 * 1024;
/// Current items fetched at once: what a reader that stands still holds in memory.
const PAGE_ITEMS: u64 = 16;
/// For how long what was handed out may be shown without asking again whether it may.
const HANDED_MAX: Duration = Duration::from_millis(100);
/// Between two tries to ask a queue that is full.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(50);
/// Such tries before the stream is given up, for its client to come back.
const OVERLOADED_TRIES: usize = 100;
/// Between two looks at a credential that should have expired.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);
/// Expiry beyond this is looked at when it comes, which is never.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
