//! The recent events of a node, in memory, shared by all its watchers.
//!
//! A tail exists while somebody watches the node. It is lengthened only by the turn, after the
//! commit, under the lock under which watchers encode: once a turn has answered, nobody encodes
//! anything that the turn's changes forbid.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use bytes::Bytes;

use crate::jid::BareJid;
use crate::pubsub::{Change, Event, EventKind, Node, NodeAddress, NodeConfig, NodeKey, Seq, doubts, root};

/// One event as watchers share it.
pub struct Entry {
    pub key: NodeKey,
    pub address: Arc<NodeAddress>,
    pub event: Event,
    /// The configuration under which it was committed, which says how it is shown.
    pub config: Arc<NodeConfig>,
    /// It is told after its time, as the last item of a node that somebody comes to watch.
    pub late: bool,
    /// The XMPP body, made by the first who needs it.
    pub xmpp: OnceLock<Bytes>,
    /// The same with a readable body beside the payload.
    pub xmpp_readable: OnceLock<Bytes>,
    /// The HTTP form, made by the first who needs it.
    pub http: OnceLock<Bytes>,
}

impl Entry {
    pub fn new(key: NodeKey, address: Arc<NodeAddress>, event: Event, config: Arc<NodeConfig>) -> Self {
        Entry {
            key,
            address,
            event,
            config,
            late: false,
            xmpp: OnceLock::new(),
            xmpp_readable: OnceLock::new(),
            http: OnceLock::new(),
        }
    }

    /// One that is told after its time.
    pub fn late(key: NodeKey, address: Arc<NodeAddress>, event: Event, config: Arc<NodeConfig>) -> Self {
        Entry { late: true, ..Entry::new(key, address, event, config) }
    }

    /// What the entry costs in memory, with both forms made.
    pub fn weight(&self) -> usize {
        let payload = match &self.event.kind {
            EventKind::Published { payload: Some(payload), .. } => payload.xml.len(),
            _ => 0,
        };
        ENTRY_BYTES + 3 * payload
    }
}

