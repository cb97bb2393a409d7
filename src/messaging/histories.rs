//! Random histories of sessions that read, acknowledge and end in every way: nothing that was sent is
//! lost, and nothing comes twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::{ArchiveOptions, Messaging, OfflineLimits, Options, Parcel, Presence, Routed, Sending};
use crate::engine::Engine;
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::memory::MemoryStore;
use crate::store::{Account, Store as _, Verifier};
use crate::time::{SystemClock, Timestamp};
use crate::xml::{Element, Limits, parse_document};
use crate::xmpp::{Message, Stanza};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The resource is bound; who has it is replaced.
    Bind(usize),
    Announce(usize, i8),
    Carbons(usize),
    /// Alice sends a message: to a resource of Bob's or to all of him, as chat or as it comes.
    Send(Option<usize>, bool),
    /// So many things of its queue are read, and written to the client.
    Read(usize, usize),
    /// The client acknowledges so many.
    Acknowledge(usize, usize),
    LoseConnection(usize),
    /// It ends, for any reason of its own.
    End(usize),
    /// An administrator ends it.
    EndByForce(usize),
    /// What is under way comes to its end.
    Settle,
}

struct Client {
    presence: Presence,
    /// What its client was sent and has not acknowledged.
    unacknowledged: VecDeque<Parcel>,
    heard: Vec<u32>,
}

struct History {
    messaging: Messaging,
    store: Arc<MemoryStore>,
    clients: BTreeMap<usize, Client>,
    alice: Presence,
    sent: u32,
    /// By whom: each session, and once more for what came back.
    acknowledged: BTreeSet<u32>,
    bounced: Arc<Mutex<Vec<u32>>>,
}

const RESOURCES: [&str; 4] = ["a", "b", "c", "d"];
const INBOX_MAX: usize = 4;
const SESSIONS_MAX: usize = 3;
const OFFLINE_MAX: u64 = 5;

fn bare(name: &str) -> BareJid {
    BareJid::parse(name).unwrap()
}

fn bob(resource: usize) -> FullJid {
    bare("bob@localhost").with_resource(RESOURCES[resource]).unwrap()
}

/// The number of a message stands in its body, also in a copy of it.
fn number(stanza: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(stanza).unwrap();
    text.split_once("<body>")?.1.split_once('<')?.0.parse().ok()
}

fn element(text: &str) -> Element {
    let document = format!("<stream xmlns='jabber:client'>{text}</stream>");
    let parsed = parse_document(document.as_bytes(), &Limits::authenticated()).unwrap();
    parsed.children().next().unwrap().clone()
}

fn message(number: u32, to: &Jid, chat: bool) -> Message {
    let kind = if chat { "type='chat'" } else { "" };
    let text = format!("<message from='alice@localhost/x' to='{to}' {kind}><body>{number}</body></message>");
    let Ok(Stanza::Message(message)) = Stanza::parse(element(&text)) else { unreachable!("a message") };
    message
}

impl Client {
    fn hear(&mut self, parcel: Parcel) {
        if let Some(number) = number(parcel.bytes()) {
            assert!(!self.heard.contains(&number), "a session is sent {number} twice");
            self.heard.push(number);
        }
        self.unacknowledged.push_back(parcel);
    }

    /// As a session ends (`session/hibernate.rs`).
    fn end(self) {
        let Client { presence, unacknowledged, .. } = self;
        presence.leave();
        unacknowledged.into_iter().for_each(|parcel| presence.give_up(parcel));
    }
}

