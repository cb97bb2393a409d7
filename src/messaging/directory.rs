//! Who is online: sessions by address, and what they said of their presence.
//!
//! Everything is done under one lock and without waiting. What must hold over several steps is held
//! together by the turns of accounts (`turns.rs`).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::caps::{Capable, Interests};
use super::words::Spoken;
use crate::im;
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::Keeping;

/// Something that others have for a session.
#[derive(Clone, Debug)]
pub enum Routed {
    /// A stanza, as it stands on the wire.
    Stanza(Bytes),
    /// An administrator ends it (XEP-0133 §4.5).
    Ended,
    /// Another session has taken its resource (RFC 6120 §7.7.2.2).
    Replaced,
    /// Whose nodes it follows may have changed: it should ask.
    Follow,
}

/// Why a resource cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindFailed {
    /// The account has as many sessions as it may.
    TooMany,
}

#[derive(Clone, Default)]
pub(super) struct Directory {
    accounts: Arc<Mutex<HashMap<BareJid, Account>>>,
}

#[derive(Default)]
struct Account {
    sessions: Vec<Session>,
    /// Whom it has blocked; absent until somebody has read it.
    blocked: Option<Arc<[Jid]>>,
    /// Whose messages it keeps; absent until somebody has read it.
    keeping: Option<Arc<Keeping>>,
    /// Messages that waited were handed over up to this number.
    handed_over: i64,
}

struct Session {
    full: FullJid,
    /// Tells a session from a later one of the same address.
    inbox: mpsc::Sender<Routed>,
    /// Absent while it is not available (RFC 6121 §4.2).
    priority: Option<i8>,
    /// The presence that it sent last, for those who come later.
    presence: Option<Spoken>,
    wants: Wants,
    /// To whom it has directed its presence (RFC 6121 §4.6).
    directed: Vec<Jid>,
    /// Nothing for most: a session that never said what it can costs no more.
    capable: Option<Box<Capable>>,
}

/// What a session has asked to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// Roster pushes (RFC 6121 §2.2).
    pub roster: bool,
    /// Pushes of the block list (XEP-0191 §3.3).
    pub blocklist: bool,
    /// Copies of messages (XEP-0280).
    pub carbons: bool,
    /// Of what waited while nobody was there, nothing that stands in the archive (XEP-0386).
    pub archived_not: bool,
}

/// Which of an account's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Those that are available, whatever their priority.
    Available,
    /// Those that asked for the roster.
    Interested,
    /// Those that asked for the block list.
    Blocklist,
}

/// A session's place in the directory.
#[derive(Clone)]
pub struct Place {
    pub(super) full: FullJid,
    inbox: mpsc::Sender<Routed>,
}

/// What a change of a session's presence was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub before: Option<i8>,
}

/// Who of an account is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Online {
    pub account: BareJid,
    pub sessions: Vec<FullJid>,
    /// One of them is available, and does not say that it is away.
    pub active: bool,
}

/// What remains of a session that has left.
pub(super) struct Left {
    pub available: bool,
    pub directed: Vec<Jid>,
}

/// What is known of two people without asking the store.
pub(super) enum Between {
    /// Neither has blocked the other.
    Free,
    /// The sender has blocked the receiver.
    BySender,
    /// The receiver has blocked the sender.
    ByReceiver,
    /// It must be read.
    Unknown,
}

impl Place {
    pub fn jid(&self) -> &FullJid {
        &self.full
    }
}

