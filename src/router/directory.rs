//! Who is online: sessions by address, and what they said of their presence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::jid::{BareJid, FullJid, Jid};

/// Something that others have for a session.
#[derive(Clone, Debug)]
pub enum Routed {
    /// A stanza, as it stands on the wire.
    Stanza(Bytes),
    /// Another session has taken its resource (RFC 6120 §7.7.2.2).
    Replaced,
}

/// Why a resource cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindFailed {
    /// The account has as many sessions as it may.
    TooMany,
}

#[derive(Clone, Default)]
pub(super) struct Directory {
    accounts: Arc<Mutex<HashMap<BareJid, Vec<Session>>>>,
}

struct Session {
    full: FullJid,
    /// Tells a session from a later one of the same address.
    inbox: mpsc::Sender<Routed>,
    /// Absent while it is not available (RFC 6121 §4.2).
    priority: Option<i8>,
    /// The presence that it sent last, for those who come later.
    presence: Option<Bytes>,
}

/// A session's place in the directory; dropping it ends the place.
pub struct Presence {
    directory: Directory,
    full: FullJid,
    inbox: mpsc::Sender<Routed>,
}

impl Directory {
    pub fn bind(
        &self,
        full: FullJid,
        inbox: mpsc::Sender<Routed>,
        sessions_max: usize,
    ) -> Result<Presence, BindFailed> {
        let mut accounts = self.lock();
        let sessions = accounts.entry(full.bare().clone()).or_default();
        match sessions.iter().position(|session| session.full == full) {
            Some(old) => {
                // A session that cannot even be told is as good as gone: its queue is full.
                let _ = sessions.remove(old).inbox.try_send(Routed::Replaced);
            }
            None if sessions.len() >= sessions_max => return Err(BindFailed::TooMany),
            None => {}
        }
        sessions.push(Session { full: full.clone(), inbox: inbox.clone(), priority: None, presence: None });
        drop(accounts);
        Ok(Presence { directory: self.clone(), full, inbox })
    }

    /// Hands a stanza to the session of a full JID, or to all available ones of a bare JID whose
    /// priority is not negative (RFC 6121 §8.5.2.1). How many took it.
    pub fn send(&self, to: &Jid, stanza: &Bytes) -> usize {
        let accounts = self.lock();
        let Some(sessions) = accounts.get(to.bare()) else { return 0 };
        let meant = |session: &&Session| match to {
            Jid::Full(full) => session.full == *full,
            Jid::Bare(_) => session.priority.is_some_and(|priority| priority >= 0),
        };
        sessions
            .iter()
            .filter(meant)
            .filter(|session| session.inbox.try_send(Routed::Stanza(stanza.clone())).is_ok())
            .count()
    }

    pub fn is_online(&self, full: &FullJid) -> bool {
        self.lock().get(full.bare()).is_some_and(|sessions| sessions.iter().any(|session| session.full == *full))
    }