impl History {
    async fn new(archive: bool) -> Self {
        let store = Arc::new(MemoryStore::new());
        let (engine, _turns) = Engine::new(store.clone(), Arc::new(SystemClock), crate::engine::Options::default());
        for name in ["alice@localhost", "bob@localhost"] {
            let verifier = Verifier::Argon2id(String::new());
            let jid = bare(name);
            let account = Account { jid, verifier, admin: false, disabled: false, created: Timestamp(0) };
            store.put_account(account).await.unwrap();
        }
        let archive = ArchiveOptions { seconds: if archive { 1000 } else { 0 }, ..ArchiveOptions::default() };
        let offline = OfflineLimits { messages_max: OFFLINE_MAX, ..OfflineLimits::default() };
        let messaging = Messaging::new(engine, Options { archive, offline, ..Options::default() });
        let alice = messaging.bind(bare("alice@localhost").with_resource("x").unwrap(), 10_000, 1).unwrap();
        let (clients, acknowledged) = (BTreeMap::new(), BTreeSet::new());
        History { messaging, store, clients, alice, sent: 0, acknowledged, bounced: Arc::default() }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Bind(resource) => self.bind(resource),
            Step::Announce(resource, priority) => self.announce(resource, priority).await,
            Step::Carbons(resource) => self.messaging.set_carbons(&bob(resource), true),
            Step::Send(to, chat) => self.send(to, chat),
            Step::Read(resource, count) => self.read(resource, count).await,
            Step::Acknowledge(resource, count) => self.acknowledge(resource, count),
            Step::LoseConnection(resource) => {
                self.clients.get(&resource).into_iter().for_each(|client| client.presence.set_asleep(true));
            }
            Step::End(resource) => self.clients.remove(&resource).into_iter().for_each(Client::end),
            Step::EndByForce(resource) => {
                self.messaging.end(&Jid::Full(bob(resource)));
                self.bury();
            }
            Step::Settle => settle().await,
        }
    }

    fn bind(&mut self, resource: usize) {
        let old = self.clients.remove(&resource);
        if let Ok(presence) = self.messaging.bind(bob(resource), INBOX_MAX, SESSIONS_MAX) {
            let client = Client { presence, unacknowledged: VecDeque::new(), heard: Vec::new() };
            self.clients.insert(resource, client);
        }
        if let Some(mut old) = old {
            assert!(old.presence.next(false).now_or_never().is_some_and(|next| next.is_err()), "it is told");
            old.end();
        }
        self.bury();
    }

    /// Sessions that are over end.
    fn bury(&mut self) {
        let over = self
            .clients
            .extract_if(.., |_, client| client.presence.next(false).now_or_never().is_some_and(|next| next.is_err()));
        over.for_each(|(_, client)| client.end());
    }

    async fn announce(&mut self, resource: usize, priority: i8) {
        let Some(client) = self.clients.get_mut(&resource) else { return };
        let text = format!("<presence from='{}'><priority>{priority}</priority></presence>", bob(resource));
        let Ok(Stanza::Presence(said)) = Stanza::parse(element(&text)) else { unreachable!("presence") };
        let told = self.messaging.announce(&client.presence.place(), said).await;
        told.kept.into_iter().for_each(|parcel| client.hear(parcel));
    }

    fn send(&mut self, to: Option<usize>, chat: bool) {
        let to = to.map_or_else(|| Jid::Bare(bare("bob@localhost")), |resource| Jid::Full(bob(resource)));
        self.sent += 1;
        let bounced = self.bounced.clone();
        let note = move |error: Option<bytes::Bytes>| {
            bounced.lock().unwrap().extend(error.iter().filter_map(|error| number(error)));
        };
        match self.messaging.message(message(self.sent, &to, chat), to) {
            Sending::Done(error) => note(error),
            Sending::Later(sending) => self.messaging.see_through(async move { note(sending.await) }),
        }
    }

    async fn read(&mut self, resource: usize, count: usize) {
        let Some(client) = self.clients.get_mut(&resource) else { return };
        for _ in 0..count {
            match client.presence.next(true).now_or_never() {
                Some(Ok(Routed::Stanza(parcel))) => client.hear(parcel),
                Some(Ok(Routed::Kept)) => {
                    let told = self.messaging.collect(&client.presence.place()).await;
                    told.kept.into_iter().for_each(|parcel| client.hear(parcel));
                }
                Some(Ok(Routed::Follow)) => {}
                Some(Err(over)) => unreachable!("{over:?} was told before"),
                None => break,
            }
        }
    }

    fn acknowledge(&mut self, resource: usize, count: usize) {
        let Some(client) = self.clients.get_mut(&resource) else { return };
        for parcel in client.unacknowledged.drain(..count.min(client.unacknowledged.len())) {
            self.acknowledged.extend(number(parcel.bytes()));
            parcel.taken();
        }
    }

    /// Every session ends; where everything is then.
    async fn close(mut self) -> Result<(), TestCaseError> {
        settle().await;
        std::mem::take(&mut self.clients).into_values().for_each(Client::end);
        self.messaging.settled().await;
        let mut bounced = std::mem::take(&mut *self.bounced.lock().unwrap());
        while let Some(Ok(Routed::Stanza(parcel))) = self.alice.next(true).now_or_never() {
            bounced.extend(number(parcel.bytes()));
        }
        let kept = self.store.kept_messages(bare("bob@localhost"), 0, 1000).await.unwrap();
        let kept: Vec<u32> = kept.iter().filter_map(|(_, kept)| number(&kept.xml)).collect();
        let mut ended: Vec<u32> = self.acknowledged.iter().copied().chain(kept).chain(bounced).collect();
        ended.sort_unstable();
        prop_assert_eq!(ended, (1..=self.sent).collect::<Vec<_>>());
        Ok(())
    }
}

