//! Who is online: sessions by address, and what they said of their presence.
//!
//! Everything is done under one lock and without waiting. What must hold over several steps is held
//! together by the turns of accounts (`turns.rs`).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::caps::{Capable, Interests};
use super::parcel::Parcel;
use super::words::Spoken;
use crate::im;
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::Keeping;

/// Something that others have for a session.
#[derive(Clone, Debug)]
pub enum Routed {
    Stanza(Parcel),
    /// Whose nodes it follows may have changed: it should ask.
    Follow,
    /// Messages were kept because it was given more than it has read: it should collect them.
    Kept,
}

/// Why a session is over. It is told beside its queue, which it may not be reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// An administrator ends it (XEP-0133 §4.5).
    Ended,
    /// Another session has taken its resource (RFC 6120 §7.7.2.2), or its place among the account's.
    Replaced,
}

/// Where a session hears what others have for it.
pub(super) struct Ears {
    pub inbox: mpsc::Receiver<Routed>,
    pub over: oneshot::Receiver<Over>,
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
    over: oneshot::Sender<Over>,
    /// Since when it has had no connection.
    asleep: Option<Instant>,
    /// Messages wait for it behind what it has not read. Until it has collected them nothing that must
    /// arrive may overtake them.
    behind: bool,
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
    /// Enters a session, which hears of up to `inbox_max` things at a time. Whose resource it takes is over;
    /// where there are as many as may be, so is the one that has been without a connection for longest.
    pub fn bind(&self, full: FullJid, inbox_max: usize, sessions_max: usize) -> Result<Bound, BindFailed> {
        let mut accounts = self.lock();
        let sessions = &mut accounts.entry(full.bare().clone()).or_default().sessions;
        let asleep = |(at, session): (usize, &Session)| Some((session.asleep?, at));
        let goes = match sessions.iter().position(|session| session.full == full) {
            Some(old) => Some(old),
            None if sessions.len() >= sessions_max => {
                Some(sessions.iter().enumerate().filter_map(asleep).min().ok_or(BindFailed::TooMany)?.1)
            }
            None => None,
        };
        let replaced = goes.map(|goes| sessions.remove(goes).end(Over::Replaced));
        let (inbox, heard) = mpsc::channel(inbox_max);
        let (over, told) = oneshot::channel();
        sessions.push(Session {
            full: full.clone(),
            inbox: inbox.clone(),
            over,
            asleep: None,
            behind: false,
            priority: None,
            presence: None,
            wants: Wants::default(),
            directed: Vec::new(),
            capable: None,
        });
        Ok(Bound { place: Place { full, inbox }, ears: Ears { inbox: heard, over: told }, replaced })
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
        account.sessions.extract_if(.., meant).map(|session| session.end(Over::Replaced)).collect()
    }

