//! The loop: take what has queued up, decide it, commit it, tell, answer.
//!
//! While one turn is being committed, the next is decided. It may not touch a node of the one under
//! way: a request that does waits, with all that came after it, until that commit has ended. So a turn
//! never stands on anything that is not committed, and one that fails takes no other with it.

mod tend;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::due::Due;
use super::names::Names;
use super::overlay::{Asks, Overlay};
use super::read::fetch;
use super::tail::Tail;
use super::{Answer, Answered, Before, Committed, Job, Once, Position, Shared, Sink, Wrong, address_of};
use crate::jid::BareJid;
use crate::payload::WORDS;
use crate::pubsub::{
    Caller, Change, Decision, Event, EventKind, Given, Node, NodeAddress, NodeKey, Reply, Request, Role, Seq,
    ServicePolicy, Verb, decide, named,
};
use crate::store::{Ask, Failure, Found, Memo, MemoKey};
use crate::time::Timestamp;

/// The turns of an engine, to be run by one task.
pub struct Turns {
    jobs: mpsc::Receiver<Job>,
    pub(super) shared: Arc<Shared>,
    cache: Cache,
    /// Requests that a turn could not reach; they go first in the next.
    pub(super) waiting: VecDeque<Asked>,
    node_keys: Range<i64>,
    names: Names,
    policies: HashMap<BareJid, Arc<ServicePolicy>>,
    /// Bytes logged since the size of the log was last looked at.
    logged: HashMap<NodeAddress, u64>,
    pub(super) due: Due,
}

pub(super) struct Asked {
    request: Request,
    /// Whether somebody asked, or the service itself.
    by_somebody: bool,
    address: Option<NodeAddress>,
    /// Under which key it is to happen once.
    once: Option<(MemoKey, [u8; 32])>,
    reply: oneshot::Sender<Result<Answered, Wrong>>,
    /// How often it was decided in vain, because another writer was faster.
    tries: u8,
}

/// What has been decided and is to be committed as one.
#[derive(Default)]
struct Turn {
    decided: Vec<Decided>,
    overlay: Overlay,
}

/// A turn that is being committed.
struct Flight {
    turn: Turn,
    commit: Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>,
}

/// Nodes whose tails somebody wants.
type TailsAsked = (Vec<Arc<Node>>, oneshot::Sender<Result<Vec<Option<Arc<Tail>>>, Failure>>);

/// A request that has been decided, and what is owed to whom once the turn is committed.
struct Decided {
    asked: Asked,
    outcome: Outcome,
}

enum Outcome {
    /// To be committed.
    Write { reply: Reply, written: Vec<Written> },
    /// Nothing changes.
    Answer(Result<Reply, Wrong>, Option<Position>),
    /// Its key was used before.
    Once(Before, Option<Position>),
}

/// What a decision made of a node; of the addressed one first.
struct Written {
    node: Arc<Node>,
    changes: Vec<Change>,
    events: Vec<Event>,
}

impl Asked {
    fn new(request: Request, once: Option<Once>, reply: oneshot::Sender<Result<Answered, Wrong>>) -> Self {
        let address = address_of(&request);
        let once = once.zip(address.clone()).map(|(once, address)| {
            let caller = request.caller.jid.bare().clone();
            (MemoKey { caller, address, key: once.key }, once.fingerprint)
        });
        Asked { request, by_somebody: true, address, once, reply, tries: 0 }
    }

    /// What the service asks by itself, as an administrator of its own.
    pub(super) fn by_service(address: NodeAddress, verb: Verb) -> (Self, oneshot::Receiver<Result<Answered, Wrong>>) {
        let caller = Caller { jid: address.service.clone().into(), role: Role::Admin };
        let request = Request { caller, service: address.service.clone(), verb };
        let (reply, answer) = oneshot::channel();
        (Asked { request, by_somebody: false, address: Some(address), once: None, reply, tries: 0 }, answer)
    }
}

