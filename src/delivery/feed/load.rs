//! Reading what a session is subscribed to.

use std::sync::Arc;

use super::{Inlet, Loaded};
use crate::delivery::Shared;
use crate::engine::Wrong;
use crate::pubsub::{Node, NodeKey, Subscription, SubscriptionState};
use crate::store::Failure;

impl Shared {
    /// The stored subscriptions that go to a session, with the tails of their nodes. What fails is tried
    /// again a few times.
    pub(super) async fn load(&self, inlet: &Inlet) -> Result<Vec<Loaded>, Failure> {
        let mut loaded = Vec::new();
        let (mut after, mut domain) = (None, String::new());
        let mut pause = LOAD_PAUSE;
        let mut failed = 0;
        loop {
            match self.load_slice(inlet, (&domain, after.clone()), &mut loaded).await {
                Ok(Place::Within(last)) => after = Some(last),
                Ok(Place::Domain(next)) => (domain, after) = (next, None),
                Ok(Place::End) => return Ok(loaded),
                Err(failure) => {
                    failed += 1;
                    if failed == LOAD_TRIES_MAX || failure == Failure::Closed {
                        return Err(failure);
                    }
                    tracing::warn!(%failure, session = %inlet.whom, "subscriptions cannot be read; trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }

    /// Some of them: those after the given one, at the given domain where a feed shows several; and
    /// where to go on.
    async fn load_slice(
        &self,
        inlet: &Inlet,
        (domain, after): (&str, Option<(NodeKey, Subscription)>),
        loaded: &mut Vec<Loaded>,
    ) -> Result<Place, Failure> {
        let page = self.next_watched(&inlet.whom, domain, after, LOADED_AT_ONCE).await?;
        let full = page.len() == LOADED_AT_ONCE;
        let last = page.last().filter(|_| full).map(|(node, subscription)| (node.key, subscription.clone()));
        let wanted: Vec<_> = page
            .into_iter()
            .filter(|(_, subscription)| {
                subscription.state == SubscriptionState::Subscribed && inlet.concerns(&subscription.jid)
            })
            .collect();
        let nodes = wanted.iter().map(|(node, _)| Arc::new(node.clone())).collect();
        let tails = self.engine.tails(nodes).await.map_err(|wrong| match wrong {
            Wrong::Failed(failure) => failure,
            Wrong::Refused(_) | Wrong::Overloaded => Failure::Read("the tails of nodes were refused".to_owned()),
        })?;
        // A node that is gone has no tail, and nothing to show.
        let begin = |(tail, (node, subscription)): (Option<_>, (Node, _))| {
            Some(Loaded { tail: tail?, subscription, position: node.last_seq })
        };
        loaded.extend(tails.into_iter().zip(wanted).filter_map(begin));
        Ok(match last {
            Some(last) => Place::Within(last),
            None => self.next_domain(&inlet.whom, domain).await?.map_or(Place::End, Place::Domain),
        })
    }
}

/// Where reading goes on.
enum Place {
    /// After this one.
    Within((NodeKey, Subscription)),
    /// With the first of this domain.
    Domain(String),
    End,
}

/// Subscriptions read at once when a session comes online.
const LOADED_AT_ONCE: usize = 256;
/// How often reading a session's subscriptions may fail before the session is ended.
const LOAD_TRIES_MAX: u32 = 6;
/// After the first failure; twice as long after each further one.
const LOAD_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
