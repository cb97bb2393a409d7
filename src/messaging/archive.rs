//! Archives of messages: what goes into them, and what is found in them (XEP-0313, XEP-0441).
//!
//! A message stands in the archives before anybody is sent it, so that the id that it bears there is
//! good from the first moment on. What comes at the same time is filed in one commit.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Messaging;
use super::words::wire_bytes;
use crate::im::{Keeps, Policy, Preferences};
use crate::jid::{BareJid, Jid};
use crate::store::{
    ArchiveEntry, ArchivePlace, ArchiveQuery, ArchiveRange, Ask, Failure, Filing, Found, Identity, Keeping, Store,
};
use crate::time::Timestamp;
use crate::xml::Element;
use crate::xmpp::{Delay, Message, MessageType, NS_CLIENT};

/// What archives keep.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// For how long; 0 keeps nothing at all.
    pub seconds: i64,
    /// Messages in one archive; the oldest make room.
    pub messages_max: u64,
    /// What is kept for those who have not said.
    pub others: Policy,
    /// Addresses that an account may name in its preferences.
    pub named_max: usize,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        ArchiveOptions { seconds: 30 * 86_400, messages_max: 10_000, others: Policy::Always, named_max: 1000 }
    }
}

/// What somebody looks for in his archive. Messages are named by their ids.
#[derive(Clone, Debug, Default)]
pub struct ArchiveWish {
    pub with: Option<Jid>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub after: Option<String>,
    pub before: Option<String>,
    pub these: Option<Vec<String>>,
    pub place: WishPlace,
    pub max: usize,
    pub bytes_max: usize,
}

#[derive(Clone, Debug, Default)]
pub enum WishPlace {
    #[default]
    First,
    After(String),
    Before(String),
    Last,
}

/// Messages that were found, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundMessages {
    pub messages: Vec<FoundMessage>,
    pub complete: bool,
    pub count: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundMessage {
    pub id: String,
    pub time: Timestamp,
    /// The stanza, as it stands in a stream.
    pub xml: Arc<[u8]>,
}

/// A message on its way into archives.
#[derive(Default)]
pub(super) struct Copied {
    pub entries: Vec<ArchiveEntry>,
    /// Where it stands in the sender's archive, and in the receiver's (XEP-0359).
    pub by_sender: Option<Element>,
    pub by_receiver: Option<Element>,
}

/// What the room keeps for its archives.
pub(super) struct Archive {
    seal: Seal,
    numbers: tokio::sync::Mutex<Range<i64>>,
    filer: Filer,
}

impl Archive {
    pub fn new(identity: &Identity) -> Self {
        Archive { seal: Seal::new(identity), numbers: tokio::sync::Mutex::new(0..0), filer: Filer::default() }
    }
}

impl Messaging {
    /// Whether there are archives.
    pub fn archives(&self) -> bool {
        self.shared.options.archive.seconds > 0
    }

