//! Subscriptions that end by themselves: leases at their time (XEP-0060 §12.19), temporary ones when
//! their subscriber goes (§12.5); and items that end with the presence of their publisher (`passing`).
//!
//! The store knows which lease ends next, so that nothing is forgotten by a restart and nothing is
//! kept in memory for a lease. Here is only the patience to wait for it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Delivery, Shared, lock};
use crate::engine::Wrong;
use crate::jid::{BareJid, Jid};
use crate::pubsub::{Caller, Expire, NodeAddress, Request, Role, Subscription, Verb};
use crate::store::{Failure, Lapse};
use crate::time::Timestamp;

impl Delivery {
    /// Ends the temporary subscriptions of subscribers, and the passing items of publishers, who cannot be there any more, for nobody is there
    /// yet: before the first session begins.
    pub async fn end_temporary(&self) -> Result<(), Failure> {
        loop {
            let temporary = self.shared.engine.store().lapsing(Lapse::WithPresence, AT_ONCE).await?;
            if temporary.is_empty() {
                return self.shared.let_all_pass().await;
            }
            for (address, subscription) in temporary {
                match self.shared.lapse(address, subscription).await {
                    Ok(_) | Err(Wrong::Refused(_)) => {}
                    Err(Wrong::Failed(failure)) => return Err(failure),
                    Err(Wrong::Overloaded) => tokio::time::sleep(RETRY_PAUSE).await,
                }
            }
        }
    }

    /// Ends subscriptions when their time has come, until `stop`.
    pub async fn run_leases(self, stop: CancellationToken) {
        loop {
            let pause = match self.shared.end_due().await {
                Ok(pause) => pause,
                Err(failure) => {
                    tracing::warn!(%failure, "subscriptions whose time has come could not be ended; trying again");
                    RETRY_PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.lease.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Shared {
    /// Subscribers whose temporary subscriptions end have gone.
    pub(super) fn gone(&self, temporary: impl IntoIterator<Item = (NodeAddress, Subscription)>) {
        lock(&self.gone).extend(temporary);
        self.lease.notify_one();
    }

    /// Ends what is due; how long there is nothing to do then.
    async fn end_due(&self) -> Result<Duration, Failure> {
        self.let_pass_of_departed().await?;
        let mut gone = std::mem::take(&mut *lock(&self.gone)).into_iter();
        while let Some((address, subscription)) = gone.next() {
            if let Err(wrong) = self.end(address.clone(), subscription.clone()).await {
                lock(&self.gone).extend(std::iter::once((address, subscription)).chain(gone));
                return Err(wrong);
            }
        }
        let now = self.engine.clock().now();
        let due = self.engine.store().lapsing(Lapse::By(now), AT_ONCE).await?;
        let whole = due.len() < AT_ONCE;
        for (address, subscription) in due {
            self.end(address, subscription).await?;
        }
        if !whole {
            return Ok(Duration::ZERO);
        }
        let next = self.engine.store().lapsing(Lapse::By(Timestamp(i64::MAX)), 1).await?;
        let Some(Expire::At(end)) = next.first().map(|(_, subscription)| subscription.options.expire) else {
            return Ok(LOOK_AGAIN);
        };
        let micros = end.0.saturating_sub(self.engine.clock().now().0);
        Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(LOOK_AGAIN))
    }

    /// Ends the temporary subscriptions of an account of which nobody is left, also those that no session has
    /// watched: whoever never was available was shown nothing by them.
    pub(super) async fn end_temporary_of(&self, account: &BareJid) -> Result<(), Failure> {
        loop {
            let found = self.engine.store().lapsing(Lapse::WithPresenceOf(account.clone()), AT_ONCE).await?;
            let gone: Vec<_> =
                found.into_iter().filter(|(_, subscription)| !self.is_there(&subscription.jid)).collect();
            if gone.is_empty() {
                return Ok(());
            }
            for (address, subscription) in gone {
                self.end(address, subscription).await?;
            }
        }
    }

    /// Whether somebody is there for whom a temporary subscription of this JID is.
    fn is_there(&self, jid: &Jid) -> bool {
        let online = lock(&self.online);
        let mut inlets = online.get(jid.bare()).into_iter().flatten();
        match jid {
            Jid::Full(_) => inlets.any(|inlet| inlet.wants(jid)),
            Jid::Bare(_) => inlets.any(|inlet| inlet.is_available()),
        }
    }

    /// A refusal ends it too: the node has gone.
    async fn end(&self, address: NodeAddress, subscription: Subscription) -> Result<(), Failure> {
        match self.lapse(address, subscription).await {
            Ok(_) | Err(Wrong::Refused(_)) => Ok(()),
            Err(Wrong::Failed(failure)) => Err(failure),
            Err(Wrong::Overloaded) => Err(Failure::Refused("the engine is busy".to_owned())),
        }
    }

    async fn lapse(&self, address: NodeAddress, subscription: Subscription) -> Result<crate::engine::Answered, Wrong> {
        let NodeAddress { service, node } = address;
        let verb = Verb::Lapse { node, jid: subscription.jid, subid: subscription.subid };
        let caller = Caller { jid: Jid::Bare(service.clone()), role: Role::Admin };
        self.engine.ask(Request { caller, service, verb }).await
    }
}

/// Subscriptions that are looked up and ended together.
const AT_ONCE: usize = 256;
/// Before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The longest rest: a clock may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
