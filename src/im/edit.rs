//! What the owner of a roster writes into it (RFC 6121 §2.3 to §2.5).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::im::{Links, RosterItem, RosterPlace};
use crate::jid::BareJid;

/// The limits of rosters and block lists.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Entries of one roster. As many requests of strangers may wait beside them.
    pub items_max: u64,
    pub name_bytes_max: usize,
    pub groups_max: usize,
    pub group_bytes_max: usize,
    /// Addresses that one account may block.
    pub blocked_max: usize,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What shall be removed is not in the roster (RFC 6121 §2.5.3).
    ItemAbsent,
    TooManyItems {
        items_max: u64,
    },
    NameTooLong {
        bytes_max: usize,
    },
    GroupEmpty,
    GroupTooLong {
        bytes_max: usize,
    },
    GroupTwice,
    TooManyGroups {
        groups_max: usize,
    },
    /// Nobody is a contact of his own.
    OwnAddress,
    TooManyBlocked {
        blocked_max: usize,
    },
}

/// An entry as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub jid: BareJid,
    pub name: Option<Arc<str>>,
    pub groups: Vec<Arc<str>>,
}

/// The entry as it will be: name and groups are the owner's, the subscriptions stay what they were.
pub fn write(owner: &BareJid, wanted: Wanted, place: &RosterPlace, limits: &Limits) -> Result<RosterItem, Refusal> {
    if wanted.jid == *owner {
        return Err(Refusal::OwnAddress);
    }
    let Wanted { jid, name, groups } = wanted;
    // RFC 6121 §2.4: an empty name is none.
    let name = name.filter(|name| !name.is_empty());
    if name.as_ref().is_some_and(|name| name.len() > limits.name_bytes_max) {
        return Err(Refusal::NameTooLong { bytes_max: limits.name_bytes_max });
    }
    check_groups(&groups, limits)?;
    room_for(place, limits)?;
    let (links, request) = place.item.as_ref().map(|item| (item.links, item.request.clone())).unwrap_or_default();
    Ok(RosterItem { jid, name, groups, links, listed: true, request })
}

/// What remains of an entry that its owner removes, and what it was: a request that was not answered
/// is not answered by that (RFC 6121 §2.5.2, §3.1.3).
pub fn remove(place: &RosterPlace) -> Result<(&RosterItem, Option<RosterItem>), Refusal> {
    let item = place.item.as_ref().filter(|item| item.listed).ok_or(Refusal::ItemAbsent)?;
    let rest = item.links.pending_in.then(|| RosterItem {
        name: None,
        groups: Vec::new(),
        links: Links { pending_in: true, ..Links::default() },
        listed: false,
        ..item.clone()
    });
    Ok((item, rest))
}

/// Whether another entry may be listed, or this one is.
pub fn room_for(place: &RosterPlace, limits: &Limits) -> Result<(), Refusal> {
    let stands = place.item.as_ref().is_some_and(|item| item.listed);
    if !stands && place.listed >= limits.items_max {
        return Err(Refusal::TooManyItems { items_max: limits.items_max });
    }
    Ok(())
}

fn check_groups(groups: &[Arc<str>], limits: &Limits) -> Result<(), Refusal> {
    if groups.len() > limits.groups_max {
        return Err(Refusal::TooManyGroups { groups_max: limits.groups_max });
    }
    let mut seen = BTreeSet::new();
    for group in groups {
        if group.is_empty() {
            return Err(Refusal::GroupEmpty);
        }
        if group.len() > limits.group_bytes_max {
            return Err(Refusal::GroupTooLong { bytes_max: limits.group_bytes_max });
        }
        if !seen.insert(group) {
            return Err(Refusal::GroupTwice);
        }
    }
    Ok(())
}

