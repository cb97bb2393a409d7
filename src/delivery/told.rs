//! What people are told that is no event of a node's log, and who is to be told.

use std::sync::Arc;

use super::{Delivery, Due};
use crate::jid::BareJid;
use crate::pubsub::{Node, NodeKey, Notice, Subscription, SubscriptionState};
use crate::store::{Ask, Failure, Found};

/// A notice that was committed, and where.
#[derive(Clone, Debug)]
pub struct Told {
    pub node: Arc<Node>,
    /// Who did it; nobody, where the service did it by itself.
    pub by: Option<BareJid>,
    pub notice: Notice,
}

impl Delivery {
    /// Some of the owners of a node.
    pub async fn owners(&self, node: NodeKey, max: usize) -> Result<Vec<BareJid>, Failure> {
        let found = self.engine().store().gather(vec![Ask::Owners(node, max)]).await?;
        let owners = found.into_iter().filter_map(|found| match found {
            Found::Owners(owners) => Some(owners),
            _ => None,
        });
        Ok(owners.flatten().collect())
    }

    /// Shows the last item on a subscription, as what follows is shown on it. To be called when whoever subscribed, or
    /// was let in, has been told so.
    pub fn owe_last(&self, due: &Due) {
        if due.subscription.state == SubscriptionState::Subscribed {
            self.shared.each_inlet(&due.subscription.jid, |inlet| inlet.owe(due.clone()));
        }
    }

    /// Who waits for the approval of this owner.
    pub async fn waiting_for(&self, owner: BareJid, max: usize) -> Result<Vec<(Node, Subscription)>, Failure> {
        self.engine().store().read_pending(None, Some(owner), None, max).await
    }
}