impl Turns {
    pub(super) fn new(jobs: mpsc::Receiver<Job>, shared: Arc<Shared>) -> Self {
        let cache = Cache::new(shared.options.cached_facts_max);
        Turns {
            jobs,
            shared,
            cache,
            waiting: VecDeque::new(),
            node_keys: 0..0,
            names: Names::default(),
            policies: HashMap::new(),
            logged: HashMap::new(),
            due: Due::default(),
        }
    }

    /// Runs until `stop`; what was asked before is still answered.
    pub async fn run(mut self, sink: Arc<dyn Sink>, stop: CancellationToken) {
        let mut tending = tokio::time::interval(TENDING_INTERVAL);
        tending.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tending.reset();
        let mut stopping = false;
        // Whether more may come, and whether old logs are to be looked at.
        let (mut open, mut due) = (true, false);
        let mut flight: Option<Flight> = None;
        let mut next = Turn::default();
        let mut tails: Vec<TailsAsked> = Vec::new();
        let mut jobs = Vec::new();
        loop {
            if flight.is_none() {
                for (nodes, reply) in tails.drain(..) {
                    let _ = reply.send(self.tails(nodes).await);
                }
                if !next.decided.is_empty() {
                    flight = self.launch(std::mem::take(&mut next));
                    continue;
                }
                if std::mem::take(&mut due) {
                    self.tend(&*sink).await;
                }
                if !self.waiting.is_empty() {
                    let waiting = self.waiting.drain(..).collect();
                    self.decide_into(&mut next, waiting).await;
                    continue;
                }
                if !open && tails.is_empty() {
                    return;
                }
            }
            let max = self.shared.options.turn_requests_max;
            // Those that wait go first, and whoever asks for tails wants those after the commit.
            let taking = open && self.waiting.is_empty() && tails.is_empty() && !due && next.decided.len() < max;
            tokio::select! {
                biased;
                outcome = landing(&mut flight) => {
                    if let Some(Flight { turn, .. }) = flight.take() {
                        self.land(turn, outcome, &*sink);
                    }
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.jobs.close();
                }
                taken = self.jobs.recv_many(&mut jobs, max.saturating_sub(next.decided.len())), if taking => {
                    open = taken > 0;
                    let asked = sort(&mut jobs, &mut tails, &mut self.cache);
                    let asked = self.free(asked, flight.as_ref());
                    self.decide_into(&mut next, asked).await;
                }
                () = self.due.come(&*self.shared.clock), if open => self.expire().await,
                _ = tending.tick(), if !due => due = true,
            }
        }
    }

    /// Those that need not wait for the flight: up to the first that touches a node of it.
    fn free(&mut self, mut asked: Vec<Asked>, flight: Option<&Flight>) -> Vec<Asked> {
        if let Some(Flight { turn, .. }) = flight {
            let touches = |asked: &Asked| {
                named(&asked.request).is_some() || asked.address.as_ref().is_some_and(|at| turn.overlay.touches(at))
            };
            let free = asked.iter().position(touches).unwrap_or(asked.len());
            self.waiting.extend(asked.drain(free..));
        }
        asked
    }

    /// Decides these and adds them to a turn.
    async fn decide_into(&mut self, turn: &mut Turn, mut asked: Vec<Asked>) {
        // What changes the graph of collections stands on nothing that is not committed: it begins a turn.
        let begins = usize::from(turn.decided.is_empty());
        let other = asked.iter().skip(begins).position(|asked| named(&asked.request).is_some());
        if let Some(at) = other {
            let later = asked.split_off(at + begins);
            later.into_iter().rev().for_each(|asked| self.waiting.push_front(asked));
        }
        if asked.is_empty() {
            return;
        }
        turn.overlay.forget_rosters();
        if let Err(failure) = self.read_graph(&asked[0], turn).await {
            return refuse_all(asked, &failure);
        }
        match self.prepare(&asked, &mut turn.overlay).await {
            Ok(()) => {
                let now = self.shared.clock.now();
                self.decide_all(asked, turn, now);
            }
            Err(failure) => refuse_all(asked, &failure),
        }
    }

