//! What people are told that is no event of a node's log, and who is to be told.

use std::sync::Arc;

use super::Delivery;
use crate::engine::{Answered, Wrong};
use crate::jid::BareJid;
use crate::pubsub::{
    Caller, Edge, Node, NodeKey, Notice, Page, Request, Role, Selection, SendLast, Subscription, SubscriptionState,
    Verb, View,
};
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

    /// The last item for somebody whom somebody else has let in, where the node wants it sent (XEP-0060
    /// §6.1.7, §8.6) and he may read it.
    pub async fn last_item(&self, node: &Node, admitted: &Subscription) -> Option<Answered> {
        let wanted = node.config.persist_items && node.config.send_last_published_item != SendLast::Never;
        if admitted.state != SubscriptionState::Subscribed || !wanted || !admitted.options.deliver {
            return None;
        }
        let verb = Verb::Items {
            node: node.address.node.clone(),
            selection: Selection::Newest(1),
            page: Page { max: 1, edge: Edge::First },
            view: View::default(),
        };
        let caller = Caller { jid: admitted.jid.clone(), role: Role::Stranger };
        match self.engine().ask(Request { caller, service: node.address.service.clone(), verb }).await {
            Ok(answered) => Some(answered),
            // Who may not read any more, or a node that has gone meanwhile.
            Err(Wrong::Refused(_)) => None,
            Err(wrong) => {
                tracing::warn!(?wrong, node = %node.address, "a last item cannot be read");
                None
            }
        }
    }

    /// The last item is due to somebody who has subscribed, and was not answered over XMPP. `node` is as it was when
    /// the subscription began: what is newer comes as a notification.
    pub fn owe_last(&self, node: Arc<Node>, subscription: Subscription) {
        self.shared.announce(Told { node, by: None, notice: Notice::Last(subscription) });
    }

    /// Who waits for the approval of this owner.
    pub async fn waiting_for(&self, owner: BareJid, max: usize) -> Result<Vec<(Node, Subscription)>, Failure> {
        self.engine().store().read_pending(None, Some(owner), None, max).await
    }
}
