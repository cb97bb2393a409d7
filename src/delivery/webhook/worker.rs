//! One endpoint's deliveries: follow the node, send, park what failed, move the position.
//!
//! The position is kept some time after what it says has happened, never before: whoever is killed in
//! between sends again what was sent already, under the same id.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Permit};
use super::client::{Answered, Outgoing, Pool, Unsent};
use super::event::{self, Place};
use super::sign::event_id;
use super::{Inner, View};
use crate::delivery::{Ending, Followed, Follower, Ring, Start};
use crate::engine::{Entry, Position, Wrong};
use crate::pubsub::{Refusal, Role, Seq};
use crate::store::{ATTEMPTS_KEPT, Attempted, Failure, Parked, Settled, Webhook};
use crate::time::Timestamp;

/// Why a worker has ended.
pub(super) enum Exit {
    /// It was told to, or its endpoint is no more.
    Stopped,
    /// Nothing more is to be delivered until somebody says so.
    Disabled(String),
    /// The storage failed; begin again later.
    Again,
}

pub(super) struct Worker {
    inner: Arc<Inner>,
    webhook: Arc<Webhook>,
    view: Arc<View>,
    stop: CancellationToken,
    /// Changes whenever an account may have lost what it could do.
    cuts: watch::Receiver<u64>,
    /// The last of them before its owner was asked for.
    cut: u64,
    /// As what the owner reads.
    role: Role,
    /// None once the node is gone.
    follower: Option<Follower>,
    ring: Ring,
    pool: Arc<Pool>,
    breaker: Breaker,
    /// Handed out, and not sent yet.
    fresh: VecDeque<Attempt>,
    /// Parked ones.
    waiting: BTreeMap<Seq, Waiting>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    /// Handed out, neither delivered nor parked.
    outstanding: BTreeSet<Seq>,
    /// The follower has handed out everything up to here.
    handed: Seq,
    failing_since: Option<Timestamp>,
    parked: Vec<Parked>,
    delivered: Vec<Seq>,
    /// Of the log, what is not kept yet; no more than the store would keep.
    attempts: Vec<Attempted>,
    /// The number of the next attempt.
    attempt: u64,
    /// When what is not kept yet is kept.
    settle_at: Option<Instant>,
}

struct Waiting {
    due: Timestamp,
    attempts: u32,
    under_way: bool,
}

struct Attempt {
    seq: Seq,
    /// Those before this one.
    attempts: u32,
    /// Absent for a parked one, whose body is in the store.
    body: Option<Arc<[u8]>>,
    encoded: Instant,
    /// See [`Worker::cut`].
    cut: u64,
}

struct Ended {
    seq: Seq,
    attempts: u32,
    body: Arc<[u8]>,
    outcome: Outcome,
    took: Duration,
}

enum Outcome {
    Answered(Answered),
    Unsent(Unsent),
    /// The owner may not read the node any more.
    Forbidden,
    /// Nothing was sent, and nothing is known.
    Failed(Failure),
}