    /// Whether a message to the bare JID reaches a session.
    pub fn is_available(&self, bare: &BareJid) -> bool {
        let reachable = |session: &Session| session.priority.is_some_and(|priority| priority >= 0);
        self.lock().get(bare).is_some_and(|sessions| sessions.iter().any(reachable))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, Vec<Session>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    pub fn jid(&self) -> &FullJid {
        &self.full
    }

    /// The session is available with this priority, or unavailable; `stanza` tells the account's
    /// available resources, itself included (RFC 6121 §4.2.2, §4.4.2, §4.5.2). On initial presence
    /// the presence of the others is told to it.
    pub fn announce(&self, priority: Option<i8>, stanza: Bytes) {
        let mut accounts = self.directory.lock();
        let Some(sessions) = accounts.get_mut(self.full.bare()) else { return };
        let Some(own) = sessions.iter().position(|session| session.inbox.same_channel(&self.inbox)) else { return };
        let initial = sessions[own].priority.is_none() && priority.is_some();
        sessions[own].priority = priority;
        sessions[own].presence = priority.map(|_| stanza.clone());
        for (at, session) in sessions.iter().enumerate() {
            if at == own || session.priority.is_some() {
                let _ = session.inbox.try_send(Routed::Stanza(stanza.clone()));
            }
            if initial
                && at != own
                && let Some(presence) = &session.presence
            {
                let _ = self.inbox.try_send(Routed::Stanza(presence.clone()));
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut accounts = self.directory.lock();
        let Some(sessions) = accounts.get_mut(self.full.bare()) else { return };
        let Some(own) = sessions.iter().position(|session| session.inbox.same_channel(&self.inbox)) else { return };
        let left = sessions.remove(own);
        if left.priority.is_some() {
            // RFC 6121 §4.5.3: a session that ends is unavailable to those who knew it available.
            let gone = unavailable(&self.full);
            for session in sessions.iter().filter(|session| session.priority.is_some()) {
                let _ = session.inbox.try_send(Routed::Stanza(gone.clone()));
            }
        }
        if sessions.is_empty() {
            accounts.remove(self.full.bare());
        }
    }
}

fn unavailable(full: &FullJid) -> Bytes {
    let presence = crate::xml::Element::new("presence", "jabber:client")
        .with_attr("from", full.to_string())
        .with_attr("to", full.bare().to_string())
        .with_attr("type", "unavailable");
    super::wire_bytes(&presence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(resource: &str) -> FullJid {
        BareJid::parse("alice@localhost").unwrap().with_resource(resource).unwrap()
    }

    fn stanza() -> Bytes {
        Bytes::from_static(b"<message/>")
    }

    #[tokio::test]
    async fn a_bare_jid_reaches_available_sessions_of_no_negative_priority() {
        let directory = Directory::default();
        let (inbox_a, mut a) = mpsc::channel(4);
        let (inbox_b, mut b) = mpsc::channel(4);
        let presence_a = directory.bind(full("a"), inbox_a, 10).unwrap();
        let presence_b = directory.bind(full("b"), inbox_b, 10).unwrap();
        let bare = Jid::Bare(full("a").bare().clone());
        assert_eq!(directory.send(&bare, &stanza()), 0, "nobody is available");
        presence_a.announce(Some(0), Bytes::from_static(b"<presence/>"));
        presence_b.announce(Some(-1), Bytes::from_static(b"<presence/>"));
        while a.try_recv().is_ok() {}
        while b.try_recv().is_ok() {}
        assert_eq!(directory.send(&bare, &stanza()), 1);
        assert!(matches!(a.try_recv(), Ok(Routed::Stanza(bytes)) if bytes == stanza()));
        assert!(b.try_recv().is_err());
        assert_eq!(directory.send(&Jid::Full(full("b")), &stanza()), 1);
    }

    #[tokio::test]
    async fn a_resource_bound_again_replaces_the_session_and_its_end_does_not_end_the_new_one() {
        let directory = Directory::default();
        let (old_inbox, mut old) = mpsc::channel(4);
        let (new_inbox, _new) = mpsc::channel(4);
        let old_presence = directory.bind(full("a"), old_inbox, 1).unwrap();
        let new_presence = directory.bind(full("a"), new_inbox, 1).unwrap();
        assert!(matches!(old.try_recv(), Ok(Routed::Replaced)));
        drop(old_presence);
        assert!(directory.is_online(&full("a")));
        drop(new_presence);
        assert!(!directory.is_online(&full("a")));
    }

    #[tokio::test]
    async fn an_account_has_so_many_sessions_and_no_more() {
        let directory = Directory::default();
        let (inbox, _keep) = mpsc::channel(4);
        let _first = directory.bind(full("a"), inbox.clone(), 2).unwrap();
        let second = directory.bind(full("b"), inbox.clone(), 2).unwrap();
        assert_eq!(directory.bind(full("c"), inbox.clone(), 2).err(), Some(BindFailed::TooMany));
        drop(second);
        assert!(directory.bind(full("c"), inbox, 2).is_ok());
    }
}
