//! Whom an account will not hear of (XEP-0191).

use std::sync::Arc;

use super::directory::Of;
use super::{Messaging, Wrong, words};
use crate::counts::Limit;
use crate::im;
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::Failure;
use crate::xml::Element;

impl Messaging {
    /// The list, and pushes of its changes from now on (XEP-0191 §3.2).
    pub async fn block_list(&self, session: &FullJid) -> Result<Arc<[Jid]>, Failure> {
        let _turn = self.shared.turns.of(session.bare()).await;
        let blocked = self.blocked(session.bare()).await?;
        self.shared.directory.want(session, |wants| wants.blocklist = true);
        Ok(blocked)
    }

    /// XEP-0191 §3.3.
    pub async fn block(&self, owner: &BareJid, jids: Vec<Jid>) -> Result<(), Wrong> {
        let _turn = self.shared.turns.of(owner).await;
        let before = self.blocked(owner).await?;
        let mut after = before.to_vec();
        after.extend(jids.iter().filter(|jid| !before.contains(jid)).cloned());
        let blocked_max = self.limits().blocked_max;
        if after.len() > blocked_max {
            self.hit(Limit::BlockedAddresses);
            return Err(im::Refusal::TooManyBlocked { blocked_max }.into());
        }
        let known = self.known(owner, &before).await?;
        let after = self.replace_blocked(owner, after).await?;
        self.push_blocked(owner, "block", &jids);
        for contact in known.iter().filter(|contact| im::blocks(&after, &Jid::Bare((*contact).clone()))) {
            self.hide(owner, contact);
            self.shared.directory.hint(contact);
        }
        self.shared.directory.hint(owner);
        Ok(())
    }

    /// XEP-0191 §3.4, §3.5: these, or everyone when there are none.
    pub async fn unblock(&self, owner: &BareJid, jids: Vec<Jid>) -> Result<(), Wrong> {
        let _turn = self.shared.turns.of(owner).await;
        let before = self.blocked(owner).await?;
        let after = if jids.is_empty() {
            Vec::new()
        } else {
            before.iter().filter(|jid| !jids.contains(jid)).cloned().collect()
        };
        let after = self.replace_blocked(owner, after).await?;
        self.push_blocked(owner, "unblock", &jids);
        let free = self.known(owner, &after).await?;
        for contact in free.iter().filter(|contact| im::blocks(&before, &Jid::Bare((*contact).clone()))) {
            self.reveal(owner, contact);
            self.shared.directory.hint(contact);
        }
        self.shared.directory.hint(owner);
        Ok(())
    }

    /// Contacts who see the owner's presence and whom this list does not block.
    async fn known(&self, owner: &BareJid, blocked: &[Jid]) -> Result<Vec<BareJid>, Failure> {
        let items = self.store().roster(owner.clone()).await?.items;
        let sees = items.into_iter().filter(|item| item.links.from).map(|item| item.jid);
        Ok(sees.filter(|contact| !im::blocks(blocked, &Jid::Bare(contact.clone()))).collect())
    }

    async fn replace_blocked(&self, owner: &BareJid, after: Vec<Jid>) -> Result<Arc<[Jid]>, Failure> {
        self.store().set_blocked(owner.clone(), after.clone()).await?;
        let after: Arc<[Jid]> = after.into();
        self.shared.directory.set_blocked(owner, &after);
        Ok(after)
    }

    fn push_blocked(&self, owner: &BareJid, name: &str, jids: &[Jid]) {
        let items = jids.iter().map(|jid| Element::new("item", NS_BLOCKING).with_attr("jid", jid.to_string()));
        let content = Element::new(name, NS_BLOCKING).with_children(items);
        let push = |to: &FullJid| words::push(to, name, content.clone());
        self.shared.directory.to_each(owner, Of::Blocklist, push);
    }
}

const NS_BLOCKING: &str = "urn:xmpp:blocking";
