//! Whose subscriptions a feed shows: a session's, or those of everyone for whom a link speaks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inlet;
use crate::delivery::{Options, Shared, lock};
use crate::jid::{BareJid, FullJid, Jid};
use crate::pubsub::{Node, NodeKey, Subscription};
use crate::store::Failure;

/// Whose subscriptions a feed shows.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Those of a session's full JID, and those of its bare JID while it is available.
    Session(FullJid),
    /// Those of all addresses at a domain.
    Domain(String),
    /// Those of all addresses that are not at one of these domains.
    Elsewhere(Arc<[String]>),
}

impl Whom {
    pub(super) fn session(&self) -> Option<&FullJid> {
        match self {
            Whom::Session(full) => Some(full),
            Whom::Domain(_) | Whom::Elsewhere(_) => None,
        }
    }

    /// Whether somebody is one of those for whom a link speaks.
    pub(in crate::delivery) fn speaks_for(&self, jid: &BareJid) -> bool {
        match self {
            Whom::Session(_) => false,
            Whom::Domain(domain) => jid.domain() == domain,
            Whom::Elsewhere(domains) => domains.iter().all(|domain| jid.domain() != domain),
        }
    }

    /// In whose name a node is read for a subscription of this JID.
    pub(super) fn reader(&self, subscriber: &Jid) -> Jid {
        self.session().map_or_else(|| subscriber.clone(), |full| Jid::Full(full.clone()))
    }

    pub(super) fn watches_max(&self, options: &Options) -> usize {
        match self.session() {
            Some(_) => options.watches_per_session_max,
            None => options.watches_per_link_max,
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::Session(full) => full.fmt(f),
            Whom::Domain(domain) => write!(f, "*@{domain}"),
            Whom::Elsewhere(_) => f.write_str("*@*"),
        }
    }
}

impl Inlet {
    pub fn speaks_for(&self, jid: &BareJid) -> bool {
        self.whom.speaks_for(jid)
    }

    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    /// Whether a subscription of this JID goes to this feed.
    pub fn wants(&self, jid: &Jid) -> bool {
        match (&self.whom, jid) {
            (Whom::Session(own), Jid::Full(full)) => full == own,
            (Whom::Session(own), Jid::Bare(bare)) => bare == own.bare() && self.available.load(Ordering::Acquire),
            (Whom::Domain(domain), jid) => jid.domain() == domain,
            (Whom::Elsewhere(domains), jid) => domains.iter().all(|domain| jid.domain() != domain),
        }
    }
}

impl Shared {
    /// Lets commits find a feed.
    pub(super) fn enter(&self, inlet: &Arc<Inlet>) {
        match inlet.whom.session() {
            Some(full) => lock(&self.online).entry(full.bare().clone()).or_default().push(inlet.clone()),
            None => lock(&self.links).push(inlet.clone()),
        }
    }

    pub(super) fn leave(&self, inlet: &Arc<Inlet>) {
        let Some(full) = inlet.whom.session() else {
            return lock(&self.links).retain(|other| !Arc::ptr_eq(other, inlet));
        };
        let mut online = lock(&self.online);
        if let Some(inlets) = online.get_mut(full.bare()) {
            inlets.retain(|other| !Arc::ptr_eq(other, inlet));
            if inlets.is_empty() {
                online.remove(full.bare());
            }
        }
    }

    /// The next of the subscriptions that a feed may show; those of one domain where it shows many.
    pub(super) async fn next_watched(
        &self,
        whom: &Whom,
        domain: &str,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Result<Vec<(Node, Subscription)>, Failure> {
        let store = self.engine.store();
        match whom {
            Whom::Session(full) => store.read_watched(full.bare().clone(), after, max).await,
            Whom::Domain(only) => store.read_watched_at(only.clone(), after, max).await,
            Whom::Elsewhere(_) if domain.is_empty() => Ok(Vec::new()),
            Whom::Elsewhere(_) => store.read_watched_at(domain.to_owned(), after, max).await,
        }
    }

    /// The domain after this one at which somebody subscribes, for a feed that shows several.
    pub(super) async fn next_domain(&self, whom: &Whom, after: &str) -> Result<Option<String>, Failure> {
        let Whom::Elsewhere(but) = whom else { return Ok(None) };
        let mut after = after.to_owned();
        while let Some(next) = self.engine.store().next_subscriber_domain(after).await? {
            if !but.contains(&next) {
                return Ok(Some(next));
            }
            after = next;
        }
        Ok(None)
    }
}
