//! Presence subscriptions between two accounts of this server (RFC 6121 §3): both rosters change in one
//! commit, so that the two never disagree. And between an account and somebody for whom a component
//! speaks, who keeps his own side: what he would be told goes to the component.

use std::sync::Arc;

use bytes::Bytes;

use super::directory::{Of, Place};
use super::words::{self, Spoken};
use super::{Messaging, Told};
use crate::counts::Limit;
use crate::im::{self, Links, RosterChange, RosterItem, RosterPlace, Word};
use crate::jid::{BareJid, Jid};
use crate::store::Failure;
use crate::xmpp::{Condition, Presence as Stanza, PresenceType, StanzaError};

/// Two accounts while one says something to the other.
pub(super) struct Deal {
    pub speaker: Side,
    pub listener: Side,
    /// The listener has no account here, or has blocked the speaker: nothing reaches him.
    pub deaf: bool,
    /// What each is told once all is committed, before he is told of his roster.
    told: Vec<Saying>,
}

pub(super) struct Side {
    pub owner: BareJid,
    before: Option<RosterItem>,
    pub after: Option<RosterItem>,
    waiting: u64,
}

struct Saying {
    to_speaker: bool,
    of: Of,
    stanza: Bytes,
}

impl Messaging {
    /// A session manages its account's subscriptions. An error comes back; success shows in pushes.
    pub async fn subscription(&self, session: &Place, to: BareJid, word: Word, stanza: Stanza) -> Told {
        let own = session.jid().bare().clone();
        if own == to {
            // Nobody is a contact of his own.
            return refuse(stanza, &StanzaError::new(Condition::NotAllowed));
        }
        let _turn = self.shared.turns.of_both(&own, &to).await;
        match self.say(&own, &to, word, &stanza).await {
            Ok(None) => Told::default(),
            Ok(Some(error)) => refuse(stanza, &error),
            Err(failure) => {
                tracing::error!(%failure, session = %session.jid(), "a subscription cannot be changed");
                refuse(stanza, &StanzaError::new(Condition::InternalServerError))
            }
        }
    }

    async fn say(
        &self,
        own: &BareJid,
        to: &BareJid,
        word: Word,
        stanza: &Stanza,
    ) -> Result<Option<StanzaError>, Failure> {
        if im::blocks(&self.blocked(own).await?, &Jid::Bare(to.clone())) {
            return Ok(Some(words::blocked_by_sender()));
        }
        let mut deal = self.deal(own, to).await?;
        let was = deal.speaker.is();
        let place = RosterPlace { item: deal.speaker.before.clone(), ..self.place(own, to).await? };
        let routed =
            deal.say(word, Some(stanza), self.shared.options.sessions.request_bytes_max, self.limits().items_max);
        let is = deal.speaker.is();
        let lists = deal.speaker.after.as_ref().is_some_and(|item| item.listed);
        if lists && let Err(im::Refusal::TooManyItems { items_max }) = im::room_for(&place, self.limits()) {
            self.hit(Limit::RosterItems);
            let why = format!("a roster has at most {items_max} entries");
            return Ok(Some(StanzaError::new(Condition::PolicyViolation).with_text(why)));
        }
        self.close(deal).await?;
        if was.from && !is.from {
            self.tell_presences_afar(own, to, false);
        }
        if routed {
            self.tell_elsewhere(&Jid::Bare(to.clone()), &words::subscription(word, own, to, Some(stanza)));
        }
        if !was.from && is.from {
            self.tell_presences_afar(own, to, true);
        }
        Ok(None)
    }

    /// Takes a word of somebody for whom a component speaks. Who has no account here, or has blocked him,
    /// is as silent as ever.
    pub async fn subscription_from_afar(&self, from: BareJid, to: BareJid, word: Word, stanza: Stanza) {
        let _turn = self.shared.turns.of_both(&from, &to).await;
        if let Err(failure) = self.hear_from_afar(&from, &to, word, &stanza).await {
            tracing::error!(%failure, %from, %to, "a subscription cannot be changed");
        }
    }

    async fn hear_from_afar(&self, from: &BareJid, to: &BareJid, word: Word, stanza: &Stanza) -> Result<(), Failure> {
        let mut deal = self.deal(from, to).await?;
        if deal.deaf || word == Word::Subscribe && deal.is_full(self.limits().items_max) {
            return Ok(());
        }
        let was = deal.listener.is();
        let answer = deal.hear(word, Some(stanza), self.shared.options.sessions.request_bytes_max);
        let is = deal.listener.is();
        self.close(deal).await?;
        if was.from && !is.from {
            self.tell_presences_afar(to, from, false);
        }
        if let Some(answer) = answer {
            self.tell_elsewhere(&Jid::Bare(from.clone()), &words::subscription(answer, to, from, None));
            if is.from {
                self.tell_presences_afar(to, from, true);
            }
        }
        Ok(())
    }