impl Worker {
    /// Takes up where the endpoint's position says.
    pub(super) async fn begin(
        inner: Arc<Inner>,
        webhook: Webhook,
        view: Arc<View>,
        stop: CancellationToken,
    ) -> Result<Self, Exit> {
        let store = inner.delivery.engine().store();
        let mut cuts = inner.cuts.clone();
        let cut = *cuts.borrow_and_update();
        let caller = match inner.caller(&webhook.owner).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return Err(Exit::Disabled(NO_ACCOUNT.to_owned())),
            Err(_) => return Err(Exit::Again),
        };
        let (service, node) = (webhook.address.service.clone(), webhook.address.node.clone());
        let role = caller.role;
        let (ring, start) = (Ring::default(), Start::After(webhook.position));
        let follower = match inner.delivery.follow(caller, service, node, start, &ring).await {
            Ok(follower) if follower.node().key == webhook.node => Some(follower),
            // Another node of the same name, or none: what is parked can still be delivered.
            Ok(_) | Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => None,
            Err(Wrong::Refused(_)) => return Err(Exit::Disabled(FORBIDDEN.to_owned())),
            Err(Wrong::Failed(_) | Wrong::Overloaded) => return Err(Exit::Again),
        };
        let parked = store.parked(webhook.id.clone(), false, Seq(0), inner.options.retrying_max);
        let parked = parked.await.map_err(|_| Exit::Again)?;
        let waiting = parked.into_iter().filter_map(|parked| {
            let waiting = Waiting { due: parked.due?, attempts: parked.attempts, under_way: false };
            Some((parked.seq, waiting))
        });
        let waiting = waiting.collect();
        let attempt = view.begin(store.attempts(webhook.id.clone()).await.map_err(|_| Exit::Again)?);
        Ok(Worker {
            handed: webhook.position,
            failing_since: webhook.failing_since,
            inner,
            webhook: Arc::new(webhook),
            view,
            stop,
            cuts,
            cut,
            role,
            follower,
            ring,
            pool: Arc::default(),
            breaker: Breaker::default(),
            fresh: VecDeque::new(),
            waiting,
            under_way: FuturesUnordered::new(),
            outstanding: BTreeSet::new(),
            parked: vec![],
            delivered: vec![],
            attempts: vec![],
            attempt,
            settle_at: None,
        })
    }

    pub(super) async fn run(mut self) -> Exit {
        loop {
            if self.settle_at.is_some_and(|at| at <= Instant::now())
                && let Err(exit) = self.settle().await
            {
                return exit;
            }
            self.begin_attempts();
            if self.follower.is_none() && self.waiting.is_empty() && self.outstanding.is_empty() {
                let _ = self.settle().await;
                return Exit::Disabled(NO_NODE.to_owned());
            }
            let wake = tokio::time::sleep_until(self.wake_at().into());
            let wants_more = self.wants_more();
            let (inner, webhook, ring) = (&self.inner, &self.webhook, &self.ring);
            let followed = async {
                match self.follower.as_mut().filter(|_| wants_more) {
                    Some(follower) => next(follower, ring, inner, webhook).await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    let _ = self.settle().await;
                    return Exit::Stopped;
                }
                Ok(()) = self.cuts.changed() => self.ask_for_the_owner().await,
                Some(ended) = self.under_way.next() => self.ended(ended).await,
                (shown, followed) = followed => self.followed(shown, followed),
                () = wake => Ok(()),
            };
            if let Err(exit) = step {
                // What was delivered stays delivered, whatever ends here.
                let _ = self.settle().await;
                return exit;
            }
            self.view.set_breaker(self.breaker.is_open());
        }
    }

    /// Some account was cut off: an endpoint goes on while its owner is there, and what he was.
    async fn ask_for_the_owner(&mut self) -> Result<(), Exit> {
        self.cut = *self.cuts.borrow_and_update();
        match self.inner.caller(&self.webhook.owner).await {
            Ok(Some(caller)) if caller.role == self.role => Ok(()),
            Ok(None) => Err(Exit::Disabled(NO_ACCOUNT.to_owned())),
            Ok(Some(_)) | Err(_) => Err(Exit::Again),
        }
    }

    /// In order, one delivery after the other; else as many as there is room for. While the breaker is
    /// open nothing is taken from the log: the position waits.
    fn wants_more(&self) -> bool {
        let idle = self.waiting.is_empty() && self.outstanding.is_empty();
        let room = self.waiting.len() < self.inner.options.retrying_max && self.fresh.is_empty();
        !self.breaker.is_open() && if self.webhook.ordered { idle } else { room }
    }

    fn window(&self) -> usize {
        if self.webhook.ordered { 1 } else { self.inner.options.in_flight_max }
    }

    fn begin_attempts(&mut self) {
        while self.under_way.len() < self.window() {
            match self.breaker.permit(Instant::now()) {
                Permit::Yes | Permit::Probe => {}
                Permit::NotBefore(_) | Permit::AfterProbe => return,
            }
            let Some(attempt) = self.next_attempt() else { return };
            self.breaker.begin();
            let (inner, webhook, pool) = (self.inner.clone(), self.webhook.clone(), self.pool.clone());
            self.under_way.push(Box::pin(async move { attempt.make(&inner, &webhook, &pool).await }));
        }
    }

    /// A parked one that is due, before what is new; in order, nothing new while one is parked.
    fn next_attempt(&mut self) -> Option<Attempt> {
        let now = self.inner.now();
        let due = self.waiting.iter_mut().find(|(_, waiting)| !waiting.under_way && waiting.due <= now);
        if let Some((seq, waiting)) = due {
            waiting.under_way = true;
            return Some(Attempt {
                seq: *seq,
                attempts: waiting.attempts,
                body: None,
                encoded: Instant::now(),
                cut: self.cut,
            });
        }
        if self.webhook.ordered && !self.waiting.is_empty() {
            return None;
        }
        self.fresh.pop_front()
    }

    /// The next moment at which something is due by itself.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(60);
        if let Some(at) = self.settle_at {
            wake = wake.min(at);
        }
        match self.breaker.permit(now) {
            Permit::NotBefore(at) => wake.min(at),
            Permit::AfterProbe => wake,
            // Whatever ends wakes the loop.
            Permit::Yes | Permit::Probe if self.under_way.len() >= self.window() => wake,
            Permit::Yes | Permit::Probe => {
                let due = self.waiting.values().filter(|waiting| !waiting.under_way).map(|waiting| waiting.due).min();
                let micros = due.map_or(i64::MAX, |due| due.0.saturating_sub(self.inner.now().0).max(0));
                wake.min(now + Duration::from_micros(micros.unsigned_abs().min(60_000_000)))
            }
        }
    }

    fn followed(&mut self, shown: Vec<(Seq, Option<Arc<[u8]>>)>, followed: Followed) -> Result<(), Exit> {
        for (seq, body) in shown {
            self.handed = seq;
            if let Some(body) = body {
                self.hand_out(seq, body);
            }
        }
        self.settle_within(SETTLE_LATER);
        match followed {
            Followed::Shown | Followed::CaughtUp => Ok(()),
            Followed::Reset { earliest, .. } => {
                self.handed = earliest.seq;
                let body = encode(&self.inner, &self.webhook, earliest.seq, event::reset);
                self.hand_out(earliest.seq, body);
                Ok(())
            }
            Followed::Ended(Ending::Deleted) => {
                self.follower = None;
                Ok(())
            }
            Followed::Ended(Ending::Forbidden) => Err(Exit::Disabled(FORBIDDEN.to_owned())),
            Followed::Ended(Ending::Closing) => Err(Exit::Stopped),
            Followed::Ended(Ending::Failed(_)) => Err(Exit::Again),
        }
    }

    fn hand_out(&mut self, seq: Seq, body: Arc<[u8]>) {
        self.outstanding.insert(seq);
        let (encoded, cut) = (Instant::now(), self.cut);
        self.fresh.push_back(Attempt { seq, attempts: 0, body: Some(body), encoded, cut });
    }

    async fn ended(&mut self, ended: Ended) -> Result<(), Exit> {
        let Ended { seq, attempts, body, outcome, took } = ended;
        let (status, told) = match &outcome {
            Outcome::Answered(answered) => (Some(answered.status), format!("answered {}", answered.status)),
            Outcome::Unsent(unsent) => (None, unsent.to_string()),
            Outcome::Forbidden => return Err(Exit::Disabled(FORBIDDEN.to_owned())),
            Outcome::Failed(failure) => {
                tracing::warn!(%failure, webhook = %self.webhook.id, "a delivery could not be prepared");
                return Err(Exit::Again);
            }
        };
        let success = status.is_some_and(|status| (200..300).contains(&status));
        let now = self.inner.now();
        self.log(Attempted {
            number: self.attempt,
            seq,
            attempt: attempts + 1,
            time: now,
            took_ms: took.as_millis() as u64,
            outcome: told.chars().take(OUTCOME_CHARS_MAX).collect(),
            success,
        });
        self.breaker.end(!success, Instant::now());
        if success {
            self.failing_since = None;
            self.outstanding.remove(&seq);
            if self.waiting.remove(&seq).is_some() {
                self.delivered.push(seq);
            }
            self.settle_within(SETTLE_SOON);
            return Ok(());
        }
        if status == Some(410) {
            return Err(Exit::Disabled("the endpoint answered 410: it is gone".to_owned()));
        }
        let since = *self.failing_since.get_or_insert(now);
        if now.0 - since.0 > self.inner.options.disable_after.as_micros() as i64 {
            return Err(Exit::Disabled("nothing but failure for too long".to_owned()));
        }
        let retry_after = match outcome {
            Outcome::Answered(answered) => {
                answered.retry_after.map_or(0, |after| after.seconds(now)).min(RETRY_AFTER_SECONDS_MAX)
            }
            Outcome::Unsent(_) | Outcome::Forbidden | Outcome::Failed(_) => 0,
        };
        self.park(seq, attempts + 1, told, body, Duration::from_secs(retry_after)).await
    }

    fn log(&mut self, attempted: Attempted) {
        self.attempt += 1;
        if self.attempts.len() as u64 >= ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(attempted.clone());
        self.view.log(attempted);
    }

    /// To be tried again, or given up.
    async fn park(
        &mut self,
        seq: Seq,
        attempts: u32,
        error: String,
        body: Arc<[u8]>,
        least: Duration,
    ) -> Result<(), Exit> {
        let wait = self.inner.options.schedule.wait(attempts, spread());
        let due = wait.map(|wait| Timestamp(self.inner.now().0 + wait.max(least).as_micros() as i64));
        self.outstanding.remove(&seq);
        match due {
            Some(due) => {
                self.waiting.insert(seq, Waiting { due, attempts, under_way: false });
            }
            None => {
                tracing::warn!(webhook = %self.webhook.id, seq = seq.0, %error, "a delivery was given up");
                self.waiting.remove(&seq);
                self.make_room().await?;
            }
        }
        self.parked.push(Parked { seq, attempts, due, error, body });
        // At once: the position may move past it only with this.
        self.settle().await
    }

    /// Dead letters are bounded: the oldest goes.
    async fn make_room(&mut self) -> Result<(), Exit> {
        let (store, id) = (self.inner.delivery.engine().store(), self.webhook.id.clone());
        let (_, dead) = store.parked_counts(id.clone()).await.map_err(|_| Exit::Again)?;
        if dead < self.inner.options.dead_letters_max {
            return Ok(());
        }
        for oldest in store.parked(id, true, Seq(0), 1).await.map_err(|_| Exit::Again)? {
            tracing::warn!(webhook = %self.webhook.id, seq = oldest.seq.0, "the oldest dead letter makes room");
            self.delivered.push(oldest.seq);
        }
        Ok(())
    }

    fn settle_within(&mut self, wait: Duration) {
        let at = Instant::now() + wait;
        self.settle_at = Some(self.settle_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Keeps what has happened.
    async fn settle(&mut self) -> Result<(), Exit> {
        self.settle_at = None;
        let position = self.outstanding.first().map_or(self.handed, |first| Seq(first.0.saturating_sub(1)));
        let settled = Settled {
            id: self.webhook.id.clone(),
            position,
            failing_since: self.failing_since,
            parked: self.parked.clone(),
            delivered: self.delivered.clone(),
            attempts: self.attempts.clone(),
        };
        match self.inner.ledger.settle(settled).await {
            Ok(true) => {
                self.parked.clear();
                self.delivered.clear();
                self.attempts.clear();
                Ok(())
            }
            Ok(false) => Err(Exit::Stopped),
            Err(failure) => {
                tracing::warn!(%failure, webhook = %self.webhook.id, "the position of a webhook could not be kept");
                self.settle_within(SETTLE_AGAIN);
                Ok(())
            }
        }
    }
}

/// What follows in the log, each event encoded under the lock that a removal of rights needs; none for
/// one that the endpoint did not ask for. Nothing is lost where this is dropped: once something has
/// been shown it does not wait any more.
async fn next(
    follower: &mut Follower,
    ring: &Ring,
    inner: &Inner,
    webhook: &Webhook,
) -> (Vec<(Seq, Option<Arc<[u8]>>)>, Followed) {
    loop {
        ring.reset();
        let (mut shown, mut bytes) = (Vec::new(), 0);
        let show = |entry: &Arc<Entry>| {
            if shown.len() == SHOWN_MAX || bytes >= SHOWN_BYTES_MAX {
                return false;
            }
            let (seq, name) = (entry.event.seq, entry.event.kind.name());
            let wanted = webhook.types.is_empty() || webhook.types.iter().any(|wanted| wanted == name);
            let body = wanted.then(|| encode(inner, webhook, seq, |place| event::body(place, &entry.event)));
            bytes += body.as_ref().map_or(0, |body| body.len());
            shown.push((seq, body));
            true
        };
        match follower.advance(show).await {
            Followed::CaughtUp => ring.rung().await,
            followed => return (shown, followed),
        }
    }
}

fn encode(inner: &Inner, webhook: &Webhook, seq: Seq, body: impl Fn(&Place<'_>) -> String) -> Arc<[u8]> {
    let at = Position { node: webhook.node, seq };
    let id = event_id(inner.delivery.engine().identity().incarnation, at);
    let cursor = inner.delivery.cursors().encode(at);
    Arc::from(body(&Place { address: &webhook.address, id: &id, cursor: &cursor, at }).into_bytes())
}

impl Attempt {
    async fn make(self, inner: &Inner, webhook: &Webhook, pool: &Pool) -> Ended {
        let began = Instant::now();
        let Attempt { seq, attempts, body, encoded, cut } = self;
        let ended = |body: Option<Arc<[u8]>>, outcome| {
            let body = body.unwrap_or_else(|| Arc::from(&[][..]));
            Ended { seq, attempts, body, outcome, took: began.elapsed() }
        };
        // What was encoded a moment ago was encoded with a right to read it.
        let cut_since = *inner.cuts.borrow() != cut;
        if attempts > 0 || body.is_none() || encoded.elapsed() > RIGHT_HOLDS || cut_since {
            match inner.may_read(webhook).await {
                Ok(true) => {}
                Ok(false) => return ended(body, Outcome::Forbidden),
                Err(failure) => return ended(body, Outcome::Failed(failure)),
            }
        }
        let body = match body {
            Some(body) => body,
            None => match inner.parked_body(webhook, seq).await {
                Ok(Some(body)) => body,
                Ok(None) => return ended(None, Outcome::Failed(Failure::NoSuchEdge)),
                Err(failure) => return ended(None, Outcome::Failed(failure)),
            },
        };
        let at = Position { node: webhook.node, seq };
        let id = event_id(inner.delivery.engine().identity().incarnation, at);
        let timestamp = inner.now().seconds();
        let outgoing = Outgoing {
            id: &id,
            timestamp,
            signature: &inner.signer.signatures(&webhook.key, &id, timestamp, &body),
            content_type: "application/cloudevents+json",
            body: Bytes::copy_from_slice(&body),
        };
        let outcome = match inner.client.send(&webhook.url, pool, &outgoing).await {
            Ok(answered) => Outcome::Answered(answered),
            Err(unsent) => Outcome::Unsent(unsent),
        };
        ended(Some(body), outcome)
    }
}

/// From 0 to 1.
fn spread() -> f64 {
    // Without random bytes, all come at the middle.
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

const FORBIDDEN: &str = "its owner may not read the node any more";
const NO_ACCOUNT: &str = "its owner has no account any more";
const NO_NODE: &str = "the node was deleted";
/// What is kept of what became of an attempt.
const OUTCOME_CHARS_MAX: usize = 200;
/// Events taken from the log at once, and no more once they have so many bytes.
const SHOWN_MAX: usize = 64;
const SHOWN_BYTES_MAX: usize = 64 << 10;
/// Deliveries of that time may be sent again after a crash.
const SETTLE_SOON: Duration = Duration::from_millis(100);
/// Where nothing was delivered, only the position has moved.
const SETTLE_LATER: Duration = Duration::from_secs(1);
/// After the storage has failed.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);
const RETRY_AFTER_SECONDS_MAX: u64 = 24 * 3600;
/// For how long an event that was encoded may wait before its owner's right is asked for again.
const RIGHT_HOLDS: Duration = Duration::from_secs(1);
