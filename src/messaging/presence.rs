//! Presence told to all, to one, and asked for (RFC 6121 §4).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::caps::{ALGORITHMS, Capable};
use super::directory::{Left, Of, Place};
use super::words::{self, Spoken};
use super::{Follows, Messaging, Parcel, Told};
use crate::im::{self, RosterItem, StoredStanza};
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::{Ask, Failure, Found};
use crate::xml::escape_attribute;
use crate::xmpp::caps::Mark;
use crate::xmpp::{Condition, Presence as Stanza, PresenceType, StanzaError};

impl Messaging {
    /// A session tells everyone that it is available, or that it is not any more (RFC 6121 §4.2, §4.4,
    /// §4.5).
    pub async fn announce(&self, session: &Place, stanza: Stanza) -> Told {
        let own = session.jid().bare().clone();
        let _turn = self.shared.turns.of(&own).await;
        let stanza = match self.with_avatar(&own, stanza.clone()).await {
            Ok(stanza) => stanza,
            Err(failure) => {
                tracing::warn!(%failure, session = %session.jid(), "an account's avatar cannot be read");
                stanza
            }
        };
        match self.facts_of(session, &stanza).await {
            Ok(facts) => {
                let goes = stanza.kind == PresenceType::Unavailable;
                let goes = (goes && self.shared.directory.is_available(session.jid())).then(|| stanza.clone());
                let told = self.announce_upon(session, stanza, facts);
                if goes.is_some() {
                    self.departed(&own, goes.as_ref()).await;
                }
                told
            }
            Err(failure) => {
                tracing::error!(%failure, session = %session.jid(), "a session's presence cannot be told");
                let error = StanzaError::new(Condition::InternalServerError);
                Told { stanzas: vec![words::presence_error(stanza, &error)], ..Told::default() }
            }
        }
    }

    /// A session shows its presence to somebody in particular, or does no more (RFC 6121 §4.6).
    pub async fn direct(&self, session: &Place, to: Jid, stanza: Stanza) -> Told {
        let own = session.jid().bare().clone();
        let receiver = to.bare().clone();
        let _turn = self.shared.turns.of_both(&own, &receiver).await;
        let (mine, theirs) = match (self.blocked(&own).await, self.blocked(&receiver).await) {
            (Ok(mine), Ok(theirs)) => (mine, theirs),
            (Err(failure), _) | (_, Err(failure)) => {
                tracing::error!(%failure, session = %session.jid(), "a block list cannot be read");
                let error = StanzaError::new(Condition::InternalServerError);
                return Told::only(words::presence_error(stanza, &error));
            }
        };
        if own != receiver && im::blocks(&mine, &to) {
            return Told::only(words::presence_error(stanza, &words::blocked_by_sender()));
        }
        let directory = &self.shared.directory;
        if stanza.kind == PresenceType::Unavailable {
            directory.direct_no_more(session, &to);
        } else if !directory.direct(session, &to, self.shared.options.sessions.directed_max) {
            let error = StanzaError::new(Condition::ResourceConstraint)
                .with_text("this session has directed its presence to as many as it may");
            return Told::only(words::presence_error(stanza, &error));
        }
        let mark = Mark::of(&stanza.content, ALGORITHMS);
        let shown = own == receiver || !im::blocks(&theirs, &Jid::Full(session.jid().clone()));
        if shown {
            // What cannot be read is left out.
            let stanza = self.with_avatar(&own, stanza.clone()).await.unwrap_or(stanza);
            self.show(&to, &Spoken::of(stanza));
        }
        // XEP-0060 §9.1.3, XEP-0163 §4.3.2: whose presence it does not see it follows for as long.
        let mut told = self.follow_in_turn(session).await;
        if shown && mark.is_some() && directory.interests(session).is_none_or(|known| known.is_empty()) {
            told.stanzas.extend(self.note_capabilities(session, mark));
        }
        told
    }

    /// A session asks what somebody's presence is; servers do, clients should not (RFC 6121 §4.3.2).
    pub async fn probe(&self, session: &Place, to: Jid, id: Option<String>) -> Told {
        let stanzas = self.probed(Jid::Full(session.jid().clone()), to, id).await;
        Told { stanzas, ..Told::default() }
    }