    /// Every available session of an account shows itself to somebody elsewhere, or does no more.
    pub(super) fn tell_presences_afar(&self, account: &BareJid, to: &BareJid, shown: bool) {
        for (full, said) in self.shared.directory.presences(account) {
            let said = if shown { said } else { Spoken::unavailable(&full) };
            self.tell_elsewhere(&Jid::Bare(to.clone()), &said.to_bare(to));
        }
    }

    /// Gives presence to whoever speaks for somebody elsewhere; nothing where nobody does.
    pub(super) fn tell_elsewhere(&self, to: &Jid, stanza: &Bytes) {
        if let Some(tell) = self.shared.afar.get() {
            tell(to, stanza);
        }
    }

    async fn place(&self, owner: &BareJid, contact: &BareJid) -> Result<RosterPlace, Failure> {
        let places = self.store().roster_places(vec![(owner.clone(), contact.clone())]).await?;
        Ok(places.into_iter().next().unwrap_or_default())
    }

    /// What stands between two accounts. In a turn of both.
    pub(super) async fn deal(&self, speaker: &BareJid, listener: &BareJid) -> Result<Deal, Failure> {
        let of = vec![(speaker.clone(), listener.clone()), (listener.clone(), speaker.clone())];
        let mut places = self.store().roster_places(of).await?.into_iter();
        let mut side = |owner: &BareJid| {
            let place = places.next().unwrap_or_default();
            Side { owner: owner.clone(), before: place.item.clone(), after: place.item, waiting: place.waiting }
        };
        let (mine, theirs) = (side(speaker), side(listener));
        let exists = self.store().account(listener.clone()).await?.is_some();
        let deaf = !exists || im::blocks(&self.blocked(listener).await?, &Jid::Bare(speaker.clone()));
        Ok(Deal { speaker: mine, listener: theirs, deaf, told: Vec::new() })
    }

    /// Commits what was said, and tells both.
    pub(super) async fn close(&self, deal: Deal) -> Result<(), Failure> {
        let Deal { speaker, listener, deaf, told } = deal;
        let changes: Vec<RosterChange> =
            [speaker.change(&listener.owner), listener.change(&speaker.owner)].into_iter().flatten().collect();
        let owners: Vec<BareJid> = changes.iter().map(|change| change.owner.clone()).collect();
        let versions = if changes.is_empty() { Vec::new() } else { self.store().put_roster(changes).await? };
        for owner in &owners {
            self.shared.engine.contact_changed(owner);
        }
        let version = |side: &Side| {
            owners.iter().position(|owner| *owner == side.owner).and_then(|at| versions.get(at)).copied().unwrap_or(0)
        };
        let ended = |side: &Side| side.was().from && !side.is().from;
        let began = |side: &Side| !side.was().to && side.is().to;
        if ended(&speaker) && !deaf {
            self.hide(&speaker.owner, &listener.owner);
        }
        for saying in &told {
            let to = if saying.to_speaker { &speaker.owner } else { &listener.owner };
            self.shared.directory.to_all(to, saying.of, &saying.stanza);
        }
        for side in [&listener, &speaker] {
            let contact = if side.owner == speaker.owner { &listener.owner } else { &speaker.owner };
            if let Some(item) = side.shown(contact) {
                self.push_roster(&side.owner, &item, version(side));
            }
        }
        if ended(&listener) {
            self.hide(&listener.owner, &speaker.owner);
        }
        if began(&speaker) {
            self.reveal(&listener.owner, &speaker.owner);
        }
        if began(&listener) {
            self.reveal(&speaker.owner, &listener.owner);
        }
        for side in [&speaker, &listener].into_iter().filter(|side| side.was().to != side.is().to) {
            self.shared.directory.hint(&side.owner);
        }
        Ok(())
    }

    /// Every available session of an account becomes unavailable to somebody (RFC 6121 §3.2.2, §3.3.3).
    pub(super) fn hide(&self, account: &BareJid, from: &BareJid) {
        for (full, _) in self.shared.directory.presences(account) {
            self.shared.directory.to_all(from, Of::Available, &Spoken::unavailable(&full).to_bare(from));
        }
    }

