//! Subscriptions (XEP-0060 §4.2, §6.1).

use std::fmt;
use std::sync::Arc;

use crate::jid::Jid;
use crate::pubsub::SubscriptionOptions;

/// What tells one subscription of an entity from another (XEP-0060 §6.1.6).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubId(pub Arc<str>);

impl SubId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// XEP-0060 §4.2. `None` is the absence of an entry and is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscriptionState {
    None,
    Pending,
    Unconfigured,
    Subscribed,
}

impl SubscriptionState {
    pub const ALL: [SubscriptionState; 4] = [
        SubscriptionState::None,
        SubscriptionState::Pending,
        SubscriptionState::Unconfigured,
        SubscriptionState::Subscribed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            SubscriptionState::None => "none",
            SubscriptionState::Pending => "pending",
            SubscriptionState::Unconfigured => "unconfigured",
            SubscriptionState::Subscribed => "subscribed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One entity's subscription to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Where notifications go: an account's bare JID (every available resource) or one full JID.
    pub jid: Jid,
    pub subid: SubId,
    pub state: SubscriptionState,
    pub options: Arc<SubscriptionOptions>,
}

impl Subscription {
    /// Whether it is counted among the node's subscribers.
    pub fn counts(&self) -> bool {
        match self.state {
            SubscriptionState::Subscribed | SubscriptionState::Unconfigured => true,
            SubscriptionState::None | SubscriptionState::Pending => false,
        }
    }
}