    /// Forgets what has been kept for long enough, now and then.
    pub async fn run_archive(self, stop: CancellationToken) {
        if !self.archives() {
            return;
        }
        loop {
            let before = self.shared.engine.clock().now().plus_seconds(-self.shared.options.archive.seconds);
            if let Err(failure) = self.store().forget_archived(before).await {
                tracing::warn!(%failure, "old messages cannot be forgotten");
            }
            tokio::select! {
                () = tokio::time::sleep(FORGET_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Looks into an account's archive. [`Failure::NoSuchEdge`] where a message that is named is not there.
    pub async fn look_into_archive(&self, owner: &BareJid, wish: ArchiveWish) -> Result<FoundMessages, Failure> {
        let seal = &self.shared.archive.seal;
        let number = |id: String| seal.open(owner, &id).ok_or(Failure::NoSuchEdge);
        let asked = ArchiveQuery {
            owner: owner.clone(),
            with: wish.with.map(|with| (with.bare().clone(), with.resource().map(str::to_owned))),
            range: ArchiveRange {
                start: wish.start,
                end: wish.end,
                after: wish.after.map(number).transpose()?,
                before: wish.before.map(number).transpose()?,
                these: wish.these.map(|ids| ids.into_iter().map(number).collect()).transpose()?,
                place: match wish.place {
                    WishPlace::First => ArchivePlace::First,
                    WishPlace::After(id) => ArchivePlace::After(number(id)?),
                    WishPlace::Before(id) => ArchivePlace::Before(number(id)?),
                    WishPlace::Last => ArchivePlace::Last,
                },
                max: wish.max,
                bytes_max: wish.bytes_max,
            },
        };
        let page = self.store().read_archive(asked).await?;
        let found = page.entries.into_iter().map(|entry| FoundMessage {
            id: seal.close(owner, entry.number),
            time: entry.time,
            xml: entry.xml,
        });
        Ok(FoundMessages { messages: found.collect(), complete: page.complete, count: page.count })
    }

    /// The oldest and the newest message of an archive: id and time.
    pub async fn archive_ends(&self, owner: &BareJid) -> Result<Option<[(String, Timestamp); 2]>, Failure> {
        let ends = self.store().archive_ends(owner.clone()).await?;
        Ok(ends.map(|ends| ends.map(|(number, time)| (self.shared.archive.seal.close(owner, number), time))))
    }

    pub async fn archive_preferences(&self, owner: &BareJid) -> Result<Preferences, Failure> {
        let keeping = self.store().archive_preferences(vec![owner.clone()]).await?.into_iter().next();
        Ok(match keeping {
            Some(Keeping::As(preferences)) => preferences,
            _ => self.unsaid(),
        })
    }

    /// At most so many addresses may be named.
    pub fn archive_named_max(&self) -> usize {
        self.shared.options.archive.named_max
    }

    pub async fn set_archive_preferences(&self, owner: &BareJid, preferences: Preferences) -> Result<(), Failure> {
        let _turn = self.shared.turns.of(owner).await;
        self.store().set_archive_preferences(owner.clone(), preferences.clone()).await?;
        self.shared.directory.set_keeping(owner, &Arc::new(Keeping::As(preferences)));
        Ok(())
    }

    /// Whether a message is one for archives, should its people want it kept.
    pub(super) fn may_be_archived(&self, message: &Message) -> bool {
        self.archives() && is_archived(message)
    }

    /// The message as it goes into the archives of those who keep it. In the turn of both.
    pub(super) async fn copy_for_archives(&self, message: &Message, from: &Jid, to: &Jid) -> Result<Copied, Failure> {
        let mut copied = Copied::default();
        let time = self.shared.engine.clock().now();
        let xml: Arc<[u8]> = Arc::from(&wire_bytes(&message.clone().into_element())[..]);
        let to_himself = from.bare() == to.bare();
        for (owner, other) in [(from, to), (to, from)].into_iter().skip(usize::from(to_himself)) {
            let owner = owner.bare();
            if !self.keeps(owner, other).await? {
                continue;
            }
            let number = self.number().await?;
            let id = Element::new("stanza-id", NS_SID)
                .with_attr("by", owner.to_string())
                .with_attr("id", self.shared.archive.seal.close(owner, number));
            let place = if owner == to.bare() { &mut copied.by_receiver } else { &mut copied.by_sender };
            *place = Some(id);
            copied.entries.push(ArchiveEntry {
                owner: owner.clone(),
                number,
                time,
                with: other.bare().clone(),
                resource: other.resource().map(Arc::from),
                xml: xml.clone(),
            });
        }
        Ok(copied)
    }

    /// Whether it was filed; not where what shall wait finds no room.
    pub(super) async fn file(&self, filing: Filing) -> Result<bool, Failure> {
        let messages_max = self.shared.options.archive.messages_max;
        self.shared.archive.filer.file(self.store(), filing, messages_max).await
    }

    /// In a turn of the owner.
    async fn keeps(&self, owner: &BareJid, other: &Jid) -> Result<bool, Failure> {
        let keeping = match self.shared.directory.keeping(owner) {
            Some(keeping) => keeping,
            None => {
                let read = self.store().archive_preferences(vec![owner.clone()]).await?;
                let keeping = Arc::new(read.into_iter().next().unwrap_or(Keeping::Nobody));
                self.shared.directory.set_keeping(owner, &keeping);
                keeping
            }
        };
        let keeps = match &*keeping {
            Keeping::Nobody => Keeps::No,
            Keeping::Unsaid => self.unsaid().keeps(other),
            Keeping::As(preferences) => preferences.keeps(other),
        };
        Ok(match keeps {
            Keeps::Yes => true,
            Keeps::No => false,
            Keeps::IfListed => {
                let found = self.store().gather(vec![Ask::Contact(owner.clone(), other.bare().clone())]).await?;
                matches!(&found[..], [Found::Contact(Some(_))])
            }
        })
    }

    fn unsaid(&self) -> Preferences {
        Preferences { others: self.shared.options.archive.others, ..Preferences::default() }
    }

    async fn number(&self) -> Result<i64, Failure> {
        let mut numbers = self.shared.archive.numbers.lock().await;
        if numbers.is_empty() {
            *numbers = self.store().reserve_archive_numbers(NUMBERS_RESERVED).await?;
        }
        numbers.next().ok_or_else(|| Failure::Refused("no numbers were reserved".to_owned()))
    }
}

/// XEP-0313 §6.1.1, XEP-0334 §4.
fn is_archived(message: &Message) -> bool {
    let content = &message.content;
    let hint = |name: &str| content.child(name, NS_HINTS).is_some();
    let event = content.child("event", NS_EVENT).is_some();
    if event || hint("no-store") || hint("no-permanent-store") {
        return false;
    }
    let says = || {
        let said =
            |child: &Element| child.is("body", NS_CLIENT) || ARCHIVED.iter().any(|(name, ns)| child.is(name, ns));
        content.children().any(said)
    };
    match message.kind {
        MessageType::Chat | MessageType::Normal => hint("store") || says(),
        MessageType::Headline => hint("store"),
        MessageType::Error | MessageType::Groupchat => false,
    }
}

/// Takes out of what somebody sends what only the server says: ids in the archives of these accounts and of the
/// server's own entities (XEP-0359 §3, rule 2), and delays in the name of those. `here` is a domain of the server.
pub(super) fn strip_forged(content: &mut Element, accounts: [&BareJid; 2], here: &str) {
    let of_server = |jid: &BareJid| {
        let below = jid.domain().strip_suffix(here);
        jid.local().is_none() && below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
    };
    let speaks = |jid: &BareJid| accounts.contains(&jid) || of_server(jid);
    let forged = |child: &Element| {
        let by =
            child.is("stanza-id", NS_SID).then(|| child.attr("by").and_then(|by| BareJid::parse(by).ok())).flatten();
        let delayed = Delay::parse(child).and_then(|delay| delay.from).filter(|from| of_server(from.bare()));
        by.as_ref().is_some_and(speaks) || delayed.is_some()
    };
    if content.children().any(forged) {
        content.retain_children(|child| !forged(child));
    }
}

/// Makes numbers of messages into ids, and back. An id is the number under a mask that is drawn from a
/// MAC of it, beside that MAC: who sees ids learns nothing of how many there are, nor makes one up.
struct Seal {
    key: Hmac<Sha256>,
}

impl Seal {
    fn new(identity: &Identity) -> Self {
        let mut key = Hmac::<Sha256>::new_from_slice(&identity.cursor_key).expect("HMAC takes keys of any length");
        key.update(b"message archive");
        // A store that was restored has another history.
        key.update(&identity.incarnation.to_be_bytes());
        let key = key.finalize().into_bytes();
        Seal { key: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length") }
    }

    fn close(&self, owner: &BareJid, number: i64) -> String {
        let number = number.to_be_bytes();
        let tag = self.half(b"tag", owner, &number);
        let mut id = [0; 2 * HALF];
        id[..HALF].copy_from_slice(&tag);
        for (place, (byte, mask)) in id[HALF..].iter_mut().zip(number.iter().zip(self.half(b"mask", owner, &tag))) {
            *place = byte ^ mask;
        }
        URL_SAFE_NO_PAD.encode(id)
    }

    fn open(&self, owner: &BareJid, id: &str) -> Option<i64> {
        let bytes: [u8; 2 * HALF] = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
        let tag: [u8; HALF] = bytes[..HALF].try_into().ok()?;
        let mut number: [u8; HALF] = bytes[HALF..].try_into().ok()?;
        number.iter_mut().zip(self.half(b"mask", owner, &tag)).for_each(|(byte, mask)| *byte ^= mask);
        (self.half(b"tag", owner, &number) == tag).then(|| i64::from_be_bytes(number))
    }

    fn half(&self, what: &[u8], owner: &BareJid, of: &[u8; HALF]) -> [u8; HALF] {
        let mut mac = self.key.clone();
        mac.update(what);
        mac.update(of);
        mac.update(owner.as_str().as_bytes());
        let mut half = [0; HALF];
        half.copy_from_slice(&mac.finalize().into_bytes()[..HALF]);
        half
    }
}

/// Files messages: what has come while one commit ran is the next one.
#[derive(Clone, Default)]
struct Filer {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    filings: VecDeque<(Filing, oneshot::Sender<Result<bool, Failure>>)>,
    /// Somebody commits.
    running: bool,
}

impl Filer {
    async fn file(&self, store: &Arc<dyn Store>, filing: Filing, messages_max: u64) -> Result<bool, Failure> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.filings.len() >= FILINGS_MAX {
                return Err(Failure::Refused("too many messages wait to be filed".to_owned()));
            }
            queue.filings.push_back((filing, reply));
            if !std::mem::replace(&mut queue.running, true) {
                // Of nobody's own: who asked may go away.
                tokio::spawn(self.clone().run(store.clone(), messages_max));
            }
        }
        answer.await.unwrap_or(Err(Failure::Closed))
    }

    async fn run(self, store: Arc<dyn Store>, messages_max: u64) {
        loop {
            let (filings, replies): (Vec<Filing>, Vec<_>) = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let count = queue.filings.len().min(FILED_AT_ONCE);
                if count == 0 {
                    queue.running = false;
                    return;
                }
                queue.filings.drain(..count).unzip()
            };
            let filed = store.file(filings, messages_max).await;
            for (at, reply) in replies.into_iter().enumerate() {
                let filed = filed.clone().map(|filed| filed.get(at).copied().unwrap_or(false));
                // Who has gone away does not want to know.
                let _ = reply.send(filed);
            }
        }
    }
}

const HALF: usize = 8;
/// Numbers that are reserved at once; those that were not used when the server ends are nobody's.
const NUMBERS_RESERVED: u32 = 1024;
/// Messages that wait to be filed, and that go into one commit.
const FILINGS_MAX: usize = 8192;
const FILED_AT_ONCE: usize = 256;
const FORGET_INTERVAL: Duration = Duration::from_secs(600);
const NS_SID: &str = "urn:xmpp:sid:0";
const NS_HINTS: &str = "urn:xmpp:hints";
const NS_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// What is worth keeping without a body: what is encrypted, and what became of earlier messages.
const ARCHIVED: &[(&str, &str)] = &[
    ("encrypted", "eu.siacs.conversations.axolotl"),
    ("encrypted", "urn:xmpp:omemo:2"),
    ("openpgp", "urn:xmpp:openpgp:0"),
    ("received", "urn:xmpp:receipts"),
    ("received", "urn:xmpp:chat-markers:0"),
    ("displayed", "urn:xmpp:chat-markers:0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_opens_for_its_owner_alone_and_tells_nothing() {
        let identity = Identity { incarnation: 7, cursor_key: [3; 32], decoy_key: [4; 32] };
        let seal = Seal::new(&identity);
        let [alice, bob] = ["alice@localhost", "bob@localhost"].map(|jid| BareJid::parse(jid).unwrap());
        for number in [1, 2, 255, 256, i64::MAX] {
            let id = seal.close(&alice, number);
            assert_eq!(id.len(), 22);
            assert_eq!(seal.open(&alice, &id), Some(number));
            assert_eq!(seal.open(&bob, &id), None);
            assert_ne!(id, seal.close(&bob, number));
            assert_eq!(Seal::new(&Identity { incarnation: 8, ..identity.clone() }).open(&alice, &id), None);
        }
        let shared = |one: &str, other: &str| one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        assert!(shared(&seal.close(&alice, 1), &seal.close(&alice, 2)) < 8);
        for wrong in ["", "x", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ü"] {
            assert_eq!(seal.open(&alice, wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_comes_together_is_filed_together_and_answered_apart() {
        let store: Arc<dyn Store> = Arc::new(crate::store::memory::MemoryStore::new());
        let filer = Filer::default();
        let owner = BareJid::parse("alice@localhost").unwrap();
        let waiting = |max| {
            let stanza = crate::im::StoredStanza { time: Timestamp(1), xml: Arc::from(&b"<m/>"[..]) };
            Filing { entries: vec![], waiting: Some(crate::store::Waiting { owner: owner.clone(), stanza, max }) }
        };
        let (one, two, three) = tokio::join!(
            filer.file(&store, waiting(2), 10),
            filer.file(&store, waiting(2), 10),
            filer.file(&store, waiting(2), 10)
        );
        assert_eq!((one, two, three), (Ok(true), Ok(true), Ok(false)));
        assert!(!filer.queue.lock().unwrap().running);
        assert_eq!(filer.file(&store, waiting(3), 10).await, Ok(true));
    }
}
