//! The engine of watching: what to say next, when the transport can take more.
//!
//! A watcher has a position in the log of each of its nodes and is asked for the next thing to say
//! whenever its socket has taken the last. What it says is encoded at that moment, under the lock that
//! a removal of rights needs before it is answered. So a reader that is slow, or stands still, holds
//! positions and the one chunk that it was handed.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::access::Login;
use crate::delivery::{Cursors, Ending, Followed, Follower};
use crate::engine::{Entry, Position};
use crate::http::Door;
use crate::http::problem::Problem;
use crate::http::routes::Call;
use crate::http::watch::format::{Format, Gone};
use crate::http::watch::initial::Initial;
use crate::http::watch::watches::Watching;
use crate::http::watch::wish::{Types, Wish};
use crate::jid::BareJid;
use crate::pubsub::{Caller, NodeId, Refusal, Seq};

pub(super) struct Watcher {
    pub(super) door: Arc<Door>,
    pub(super) login: Login,
    pub(super) caller: Caller,
    pub(super) service: BareJid,
    pub(super) format: Format,
    pub(super) types: Types,
    pub(super) initial: bool,
    pub(super) strands: Vec<Strand>,
    /// Whose turn it is to be looked at first.
    turn: usize,
    pub(super) phase: Phase,
    /// What is to be said before anything else.
    pub(super) news: VecDeque<News>,
    /// When silence must be broken.
    beat: Instant,
    /// When the stream ends by the caller's own wish.
    ends: Option<Instant>,
    /// When the credential expires.
    expires: Option<Instant>,
    /// Wakes for the three; never later than the first of them.
    timer: Pin<Box<Sleep>>,
    /// Whether there was a look at all: whoever waits for no time at all gets one.
    looked: bool,
    pub(super) watching: Watching,
}

/// One node of a watcher.
pub(super) struct Strand {
    pub(super) node: NodeId,
    pub(super) follower: Follower,
    /// The last event that the client's own position covers.
    pub(super) told: Seq,
}

pub(super) enum Phase {
    /// The current items of some strands come first.
    Items(Box<Initial>),
    Events,
    Over,
}

/// One thing to say.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// Events, encoded.
    Pieces(Vec<Bytes>),
    /// The client's position moves, over what it was not shown or to where it begins.
    Bookmark(String),
    /// Nothing, for so long that it is said; and where the client stands.
    Idle(String),
    Reset(Gone),
    /// The stream ends, and this is why. The last.
    End(Problem),
    /// The server stops. The last.
    Stopping,
    /// The end that was to be expected: the caller's time is up, or no node is left. The last.
    Over,
}

enum Woken {
    Rung,
    Time,
}

impl Watcher {
    pub(super) fn new(call: &Call, wish: &Wish, format: Format, watching: Watching) -> Self {
        let door = call.door.clone();
        let now = Instant::now();
        let expires = call.login.expires.map(|expires| {
            let micros = expires.0.saturating_sub(door.rooms.clock.now().0);
            now + Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(FAR_AWAY)
        });
        Watcher {
            login: call.login.clone(),
            caller: call.caller(),
            service: call.service_jid(),
            format,
            types: wish.types,
            initial: wish.initial,
            strands: vec![],
            turn: 0,
            phase: Phase::Events,
            news: VecDeque::new(),
            beat: now + door.options.heartbeat,
            ends: wish.timeout.map(|timeout| now + timeout),
            expires,
            timer: Box::pin(sleep_until(now + door.options.heartbeat)),
            looked: false,
            door,
            watching,
        }
    }

    /// Ends by itself after this, but not before it has looked once.
    pub(super) fn end_after(&mut self, wait: Duration) {
        self.ends = Some(Instant::now() + wait);
    }