    /// Reads what the first request of a turn must know of the graph, if it must know anything of it.
    async fn read_graph(&mut self, first: &Asked, turn: &mut Turn) -> Result<(), Failure> {
        let Some(named) = named(&first.request).filter(|_| turn.decided.is_empty()) else { return Ok(()) };
        let caller = first.request.caller.jid.bare().clone();
        // An instant node has no name yet.
        let address = first.address.as_ref().map(|address| address.node.clone());
        let service = first.request.service.clone();
        turn.overlay.learn_graph(self.shared.store.read_graph(service, address, named, caller).await?);
        Ok(())
    }

    /// Begins the commit of a turn; answers at once where there is nothing to commit.
    fn launch(&mut self, turn: Turn) -> Option<Flight> {
        self.cache.end_turn();
        if turn.overlay.is_empty() {
            self.answer(turn.decided);
            return None;
        }
        let (store, batch) = (self.shared.store.clone(), turn.overlay.commits().to_vec());
        Some(Flight { turn, commit: Box::pin(async move { store.commit(batch).await }) })
    }

    /// A commit has ended.
    fn land(&mut self, turn: Turn, outcome: Result<(), Failure>, sink: &dyn Sink) {
        let Turn { decided, overlay } = turn;
        let again = match outcome {
            Ok(()) => {
                self.count_logged(overlay.commits());
                let now = self.shared.clock.now();
                overlay.commits().iter().for_each(|commit| self.due.note(commit, now));
                overlay.merge(&mut self.cache);
                self.tell(&decided, sink);
                return self.answer(decided);
            }
            Err(Failure::Stale) => {
                overlay.addresses().for_each(|address| self.cache.forget(address));
                retry(decided)
            }
            Err(failure) => {
                overlay.addresses().for_each(|address| self.cache.forget(address));
                refuse_writes(decided, &failure)
            }
        };
        again.into_iter().rev().for_each(|asked| self.waiting.push_front(asked));
    }

    /// Gathers what the requests need, as far as that can be known before any of them is decided.
    async fn prepare(&mut self, asked: &[Asked], overlay: &mut Overlay) -> Result<(), Failure> {
        if self.node_keys.is_empty()
            || (self.node_keys.end - self.node_keys.start) < NODES_MADE_MAX * asked.len() as i64
        {
            self.node_keys = self.shared.store.reserve_node_keys(NODE_KEYS_RESERVED).await?;
        }
        for _ in 0..GATHERINGS_MAX {
            let mut asks: Asks = Vec::new();
            for asked in asked {
                let policy = policy(&mut self.policies, &self.shared, &asked.request.service);
                let address = asked.address.as_ref();
                if let Err(missing) = overlay.facts(&mut self.cache, &asked.request, address, &policy) {
                    asks.extend(missing);
                }
                if let (Some(address), Some((key, _))) = (address, &asked.once)
                    && overlay.memo(key).is_none()
                {
                    asks.push((address.clone(), Ask::Memo(key.clone())));
                }
            }
            if asks.is_empty() {
                return Ok(());
            }
            let found = self.shared.store.gather(asks.iter().map(|(_, ask)| ask.clone()).collect()).await?;
            for ((address, ask), found) in asks.into_iter().zip(found) {
                match (ask, found) {
                    (Ask::Item(node, item), Found::Item(fact)) => overlay.learn_item(node, item, fact),
                    (Ask::Payload(node, item), Found::Payload(payload)) => overlay.learn_payload(node, item, payload),
                    (Ask::Owners(node, _), Found::Owners(owners)) => overlay.learn_owners(node, owners),
                    (Ask::Waiting(node, _), Found::Waiting(waiting)) => overlay.learn_waiting(node, waiting),
                    (Ask::Contact(owner, contact), Found::Contact(fact)) => {
                        overlay.learn_contact(owner, contact, fact);
                    }
                    (Ask::Memo(key), Found::Memo(memo, of_caller)) => overlay.learn_memo(key, memo, of_caller),
                    (ask, found) => self.cache.learn(&address, ask, found),
                }
            }
        }
        Ok(())
    }

