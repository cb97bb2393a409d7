//! Tells people what is no event of a node: that their subscription or affiliation has changed, that
//! somebody waits for their approval. Nothing of it is stored for those who are away. Who waits still
//! waits when an owner comes, and he is told then.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Router;
use crate::delivery::{Delivery, Due, Told};
use crate::jid::{BareJid, FullJid, Jid};
use crate::pubsub::{Node, Notice};
use crate::xep::pubsub::approval;

/// What tells. One task runs it, so that telling never holds up a turn or a session.
pub struct Herald {
    router: Router,
    delivery: Delivery,
    notices: mpsc::Receiver<Told>,
    arrivals: mpsc::Receiver<FullJid>,
}

impl Router {
    /// The herald of this router. There is one; a second asking gets none.
    pub fn herald(&self, delivery: &Delivery) -> Option<Herald> {
        let arrivals = self.arrived.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()?;
        let notices = delivery.notices()?;
        Some(Herald { router: self.clone(), delivery: delivery.clone(), notices, arrivals })
    }
}

impl Herald {
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                Some(told) = self.notices.recv() => self.tell(told).await,
                Some(full) = self.arrivals.recv() => self.welcome(&full).await,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn tell(&self, told: Told) {
        let Told { node, by, notice } = told;
        match notice {
            Notice::Subscriber(changed) => {
                self.router.send(&changed.jid, approval::subscription(&node.address, &changed, &changed.jid));
                // The last item, to somebody whom somebody else has let in (§6.1.7, §8.6).
                if by.is_some() {
                    self.delivery.owe_last(&Due { node: node.key, subscription: changed, at: node.last_seq });
                }
            }
            Notice::Deleted(waited, redirect) => {
                self.router.send(&waited.jid, approval::deleted(&node.address, &waited.jid, redirect.as_deref()));
            }
            Notice::Affiliate(jid, affiliation) => {
                let message = approval::affiliation(&node.address, &jid, affiliation);
                self.router.send(&Jid::Bare(jid), message);
            }
            Notice::Subscribed(changed) => {
                let tell = |owner: &Jid| approval::subscription(&node.address, &changed, owner);
                self.tell_owners(&node, by.as_ref(), tell).await;
            }
            Notice::Waiting(waiting) => {
                self.tell_owners(&node, None, |owner| approval::request(&node, &waiting, owner)).await;
            }
        }
    }

    /// All owners but one, who did it himself.
    async fn tell_owners(&self, node: &Node, but: Option<&BareJid>, message: impl Fn(&Jid) -> Bytes) {
        match self.delivery.owners(node.key, OWNERS_TOLD_MAX).await {
            Ok(owners) => {
                for owner in owners.into_iter().filter(|owner| Some(owner) != but) {
                    let owner = Jid::Bare(owner);
                    self.router.send(&owner, message(&owner));
                }
            }
            Err(failure) => tracing::warn!(%failure, node = %node.address, "the owners of a node cannot be read"),
        }
    }

    /// Tells a session that has come who waits for its account's approval: from one reading.
    async fn welcome(&self, full: &FullJid) {
        match self.delivery.waiting_for(full.bare().clone(), WAITING_TOLD_MAX).await {
            Ok(waiting) => {
                let to = Jid::Full(full.clone());
                for (node, subscription) in waiting {
                    self.router.send(&to, approval::request(&node, &subscription, &to));
                }
            }
            Err(failure) => tracing::warn!(%failure, session = %full, "who waits for approval cannot be read"),
        }
    }
}

/// Owners of one node who are told of one thing.
const OWNERS_TOLD_MAX: usize = 64;
/// Requests that a session is told of when it comes; others come when these are answered.
const WAITING_TOLD_MAX: usize = 64;
/// Sessions that have come and were not told yet. One beyond it is told when it comes again.
pub(super) const ARRIVALS_MAX: usize = 16_384;
