//! Runs the rules of `im` over the store and over who is online: rosters, presence, who has blocked
//! whom, messages between people (RFC 6121).
//!
//! What an account does to others happens in its turn (`turns.rs`): facts are read, `im` decides, the
//! store commits, and only then are sessions told. Whatever is told to the session that asked comes
//! back as the answer of the last step, so that nothing that happens later is told before it.
//!
//! Not here: publish-subscribe (`engine`, `delivery`), which stanza is meant for whom (`router`), iq
//! (`xep`).

mod afar;
mod archive;
mod avatar;
mod blocking;
mod caps;
mod directory;
mod errand;
#[cfg(test)]
mod histories;
mod last;
mod messages;
mod presence;
mod requests;
mod roster;
mod subscriptions;
mod turns;
mod undelivered;
mod words;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
use crate::im;
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::{Failure, Store};

pub use afar::{HandOn, TellAfar};
pub use archive::{ArchiveOptions, ArchiveWish, FoundMessage, FoundMessages, WishPlace};
pub use caps::{Interests, capabilities_hash};
pub use directory::{BindFailed, Over, Place, Routed};
pub use errand::Parcel;
pub use last::LastActivity;
pub use messages::Sending;
pub use requests::Access;
pub use roster::RosterAnswer;
pub use words::{presence_error, roster_item, wire_bytes, word as subscription_word};

pub use directory::Online;

use directory::{Directory, Ears, Of};

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub limits: im::Limits,
    pub sessions: SessionLimits,
    pub offline: OfflineLimits,
    pub archive: ArchiveOptions,
}

/// What may wait for one account (XEP-0160).
#[derive(Clone, Debug)]
pub struct OfflineLimits {
    pub messages_max: u64,
    pub message_bytes_max: usize,
}

impl Default for OfflineLimits {
    fn default() -> Self {
        OfflineLimits { messages_max: 100, message_bytes_max: 64 << 10 }
    }
}

/// What one session may hold here.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Addresses to which a session may have directed its presence.
    pub directed_max: usize,
    /// A request to see presence is kept whole up to this size, beyond it without what it says.
    pub request_bytes_max: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits { directed_max: 256, request_bytes_max: 8192 }
    }
}

/// Instant messaging, to be cloned and handed about.
#[derive(Clone)]
pub struct Messaging {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    directory: Directory,
    turns: turns::Turns,
    caps: caps::Cache,
    archive: archive::Archive,
    questions: AtomicU64,
    farewells: TaskTracker,
    /// How to tell those of presence for whom others speak.
    afar: OnceLock<TellAfar>,
    options: Options,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Refused(im::Refusal),
    Failed(Failure),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Wrong::Failed(failure)
    }
}

impl From<im::Refusal> for Wrong {
    fn from(refusal: im::Refusal) -> Self {
        Wrong::Refused(refusal)
    }
}

/// What a session is told of what it did.
#[derive(Debug, Default)]
pub struct Told {
    /// Stanzas for it, in order.
    pub stanzas: Vec<Bytes>,
    /// Messages that waited for its account, which come after them.
    pub kept: Vec<Parcel>,
    /// Whether it takes what goes to its account's bare JID from now on, where that was decided.
    pub available: Option<bool>,
    /// It was not available before, and is now.
    pub arrived: bool,
    /// Whose nodes it follows without a subscription from now on, where that was decided.
    pub follows: Option<Follows>,
}

/// Nodes of accounts that a session follows (XEP-0060 §9.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follows {
    /// Those whose presence it sees, its own account among them.
    pub accounts: BTreeSet<BareJid>,
    pub nodes: Interests,
}

/// A session's place among those who are online; dropping it ends the place, and tells those who
/// knew it available (RFC 6121 §4.5.2).
pub struct Presence {
    messaging: Messaging,
    place: Place,
    ears: Ears,
}

impl Messaging {
    pub fn new(engine: Engine, options: Options) -> Self {
        let (directory, turns) = (Directory::default(), turns::Turns::default());
        let (caps, questions) = (caps::Cache::default(), AtomicU64::new(0));
        let archive = archive::Archive::new(engine.identity());
        let (farewells, afar) = (TaskTracker::new(), OnceLock::new());
        let shared = Shared { engine, directory, turns, caps, archive, questions, farewells, afar, options };
        Messaging { shared: Arc::new(shared) }
    }

