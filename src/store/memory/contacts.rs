//! Rosters, block lists, and messages that wait.

use std::collections::BTreeMap;

use crate::im::{Departure, Links, Roster, RosterChange, RosterItem, RosterPlace, StoredStanza};
use crate::jid::{BareJid, Jid};
use crate::pubsub::Contact;

#[derive(Default)]
pub(super) struct Contacts {
    rosters: BTreeMap<BareJid, Kept>,
    blocked: BTreeMap<BareJid, Vec<Jid>>,
    messages: BTreeMap<BareJid, Vec<(i64, StoredStanza)>>,
    next_message: i64,
    pub departures: BTreeMap<BareJid, Departure>,
}

#[derive(Default)]
struct Kept {
    version: u64,
    items: BTreeMap<String, RosterItem>,
}

impl Contacts {
    pub fn fact(&self, owner: &BareJid, contact: &BareJid) -> Option<Contact> {
        let item = self.rosters.get(owner)?.items.get(contact.as_str()).filter(|item| item.listed)?;
        Some(Contact { to: item.links.to, from: item.links.from, groups: item.groups.clone() })
    }

    pub fn roster(&self, owner: &BareJid) -> Roster {
        let of = |kept: &Kept| Roster { version: kept.version, items: kept.items.values().cloned().collect() };
        self.rosters.get(owner).map(of).unwrap_or_default()
    }

    pub fn place(&self, owner: &BareJid, contact: &BareJid) -> RosterPlace {
        let of = |kept: &Kept| RosterPlace {
            item: kept.items.get(contact.as_str()).cloned(),
            listed: kept.items.values().filter(|item| item.listed).count() as u64,
            waiting: kept.items.values().filter(|item| !item.listed).count() as u64,
            version: kept.version,
        };
        self.rosters.get(owner).map(of).unwrap_or_default()
    }

    pub fn put(&mut self, change: RosterChange) -> u64 {
        let kept = self.rosters.entry(change.owner).or_default();
        let contact = change.contact.as_str().to_owned();
        match change.item {
            None => kept.items.remove(&contact),
            Some(item) => kept.items.insert(contact, item),
        };
        kept.version += 1;
        kept.version
    }

    pub fn blocked(&self, owner: &BareJid) -> Vec<Jid> {
        self.blocked.get(owner).cloned().unwrap_or_default()
    }

    pub fn set_blocked(&mut self, owner: BareJid, mut jids: Vec<Jid>) {
        jids.sort_by_key(Jid::to_string);
        jids.dedup();
        self.blocked.insert(owner, jids);
    }

    pub fn keep_message(&mut self, owner: BareJid, kept: StoredStanza, max: u64) -> bool {
        let waiting = self.messages.entry(owner).or_default();
        if waiting.len() as u64 >= max {
            return false;
        }
        self.next_message += 1;
        waiting.push((self.next_message, kept));
        true
    }

    pub fn messages(&self, owner: &BareJid, after: i64, max: usize) -> Vec<(i64, StoredStanza)> {
        let waiting = self.messages.get(owner).into_iter().flatten();
        waiting.filter(|(id, _)| *id > after).take(max).cloned().collect()
    }

    pub fn forget_messages(&mut self, owner: &BareJid, through: i64) {
        if let Some(waiting) = self.messages.get_mut(owner) {
            waiting.retain(|(id, _)| *id > through);
        }
    }

    pub fn remove(&mut self, owner: &BareJid) {
        self.blocked.remove(owner);
        self.messages.remove(owner);
        self.departures.remove(owner);
        if let Some(kept) = self.rosters.get_mut(owner) {
            kept.items.clear();
            kept.version += 1;
        }
        for kept in self.rosters.values_mut() {
            if let Some(item) = kept.items.get_mut(owner.as_str()) {
                (item.links, item.request) = (Links::default(), None);
                let listed = item.listed;
                kept.items.retain(|name, _| listed || name != owner.as_str());
                kept.version += 1;
            }
        }
    }
}