impl Directory {
    pub fn bind(&self, full: FullJid, inbox: mpsc::Sender<Routed>, sessions_max: usize) -> Result<Bound, BindFailed> {
        let mut accounts = self.lock();
        let sessions = &mut accounts.entry(full.bare().clone()).or_default().sessions;
        let mut replaced = None;
        match sessions.iter().position(|session| session.full == full) {
            Some(old) => {
                let old = sessions.remove(old);
                let _ = old.inbox.try_send(Routed::Replaced); // There is room for it; or its task has ended.
                replaced = Some(Left { available: old.priority.is_some(), directed: old.directed });
            }
            None if sessions.len() >= sessions_max => return Err(BindFailed::TooMany),
            None => {}
        }
        sessions.push(Session {
            full: full.clone(),
            inbox: inbox.clone(),
            priority: None,
            presence: None,
            wants: Wants::default(),
            directed: Vec::new(),
            capable: None,
        });
        Ok(Bound { place: Place { full, inbox }, replaced })
    }

    /// Takes a session out; nothing when another has taken its place.
    pub fn leave(&self, place: &Place) -> Option<Left> {
        let mut accounts = self.lock();
        let account = accounts.get_mut(place.full.bare())?;
        let own = account.position(place)?;
        let gone = account.sessions.remove(own);
        forget_if_empty(&mut accounts, place.full.bare());
        Some(Left { available: gone.priority.is_some(), directed: gone.directed })
    }

    /// Takes out the other sessions of the client whose names are this one, alone or after a tag, and tells
    /// them that another has taken their place.
    pub fn supersede(&self, own: &FullJid, name: &str) -> Vec<(FullJid, Left)> {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(own.bare()) else { return Vec::new() };
        let same = |resource: &str| resource.rsplit_once('/').map_or(resource, |(_, last)| last) == name;
        let meant = |session: &mut Session| session.full != *own && same(session.full.resource());
        let ended = account.sessions.extract_if(.., meant).map(|session| {
            let _ = session.inbox.try_send(Routed::Replaced); // There is room for it; or its task has ended.
            (session.full, Left { available: session.priority.is_some(), directed: session.directed })
        });
        ended.collect()
    }

    pub fn wants(&self, place: &FullJid) -> Option<Wants> {
        let accounts = self.lock();
        let session = accounts.get(place.bare())?.sessions.iter().find(|session| session.full == *place)?;
        Some(session.wants)
    }

    /// Takes out the session of a full JID, or all of an account, and tells them that they are over.
    pub fn end(&self, who: &Jid) -> Vec<(FullJid, Left)> {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(who.bare()) else { return Vec::new() };
        let meant = |session: &mut Session| match who {
            Jid::Full(full) => session.full == *full,
            Jid::Bare(_) => true,
        };
        let ended = account.sessions.extract_if(.., meant).map(|session| {
            let _ = session.inbox.try_send(Routed::Ended); // There is room for it; or its task has ended.
            (session.full, Left { available: session.priority.is_some(), directed: session.directed })
        });
        let ended = ended.collect();
        forget_if_empty(&mut accounts, who.bare());
        ended
    }

    /// Who is here, in no order.
    pub fn online(&self) -> Vec<Online> {
        let accounts = self.lock();
        let online = |(account, here): (&BareJid, &Account)| Online {
            account: account.clone(),
            sessions: here.sessions.iter().map(|session| session.full.clone()).collect(),
            active: here.sessions.iter().any(|session| session.presence.as_ref().is_some_and(Spoken::is_attentive)),
        };
        accounts.iter().filter(|(_, here)| !here.sessions.is_empty()).map(online).collect()
    }

    /// The session is available with this priority, or not. Nothing when it is not here any more.
    pub fn announce(&self, place: &Place, priority: Option<i8>, presence: &Spoken) -> Option<Announced> {
        let mut accounts = self.lock();
        let account = accounts.get_mut(place.full.bare())?;
        let own = account.position(place)?;
        let session = &mut account.sessions[own];
        let before = std::mem::replace(&mut session.priority, priority);
        session.presence = priority.map(|_| presence.clone());
        Some(Announced { before })
    }

    pub fn want(&self, place: &FullJid, change: impl FnOnce(&mut Wants)) {
        let mut accounts = self.lock();
        if let Some(account) = accounts.get_mut(place.bare())
            && let Some(session) = account.sessions.iter_mut().find(|session| session.full == *place)
        {
            change(&mut session.wants);
        }
    }