    /// Somebody for whom a component speaks asks it; he is told there.
    pub async fn probe_from_afar(&self, from: Jid, to: Jid, id: Option<String>) {
        for stanza in self.probed(from.clone(), to, id).await {
            self.tell_elsewhere(&from, &stanza);
        }
    }

    async fn probed(&self, me: Jid, to: Jid, id: Option<String>) -> Vec<Bytes> {
        let own = me.bare().clone();
        let _turn = self.shared.turns.of_both(&own, to.bare()).await;
        let asked = vec![Ask::Contact(to.bare().clone(), own.clone())];
        let (found, blocked) = match (self.store().gather(asked).await, self.blocked(to.bare()).await) {
            (Ok(found), Ok(blocked)) => (found, blocked),
            (Err(failure), _) | (_, Err(failure)) => {
                tracing::error!(%failure, from = %me, "a probe cannot be answered");
                return Vec::new();
            }
        };
        if own != *to.bare() && im::blocks(&blocked, &me) {
            return Vec::new();
        }
        let shares = own == *to.bare() || matches!(&found[..], [Found::Contact(Some(contact))] if contact.from);
        let said = self.shared.directory.presences(to.bare());
        let answer = |kind, from: &Jid| words::mere_presence(kind, from, &me, id.as_deref());
        if !shares {
            let kind = match &to {
                // RFC 6121 §4.6.6.
                Jid::Full(full) if self.shared.directory.has_directed(full, &me) => PresenceType::Available,
                _ => return vec![answer(PresenceType::Unsubscribed, &Jid::Bare(to.bare().clone()))],
            };
            return vec![answer(kind, &to)];
        }
        let meant = |full: &FullJid| to.resource().is_none() || Jid::Full(full.clone()) == to;
        let stanzas: Vec<Bytes> = said.iter().filter(|(full, _)| meant(full)).map(|(_, said)| said.to(&me)).collect();
        if stanzas.is_empty() { vec![answer(PresenceType::Unavailable, &to)] } else { stanzas }
    }

    /// Tells those who knew a session available that it is not any more. Others do not wait for it.
    pub(super) fn farewell(&self, full: FullJid, left: Left) {
        if !left.available && left.directed.is_empty() {
            return;
        }
        let messaging = self.clone();
        // Its place is taken now: what a later session says of itself comes after it.
        let turn = self.shared.turns.ask(full.bare());
        self.shared.farewells.spawn(async move {
            let _turn = turn.reached().await;
            let facts = match messaging.facts(full.bare(), false).await {
                Ok(facts) => facts,
                Err(Failure::Closed) => return,
                Err(failure) => {
                    tracing::error!(%failure, session = %full, "the end of a session cannot be told");
                    return;
                }
            };
            let gone = Spoken::unavailable(&full);
            // A session of the same name may have come and said that it is available.
            if left.available && !messaging.shared.directory.is_available(&full) {
                messaging.shared.directory.to_all(full.bare(), Of::Available, &gone.to_bare(full.bare()));
                messaging.broadcast(full.bare(), &facts, &gone);
            }
            messaging.undirect(&left.directed, &facts, left.available, &gone);
            if left.available {
                messaging.departed(full.bare(), None).await;
            }
        });
    }

    async fn facts_of(&self, session: &Place, stanza: &Stanza) -> Result<Facts, Failure> {
        let own = session.jid().bare();
        let available = stanza.kind == PresenceType::Available;
        let mut facts = self.facts(own, available).await?;
        facts.visited = self.visited(session, &facts).await?;
        if available && stanza.priority >= 0 && !self.shared.directory.is_ready(session) {
            facts.messages = self.kept(own).await?;
        }
        Ok(facts)
    }

    /// In the turn of the owner.
    async fn kept(&self, own: &BareJid) -> Result<Vec<(i64, StoredStanza)>, Failure> {
        let (after, max) = (self.shared.directory.handed_over(own), self.shared.options.offline.messages_max);
        self.store().kept_messages(own.clone(), after, usize::try_from(max).unwrap_or(usize::MAX)).await
    }