    /// Every available session of an account shows itself to somebody (RFC 6121 §3.1.5, §3.1.6).
    pub(super) fn reveal(&self, account: &BareJid, to: &BareJid) {
        if self.has_blocked(account, &Jid::Bare(to.clone())) || self.has_blocked(to, &Jid::Bare(account.clone())) {
            return;
        }
        for (_, said) in self.shared.directory.presences(account) {
            self.shared.directory.to_all(to, Of::Available, &said.to_bare(to));
        }
    }
}

impl Deal {
    /// The speaker says a word; the listener hears it, and his answer is heard.
    /// Whether the word goes on its way.
    pub fn say(&mut self, word: Word, stanza: Option<&Stanza>, request_bytes_max: usize, waiting_max: u64) -> bool {
        let sent = im::send(word, self.speaker.is());
        self.speaker.become_links(&self.listener.owner, sent.links, None);
        if !sent.routed || self.deaf || word == Word::Subscribe && self.is_full(waiting_max) {
            return sent.routed;
        }
        if let Some(answer) = self.hear(word, stanza, request_bytes_max) {
            let answered = im::hear(answer, self.speaker.is());
            let stanza = words::subscription(answer, &self.listener.owner, &self.speaker.owner, None);
            self.speaker.become_links(&self.listener.owner, answered.links, None);
            if answered.delivered {
                self.told.push(Saying { to_speaker: true, of: audience(answer), stanza });
            }
        }
        true
    }

    /// As many requests wait for the listener as may.
    fn is_full(&self, waiting_max: u64) -> bool {
        self.listener.before.is_none() && self.listener.waiting >= waiting_max
    }

    /// The listener hears a word. His answer, where he has given it before.
    fn hear(&mut self, word: Word, stanza: Option<&Stanza>, request_bytes_max: usize) -> Option<Word> {
        let heard = im::hear(word, self.listener.is());
        let (from, to) = (&self.speaker.owner.clone(), &self.listener.owner.clone());
        let said = words::subscription(word, from, to, stanza);
        // RFC 6121 §3.1.3: the whole request is kept, within reason.
        let request: Arc<[u8]> = if said.len() <= request_bytes_max {
            Arc::from(&said[..])
        } else {
            Arc::from(&words::subscription(word, from, to, None)[..])
        };
        self.listener.become_links(from, heard.links, Some(request));
        if heard.delivered {
            self.told.push(Saying { to_speaker: false, of: audience(word), stanza: said });
        }
        heard.answer
    }
}

/// A request goes to those who are available, everything else to those who know the roster (RFC 6121
/// §3.1.3, §3.1.6, §3.2.3, §3.3.3).
fn audience(word: Word) -> Of {
    if word == Word::Subscribe { Of::Available } else { Of::Interested }
}

impl Side {
    pub fn is(&self) -> Links {
        self.after.as_ref().map(|item| item.links).unwrap_or_default()
    }

    fn was(&self) -> Links {
        self.before.as_ref().map(|item| item.links).unwrap_or_default()
    }

    /// Sets the subscriptions of the entry. One that holds nothing and was never listed goes.
    fn become_links(&mut self, contact: &BareJid, links: Links, request: Option<Arc<[u8]>>) {
        let item = self.after.take().unwrap_or_else(|| RosterItem {
            jid: contact.clone(),
            name: None,
            groups: Vec::new(),
            links: Links::default(),
            listed: false,
            request: None,
        });
        let asked = Links { pending_in: true, ..Links::default() };
        // RFC 6121 §3.1.3: who asks is not in the roster for that.
        let listed = item.listed || links != Links::default() && links != asked;
        let request = if links.pending_in { item.request.clone().or(request) } else { None };
        self.after = (listed || links.pending_in).then_some(RosterItem { links, listed, request, ..item });
    }

    fn change(&self, contact: &BareJid) -> Option<RosterChange> {
        (self.before != self.after).then(|| RosterChange {
            owner: self.owner.clone(),
            contact: contact.clone(),
            item: self.after.clone(),
        })
    }

    /// The entry to be pushed, when its owner sees a change.
    fn shown(&self, contact: &BareJid) -> Option<crate::xml::Element> {
        let visible = |item: &Option<RosterItem>| item.as_ref().filter(|item| item.listed).map(words::roster_item);
        match (visible(&self.before), visible(&self.after)) {
            (before, Some(after)) => (before.as_ref() != Some(&after)).then_some(after),
            (Some(_), None) => Some(words::removed_item(contact)),
            (None, None) => None,
        }
    }
}

fn refuse(stanza: Stanza, error: &StanzaError) -> Told {
    debug_assert_ne!(stanza.kind, PresenceType::Error);
    Told::only(words::presence_error(stanza, error))
}
