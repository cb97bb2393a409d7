//! What an account leaves behind at nodes, taken away when it goes.

use std::sync::Arc;

use super::{Kept, State};
use crate::im::Departure;
use crate::jid::BareJid;
use crate::pubsub::{Affiliation, ItemId, Node, NodeAddress, NodeConfig, NodeId, SUBSCRIBERS};
use crate::store::Failure;

impl State {
    pub(super) fn forget_account(&mut self, jid: &BareJid) {
        self.nodes.retain(|_, kept| kept.node.address.service != *jid);
        self.keys.retain(|address, _| address.service != *jid);
        self.tombstones.retain(|address, _| address.service != *jid);
        self.forget_public(jid);
        self.nodes.values_mut().for_each(|kept| kept.forget_account(jid));
    }
}

impl State {
    /// Takes it from among the public subscribers of nodes.
    fn forget_public(&mut self, jid: &BareJid) {
        let public = |kept: &&Kept| kept.subscriptions.values().any(|of| of.jid.bare() == jid && of.options.public);
        let of = |kept: &Kept| {
            let address = &kept.node.address;
            let node = NodeId::parse(&format!("{SUBSCRIBERS}{}", address.node))?;
            Some(NodeAddress { service: address.service.clone(), node })
        };
        let names: Vec<NodeAddress> = self.nodes.values().filter(public).filter_map(of).collect();
        let keys: Vec<_> = names.iter().filter_map(|name| self.keys.get(name).copied()).collect();
        for key in keys {
            let kept = self.nodes.get_mut(&key).filter(|kept| kept.node.owners == 0);
            if let (Some(kept), Some(id)) = (kept, ItemId::parse(jid.as_str())) {
                kept.drop_untold(&id);
            }
        }
    }

    /// When an account was available last, if there is such an account.
    pub(super) fn note_departure(&mut self, owner: BareJid, departure: Departure) -> Result<(), Failure> {
        if self.accounts.has(&owner) {
            self.contacts.departures.insert(owner, departure);
        }
        Ok(())
    }
}

impl Kept {
    fn forget_account(&mut self, jid: &BareJid) {
        let affiliation = self.affiliations.remove(jid);
        let before = self.subscriptions.len();
        let counted = self.subscriptions.values().filter(|of| of.jid.bare() == jid && of.counts()).count() as u64;
        self.subscriptions.retain(|_, of| of.jid.bare() != jid);
        if affiliation.is_none() && self.subscriptions.len() == before {
            return;
        }
        let mut node = Node { version: self.node.version + 1, ..(*self.node).clone() };
        node.subscribers -= counted;
        if affiliation == Some(Affiliation::Owner) {
            if node.owners == 1 {
                self.affiliations.insert(node.address.service.clone(), Affiliation::Owner);
            } else {
                node.owners -= 1;
            }
            if node.config.shown_owner.as_ref() == Some(jid) {
                let mut owners = self.affiliations.iter().filter(|(_, of)| **of == Affiliation::Owner);
                let shown_owner = owners.next().map(|(owner, _)| owner.clone());
                node.config = Arc::new(NodeConfig { shown_owner, ..(*node.config).clone() });
            }
        }
        self.node = Arc::new(node);
    }
}