    /// A session has read what it was given, and collects what was kept meanwhile.
    pub async fn collect(&self, session: &Place) -> Told {
        let own = session.jid().bare();
        let _turn = self.shared.turns.of(own).await;
        let messages = self.kept(own).await.unwrap_or_else(|failure| {
            tracing::error!(%failure, session = %session.jid(), "what was kept for a session cannot be read");
            Vec::new()
        });
        let mut told = Told::default();
        if self.shared.directory.catch_up(session) {
            self.hand_over_kept(own, &messages, &mut told.kept);
        }
        told
    }

    async fn visited(&self, session: &Place, facts: &Facts) -> Result<Vec<BareJid>, Failure> {
        let visited: Vec<BareJid> = self.shared.directory.visited(session).into_iter().collect();
        if visited.is_empty() {
            return Ok(visited);
        }
        let lists = self.store().blocked(visited.clone()).await?;
        let me = Jid::Full(session.jid().clone());
        let hidden = |to: &BareJid| im::blocks(&facts.blocked, &Jid::Bare(to.clone()));
        let open = visited.into_iter().zip(lists).filter(|(to, list)| !hidden(to) && !im::blocks(list, &me));
        Ok(open.map(|(to, _)| to).collect())
    }

    /// What must be read before presence is told.
    async fn facts(&self, own: &BareJid, available: bool) -> Result<Facts, Failure> {
        let roster = self.store().roster(own.clone()).await?;
        let blocked = self.blocked(own).await?;
        let mut facts =
            Facts { items: roster.items, blocked, seen: Vec::new(), visited: Vec::new(), messages: Vec::new() };
        if available {
            // A roster may say "to" of an account that was removed and made again: what counts is whether
            // the other side shares its presence.
            let to: Vec<BareJid> =
                facts.items.iter().filter(|item| item.links.to).map(|item| item.jid.clone()).collect();
            let asks = to.iter().map(|contact| Ask::Contact(contact.clone(), own.clone())).collect();
            let found = self.store().gather(asks).await?;
            let shares = |found: &Found| matches!(found, Found::Contact(Some(contact)) if contact.from);
            let seen: Vec<BareJid> =
                to.into_iter().zip(found).filter(|(_, found)| shares(found)).map(|(to, _)| to).collect();
            let block = self.store().blocked(seen.clone()).await?;
            let me = Jid::Bare(own.clone());
            facts.seen =
                seen.into_iter().zip(block).filter(|(_, list)| !im::blocks(list, &me)).map(|(to, _)| to).collect();
        }
        Ok(facts)
    }

    /// The last step: nothing here waits.
    fn announce_upon(&self, session: &Place, stanza: Stanza, facts: Facts) -> Told {
        let directory = &self.shared.directory;
        let (full, own) = (session.jid(), session.jid().bare());
        let priority = (stanza.kind == PresenceType::Available).then_some(stanza.priority);
        let mark = Mark::of(&stanza.content, ALGORITHMS);
        let said = Spoken::of(stanza);
        let Some(change) = directory.announce(session, priority, &said) else { return Told::default() };
        let mut told = Told {
            available: Some(priority),
            arrived: priority.is_some() && change.before.is_none(),
            ..Told::only(said.to_bare(own))
        };
        if priority.is_none() && change.before.is_none() {
            // It was not available before, and nobody thought so.
            let directed = directory.take_directed(session);
            self.undirect(&directed, &facts, false, &said);
            return told;
        }
        for (other, _) in directory.presences(own).iter().filter(|(other, _)| other != full) {
            directory.to_one(other, &Parcel::from(said.to_bare(own)));
        }
        self.broadcast(own, &facts, &said);
        if priority.is_none() {
            let directed = directory.take_directed(session);
            self.undirect(&directed, &facts, true, &said);
        } else if change.before.is_none() {
            self.welcome(full, &facts, &mut told.stanzas);
        }
        self.hand_over_kept(own, &facts.messages, &mut told.kept);
        if priority.is_some() {
            told.stanzas.extend(self.note_capabilities(session, mark));
            told.follows = self.follows(session, &facts);
        } else {
            self.shared.directory.capable(session, |capable| *capable = Capable::default());
            told.follows = Some(Follows::default());
        }
        told
    }