    /// Hands a stanza to one session; whether it took it.
    pub fn to_one(&self, to: &FullJid, stanza: &Bytes) -> bool {
        let accounts = self.lock();
        let sessions = accounts.get(to.bare()).into_iter().flat_map(|account| &account.sessions);
        sessions.filter(|session| session.full == *to).any(|session| session.take(stanza))
    }

    /// Hands a stanza to all those of an account's sessions. How many took it.
    pub fn to_all(&self, account: &BareJid, of: Of, stanza: &Bytes) -> usize {
        let accounts = self.lock();
        let sessions = accounts.get(account).into_iter().flat_map(|account| &account.sessions);
        sessions.filter(|session| session.is(of)).filter(|session| session.take(stanza)).count()
    }

    /// Hands each of those sessions a stanza made for it.
    pub fn to_each(&self, account: &BareJid, of: Of, make: impl Fn(&FullJid) -> Bytes) {
        let accounts = self.lock();
        let sessions = accounts.get(account).into_iter().flat_map(|account| &account.sessions);
        for session in sessions.filter(|session| session.is(of)) {
            session.take(&make(&session.full));
        }
    }

    /// Hands a message to an account's available sessions whose priority is not negative: to all of
    /// them, or to those of the highest priority (RFC 6121 §8.5.2.1.1). Who took it.
    pub fn to_ready(&self, account: &BareJid, all: bool, stanza: &Bytes) -> Vec<FullJid> {
        let accounts = self.lock();
        let Some(account) = accounts.get(account) else { return Vec::new() };
        let ready = |session: &&Session| session.priority.is_some_and(|priority| priority >= 0);
        let most = account.sessions.iter().filter(ready).filter_map(|session| session.priority).max();
        account
            .sessions
            .iter()
            .filter(ready)
            .filter(|session| all || session.priority == most)
            .filter(|session| session.take(stanza))
            .map(|session| session.full.clone())
            .collect()
    }

    /// Hands a copy of a message to each session that wants copies and is not one of these.
    pub fn to_copied(&self, account: &BareJid, but: &[FullJid], make: impl Fn(&FullJid) -> Bytes) {
        let accounts = self.lock();
        let Some(account) = accounts.get(account) else { return };
        for session in account.sessions.iter().filter(|session| session.wants.carbons && !but.contains(&session.full)) {
            session.take(&make(&session.full));
        }
    }

    pub fn is_online(&self, full: &FullJid) -> bool {
        self.lock().get(full.bare()).is_some_and(|account| account.sessions.iter().any(|session| session.full == *full))
    }

    /// Whether an account has a session, whatever that said.
    pub fn is_here(&self, account: &BareJid) -> bool {
        self.lock().get(account).is_some_and(|account| !account.sessions.is_empty())
    }

    pub fn is_available(&self, full: &FullJid) -> bool {
        let accounts = self.lock();
        let mut sessions = accounts.get(full.bare()).into_iter().flat_map(|account| &account.sessions);
        sessions.any(|session| session.full == *full && session.priority.is_some())
    }

    /// Whether a session takes what goes to the account's bare JID.
    pub fn has_ready(&self, account: &BareJid) -> bool {
        let ready = |session: &Session| session.priority.is_some_and(|priority| priority >= 0);
        self.lock().get(account).is_some_and(|account| account.sessions.iter().any(ready))
    }

    /// What the account's available sessions said last.
    pub fn presences(&self, account: &BareJid) -> Vec<(FullJid, Spoken)> {
        let accounts = self.lock();
        let sessions = accounts.get(account).into_iter().flat_map(|account| &account.sessions);
        sessions.filter_map(|session| Some((session.full.clone(), session.presence.clone()?))).collect()
    }

