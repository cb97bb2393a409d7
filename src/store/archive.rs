//! Archives of messages between people (XEP-0313): one an account.

use std::ops::Range;
use std::sync::Arc;

use super::Pending;
use crate::im::{Preferences, StoredStanza};
use crate::jid::BareJid;
use crate::pubsub::{Event, NodeKey};
use crate::time::Timestamp;

/// The part of [`Store`](super::Store) that keeps archives.
///
/// An archive is ordered by number. Times never go back in it, whatever the clock did: a message that
/// would be older than the one before it bears that one's time. Only the oldest messages go.
pub trait Archives: Send + Sync + 'static {
    /// Hands out numbers of messages that nobody had before and nobody will have again.
    fn reserve_archive_numbers(&self, count: u32) -> Pending<'_, Range<i64>>;

    /// Files messages, all in one transaction, in the order given. Whether each was filed: where what
    /// shall wait for its receiver finds no room, nothing of that filing is done. Of each archive the
    /// newest `messages_max` stay.
    fn file(&self, filings: Vec<Filing>, messages_max: u64) -> Pending<'_, Vec<bool>>;

    /// Messages of an archive in their order. [`Failure::NoSuchEdge`](super::Failure::NoSuchEdge) where
    /// a number that was named is not in it.
    fn read_archive(&self, asked: ArchiveQuery) -> Pending<'_, ArchivePage<Archived>>;

    /// What was published to a node and has its payload still, of a publisher or of all, numbered by seq.
    /// What a current item stands on is there, however old it is. An event whose item has gone names a
    /// place as long as the log has it.
    fn read_published(
        &self,
        node: NodeKey,
        publisher: Option<BareJid>,
        range: ArchiveRange,
    ) -> Pending<'_, ArchivePage<Event>>;

    /// The oldest and the newest message: number and time.
    fn archive_ends(&self, owner: BareJid) -> Pending<'_, Option<[(i64, Timestamp); 2]>>;

    /// What each of these keeps, position by position.
    fn archive_preferences(&self, owners: Vec<BareJid>) -> Pending<'_, Vec<Keeping>>;

    fn set_archive_preferences(&self, owner: BareJid, preferences: Preferences) -> Pending<'_, ()>;

    /// Forgets messages that are older.
    fn forget_archived(&self, before: Timestamp) -> Pending<'_, ()>;
}

/// A message, as it goes where it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filing {
    /// At most one an archive.
    pub entries: Vec<ArchiveEntry>,
    pub waiting: Option<Waiting>,
}

/// A message that waits for its receiver (XEP-0160).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub owner: BareJid,
    pub stanza: StoredStanza,
    /// How many may wait for him.
    pub max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    pub owner: BareJid,
    /// One that was reserved, above all that the archive has.
    pub number: i64,
    pub time: Timestamp,
    pub with: BareJid,
    pub resource: Option<Arc<str>>,
    /// The stanza as it stands on the wire.
    pub xml: Arc<[u8]>,
}

/// A message of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub number: i64,
    pub time: Timestamp,
    pub xml: Arc<[u8]>,
}

/// What is wanted of an account's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveQuery {
    pub owner: BareJid,
    /// Messages with this address; of any resource where none is named.
    pub with: Option<(BareJid, Option<String>)>,
    pub range: ArchiveRange,
}

/// What is wanted of an archive, by time and by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRange {
    /// Not before, and not after.
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    /// Behind this message, and ahead of that.
    pub after: Option<i64>,
    pub before: Option<i64>,
    /// Of these alone.
    pub these: Option<Vec<i64>>,
    pub place: ArchivePlace,
    /// 0 asks how many there are.
    pub max: usize,
    /// A page ends when its messages have passed this; it has at least one.
    pub bytes_max: usize,
}

/// Which page of what matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchivePlace {
    First,
    After(i64),
    Before(i64),
    Last,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePage<T> {
    /// The oldest first.
    pub entries: Vec<T>,
    /// Nothing that matches lies beyond, in the direction of reading.
    pub complete: bool,
    /// Of all that match; where no messages were asked for.
    pub count: Option<u64>,
}

/// Whose messages an account keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// There is no such account.
    Nobody,
    /// It has not said.
    Unsaid,
    As(Preferences),
}

impl ArchiveQuery {
    /// Everything that an account has.
    pub fn all_of(owner: BareJid, max: usize) -> Self {
        ArchiveQuery { owner, with: None, range: ArchiveRange::all(max) }
    }
}

impl ArchiveRange {
    /// Everything, from the beginning.
    pub fn all(max: usize) -> Self {
        ArchiveRange {
            start: None,
            end: None,
            after: None,
            before: None,
            these: None,
            place: ArchivePlace::First,
            max,
            bytes_max: usize::MAX,
        }
    }

    /// Numbers that name places, and must be in the archive.
    pub(super) fn edges(&self) -> impl Iterator<Item = i64> {
        let edge = match self.place {
            ArchivePlace::After(number) | ArchivePlace::Before(number) => Some(number),
            ArchivePlace::First | ArchivePlace::Last => None,
        };
        self.after.into_iter().chain(self.before).chain(edge)
    }

    /// Between which numbers, both exclusive, what is wanted lies.
    pub(super) fn between(&self) -> (i64, i64) {
        let (after, before) = match self.place {
            ArchivePlace::After(number) => (Some(number), None),
            ArchivePlace::Before(number) => (None, Some(number)),
            ArchivePlace::First | ArchivePlace::Last => (None, None),
        };
        let least = self.after.into_iter().chain(after).max().unwrap_or(i64::MIN);
        (least, self.before.into_iter().chain(before).min().unwrap_or(i64::MAX))
    }

    /// Whether a page is read from its beginning.
    pub(super) fn forward(&self) -> bool {
        matches!(self.place, ArchivePlace::First | ArchivePlace::After(_))
    }

    /// Makes the page of what matches, in the order of reading.
    pub(super) fn page<T, E>(
        &self,
        matching: impl IntoIterator<Item = Result<T, E>>,
        weight: impl Fn(&T) -> usize,
    ) -> Result<ArchivePage<T>, E> {
        let mut page = ArchivePage { entries: Vec::new(), complete: true, count: None };
        let mut bytes = 0;
        for entry in matching {
            if page.entries.len() >= self.max || bytes > self.bytes_max {
                page.complete = false;
                break;
            }
            let entry = entry?;
            bytes += weight(&entry);
            page.entries.push(entry);
        }
        if !self.forward() {
            page.entries.reverse();
        }
        Ok(page)
    }
}

impl<T> ArchivePage<T> {
    /// No entries, but how many there are.
    pub(super) fn counted(count: u64) -> Self {
        ArchivePage { entries: Vec::new(), complete: count == 0, count: Some(count) }
    }
}

impl Archived {
    pub(super) fn weight(&self) -> usize {
        self.xml.len()
    }
}