    /// What to say next. May be dropped and called again without loss.
    pub(super) async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.step().await {
                self.beat = Instant::now() + self.door.options.heartbeat;
                return news;
            }
        }
    }

    async fn step(&mut self) -> Option<News> {
        if let Some(news) = self.news.pop_front() {
            if matches!(news, News::End(_) | News::Stopping) {
                self.phase = Phase::Over;
                self.news.clear();
            }
            return Some(news);
        }
        let time_is_up = || self.ends.is_some_and(|ends| ends <= Instant::now());
        match &self.phase {
            Phase::Over => Some(News::Over),
            _ if self.door.closing.is_cancelled() => {
                self.phase = Phase::Over;
                Some(News::Stopping)
            }
            _ if !self.door.rooms.access.still_valid(&self.login) => self.end(credential_ended()),
            _ if self.looked && time_is_up() => self.finish(),
            Phase::Items(_) => self.items().await,
            Phase::Events => self.events().await,
        }
    }

    /// One look at every log: something to say, or a wait for the ring.
    async fn events(&mut self) -> Option<News> {
        self.watching.ring.reset();
        let (mut pieces, mut bytes, mut busy) = (vec![], 0, false);
        let count = self.strands.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            let show = Show { format: self.format, types: self.types, cursors: &self.door.rooms.cursors };
            match show.advance(&mut self.strands, index, &mut pieces, &mut bytes).await {
                Followed::Shown => busy = true,
                Followed::CaughtUp => {}
                Followed::Reset { earliest, latest } => {
                    self.reset(index, earliest, latest);
                    busy = true;
                    break;
                }
                Followed::Ended(ending) => {
                    self.ended(index, ending);
                    busy = true;
                    break;
                }
            }
            if bytes >= CHUNK_BYTES {
                self.turn = index + 1;
                break;
            }
        }
        self.looked = true;
        if !pieces.is_empty() {
            self.watching.count_shown(pieces.len());
            return Some(News::Pieces(pieces));
        }
        if busy { None } else { self.wait().await }
    }

    async fn wait(&mut self) -> Option<News> {
        let wake = [Some(self.beat), self.ends, self.expires].into_iter().flatten().min().unwrap_or(self.beat);
        let (timer, ring) = (&mut self.timer, &self.watching.ring);
        let woken = std::future::poll_fn(|cx| {
            if ring.poll_rung(cx).is_ready() {
                return Poll::Ready(Woken::Rung);
            }
            if timer.deadline() > wake {
                timer.as_mut().reset(wake);
            }
            // It may stand for a moment that has been moved on since; only then is it set anew, and
            // not for each event.
            while timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= wake {
                    return Poll::Ready(Woken::Time);
                }
                timer.as_mut().reset(wake);
            }
            Poll::Pending
        })
        .await;
        match woken {
            Woken::Rung => None,
            Woken::Time => self.time(),
        }
    }

    fn time(&mut self) -> Option<News> {
        let now = Instant::now();
        // An expired credential is found by the check of every step; this timer only wakes it. Where
        // the clock that decides is behind the one that wakes, it is looked at again in a while.
        self.expires = self.expires.map(|expires| if expires <= now { now + EXPIRY_PAUSE } else { expires });
        if self.beat > now {
            return None;
        }
        let cursor = self.cursor();
        Some(if self.moved() { self.bookmark() } else { News::Idle(cursor) })
    }

    /// The caller's own time is up.
    fn finish(&mut self) -> Option<News> {
        let moved = matches!(self.phase, Phase::Events) && self.moved();
        self.phase = Phase::Over;
        moved.then(|| self.bookmark())
    }

    /// Whether something was passed over that the client's position does not cover.
    fn moved(&self) -> bool {
        self.strands.iter().any(|strand| strand.follower.position().seq > strand.told)
    }

    /// Moves the client's position over what it was not shown.
    pub(super) fn bookmark(&mut self) -> News {
        for strand in &mut self.strands {
            strand.told = strand.follower.position().seq;
        }
        News::Bookmark(self.cursor())
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.strands.iter().map(|strand| strand.follower.position())
    }

    pub(super) fn watches(&self, node: &NodeId) -> bool {
        self.strands.iter().any(|strand| strand.node == *node)
    }

    /// Stops watching a node; whether it was watched.
    pub(super) fn leave(&mut self, node: &NodeId) -> bool {
        let Some(index) = self.strands.iter().position(|strand| strand.node == *node) else { return false };
        self.remove(index);
        true
    }

    fn remove(&mut self, index: usize) {
        self.strands.remove(index);
        self.turn = 0;
        if let Phase::Items(initial) = &mut self.phase {
            initial.remove(index);
        }
    }

    /// Where the watcher stands.
    pub(super) fn cursor(&self) -> String {
        cursor(&self.door.rooms.cursors, &self.strands)
    }

    fn reset(&mut self, index: usize, earliest: Position, latest: Position) {
        let gone = self.gone(index, earliest.seq, latest.seq);
        if self.initial {
            self.strands[index].follower.skip_to(latest.seq);
            self.phase = Phase::Items(Box::new(Initial::new([index])));
        }
        self.strands[index].told = self.strands[index].follower.position().seq;
        self.news.push_back(News::Reset(gone));
    }

    /// The news that a strand's position is gone.
    pub(super) fn gone(&self, index: usize, earliest: Seq, latest: Seq) -> Gone {
        let cursors = &self.door.rooms.cursors;
        let at = |seq| with_position(cursors, &self.strands, index, seq);
        let node = (self.strands.len() > 1).then(|| self.strands[index].node.clone());
        Gone { node, earliest: at(earliest), latest: at(latest), initial: self.initial }
    }

    pub(super) fn ended(&mut self, index: usize, ending: Ending) {
        let problem = match ending {
            // The event itself has been shown.
            Ending::Deleted => {
                self.remove(index);
                if self.strands.is_empty() {
                    self.phase = Phase::Over;
                }
                return;
            }
            Ending::Closing => return self.news.push_back(News::Stopping),
            Ending::Forbidden => Problem::from(Refusal::Forbidden),
            Ending::Failed(failure) => failure.into(),
        };
        let several = self.strands.len() > 1;
        let problem = if several { problem.member("node", self.strands[index].node.as_str()) } else { problem };
        self.news.push_back(News::End(problem));
    }

    pub(super) fn end(&mut self, problem: Problem) -> Option<News> {
        self.phase = Phase::Over;
        self.news.clear();
        Some(News::End(problem))
    }
}