    /// Whose nodes a session follows, asked again because something may have changed.
    pub async fn follow(&self, session: &Place) -> Told {
        let _turn = self.shared.turns.of(session.jid().bare()).await;
        self.follow_in_turn(session).await
    }

    pub(super) async fn follow_in_turn(&self, session: &Place) -> Told {
        let facts = match self.facts(session.jid().bare(), true).await {
            Ok(facts) => self.visited(session, &facts).await.map(|visited| Facts { visited, ..facts }),
            Err(failure) => Err(failure),
        };
        match facts {
            Ok(facts) => Told { follows: self.follows(session, &facts), ..Told::default() },
            Err(failure) => {
                tracing::error!(%failure, session = %session.jid(), "what a session follows cannot be read");
                Told::default()
            }
        }
    }

    fn follows(&self, session: &Place, facts: &Facts) -> Option<Follows> {
        let nodes = self.shared.directory.interests(session)?;
        let mut accounts = BTreeSet::new();
        if !nodes.is_empty() {
            accounts.insert(session.jid().bare().clone());
            // XEP-0163 §4.3.1: what the server itself has to tell.
            accounts.extend(BareJid::new(None, session.jid().bare().domain()).ok());
            accounts.extend(facts.unhidden().cloned());
            accounts.extend(facts.visited.iter().cloned());
        }
        Some(Follows { accounts, nodes })
    }

    /// XEP-0160 §2, step 5. They are forgotten once they are on their way.
    fn hand_over_kept(&self, own: &BareJid, messages: &[(i64, StoredStanza)], handed: &mut Vec<Parcel>) {
        let Some((through, _)) = messages.last() else { return };
        handed.extend(messages.iter().map(|(_, kept)| self.parcel(Bytes::copy_from_slice(&kept.xml), true)));
        self.shared.directory.set_handed_over(own, *through);
        let (messaging, own, through) = (self.clone(), own.clone(), *through);
        // Its place is taken now: whoever comes next finds them no more.
        let turn = self.shared.turns.ask(&own);
        self.see_through(async move {
            let _turn = turn.reached().await;
            if let Err(failure) = messaging.store().forget_messages(own.clone(), through).await {
                tracing::warn!(%failure, account = %own, "messages that were delivered cannot be forgotten");
            }
        });
    }

    /// Begins a session that reads the archive (XEP-0386 §3.2): what waits and stands there is forgotten, up
    /// to the first that only waits. What comes from here on is not: the archive may have been read by then.
    pub async fn begin_with_archive(&self, own: &BareJid) {
        let _turn = self.shared.turns.of(own).await;
        let forgotten = match self.kept(own).await {
            Ok(waiting) => match waiting.iter().take_while(|(_, kept)| is_archived(own, kept)).last() {
                Some((through, _)) => self.store().forget_messages(own.clone(), *through).await,
                None => Ok(()),
            },
            Err(failure) => Err(failure),
        };
        if let Err(failure) = forgotten {
            tracing::warn!(%failure, account = %own, "messages that stand in the archive cannot be forgotten");
        }
    }

    /// The session of a client takes the place of those that the same client has under other tags
    /// (XEP-0386 §3.2). `name` is the part of the resource that stays the same.
    pub fn supersede(&self, session: &FullJid, name: &str) {
        for (full, left) in self.shared.directory.supersede(session, name) {
            self.farewell(full, left);
        }
    }

    /// To contacts who are to see it (RFC 6121 §4.2.2, §4.4.2, §4.5.2).
    fn broadcast(&self, own: &BareJid, facts: &Facts, said: &Spoken) {
        let as_bare = Jid::Bare(own.clone());
        for item in facts.items.iter().filter(|item| item.links.from) {
            let contact = Jid::Bare(item.jid.clone());
            if !im::blocks(&facts.blocked, &contact) && !self.has_blocked(&item.jid, &as_bare) {
                self.show(&contact, said);
            }
        }
    }