    /// Decides in order, each request upon what the ones before it decided. One whose facts this
    /// turn has made insufficient waits, with all that follow it, for the next turn.
    fn decide_all(&mut self, asked: Vec<Asked>, turn: &mut Turn, now: Timestamp) {
        let mut asked = asked.into_iter();
        while let Some(next) = asked.next() {
            let policy = policy(&mut self.policies, &self.shared, &next.request.service);
            match turn.overlay.facts(&mut self.cache, &next.request, next.address.as_ref(), &policy) {
                Ok(facts) => {
                    let outcome = self.decide_one(&next, &facts, &mut turn.overlay, now);
                    turn.decided.push(Decided { asked: next, outcome });
                }
                Err(_) if turn.decided.is_empty() => {
                    // Its facts were gathered and are gone again: the cache is smaller than one request.
                    let _ = next.reply.send(Err(Wrong::Overloaded));
                }
                Err(_) => {
                    let rest = std::iter::once(next).chain(asked).collect::<Vec<_>>();
                    rest.into_iter().rev().for_each(|asked| self.waiting.push_front(asked));
                    return;
                }
            }
        }
    }

    fn decide_one(
        &mut self,
        asked: &Asked,
        facts: &crate::pubsub::Facts,
        overlay: &mut Overlay,
        now: Timestamp,
    ) -> Outcome {
        if let Some(outcome) = self.remembered(asked, overlay, now) {
            return outcome;
        }
        let names = &mut self.names;
        let mut fresh_id = || names.next(now);
        let key = self.node_keys.start;
        let mut given =
            Given { now, node_key: NodeKey(key), kept_key: NodeKey(key + 1), words: &WORDS, fresh_id: &mut fresh_id };
        if let (Verb::Watch { .. }, Some(node)) = (&asked.request.verb, facts.node.present()) {
            // Before the right is known: a roster that changes from now on puts it in doubt.
            self.shared.tails.note_rosters(node.key, &facts.rosters_of);
        }
        let decision = match decide(asked.request.clone(), facts, &mut given) {
            Ok(decision) => decision,
            Err(refusal) => {
                self.shared.counters.refusals.fetch_add(1, Ordering::Relaxed);
                return Outcome::Answer(Err(Wrong::Refused(refusal)), None);
            }
        };
        let Some(mut node) = decision.node.clone() else {
            let at = facts.node.present().map(|node| Position { node: node.key, seq: node.last_seq });
            return Outcome::Answer(Ok(decision.reply), at);
        };
        let created = matches!(decision.changes.first(), Some(Change::CreateNode));
        if created || decision.shares.iter().any(|share| share.before.is_none()) {
            self.node_keys.start += NODES_MADE_MAX;
        }
        if let Some(floor) = self.shared.options.retention.floor_by_count(&node) {
            node.floor_seq = floor;
        }
        let before = facts.node.present().filter(|_| !created).map(|node| &**node);
        overlay.take(&mut self.cache, &node, before, (&decision.changes, &decision.events), now);
        let mut shares = decision.shares.clone();
        for share in &mut shares {
            if let Some(floor) = self.shared.options.retention.floor_by_count(&share.node) {
                share.node.floor_seq = floor;
            }
            overlay.take(&mut self.cache, &share.node, share.before.as_deref(), (&share.changes, &share.events), now);
        }
        if let (Some((key, fingerprint)), Reply::Published { items, created }) = (&asked.once, &decision.reply) {
            overlay.remember(Memo {
                key: key.clone(),
                fingerprint: *fingerprint,
                node: node.key,
                created: *created,
                items: items.clone(),
                expires: now.plus_seconds(self.shared.options.memo_seconds),
            });
        }
        let Decision { reply, changes, events, .. } = decision;
        let shares = shares.into_iter().map(|share| Written {
            node: Arc::new(share.node),
            changes: share.changes,
            events: share.events,
        });
        let mut written = vec![Written { node: Arc::new(node), changes, events }];
        written.extend(shares);
        Outcome::Write { reply, written }
    }