/// Whoever wants to be told that a tail has grown. A hint: it may come twice, or for nothing.
pub trait Wake: Send + Sync + 'static {
    fn wake(&self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatcherId(u64);

/// A node's tail. Positions are seqs: a watcher at `p` has seen everything up to `p`.
pub struct Tail {
    key: NodeKey,
    address: Arc<NodeAddress>,
    state: RwLock<State>,
    watchers: Mutex<HashMap<u64, Arc<dyn Wake>>>,
    /// Those who may not read, and want to know when that may have changed.
    kept_out: Mutex<HashMap<u64, Arc<dyn Wake>>>,
    next_watcher: AtomicU64,
    /// Set while the tail stands in a list of grown tails that nobody has worked off yet.
    announced: AtomicBool,
    total: Arc<AtomicUsize>,
}

struct State {
    /// Consecutive, up to `head`.
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    head: Seq,
    config: Arc<NodeConfig>,
    /// Grows with every change that can give or take somebody's right to read.
    access: u64,
    /// Where the log stood when each of the last access versions began, the oldest first.
    begun: VecDeque<(u64, Seq)>,
    ended: bool,
}

/// What is there for a watcher.
pub enum Pull<'a> {
    /// These follow its position, oldest first; not empty.
    Entries(std::collections::vec_deque::Iter<'a, Arc<Entry>>),
    /// Nothing follows yet.
    CaughtUp,
    /// Nothing will ever follow: the node was deleted, and its last event was handed out.
    Ended,
    /// The tail does not reach back to its position: read the log.
    Below,
    /// The right to read must be asked for again; the access version to remember if it holds.
    Ask { access: u64 },
}

impl Tail {
    pub fn key(&self) -> NodeKey {
        self.key
    }

    pub fn address(&self) -> &Arc<NodeAddress> {
        &self.address
    }

    pub fn head(&self) -> Seq {
        self.read().head
    }

    pub fn access(&self) -> u64 {
        self.read().access
    }

    pub fn config(&self) -> Arc<NodeConfig> {
        self.read().config.clone()
    }

    /// Shows a watcher what follows its position, under the lock that a commit needs before it is
    /// answered. `checked` is the access version for which the watcher's right is known to hold.
    /// `show` must be quick and must not wait.
    pub fn pull<T>(&self, position: Seq, checked: Option<u64>, show: impl FnOnce(Pull<'_>) -> T) -> T {
        let state = self.read();
        if checked != Some(state.access) {
            return show(Pull::Ask { access: state.access });
        }
        if position >= state.head {
            return show(if state.ended { Pull::Ended } else { Pull::CaughtUp });
        }
        let first = state.head.0 - state.entries.len() as u64;
        if position.0 < first {
            return show(Pull::Below);
        }
        let skip = usize::try_from(position.0 - first).unwrap_or(usize::MAX);
        show(Pull::Entries(state.entries.range(skip..)))
    }

    /// Runs something under the same lock, if the access version still is the one given: entries
    /// that were read from the log are shown by this.
    pub fn while_allowed<T>(&self, checked: Option<u64>, show: impl FnOnce() -> T) -> Option<T> {
        let state = self.read();
        (checked == Some(state.access)).then(show)
    }

    /// The event of the node's deletion, once it has happened.
    pub fn last_words(&self) -> Option<Arc<Entry>> {
        let state = self.read();
        state.entries.back().filter(|_| state.ended).cloned()
    }

    pub fn add_watcher(&self, wake: Arc<dyn Wake>) -> WatcherId {
        let id = self.next_watcher.fetch_add(1, Ordering::Relaxed);
        self.watchers().insert(id, wake);
        WatcherId(id)
    }

    pub fn remove_watcher(&self, id: WatcherId) {
        self.watchers().remove(&id.0);
        self.kept_out().remove(&id.0);
    }

    /// A watcher that may not read under this access version is woken when another one begins, or the
    /// node ends, and by nothing else. `false` where that has happened already.
    pub fn keep_out(&self, id: WatcherId, access: u64) -> bool {
        let watcher = self.watchers().remove(&id.0);
        self.kept_out().extend(watcher.map(|wake| (id.0, wake)));
        let state = self.read();
        state.access == access && !state.ended
    }

    /// It may read again, and is woken as others are.
    pub fn let_in(&self, id: WatcherId) {
        let watcher = self.kept_out().remove(&id.0);
        self.watchers().extend(watcher.map(|wake| (id.0, wake)));
    }

    /// Where the log stood when the access version after this one began, as far as that is remembered.
    pub fn head_after(&self, access: u64) -> Seq {
        let state = self.read();
        state.begun.iter().find(|(version, _)| *version > access).map_or(state.head, |(_, head)| *head)
    }

    /// Wakes everyone. Growth that comes from now on announces the tail anew.
    pub fn wake_all(&self) {
        self.announced.store(false, Ordering::Release);
        for watcher in self.watchers().values() {
            watcher.wake();
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, HashMap<u64, Arc<dyn Wake>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_out(&self) -> MutexGuard<'_, HashMap<u64, Arc<dyn Wake>>> {
        self.kept_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_kept_out(&self) {
        self.kept_out().values().for_each(|watcher| watcher.wake());
    }

    /// Every watcher has to ask for its right again.
    fn doubt(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).doubt();
        self.wake_kept_out();
    }

    /// Takes in what one decision committed. Whether watchers should look.
    fn append(&self, node: &Node, changes: &[Change], entries: &[Arc<Entry>], bytes_max: usize) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.bytes;
        let doubt = doubts(&state.config, &node.config, changes);
        for change in changes {
            match change {
                Change::DeleteNode { .. } => {
                    state.erase_all();
                    state.ended = true;
                }
                Change::Purge => state.erase_all(),
                Change::RemoveItem { fact } => state.erase_chain(fact.seq),
                Change::CreateNode
                | Change::PutItem { .. }
                | Change::SetAffiliation { .. }
                | Change::SetSubscription { .. }
                | Change::Associate { .. }
                | Change::Dissociate { .. } => {}
            }
        }
        if doubt {
            state.doubt();
        }
        state.config = node.config.clone();
        for entry in entries {
            debug_assert_eq!(entry.event.seq, state.head.next(), "a tail is gapless");
            state.bytes += entry.weight();
            state.head = entry.event.seq;
            state.entries.push_back(entry.clone());
        }
        while state.bytes > bytes_max && state.entries.len() > 1 {
            if let Some(entry) = state.entries.pop_front() {
                state.bytes -= entry.weight();
            }
        }
        if state.bytes >= before {
            self.total.fetch_add(state.bytes - before, Ordering::Relaxed);
        } else {
            self.total.fetch_sub(before - state.bytes, Ordering::Relaxed);
        }
        let ended = state.ended;
        drop(state);
        if doubt || ended {
            self.wake_kept_out();
        }
        !entries.is_empty() && !self.announced.swap(true, Ordering::AcqRel)
    }
}

impl State {
    fn doubt(&mut self) {
        self.access += 1;
        if self.begun.len() == VERSIONS_REMEMBERED {
            self.begun.pop_front();
        }
        self.begun.push_back((self.access, self.head));
    }

    /// Erases what the log erased: the payload of this publication and of those it replaced.
    fn erase_chain(&mut self, seq: Seq) {
        let mut next = Some(seq);
        while let Some(entry) = next.and_then(|seq| self.index_of(seq)) {
            next = match &self.entries[entry].event.kind {
                EventKind::Published { replaces, .. } => *replaces,
                _ => None,
            };
            self.erase(entry);
        }
    }

    fn erase_all(&mut self) {
        for index in 0..self.entries.len() {
            self.erase(index);
        }
    }

    fn index_of(&self, seq: Seq) -> Option<usize> {
        let first = self.head.0 + 1 - self.entries.len() as u64;
        let index = usize::try_from(seq.0.checked_sub(first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }

    fn erase(&mut self, index: usize) {
        let old = &self.entries[index];
        let EventKind::Published { item, publisher, payload: Some(_), replaces } = &old.event.kind else { return };
        let kind = EventKind::Published {
            item: item.clone(),
            publisher: publisher.clone(),
            payload: None,
            replaces: *replaces,
        };
        let event = Event { seq: old.event.seq, time: old.event.time, kind };
        let erased = Arc::new(Entry::new(old.key, old.address.clone(), event, old.config.clone()));
        self.bytes = self.bytes - old.weight() + erased.weight();
        self.entries[index] = erased;
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let bytes = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).bytes;
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// All tails that somebody watches. Lengthened by the turn alone.
pub(super) struct Tails {
    by_key: Mutex<HashMap<NodeKey, Weak<Tail>>>,
    /// The same, by the accounts whose rosters say who may read.
    of_accounts: Mutex<HashMap<BareJid, Vec<Weak<Tail>>>>,
    /// Those of nodes that the service keeps, by what they are kept of.
    kept: Mutex<HashMap<NodeAddress, Vec<Weak<Tail>>>>,
    total: Arc<AtomicUsize>,
    tail_bytes_max: usize,
    total_bytes_max: usize,
}

impl Tails {
    pub fn new(tail_bytes_max: usize, total_bytes_max: usize) -> Self {
        Tails {
            by_key: Mutex::default(),
            of_accounts: Mutex::default(),
            kept: Mutex::default(),
            total: Arc::default(),
            tail_bytes_max,
            total_bytes_max,
        }
    }

    /// The node's tail, begun at its head if there was none. Only from within a turn, or a growth
    /// between the reading of the head and the beginning would be missed.
    pub fn watch(&self, node: &Node) -> Arc<Tail> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = by_key.get(&node.key).and_then(Weak::upgrade) {
            return tail;
        }
        if by_key.len() >= SWEEP_AT && by_key.len() == by_key.capacity() {
            by_key.retain(|_, tail| tail.strong_count() > 0);
        }
        let tail = Arc::new(Tail {
            key: node.key,
            address: Arc::new(node.address.clone()),
            state: RwLock::new(State {
                entries: VecDeque::new(),
                bytes: 0,
                head: node.last_seq,
                config: node.config.clone(),
                access: 0,
                begun: VecDeque::new(),
                ended: false,
            }),
            watchers: Mutex::default(),
            kept_out: Mutex::default(),
            next_watcher: AtomicU64::new(0),
            announced: AtomicBool::new(false),
            total: self.total.clone(),
        });
        by_key.insert(node.key, Arc::downgrade(&tail));
        if node.address.service.local().is_some() {
            self.note_account(&tail);
        }
        let root = root(&node.address);
        if root != node.address {
            self.note_kept(root, &tail);
        }
        tail
    }

    /// These accounts' rosters say who may read the node.
    pub fn note_rosters(&self, key: NodeKey, rosters_of: &[BareJid]) {
        if rosters_of.is_empty() {
            return;
        }
        let Some(tail) = self.of(key) else { return };
        let mut of_accounts = self.of_accounts();
        for account in rosters_of {
            let tails = of_accounts.entry(account.clone()).or_default();
            if !tails.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&tail))) {
                tails.retain(|tail| tail.strong_count() > 0);
                tails.push(Arc::downgrade(&tail));
            }
        }
    }

    /// Every watcher of this account's nodes must ask for its right again. When this returns, nobody
    /// encodes anything upon a right that was known before.
    pub fn doubt_rights(&self, account: &BareJid) {
        let tails = self.of_accounts().get(account).cloned().unwrap_or_default();
        for tail in tails.iter().filter_map(Weak::upgrade) {
            tail.doubt();
        }
    }

    /// Every watcher of what is kept of this node must ask for its right again.
    pub fn doubt_kept(&self, target: &NodeAddress) {
        let mut kept = self.kept();
        if kept.is_empty() {
            return;
        }
        let tails: Vec<Arc<Tail>> = kept.get(target).into_iter().flatten().filter_map(Weak::upgrade).collect();
        if tails.is_empty() {
            kept.remove(target);
        }
        drop(kept);
        tails.iter().for_each(|tail| tail.doubt());
    }

    fn note_kept(&self, target: NodeAddress, tail: &Arc<Tail>) {
        let mut kept = self.kept();
        if kept.len() >= SWEEP_AT && kept.len() == kept.capacity() {
            kept.retain(|_, tails| tails.iter().any(|tail| tail.strong_count() > 0));
        }
        let tails = kept.entry(target).or_default();
        tails.retain(|tail| tail.strong_count() > 0);
        tails.push(Arc::downgrade(tail));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<NodeAddress, Vec<Weak<Tail>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_account(&self, tail: &Arc<Tail>) {
        let mut of_accounts = self.of_accounts();
        if of_accounts.len() >= SWEEP_AT && of_accounts.len() == of_accounts.capacity() {
            of_accounts.retain(|_, tails| tails.iter().any(|tail| tail.strong_count() > 0));
        }
        let tails = of_accounts.entry(tail.address.service.clone()).or_default();
        tails.retain(|tail| tail.strong_count() > 0);
        tails.push(Arc::downgrade(tail));
    }

    fn of_accounts(&self) -> MutexGuard<'_, HashMap<BareJid, Vec<Weak<Tail>>>> {
        self.of_accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node's tail, if somebody watches it.
    pub fn of(&self, key: NodeKey) -> Option<Arc<Tail>> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = by_key.get(&key)?.upgrade();
        if tail.is_none() {
            by_key.remove(&key);
        }
        tail
    }

    /// Lengthens a tail by what one decision committed; whether it must be announced.
    pub fn append(&self, tail: &Tail, node: &Node, changes: &[Change], events: &[Event]) -> bool {
        let entries: Vec<Arc<Entry>> = events
            .iter()
            .map(|event| Arc::new(Entry::new(tail.key, tail.address.clone(), event.clone(), node.config.clone())))
            .collect();
        let crowded = self.total.load(Ordering::Relaxed) > self.total_bytes_max;
        let bytes_max = if crowded { CROWDED_TAIL_BYTES.min(self.tail_bytes_max) } else { self.tail_bytes_max };
        tail.append(node, changes, &entries, bytes_max)
    }
}

/// Access versions of which is remembered where the log stood when they began.
const VERSIONS_REMEMBERED: usize = 8;
/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = 512;
/// What a tail keeps once all tails together have passed their limit.
const CROWDED_TAIL_BYTES: usize = 32 << 10;
/// Dead tails are looked for when the map would grow beyond so many.
const SWEEP_AT: usize = 1024;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pubsub::{NodeId, ServicePolicy, WhoCreates};
    use crate::time::Timestamp;

    pub fn node(key: i64, service: &str) -> Node {
        let service = BareJid::parse(service).unwrap();
        let policy = ServicePolicy {
            service: service.clone(),
            who_creates: WhoCreates::Accounts,
            auto_create: false,
            templates: Arc::default(),
            payload_bytes_max: 1000,
            items_max: 10,
            children_max: 10,
            parents_max: 10,
            of_server: false,
            batch_items_max: 10,
            attached_items_max: 10,
            subscriptions: crate::pubsub::SubscriptionPolicy::default(),
        };
        Node {
            key: NodeKey(key),
            address: NodeAddress { service: service.clone(), node: NodeId::parse("n").unwrap() },
            config: Arc::new(NodeConfig::new(&policy)),
            creator: service,
            created: Timestamp(1),
            last_seq: Seq(0),
            floor_seq: Seq(1),
            items: 0,
            owners: 1,
            subscribers: 0,
            version: 1,
        }
    }

    struct Deaf;

    impl Wake for Deaf {
        fn wake(&self) {}
    }

    #[test]
    fn whoever_is_kept_out_when_that_has_changed_is_told_so() {
        let tails = Tails::new(1000, 1000);
        let tail = tails.watch(&node(1, "alice@localhost"));
        let watcher = tail.add_watcher(Arc::new(Deaf));
        let access = tail.access();
        assert!(tail.keep_out(watcher, access));
        tails.doubt_rights(&BareJid::parse("alice@localhost").unwrap());
        assert!(!tail.keep_out(watcher, access), "nobody would wake it");
        assert!(tail.keep_out(watcher, tail.access()));
    }

    #[test]
    fn a_changed_roster_puts_the_rights_of_that_account_s_watchers_in_doubt() {
        let tails = Tails::new(1000, 1000);
        let alice = [node(1, "alice@localhost"), node(2, "alice@localhost")].map(|node| tails.watch(&node));
        let others = [node(3, "bob@localhost"), node(4, "pubsub.localhost")].map(|node| tails.watch(&node));
        let sure = |tail: &Tail, access: u64| tail.while_allowed(Some(access), || ()).is_some();
        let before: Vec<u64> = alice.iter().chain(&others).map(|tail| tail.access()).collect();
        tails.doubt_rights(&BareJid::parse("alice@localhost").unwrap());
        let after: Vec<bool> =
            alice.iter().chain(&others).zip(before).map(|(tail, access)| sure(tail, access)).collect();
        assert_eq!(after, [false, false, true, true]);
    }
}