    /// Takes out the session of a full JID, or all of an account, and tells them that they are over.
    pub fn end(&self, who: &Jid) -> Vec<(FullJid, Left)> {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(who.bare()) else { return Vec::new() };
        let meant = |session: &mut Session| match who {
            Jid::Full(full) => session.full == *full,
            Jid::Bare(_) => true,
        };
        let ended = account.sessions.extract_if(.., meant).map(|session| session.end(Over::Ended)).collect();
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
    pub fn to_one(&self, to: &FullJid, parcel: &Parcel) -> bool {
        let accounts = self.lock();
        let sessions = accounts.get(to.bare()).into_iter().flat_map(|account| &account.sessions);
        sessions.filter(|session| session.full == *to).any(|session| session.take(parcel))
    }

    /// Hands a stanza to all those of an account's sessions. How many took it.
    pub fn to_all(&self, account: &BareJid, of: Of, stanza: &Bytes) -> usize {
        let accounts = self.lock();
        let sessions = accounts.get(account).into_iter().flat_map(|account| &account.sessions);
        let parcel = Parcel::from(stanza.clone());
        sessions.filter(|session| session.is(of)).filter(|session| session.take(&parcel)).count()
    }

    /// Hands each of those sessions a stanza made for it.
    pub fn to_each(&self, account: &BareJid, of: Of, make: impl Fn(&FullJid) -> Bytes) {
        let accounts = self.lock();
        let sessions = accounts.get(account).into_iter().flat_map(|account| &account.sessions);
        for session in sessions.filter(|session| session.is(of)) {
            session.take(&Parcel::from(make(&session.full)));
        }
    }

    /// Hands a message to an account's available sessions whose priority is not negative: to all of
    /// them, or to those of the highest priority (RFC 6121 §8.5.2.1.1). Who took it.
    pub fn to_ready(&self, account: &BareJid, all: bool, parcel: &Parcel) -> Vec<FullJid> {
        let accounts = self.lock();
        let Some(account) = accounts.get(account) else { return Vec::new() };
        let ready = |session: &&Session| session.is_ready();
        let most = account.sessions.iter().filter(ready).filter_map(|session| session.priority).max();
        account
            .sessions
            .iter()
            .filter(ready)
            .filter(|session| all || session.priority == most)
            .filter(|session| session.take(parcel))
            .map(|session| session.full.clone())
            .collect()
    }

    /// Hands a copy of a message to each session that wants copies and is not one of these.
    pub fn to_copied(&self, account: &BareJid, but: &[FullJid], make: impl Fn(&FullJid) -> Parcel) {
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
        self.lock().get(account).is_some_and(|account| account.sessions.iter().any(Session::is_ready))
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
        self.with_session(place, |session| session.is_ready()).unwrap_or(false)
    }

    /// A message was kept for an account whose sessions have not read what they were given: they are told
    /// when they have.
    pub fn tell_kept(&self, account: &BareJid) {
        let mut accounts = self.lock();
        let sessions = accounts.get_mut(account).into_iter().flat_map(|account| &mut account.sessions);
        for session in sessions.filter(|session| session.is_ready() && !session.behind) {
            session.behind = session.inbox.try_send(Routed::Kept).is_ok(); // There is room for it.
        }
    }

    /// A session collects what was kept; whether it may.
    pub fn catch_up(&self, place: &Place) -> bool {
        let ready = self.with_session(place, |session| {
            session.behind = false;
            session.is_ready()
        });
        ready.unwrap_or(false)
    }

    /// A session has lost its connection, or has one again.
    pub fn set_asleep(&self, place: &Place, asleep: bool) {
        self.with_session(place, |session| session.asleep = asleep.then(Instant::now));
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

/// A session that was entered, and what remains of the one that had to go.
pub(super) struct Bound {
    pub place: Place,
    pub ears: Ears,
    pub replaced: Option<(FullJid, Left)>,
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
    fn take(&self, parcel: &Parcel) -> bool {
        !(self.behind && parcel.must_arrive()) && self.give(Routed::Stanza(parcel.clone()))
    }

    fn give(&self, routed: Routed) -> bool {
        self.inbox.capacity() > KEPT && self.inbox.try_send(routed).is_ok()
    }

    /// It is not here any more, and is told so.
    fn end(self, over: Over) -> (FullJid, Left) {
        let _ = self.over.send(over); // Or its task has ended.
        (self.full, Left { available: self.priority.is_some(), directed: self.directed })
    }

    fn is_ready(&self) -> bool {
        self.priority.is_some_and(|priority| priority >= 0)
    }

    fn is(&self, of: Of) -> bool {
        match of {
            Of::Available => self.priority.is_some(),
            Of::Interested => self.wants.roster,
            Of::Blocklist => self.wants.blocklist,
        }
    }
}

/// Room in every queue for that something was kept, which is told once until it was collected.
const KEPT: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_whose_queue_is_full_is_told_that_it_is_over_and_what_it_has_missed() {
        let directory = Directory::default();
        let fill = |full: FullJid| {
            let Bound { place, ears, .. } = directory.bind(full.clone(), 3, 10).unwrap();
            directory.announce(&place, Some(0), &spoken());
            while directory.to_one(&full, &stanza()) {}
            directory.tell_kept(full.bare());
            (place, ears)
        };
        let (_, mut replaced) = fill(full("a"));
        let heard: Vec<Routed> = std::iter::from_fn(|| replaced.inbox.try_recv().ok()).collect();
        assert!(matches!(heard[..], [Routed::Stanza(_), Routed::Stanza(_), Routed::Kept]));
        directory.bind(full("a"), 3, 10).unwrap();
        assert_eq!(replaced.over.try_recv(), Ok(Over::Replaced));
        let (_, mut ended) = fill(full("b"));
        directory.end(&Jid::Full(full("b")));
        assert_eq!(ended.over.try_recv(), Ok(Over::Ended));
    }

    #[tokio::test]
    async fn nothing_that_must_arrive_overtakes_what_was_kept() {
        let directory = Directory::default();
        let Bound { place, mut ears, .. } = directory.bind(full("a"), 4, 10).unwrap();
        directory.announce(&place, Some(0), &spoken());
        let must = Parcel::errand(Bytes::from_static(b"<message/>"), crate::time::Timestamp(0));
        directory.tell_kept(&alice());
        assert!(!directory.to_one(&full("a"), &must) && directory.to_ready(&alice(), true, &must).is_empty());
        assert!(directory.to_one(&full("a"), &stanza()), "presence need not wait");
        assert!(directory.catch_up(&place) && directory.to_one(&full("a"), &must));
        assert!(matches!(ears.inbox.try_recv(), Ok(Routed::Kept)));
    }

    fn full(resource: &str) -> FullJid {
        BareJid::parse("alice@localhost").unwrap().with_resource(resource).unwrap()
    }

    fn alice() -> BareJid {
        full("a").bare().clone()
    }

    fn stanza() -> Parcel {
        Parcel::from(Bytes::from_static(b"<message/>"))
    }

    fn spoken() -> Spoken {
        Spoken::unavailable(&full("a"))
    }

    #[tokio::test]
    async fn a_bare_jid_reaches_available_sessions_of_no_negative_priority() {
        let directory = Directory::default();
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| directory.bind(full(name), 5, 10).unwrap());
        assert!(directory.to_ready(&alice(), true, &stanza()).is_empty(), "nobody is available");
        for (bound, priority) in [(&a, 0), (&b, -1), (&c, 5)] {
            directory.announce(&bound.place, Some(priority), &spoken());
        }
        assert_eq!(directory.to_ready(&alice(), true, &stanza()), [full("a"), full("c")]);
        assert_eq!(directory.to_ready(&alice(), false, &stanza()), [full("c")]);
        let next = |bound: &mut Bound| bound.ears.inbox.try_recv();
        assert!(matches!(next(&mut a), Ok(Routed::Stanza(parcel)) if parcel.bytes() == stanza().bytes()));
        assert!(next(&mut a).is_err() && next(&mut b).is_err());
        assert!(next(&mut c).is_ok() && next(&mut c).is_ok());
        assert!(directory.to_one(&full("b"), &stanza()));
        assert_eq!(directory.to_all(&alice(), Of::Available, stanza().bytes()), 3);
    }

    #[tokio::test]
    async fn a_resource_bound_again_replaces_the_session_and_its_end_does_not_end_the_new_one() {
        let directory = Directory::default();
        let mut old = directory.bind(full("a"), 4, 1).unwrap();
        directory.announce(&old.place, Some(0), &spoken());
        let bound = directory.bind(full("a"), 4, 1).unwrap();
        assert_eq!(old.ears.over.try_recv(), Ok(Over::Replaced));
        assert!(bound.replaced.is_some_and(|(who, left)| who == full("a") && left.available));
        assert!(directory.leave(&old.place).is_none());
        assert!(directory.is_online(&full("a")) && !directory.is_available(&full("a")));
        assert!(directory.leave(&bound.place).is_some());
        assert!(!directory.is_online(&full("a")));
        assert!(directory.lock().is_empty());
    }

    #[tokio::test]
    async fn an_ended_session_is_told_and_is_here_no_more() {
        let directory = Directory::default();
        let [mut a, mut b] = ["a", "b"].map(|name| directory.bind(full(name), 4, 10).unwrap());
        directory.announce(&a.place, Some(0), &spoken());
        assert!(directory.end(&Jid::Full(full("c"))).is_empty());
        let ended = directory.end(&Jid::Full(full("a")));
        assert!(matches!(&ended[..], [(who, left)] if *who == full("a") && left.available));
        assert_eq!(a.ears.over.try_recv(), Ok(Over::Ended));
        assert!(b.ears.over.try_recv().is_err());
        assert!(directory.leave(&a.place).is_none(), "it has left");
        let online = Online { account: alice(), sessions: vec![full("b")], active: false };
        assert_eq!(directory.online(), [online]);
        assert_eq!(directory.end(&Jid::Bare(alice())).len(), 1);
        assert!(directory.online().is_empty() && directory.lock().is_empty());
    }

    #[tokio::test]
    async fn an_account_has_so_many_sessions_and_no_more() {
        let directory = Directory::default();
        let _first = directory.bind(full("a"), 4, 2).unwrap();
        let second = directory.bind(full("b"), 4, 2).unwrap().place;
        assert_eq!(directory.bind(full("c"), 4, 2).err(), Some(BindFailed::TooMany));
        directory.leave(&second);
        assert!(directory.bind(full("c"), 4, 2).is_ok());
    }

    #[tokio::test]
    async fn the_session_that_has_been_without_a_connection_for_longest_makes_room() {
        let directory = Directory::default();
        let [a, mut b, mut c] = ["a", "b", "c"].map(|name| directory.bind(full(name), 4, 3).unwrap());
        directory.set_asleep(&c.place, true);
        directory.set_asleep(&a.place, true);
        directory.set_asleep(&b.place, true);
        directory.set_asleep(&a.place, false);
        assert_eq!(directory.bind(full("d"), 4, 3).unwrap().replaced.map(|(who, _)| who), Some(full("c")));
        assert_eq!(c.ears.over.try_recv(), Ok(Over::Replaced));
        assert_eq!(directory.bind(full("e"), 4, 3).unwrap().replaced.map(|(who, _)| who), Some(full("b")));
        assert_eq!(b.ears.over.try_recv(), Ok(Over::Replaced));
        assert_eq!(directory.bind(full("f"), 4, 3).err(), Some(BindFailed::TooMany));
    }
}