impl Default for Limits {
    fn default() -> Self {
        Limits { items_max: 2000, name_bytes_max: 1023, groups_max: 50, group_bytes_max: 1023, blocked_max: 1000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(name: &str) -> BareJid {
        BareJid::parse(name).unwrap()
    }

    fn wanted(name: &str, groups: &[&str]) -> Wanted {
        let groups = groups.iter().map(|group| Arc::from(*group)).collect();
        Wanted { jid: bare("bob@localhost"), name: Some(name.into()), groups }
    }

    fn limits() -> Limits {
        Limits { items_max: 2, name_bytes_max: 4, groups_max: 3, group_bytes_max: 5, blocked_max: 2 }
    }

    fn item(listed: bool, links: Links) -> RosterItem {
        let request = links.pending_in.then(|| Arc::from(&b"<presence/>"[..]));
        RosterItem {
            jid: bare("bob@localhost"),
            name: Some("B".into()),
            groups: vec!["G".into()],
            links,
            listed,
            request,
        }
    }

    fn write_over(place: &RosterPlace, wanted: Wanted) -> Result<RosterItem, Refusal> {
        write(&bare("alice@localhost"), wanted, place, &limits())
    }

    #[test]
    fn entries_have_their_limits() {
        let empty = RosterPlace::default();
        let long = "sixsix";
        for (wanted, expected) in [
            (wanted("five5", &[]), Refusal::NameTooLong { bytes_max: 4 }),
            (wanted("n", &["a", ""]), Refusal::GroupEmpty),
            (wanted("n", &["a", "b", "a"]), Refusal::GroupTwice),
            (wanted("n", &[long]), Refusal::GroupTooLong { bytes_max: 5 }),
            (wanted("n", &["a", "b", "c", "d"]), Refusal::TooManyGroups { groups_max: 3 }),
            (Wanted { jid: bare("alice@localhost"), ..wanted("n", &[]) }, Refusal::OwnAddress),
        ] {
            assert_eq!(write_over(&empty, wanted), Err(expected));
        }
        let full = RosterPlace { listed: 2, ..RosterPlace::default() };
        assert_eq!(write_over(&full, wanted("n", &[])), Err(Refusal::TooManyItems { items_max: 2 }));
        let asks = Links { pending_in: true, ..Links::default() };
        let waiting = RosterPlace { item: Some(item(false, asks)), ..full.clone() };
        assert_eq!(write_over(&waiting, wanted("n", &[])), Err(Refusal::TooManyItems { items_max: 2 }));
        let stands = RosterPlace { item: Some(item(true, asks)), ..full };
        assert!(write_over(&stands, wanted("n", &[])).is_ok());
    }

    #[test]
    fn the_owner_changes_name_and_groups_and_nothing_else() {
        let links = Links { to: true, pending_in: true, ..Links::default() };
        let place = RosterPlace { item: Some(item(false, links)), ..RosterPlace::default() };
        let written = write_over(&place, wanted("", &["H"])).unwrap();
        assert_eq!(written, RosterItem { name: None, groups: vec!["H".into()], listed: true, ..item(true, links) });
    }

    #[test]
    fn an_unanswered_request_outlives_its_entry() {
        let links = Links { to: true, pending_in: true, approved: true, ..Links::default() };
        let place = RosterPlace { item: Some(item(true, links)), ..RosterPlace::default() };
        let (was, rest) = remove(&place).unwrap();
        assert_eq!(*was, item(true, links));
        let waits = Links { pending_in: true, ..Links::default() };
        assert_eq!(rest, Some(RosterItem { name: None, groups: vec![], ..item(false, waits) }));
        let place =
            RosterPlace { item: Some(item(true, Links { from: true, ..Links::default() })), ..RosterPlace::default() };
        assert_eq!(remove(&place).unwrap().1, None);
        let hidden = RosterPlace { item: Some(item(false, waits)), ..RosterPlace::default() };
        assert_eq!(remove(&hidden), Err(Refusal::ItemAbsent));
        assert_eq!(remove(&RosterPlace::default()), Err(Refusal::ItemAbsent));
    }
}