    /// What to answer without deciding anything: the request was answered before, or its key cannot be
    /// used.
    fn remembered(&self, asked: &Asked, overlay: &Overlay, now: Timestamp) -> Option<Outcome> {
        let (key, fingerprint) = asked.once.as_ref()?;
        match overlay.memo(key) {
            // Gathered for every request of the turn: it is missing where a gathering was cut short.
            None => Some(Outcome::Answer(Err(Wrong::Overloaded), None)),
            Some((Some(memo), _)) if memo.expires > now => {
                if memo.fingerprint != *fingerprint {
                    return Some(Outcome::Once(Before::Reused, None));
                }
                let last = memo.items.last().map_or(Seq(0), |item| item.seq);
                let reply = Reply::Published { items: memo.items.clone(), created: memo.created };
                let at = Position { node: memo.node, seq: last };
                Some(Outcome::Once(Before::Done(reply), Some(at)))
            }
            Some((_, of_caller)) if of_caller >= self.shared.options.memos_per_caller_max => {
                Some(Outcome::Once(Before::Exhausted, None))
            }
            Some(_) => None,
        }
    }

    /// Lengthens the tails, all of them before anyone is told of anything.
    fn tell(&self, decided: &[Decided], sink: &dyn Sink) {
        let mut grown: Vec<Arc<Tail>> = Vec::new();
        let writes = || {
            decided.iter().flat_map(|decided| {
                let written = match &decided.outcome {
                    Outcome::Write { written, .. } => written.as_slice(),
                    Outcome::Answer(..) | Outcome::Once(..) => &[],
                };
                written.iter().map(move |Written { node, changes, events }| (decided, node, changes, events))
            })
        };
        for (_, node, changes, events) in writes() {
            if changes_readers(changes, events) {
                self.shared.tails.doubt_kept(&node.address);
            }
            if let Some(tail) = self.shared.tails.of(node.key)
                && self.shared.tails.append(&tail, node, changes, events)
            {
                grown.push(tail);
            }
        }
        for (decided, node, changes, events) in writes() {
            let by = decided.asked.by_somebody.then(|| decided.asked.request.caller.jid.bare());
            let before = events.first().map_or(node.last_seq, |first| Seq(first.seq.0 - 1));
            sink.committed(&Committed { node, changes, events, before, by, tails: &self.shared.tails });
        }
        if !grown.is_empty() {
            sink.grown(grown);
        }
    }

    fn answer(&self, decided: Vec<Decided>) {
        for Decided { asked, outcome } in decided {
            match outcome {
                Outcome::Write { reply, written } => {
                    let at =
                        written.first().map(|Written { node, .. }| Position { node: node.key, seq: node.last_seq });
                    let _ = asked.reply.send(Ok(Answered { answer: Answer::Reply(reply), at }));
                }
                Outcome::Answer(Ok(Reply::Read(read)), at) => {
                    if !asked.reply.is_closed() {
                        let store = self.shared.store.clone();
                        tokio::spawn(async move {
                            let read = fetch(&*store, read).await;
                            let answered = read.map(|answer| Answered { answer, at }).map_err(Wrong::Failed);
                            let _ = asked.reply.send(answered);
                        });
                    }
                }
                Outcome::Answer(Ok(reply), at) => {
                    let _ = asked.reply.send(Ok(Answered { answer: Answer::Reply(reply), at }));
                }
                Outcome::Answer(Err(wrong), _) => {
                    let _ = asked.reply.send(Err(wrong));
                }
                Outcome::Once(before, at) => {
                    let _ = asked.reply.send(Ok(Answered { answer: Answer::Once(before), at }));
                }
            }
        }
    }

    /// The tails of nodes that somebody wants to watch.
    async fn tails(&mut self, nodes: Vec<Arc<Node>>) -> Result<Vec<Option<Arc<Tail>>>, Failure> {
        let unknown: Vec<NodeAddress> = nodes
            .iter()
            .filter(|node| self.shared.tails.of(node.key).is_none() && self.cache.of(&node.address).is_none())
            .map(|node| node.address.clone())
            .collect();
        if !unknown.is_empty() {
            let asks: Vec<Ask> = unknown.iter().cloned().map(Ask::Node).collect();
            let found = self.shared.store.gather(asks.clone()).await?;
            for ((address, ask), found) in unknown.iter().zip(asks).zip(found) {
                self.cache.learn(address, ask, found);
            }
        }
        let tails = nodes
            .iter()
            .map(|node| {
                self.shared.tails.of(node.key).or_else(|| {
                    let now = self.cache.of(&node.address)?.state.present()?;
                    (now.key == node.key).then(|| self.shared.tails.watch(now))
                })
            })
            .collect();
        Ok(tails)
    }
}