    /// Enters a session under its address, for which so many stanzas of others may wait.
    pub fn bind(&self, full: FullJid, inbox_max: usize, sessions_max: usize) -> Result<Presence, BindFailed> {
        let bound = self.shared.directory.bind(full, inbox_max, sessions_max)?;
        if let Some((full, left)) = bound.replaced {
            self.farewell(full, left);
        }
        Ok(Presence { messaging: self.clone(), place: bound.place, ears: bound.ears })
    }

    /// Who is here, ordered by address. For administrators: its cost grows with all who are.
    pub fn online(&self) -> Vec<Online> {
        let mut online = self.shared.directory.online();
        online.sort_by(|one, other| one.account.as_str().cmp(other.account.as_str()));
        online
    }

    /// Ends the session of a full JID, or all of an account. How many there were.
    pub fn end(&self, who: &Jid) -> usize {
        let ended = self.shared.directory.end(who);
        let count = ended.len();
        for (full, left) in ended {
            self.farewell(full, left);
        }
        count
    }

    /// Whether a session gets copies of messages (XEP-0280 §4, §5).
    pub fn set_carbons(&self, session: &FullJid, enabled: bool) {
        self.shared.directory.want(session, |wants| wants.carbons = enabled);
    }

    /// Hands a stanza of the server's own to whom it is for, if they are here: to the session, or to
    /// every session of the account that takes such. How many took it.
    pub fn send(&self, to: &Jid, stanza: &Bytes) -> usize {
        self.give(to, &Parcel::from(stanza.clone()))
    }

    fn give(&self, to: &Jid, parcel: &Parcel) -> usize {
        match to {
            Jid::Full(full) => usize::from(self.shared.directory.to_one(full, parcel)),
            Jid::Bare(bare) => self.shared.directory.to_ready(bare, true, parcel).len(),
        }
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.shared.engine.store()
    }

    fn limits(&self) -> &im::Limits {
        &self.shared.options.limits
    }

    /// Whom an account has blocked. In a turn of the account.
    async fn blocked(&self, account: &BareJid) -> Result<Arc<[Jid]>, Failure> {
        if let Some(known) = self.shared.directory.blocked(account) {
            return Ok(known);
        }
        let read = self.blocked_meanwhile(account).await?;
        self.shared.directory.set_blocked(account, &read);
        Ok(read)
    }

    /// The same, outside of its turn: it may change while somebody looks, and is not remembered.
    async fn blocked_meanwhile(&self, account: &BareJid) -> Result<Arc<[Jid]>, Failure> {
        if let Some(known) = self.shared.directory.blocked(account) {
            return Ok(known);
        }
        let read = self.store().blocked(vec![account.clone()]).await?;
        Ok(read.into_iter().next().unwrap_or_default().into())
    }

    /// The version of a roster as clients are given it: that of another history of the store is another.
    fn version(&self, number: u64) -> String {
        format!("{:x}-{number}", self.shared.engine.identity().incarnation)
    }

    fn push_roster(&self, owner: &BareJid, item: &crate::xml::Element, version: u64) {
        let version = self.version(version);
        let push = |to: &FullJid| words::roster_push(to, item.clone(), &version);
        self.shared.directory.to_each(owner, Of::Interested, push);
    }
}

impl Presence {
    pub fn jid(&self) -> &FullJid {
        &self.place.full
    }

    /// The place itself, to be spoken of while something is done for the session.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// The next thing that others have for it, if it has room for it, or that it is over. May be dropped and
    /// called again.
    pub async fn next(&mut self, room: bool) -> Result<Routed, Over> {
        let Ears { inbox, over } = &mut self.ears;
        tokio::select! {
            biased;
            over = over => Err(over.unwrap_or(Over::Ended)),
            Some(routed) = inbox.recv(), if room => Ok(routed),
        }
    }

    /// It has lost its connection, or has one again.
    pub fn set_asleep(&self, asleep: bool) {
        self.messaging.shared.directory.set_asleep(&self.place, asleep);
    }

    /// It is not here any more. What it was given stays with it.
    pub fn leave(&self) {
        if let Some(left) = self.messaging.shared.directory.leave(&self.place) {
            self.messaging.farewell(self.place.full.clone(), left);
        }
    }

    /// Its client was sent this, and has never said that it came.
    pub fn give_up(&self, parcel: Parcel) {
        self.messaging.give_up(parcel);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // From here on it is given nothing more.
        self.leave();
        while let Ok(routed) = self.ears.inbox.try_recv() {
            if let Routed::Stanza(parcel) = routed {
                self.messaging.give_up(parcel);
            }
        }
    }
}