    /// Notes to whom a session directs its presence, up to so many; whether there was room.
    pub fn direct(&self, place: &Place, to: &Jid, max: usize) -> bool {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(place.full.bare()) else { return true };
        let Some(own) = account.position(place) else { return true };
        let directed = &mut account.sessions[own].directed;
        if directed.contains(to) {
            return true;
        }
        let room = directed.len() < max;
        if room {
            directed.push(to.clone());
        }
        room
    }

    pub fn direct_no_more(&self, place: &Place, to: &Jid) {
        self.with_session(place, |session| session.directed.retain(|known| known != to));
    }

    /// To whom a session has directed its presence, which it is asked to forget.
    pub fn take_directed(&self, place: &Place) -> Vec<Jid> {
        self.with_session(place, |session| std::mem::take(&mut session.directed)).unwrap_or_default()
    }

    /// The same, of accounts, and nobody forgets anything.
    pub fn visited(&self, place: &Place) -> BTreeSet<BareJid> {
        let accounts = |session: &mut Session| session.directed.iter().map(|to| to.bare().clone()).collect();
        self.with_session(place, accounts).unwrap_or_default()
    }

    /// Whether a session has directed its presence to somebody.
    pub fn has_directed(&self, from: &FullJid, to: &Jid) -> bool {
        let accounts = self.lock();
        let mut sessions = accounts.get(from.bare()).into_iter().flat_map(|account| &account.sessions);
        let meant = |known: &Jid| known == to || known.resource().is_none() && known.bare() == to.bare();
        sessions.any(|session| session.full == *from && session.directed.iter().any(meant))
    }

    pub fn between(&self, sender: &Jid, receiver: &Jid) -> Between {
        let accounts = self.lock();
        let (Some(from), Some(to)) = (accounts.get(sender.bare()), accounts.get(receiver.bare())) else {
            return Between::Unknown;
        };
        if sender.bare() == receiver.bare() {
            return Between::Free;
        }
        match (&from.blocked, &to.blocked) {
            (Some(by_sender), _) if im::blocks(by_sender, receiver) => Between::BySender,
            (Some(_), Some(by_receiver)) if im::blocks(by_receiver, sender) => Between::ByReceiver,
            (Some(_), Some(_)) => Between::Free,
            _ => Between::Unknown,
        }
    }

    /// Whom an online account has blocked, if that was read.
    pub fn blocked(&self, account: &BareJid) -> Option<Arc<[Jid]>> {
        self.lock().get(account)?.blocked.clone()
    }

    /// Remembers whom an account has blocked, while it is online.
    pub fn set_blocked(&self, account: &BareJid, blocked: &Arc<[Jid]>) {
        if let Some(account) = self.lock().get_mut(account) {
            account.blocked = Some(blocked.clone());
        }
    }

    /// Whose messages an online account keeps, if that was read.
    pub fn keeping(&self, account: &BareJid) -> Option<Arc<Keeping>> {
        self.lock().get(account)?.keeping.clone()
    }

    /// Remembers it, while the account is online.
    pub fn set_keeping(&self, account: &BareJid, keeping: &Arc<Keeping>) {
        if let Some(account) = self.lock().get_mut(account) {
            account.keeping = Some(keeping.clone());
        }
    }

    /// Whether a session takes what goes to its account's bare JID.
    pub fn is_ready(&self, place: &Place) -> bool {
        self.with_session(place, |session| session.priority.is_some_and(|priority| priority >= 0)).unwrap_or(false)
    }

    pub fn handed_over(&self, account: &BareJid) -> i64 {
        self.lock().get(account).map_or(0, |account| account.handed_over)
    }

    pub fn set_handed_over(&self, account: &BareJid, through: i64) {
        if let Some(account) = self.lock().get_mut(account) {
            account.handed_over = through;
        }
    }

    /// Looks at what a session can, and changes it. Nothing when it is not here any more.
    pub fn capable<T>(&self, place: &Place, work: impl FnOnce(&mut Capable) -> T) -> Option<T> {
        self.with_session(place, |session| work(session.capable.get_or_insert_default()))
    }