    /// Tells those to whom presence was directed, but for contacts who were told already.
    fn undirect(&self, directed: &[Jid], facts: &Facts, broadcast: bool, gone: &Spoken) {
        let told = |to: &Jid| broadcast && facts.items.iter().any(|item| item.links.from && item.jid == *to.bare());
        for to in directed.iter().filter(|to| !told(to)) {
            if !im::blocks(&facts.blocked, to) {
                self.show(to, gone);
            }
        }
    }

    /// What a session must know that became available: who else is, and who asks to see its presence.
    fn welcome(&self, full: &FullJid, facts: &Facts, stanzas: &mut Vec<Bytes>) {
        let (directory, me) = (&self.shared.directory, Jid::Full(full.clone()));
        for (other, said) in directory.presences(full.bare()) {
            if other != *full {
                stanzas.push(said.to(&me));
            }
        }
        for contact in facts.unhidden() {
            stanzas.extend(directory.presences(contact).iter().map(|(_, said)| said.to_bare(full.bare())));
        }
        // RFC 6121 §4.2.2: those for whom a component speaks are asked there.
        for item in facts.items.iter().filter(|item| item.links.to && !facts.seen.contains(&item.jid)) {
            let contact = Jid::Bare(item.jid.clone());
            if !im::blocks(&facts.blocked, &contact) {
                self.tell_elsewhere(&contact, &words::mere_presence(PresenceType::Probe, &me, &contact, None));
            }
        }
        // RFC 6121 §3.1.3: until the owner answers, at the beginning of every session.
        let waiting = facts.items.iter().filter(|item| !im::blocks(&facts.blocked, &Jid::Bare(item.jid.clone())));
        stanzas.extend(waiting.filter_map(|item| item.request.as_ref()).map(|request| Bytes::copy_from_slice(request)));
    }

    /// Delivers presence that is not about subscriptions (RFC 6121 §8.5.2.1.2, §8.5.3.1).
    fn show(&self, to: &Jid, said: &Spoken) {
        let stanza = said.to(to);
        let told = match to {
            Jid::Bare(bare) => self.shared.directory.to_all(bare, Of::Available, &stanza),
            Jid::Full(full) => usize::from(self.shared.directory.to_one(full, &Parcel::from(stanza.clone()))),
        };
        if told == 0 {
            self.tell_elsewhere(to, &stanza);
        }
    }

    /// Whether an account that is online has blocked somebody. Those who are available have said whom.
    pub(super) fn has_blocked(&self, account: &BareJid, who: &Jid) -> bool {
        self.shared.directory.blocked(account).is_some_and(|blocked| im::blocks(&blocked, who))
    }
}

struct Facts {
    items: Vec<RosterItem>,
    blocked: Arc<[Jid]>,
    /// Contacts whose presence the account may see, and who have not blocked it.
    seen: Vec<BareJid>,
    /// Accounts to which the session has directed its presence, and which have not blocked it.
    visited: Vec<BareJid>,
    /// Messages that wait for the account.
    messages: Vec<(i64, StoredStanza)>,
}

impl Facts {
    /// Those of them whom the account has not blocked itself.
    fn unhidden(&self) -> impl Iterator<Item = &BareJid> {
        self.seen.iter().filter(|contact| !im::blocks(&self.blocked, &Jid::Bare((*contact).clone())))
    }
}

impl Told {
    pub(super) fn only(stanza: Bytes) -> Self {
        Told { stanzas: vec![stanza], ..Told::default() }
    }
}

/// Whether a message that waits stands in its receiver's archive: only we write that id (XEP-0359 §5).
fn is_archived(owner: &BareJid, kept: &StoredStanza) -> bool {
    let mut mark = b"<stanza-id xmlns='urn:xmpp:sid:0' by='".to_vec();
    escape_attribute(&mut mark, owner.as_str());
    mark.push(b'\'');
    kept.xml.windows(mark.len()).any(|part| part == &mark[..])
}
