//! Items that stand as long as their publishers are online (`pubsub#purge_offline`, XEP-0060 §16.4.4): they go when the
//! last available session of their publisher does, or the last of one who never was available, and with the server, for
//! nobody is online when it starts.

use futures_util::future::join_all;

use super::{Shared, Whom, lock};
use crate::engine::Wrong;
use crate::jid::{BareJid, Jid};
use crate::pubsub::{Caller, ItemFact, Node, Precondition, Request, Role, Verb};
use crate::store::Failure;

/// What a session was before it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Was {
    Available,
    /// It never showed presence, or no longer.
    Silent,
}

impl Shared {
    /// A session of an account has gone. If it was the last, so has the account.
    pub(super) fn departed(&self, account: BareJid, was: Was) {
        if !self.stays(&account, was) {
            lock(&self.departed).insert((account, was));
            self.lease.notify_one();
        }
    }

    /// Nobody speaks any more for those of whom this one was a feed.
    pub(super) fn link_departed(&self, whom: &Whom) {
        lock(&self.links_departed).push(whom.clone());
        self.lease.notify_one();
    }

    /// Whether an account has another session that is there as one was that has gone.
    fn stays(&self, account: &BareJid, was: Was) -> bool {
        let online = lock(&self.online);
        let mut inlets = online.get(account).into_iter().flatten();
        match was {
            Was::Available => inlets.any(|inlet| inlet.is_available()),
            Was::Silent => inlets.next().is_some(),
        }
    }

    /// Lets the items of those go who have gone, and have not come back.
    pub(super) async fn let_pass_of_departed(&self) -> Result<(), Failure> {
        let links = std::mem::take(&mut *lock(&self.links_departed));
        for (at, whom) in links.iter().enumerate() {
            if let Err(failure) = self.let_pass_of_link(whom).await {
                lock(&self.links_departed).extend_from_slice(&links[at..]);
                return Err(failure);
            }
        }
        let departed = std::mem::take(&mut *lock(&self.departed));
        let mut departed = departed.into_iter();
        while let Some((account, was)) = departed.next() {
            if self.stays(&account, was) {
                continue;
            }
            let (ended, passed) = (self.end_temporary_of(&account).await, self.let_pass(&account).await);
            if let Err(failure) = ended.and(passed) {
                lock(&self.departed).extend(std::iter::once((account, was)).chain(departed));
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Lets the items of everybody go.
    pub(super) async fn let_all_pass(&self) -> Result<(), Failure> {
        let mut after = String::new();
        while let Some(publisher) = self.engine.store().next_passing(after).await? {
            self.let_pass(&publisher).await?;
            after = publisher.to_string();
        }
        Ok(())
    }

    async fn let_pass_of_link(&self, whom: &Whom) -> Result<(), Failure> {
        let mut after = String::new();
        while let Some(publisher) = self.engine.store().next_passing(after).await? {
            if whom.speaks_for(&publisher) && !lock(&self.links).iter().any(|inlet| inlet.speaks_for(&publisher)) {
                self.let_pass(&publisher).await?;
            }
            after = publisher.to_string();
        }
        Ok(())
    }

    async fn let_pass(&self, publisher: &BareJid) -> Result<(), Failure> {
        let store = self.engine.store();
        for _ in 0..ROUNDS_MAX {
            let Some(items) = store.read_passing(publisher.clone(), AT_ONCE).await? else { return Ok(()) };
            if items.is_empty() {
                return store.settle_passing(publisher.clone()).await;
            }
            for answer in join_all(items.iter().map(|(node, fact)| self.let_one_pass(node, fact))).await {
                answer?;
            }
        }
        tracing::warn!(%publisher, "items that go with their publisher come faster than they go");
        Ok(())
    }

    /// A refusal is as good: it has gone, or is another by now.
    async fn let_one_pass(&self, node: &Node, fact: &ItemFact) -> Result<(), Failure> {
        let service = node.address.service.clone();
        let verb = Verb::Retract {
            node: node.address.node.clone(),
            items: vec![fact.id.clone()],
            notify: None,
            precondition: Precondition::At(node.key, fact.seq),
        };
        let caller = Caller { jid: Jid::Bare(service.clone()), role: Role::Admin };
        match self.engine.ask(Request { caller, service, verb }).await {
            Ok(_) | Err(Wrong::Refused(_)) => Ok(()),
            Err(Wrong::Failed(failure)) => Err(failure),
            Err(Wrong::Overloaded) => Err(Failure::Refused("the engine is busy".to_owned())),
        }
    }
}

/// Items that are let go together.
const AT_ONCE: usize = 256;
/// How often more of them are looked for, for whoever has no session may go on publishing over HTTP.
const ROUNDS_MAX: usize = 10_000;
