//! The roster as its owner asks for it and changes it (RFC 6121 §2).

use super::{Messaging, Wrong, words};
use crate::counts::Limit;
use crate::im::{self, RosterChange, RosterItem, Wanted, Word};
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::Failure;

/// What a session is given that asks for the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterAnswer {
    /// It has this version already (RFC 6121 §2.6.3).
    AsKnown,
    Whole {
        version: String,
        items: Vec<RosterItem>,
    },
}

impl Messaging {
    /// The roster, and pushes of its changes from now on (RFC 6121 §2.1.3).
    pub async fn roster(&self, session: &FullJid, known: Option<&str>) -> Result<RosterAnswer, Failure> {
        let _turn = self.shared.turns.of(session.bare()).await;
        let roster = self.store().roster(session.bare().clone()).await?;
        self.shared.directory.want(session, |wants| wants.roster = true);
        let version = self.version(roster.version);
        if known == Some(&*version) {
            return Ok(RosterAnswer::AsKnown);
        }
        let items = roster.items.into_iter().filter(|item| item.listed).collect();
        Ok(RosterAnswer::Whole { version, items })
    }

    /// Adds an entry or changes its name and groups (RFC 6121 §2.3, §2.4).
    pub async fn write_contact(&self, owner: &BareJid, wanted: Wanted) -> Result<(), Wrong> {
        let _turn = self.shared.turns.of(owner).await;
        let contact = wanted.jid.clone();
        let places = self.store().roster_places(vec![(owner.clone(), contact.clone())]).await?;
        let place = places.into_iter().next().unwrap_or_default();
        let item = im::write(owner, wanted, &place, self.limits()).inspect_err(|refusal| {
            if matches!(refusal, im::Refusal::TooManyItems { .. }) {
                self.hit(Limit::RosterItems);
            }
        })?;
        let shown = words::roster_item(&item);
        let change = RosterChange { owner: owner.clone(), contact, item: Some(item) };
        let versions = self.store().put_roster(vec![change]).await?;
        self.shared.engine.contact_changed(owner);
        self.push_roster(owner, &shown, versions.first().copied().unwrap_or(0));
        Ok(())
    }

    /// Ends all subscriptions of an account that goes, so that its contacts are told (XEP-0077 §3.2).
    pub async fn end_subscriptions(&self, owner: &BareJid) -> Result<(), Wrong> {
        for item in self.store().roster(owner.clone()).await?.items {
            let links = item.links;
            if item.listed && (links.to || links.from || links.pending_out) {
                self.remove_contact(owner, &item.jid).await?;
            }
        }
        Ok(())
    }

    /// Removes an entry, and the subscriptions that it stood for (RFC 6121 §2.5).
    pub async fn remove_contact(&self, owner: &BareJid, contact: &BareJid) -> Result<(), Wrong> {
        let _turn = self.shared.turns.of_both(owner, contact).await;
        let mut deal = self.deal(owner, contact).await?;
        let place = im::RosterPlace { item: deal.speaker.after.clone(), ..im::RosterPlace::default() };
        let (item, rest) = im::remove(&place)?;
        let meant =
            [(item.links.to || item.links.pending_out, Word::Unsubscribe), (item.links.from, Word::Unsubscribed)];
        let shown = item.links.from;
        let said = meant.into_iter().filter(|(meant, _)| *meant).map(|(_, word)| word);
        let routed: Vec<Word> = said.filter(|word| deal.say(*word, None, usize::MAX, u64::MAX)).collect();
        deal.speaker.after = rest;
        self.close(deal).await?;
        // Those for whom a component speaks hear it there.
        if shown {
            self.tell_presences_afar(owner, contact, false);
        }
        for word in routed {
            self.tell_elsewhere(&Jid::Bare(contact.clone()), &words::subscription(word, owner, contact, None));
        }
        Ok(())
    }
}
