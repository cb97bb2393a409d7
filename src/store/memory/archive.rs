//! Archives of messages.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{MemoryStore, State};
use crate::im::Preferences;
use crate::jid::BareJid;
use crate::pubsub::{Event, EventKind, NodeKey, Seq};
use crate::store::archive::{
    ArchiveEntry, ArchivePage, ArchiveQuery, ArchiveRange, Archived, Archives, Filing, Keeping,
};
use crate::store::page::event_bytes;
use crate::store::{Failure, Pending};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Kept {
    archives: BTreeMap<BareJid, Archive>,
    last_number: i64,
}

#[derive(Default)]
struct Archive {
    entries: BTreeMap<i64, ArchiveEntry>,
    last_time: Option<Timestamp>,
    preferences: Option<Preferences>,
}

impl Archives for MemoryStore {
    fn reserve_archive_numbers(&self, count: u32) -> Pending<'_, Range<i64>> {
        self.with(move |state| {
            let first = state.archives.last_number + 1;
            state.archives.last_number += i64::from(count);
            Ok(first..first + i64::from(count))
        })
    }

    fn file(&self, filings: Vec<Filing>, messages_max: u64) -> Pending<'_, Vec<bool>> {
        self.with(move |state| Ok(filings.into_iter().map(|filing| state.file(filing, messages_max)).collect()))
    }

    fn read_archive(&self, asked: ArchiveQuery) -> Pending<'_, ArchivePage<Archived>> {
        self.with(move |state| {
            let none = Archive::default();
            state.archives.archives.get(&asked.owner).unwrap_or(&none).read(&asked)
        })
    }

    fn read_published(
        &self,
        node: NodeKey,
        publisher: Option<BareJid>,
        range: ArchiveRange,
    ) -> Pending<'_, ArchivePage<Event>> {
        self.with(move |state| match state.nodes.get(&node) {
            Some(kept) => published(&kept.log, publisher.as_ref(), &range),
            None => published(&BTreeMap::new(), publisher.as_ref(), &range),
        })
    }

    fn archive_ends(&self, owner: BareJid) -> Pending<'_, Option<[(i64, Timestamp); 2]>> {
        self.with(move |state| {
            let Some(archive) = state.archives.archives.get(&owner) else { return Ok(None) };
            let end = |entry: &ArchiveEntry| (entry.number, entry.time);
            let mut entries = archive.entries.values();
            let first = entries.next();
            Ok(first.map(|first| [end(first), end(entries.next_back().unwrap_or(first))]))
        })
    }

    fn archive_preferences(&self, owners: Vec<BareJid>) -> Pending<'_, Vec<Keeping>> {
        self.with(move |state| {
            let keeping = |owner: &BareJid| {
                let said = || state.archives.archives.get(owner)?.preferences.clone();
                match state.accounts.has(owner) {
                    false => Keeping::Nobody,
                    true => said().map_or(Keeping::Unsaid, Keeping::As),
                }
            };
            Ok(owners.iter().map(keeping).collect())
        })
    }

    fn set_archive_preferences(&self, owner: BareJid, preferences: Preferences) -> Pending<'_, ()> {
        self.with(move |state| {
            state.archives.archives.entry(owner).or_default().preferences = Some(preferences);
            Ok(())
        })
    }

    fn forget_archived(&self, before: Timestamp) -> Pending<'_, ()> {
        self.with(move |state| {
            for archive in state.archives.archives.values_mut() {
                archive.entries.retain(|_, entry| entry.time >= before);
            }
            Ok(())
        })
    }
}

impl State {
    fn file(&mut self, filing: Filing, messages_max: u64) -> bool {
        if let Some(waiting) = filing.waiting
            && !self.contacts.keep_message(waiting.owner, waiting.stanza, waiting.max)
        {
            return false;
        }
        for mut entry in filing.entries {
            let archive = self.archives.archives.entry(entry.owner.clone()).or_default();
            entry.time = archive.last_time.into_iter().chain([entry.time]).max().unwrap_or(entry.time);
            archive.last_time = Some(entry.time);
            archive.entries.insert(entry.number, entry);
            while archive.entries.len() as u64 > messages_max {
                archive.entries.pop_first();
            }
        }
        true
    }
}

impl Kept {
    pub fn remove(&mut self, owner: &BareJid) {
        self.archives.remove(owner);
    }
}

impl Archive {
    fn read(&self, asked: &ArchiveQuery) -> Result<ArchivePage<Archived>, Failure> {
        let range = &asked.range;
        if range.edges().chain(range.these.iter().flatten().copied()).any(|number| !self.entries.contains_key(&number))
        {
            return Err(Failure::NoSuchEdge);
        }
        let wanted = |entry: &&ArchiveEntry| {
            let with = asked.with.as_ref().is_none_or(|(with, resource)| {
                entry.with == *with && (resource.is_none() || resource.as_deref() == entry.resource.as_deref())
            });
            with && within(range, entry.number, entry.time)
        };
        let entry = |entry: &ArchiveEntry| Archived { number: entry.number, time: entry.time, xml: entry.xml.clone() };
        turn(range, self.entries.values().filter(wanted).map(entry).collect(), Archived::weight)
    }
}

fn published(
    log: &BTreeMap<Seq, Event>,
    publisher: Option<&BareJid>,
    range: &ArchiveRange,
) -> Result<ArchivePage<Event>, Failure> {
    let number = |event: &Event| i64::try_from(event.seq.0).unwrap_or(i64::MAX);
    let find = |seq: i64| u64::try_from(seq).ok().and_then(|seq| log.get(&Seq(seq)));
    let is_place = |event: &Event| matches!(event.kind, EventKind::Published { .. });
    let is_whole = |event: &Event| matches!(event.kind, EventKind::Published { payload: Some(_), .. });
    let edges = range.edges().all(|seq| find(seq).is_some_and(is_place));
    if !edges || !range.these.iter().flatten().all(|seq| find(*seq).is_some_and(is_whole)) {
        return Err(Failure::NoSuchEdge);
    }
    let wanted = |event: &&Event| match &event.kind {
        EventKind::Published { publisher: by, payload: Some(_), .. } => {
            publisher.is_none_or(|publisher| publisher == by) && within(range, number(event), event.time)
        }
        _ => false,
    };
    turn(range, log.values().filter(wanted).cloned().collect(), event_bytes)
}

fn within(range: &ArchiveRange, number: i64, time: Timestamp) -> bool {
    let (least, most) = range.between();
    range.start.is_none_or(|start| time >= start)
        && range.end.is_none_or(|end| time <= end)
        && range.these.as_ref().is_none_or(|these| these.contains(&number))
        && number > least
        && number < most
}

/// The page of what matches, which is given oldest first.
fn turn<T>(range: &ArchiveRange, mut matching: Vec<T>, weight: fn(&T) -> usize) -> Result<ArchivePage<T>, Failure> {
    if range.max == 0 {
        return Ok(ArchivePage::counted(matching.len() as u64));
    }
    if !range.forward() {
        matching.reverse();
    }
    range.page(matching.into_iter().map(Ok), weight)
}