fn policy(
    policies: &mut HashMap<BareJid, Arc<ServicePolicy>>,
    shared: &Shared,
    service: &BareJid,
) -> Arc<ServicePolicy> {
    if let Some(known) = policies.get(service) {
        return known.clone();
    }
    if policies.len() >= POLICIES_MAX {
        policies.clear();
    }
    let made = Arc::new(shared.options.policy(service.clone()));
    policies.insert(service.clone(), made.clone());
    made
}

/// Requests among what was taken from the queue; who asks for tails is put aside.
fn sort(jobs: &mut Vec<Job>, tails: &mut Vec<TailsAsked>, cache: &mut Cache) -> Vec<Asked> {
    let mut asked = Vec::with_capacity(jobs.len());
    for job in jobs.drain(..) {
        match job {
            Job::Ask { request, once, reply } => asked.push(Asked::new(*request, once, reply)),
            Job::Tails { nodes, reply } => tails.push((nodes, reply)),
            Job::Forget(reply) => {
                cache.forget_all();
                let _ = reply.send(());
            }
        }
    }
    asked
}

/// Whether others may read after this than before.
fn changes_readers(changes: &[Change], events: &[Event]) -> bool {
    changes.iter().any(|change| matches!(change, Change::SetAffiliation { .. } | Change::SetSubscription { .. }))
        || events.iter().any(|event| matches!(event.kind, EventKind::Configured { .. }))
}

/// The outcome of the commit under way; never, where there is none.
async fn landing(flight: &mut Option<Flight>) -> Result<(), Failure> {
    match flight {
        Some(flight) => flight.commit.as_mut().await,
        None => std::future::pending().await,
    }
}

fn refuse_all(asked: Vec<Asked>, failure: &Failure) {
    for asked in asked {
        let _ = asked.reply.send(Err(Wrong::Failed(failure.clone())));
    }
}

/// The requests of a turn that another writer has outrun, to be decided again; refused are those that
/// this happened to too often.
fn retry(decided: Vec<Decided>) -> Vec<Asked> {
    let (again, given_up): (Vec<Asked>, Vec<Asked>) = decided
        .into_iter()
        .map(|decided| Asked { tries: decided.asked.tries + 1, ..decided.asked })
        .partition(|asked| asked.tries < STALE_RETRIES_MAX);
    refuse_all(given_up, &Failure::Stale);
    again
}

/// Answers those who wanted something written, and gives back the others: what they were told may
/// have stood on what was not written.
fn refuse_writes(decided: Vec<Decided>, failure: &Failure) -> Vec<Asked> {
    tracing::error!(%failure, "a commit failed");
    let mut others = Vec::new();
    for Decided { asked, outcome } in decided {
        match outcome {
            Outcome::Write { .. } => drop(asked.reply.send(Err(Wrong::Failed(failure.clone())))),
            Outcome::Answer(..) | Outcome::Once(..) => others.push(asked),
        }
    }
    others
}

/// Node keys taken from the store at once; those that a restart leaves unused are lost.
const NODE_KEYS_RESERVED: u32 = 1024;
/// How often a turn is decided anew because another instance was faster.
const STALE_RETRIES_MAX: u8 = 4;
/// First the nodes, then what depends on them, then items and the oldest of them, then what is kept of these.
const GATHERINGS_MAX: usize = 8;
/// Nodes that one request may make: its own, and one that the service begins to keep with it.
const NODES_MADE_MAX: i64 = 2;
const POLICIES_MAX: usize = 4096;
const TENDING_INTERVAL: Duration = Duration::from_secs(30);