/// How entries are shown.
struct Show<'a> {
    format: Format,
    types: Types,
    cursors: &'a Cursors,
}

impl Show<'_> {
    async fn advance(
        &self,
        strands: &mut [Strand],
        index: usize,
        pieces: &mut Vec<Bytes>,
        bytes: &mut usize,
    ) -> Followed {
        let others: Option<Vec<Position>> =
            (strands.len() > 1).then(|| strands.iter().map(|strand| strand.follower.position()).collect());
        let Strand { follower, told, .. } = &mut strands[index];
        let mut others = others;
        let show = |entry: &Arc<Entry>| {
            if *bytes >= CHUNK_BYTES {
                return false;
            }
            if self.types.show(&entry.event.kind) {
                let piece = match &mut others {
                    None => self.format.entry(entry, self.cursors),
                    Some(positions) => {
                        positions[index].seq = entry.event.seq;
                        let cursor = self.cursors.encode_all(positions.iter().copied());
                        self.format.entry_with(entry, self.cursors, &cursor)
                    }
                };
                *bytes += piece.len();
                *told = entry.event.seq;
                pieces.push(piece);
            }
            true
        };
        follower.advance(show).await
    }
}

fn cursor(cursors: &Cursors, strands: &[Strand]) -> String {
    match strands {
        [only] => cursors.encode(only.follower.position()),
        strands => cursors.encode_all(strands.iter().map(|strand| strand.follower.position())),
    }
}

/// The cursor with another position for one of the strands.
fn with_position(cursors: &Cursors, strands: &[Strand], index: usize, seq: Seq) -> String {
    let position = |(number, strand): (usize, &Strand)| {
        let position = strand.follower.position();
        if number == index { Position { seq, ..position } } else { position }
    };
    match strands {
        [only] => cursors.encode(Position { seq, ..only.follower.position() }),
        strands => cursors.encode_all(strands.iter().enumerate().map(position)),
    }
}

fn credential_ended() -> Problem {
    let detail = "the credential has expired or was revoked";
    Problem::new(axum::http::StatusCode::UNAUTHORIZED, "credential-ended", "Credential ended", detail)
}

/// What one chunk bears: no event is added once there is so much.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// Between two looks at a credential that should have expired.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);
/// Expiry beyond this is looked at when it comes, which is never.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