    /// What an available session wants to be notified of.
    pub fn interests(&self, place: &Place) -> Option<Interests> {
        self.with_session(place, |session| {
            let available = session.priority.is_some();
            session.capable.as_ref().filter(|_| available).map(|capable| capable.interests.clone())
        })?
    }

    /// Tells an account's sessions that follow others to ask whom.
    pub fn hint(&self, account: &BareJid) {
        let accounts = self.lock();
        let sessions = accounts.get(account).into_iter().flat_map(|account| &account.sessions);
        let follows =
            |session: &&Session| session.capable.as_ref().is_some_and(|capable| !capable.interests.is_empty());
        for session in sessions.filter(follows) {
            // A session whose queue is full asks when it announces itself the next time.
            session.give(Routed::Follow);
        }
    }

    fn with_session<T>(&self, place: &Place, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mut accounts = self.lock();
        let account = accounts.get_mut(place.full.bare())?;
        let own = account.position(place)?;
        Some(work(&mut account.sessions[own]))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that was entered, and what remains of the one whose resource it took.
pub(super) struct Bound {
    pub place: Place,
    pub replaced: Option<Left>,
}

fn forget_if_empty(accounts: &mut HashMap<BareJid, Account>, jid: &BareJid) {
    if accounts.get(jid).is_some_and(|account| account.sessions.is_empty()) {
        accounts.remove(jid);
    }
}

impl Account {
    fn position(&self, place: &Place) -> Option<usize> {
        self.sessions.iter().position(|session| session.inbox.same_channel(&place.inbox))
    }
}

impl Session {
    /// Whether there was room in its queue.
    fn take(&self, stanza: &Bytes) -> bool {
        self.give(Routed::Stanza(stanza.clone()))
    }

    /// Whatever others send, there is room left to tell a session that it is over: one that is slow to read
    /// must not go on beside the one that has its name now. Everything is given under the lock.
    fn give(&self, routed: Routed) -> bool {
        self.inbox.capacity() > LAST_WORDS && self.inbox.try_send(routed).is_ok()
    }

    fn is(&self, of: Of) -> bool {
        match of {
            Of::Available => self.priority.is_some(),
            Of::Interested => self.wants.roster,
            Of::Blocklist => self.wants.blocklist,
        }
    }
}

/// Room that is kept in every queue for that a session has ended, or was replaced: it is told one of them, once.
const LAST_WORDS: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_whose_queue_is_full_is_told_that_it_is_over() {
        let directory = Directory::default();
        let fill = |full: FullJid| {
            let (inbox, heard) = mpsc::channel(3);
            directory.bind(full.clone(), inbox, 10).unwrap();
            while directory.to_one(&full, &stanza()) {}
            heard
        };
        let last = |mut heard: mpsc::Receiver<Routed>| {
            let all: Vec<Routed> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
            assert_eq!(all.len(), 3);
            all.last().cloned()
        };
        let (replaced, ended) = (fill(full("a")), fill(full("b")));
        let (other, _other) = mpsc::channel(3);
        directory.bind(full("a"), other, 10).unwrap();
        assert!(matches!(last(replaced), Some(Routed::Replaced)));
        directory.end(&Jid::Full(full("b")));
        assert!(matches!(last(ended), Some(Routed::Ended)));
    }

    fn full(resource: &str) -> FullJid {
        BareJid::parse("alice@localhost").unwrap().with_resource(resource).unwrap()
    }

    fn alice() -> BareJid {
        full("a").bare().clone()
    }

    fn stanza() -> Bytes {
        Bytes::from_static(b"<message/>")
    }

    fn spoken() -> Spoken {
        Spoken::unavailable(&full("a"))
    }

    #[tokio::test]
    async fn a_bare_jid_reaches_available_sessions_of_no_negative_priority() {
        let directory = Directory::default();
        let (inbox_a, mut a) = mpsc::channel(4);
        let (inbox_b, mut b) = mpsc::channel(4);
        let (inbox_c, mut c) = mpsc::channel(4);
        let place_a = directory.bind(full("a"), inbox_a, 10).unwrap().place;
        let place_b = directory.bind(full("b"), inbox_b, 10).unwrap().place;
        let place_c = directory.bind(full("c"), inbox_c, 10).unwrap().place;
        assert!(directory.to_ready(&alice(), true, &stanza()).is_empty(), "nobody is available");
        for (place, priority) in [(&place_a, 0), (&place_b, -1), (&place_c, 5)] {
            directory.announce(place, Some(priority), &spoken());
        }
        assert_eq!(directory.to_ready(&alice(), true, &stanza()), [full("a"), full("c")]);
        assert_eq!(directory.to_ready(&alice(), false, &stanza()), [full("c")]);
        assert!(matches!(a.try_recv(), Ok(Routed::Stanza(bytes)) if bytes == stanza()));
        assert!(a.try_recv().is_err() && b.try_recv().is_err());
        assert!(c.try_recv().is_ok() && c.try_recv().is_ok());
        assert!(directory.to_one(&full("b"), &stanza()));
        assert_eq!(directory.to_all(&alice(), Of::Available, &stanza()), 3);
    }

    #[tokio::test]
    async fn a_resource_bound_again_replaces_the_session_and_its_end_does_not_end_the_new_one() {
        let directory = Directory::default();
        let (old_inbox, mut old) = mpsc::channel(4);
        let (new_inbox, _new) = mpsc::channel(4);
        let old_place = directory.bind(full("a"), old_inbox, 1).unwrap().place;
        directory.announce(&old_place, Some(0), &spoken());
        let bound = directory.bind(full("a"), new_inbox, 1).unwrap();
        assert!(matches!(old.try_recv(), Ok(Routed::Replaced)));
        assert!(bound.replaced.is_some_and(|left| left.available));
        assert!(directory.leave(&old_place).is_none());
        assert!(directory.is_online(&full("a")) && !directory.is_available(&full("a")));
        assert!(directory.leave(&bound.place).is_some());
        assert!(!directory.is_online(&full("a")));
        assert!(directory.lock().is_empty());
    }

    #[tokio::test]
    async fn an_ended_session_is_told_and_is_here_no_more() {
        let directory = Directory::default();
        let (inbox_a, mut a) = mpsc::channel(4);
        let (inbox_b, mut b) = mpsc::channel(4);
        let place_a = directory.bind(full("a"), inbox_a, 10).unwrap().place;
        directory.bind(full("b"), inbox_b, 10).unwrap();
        directory.announce(&place_a, Some(0), &spoken());
        assert!(directory.end(&Jid::Full(full("c"))).is_empty());
        let ended = directory.end(&Jid::Full(full("a")));
        assert!(matches!(&ended[..], [(who, left)] if *who == full("a") && left.available));
        assert!(matches!(a.try_recv(), Ok(Routed::Ended)) && b.try_recv().is_err());
        assert!(directory.leave(&place_a).is_none(), "it has left");
        let online = Online { account: alice(), sessions: vec![full("b")], active: false };
        assert_eq!(directory.online(), [online]);
        assert_eq!(directory.end(&Jid::Bare(alice())).len(), 1);
        assert!(directory.online().is_empty() && directory.lock().is_empty());
    }

    #[tokio::test]
    async fn an_account_has_so_many_sessions_and_no_more() {
        let directory = Directory::default();
        let (inbox, _keep) = mpsc::channel(4);
        let (other, _keep_too) = mpsc::channel(4);
        directory.bind(full("a"), inbox.clone(), 2).unwrap();
        let second = directory.bind(full("b"), other, 2).unwrap().place;
        assert_eq!(directory.bind(full("c"), inbox.clone(), 2).err(), Some(BindFailed::TooMany));
        directory.leave(&second);
        assert!(directory.bind(full("c"), inbox, 2).is_ok());
    }
}