/// What was begun takes so few steps.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..RESOURCES.len();
    prop_oneof![
        3 => one().prop_map(Step::Bind),
        4 => (one(), -1..2i8).prop_map(|(one, priority)| Step::Announce(one, priority)),
        1 => one().prop_map(Step::Carbons),
        12 => (prop::option::weighted(0.3, one()), prop::bool::weighted(0.8)).prop_map(|(to, chat)| Step::Send(to, chat)),
        5 => (one(), 0..6usize).prop_map(|(one, count)| Step::Read(one, count)),
        4 => (one(), 0..6usize).prop_map(|(one, count)| Step::Acknowledge(one, count)),
        1 => one().prop_map(Step::LoseConnection),
        1 => one().prop_map(Step::End),
        1 => one().prop_map(Step::EndByForce),
        2 => Just(Step::Settle),
    ]
}

fn play<T>(history: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(history)
}

proptest! {
    /// What was sent was acknowledged by a session, or waits for the next, or its sender was told: one of
    /// these. No session is sent anything twice.
    #[test]
    fn what_was_sent_is_somewhere_and_once(archive in any::<bool>(), steps in prop::collection::vec(step(), 0..80)) {
        play(async {
            let mut history = History::new(archive).await;
            for step in steps {
                history.step(step).await;
            }
            history.close().await
        })?;
    }

    /// A session that reads less than it is sent gets what waited meanwhile, in its place.
    #[test]
    fn who_is_slow_is_handed_what_was_kept_in_order(
        archive in any::<bool>(),
        steps in prop::collection::vec(prop_oneof![
            2 => Just(Step::Send(None, true)),
            1 => (0..6usize).prop_map(|count| Step::Read(0, count)),
            1 => Just(Step::Settle),
        ], 0..60),
    ) {
        play(async {
            let mut history = History::new(archive).await;
            for step in [Step::Bind(0), Step::Announce(0, 0)].into_iter().chain(steps) {
                history.step(step).await;
            }
            for _ in 0..4 {
                settle().await;
                history.read(0, 100).await;
            }
            let heard = &history.clients[&0].heard;
            prop_assert!(heard.is_sorted(), "{heard:?}");
            let bounced = history.bounced.lock().unwrap().len();
            prop_assert_eq!(heard.len() + bounced, history.sent as usize);
            Ok(())
        })?;
    }
}
