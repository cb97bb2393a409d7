//! Who is told what besides the node's log: subscribers and affiliates of what became of them, owners
//! of who comes, goes, and waits.

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{Affiliation, Change, NodeConfig, Subscription, SubscriptionState};

/// Something that is told to people and is no event of a node. Nobody keeps it: what it says can be
/// asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// To the subscribed address, whose subscription somebody else has changed (XEP-0060 §12.14).
    Subscriber(Subscription),
    /// To the owners of a node that wants them told (`pubsub#notify_sub`).
    Subscribed(Subscription),
    /// To the owners, who are asked for approval (XEP-0060 §8.6).
    Waiting(Subscription),
    /// To somebody who waits for approval at a node that has been deleted; where to look instead.
    Deleted(Subscription, Option<Arc<str>>),
    /// To somebody whose affiliation somebody else has changed (XEP-0060 §8.9.4).
    Affiliate(BareJid, Affiliation),
}

/// What is to be told of the changes of one decision, made by `by`; nobody, where the service made
/// them itself. Who does something hears of it in the answer, and not again.
pub fn notices(config: &NodeConfig, by: Option<&BareJid>, changes: &[Change]) -> Vec<Notice> {
    let creates = matches!(changes.first(), Some(Change::CreateNode));
    let deletes = match changes.last() {
        Some(Change::DeleteNode { redirect }) => Some(redirect),
        _ => None,
    };
    let mut notices = Vec::new();
    for change in changes {
        match change {
            Change::SetSubscription { subscription } if deletes.is_some() => {
                let told = deletes.filter(|_| config.notify_delete && config.deliver_notifications);
                notices.extend(told.map(|redirect| Notice::Deleted(subscription.clone(), redirect.clone())));
            }
            Change::SetSubscription { subscription } => {
                if Some(subscription.jid.bare()) != by {
                    notices.push(Notice::Subscriber(subscription.clone()));
                }
                if subscription.state == SubscriptionState::Pending {
                    notices.push(Notice::Waiting(subscription.clone()));
                } else if config.notify_sub {
                    notices.push(Notice::Subscribed(subscription.clone()));
                }
            }
            Change::SetAffiliation { jid, affiliation } if Some(jid) != by && !creates => {
                notices.push(Notice::Affiliate(jid.clone(), *affiliation));
            }
            _ => {}
        }
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::world::{World, bare, jid, raw};
    use crate::pubsub::{SubId, SubscriptionOptions};

    // rows: 133, 363, 364, 403, 428, 533, 534, F18
    #[test]
    fn everyone_is_told_what_others_did_and_owners_what_they_want_to_know() {
        let policy = World::new().policy;
        let quiet = NodeConfig::new(&policy);
        let curious = quiet.with(&[raw("notify_sub", "1")], &policy).unwrap();
        let options = SubscriptionOptions::standard();
        let subscription = |state| Subscription {
            jid: jid("romeo/pc"),
            subid: SubId(Arc::from("s1")),
            state,
            options: options.clone(),
        };
        let (romeo, hamlet) = (bare("romeo"), bare("hamlet"));
        for state in [SubscriptionState::None, SubscriptionState::Subscribed, SubscriptionState::Pending] {
            let subscription = subscription(state);
            let change = [Change::SetSubscription { subscription: subscription.clone() }];
            let waits = state == SubscriptionState::Pending;
            let own = if waits { vec![Notice::Waiting(subscription.clone())] } else { vec![] };
            assert_eq!(notices(&quiet, Some(&romeo), &change), own);
            let mut of_another = own.clone();
            of_another.insert(0, Notice::Subscriber(subscription.clone()));
            assert_eq!(notices(&quiet, Some(&hamlet), &change), of_another);
            assert_eq!(notices(&quiet, None, &change), of_another);
            let told = if waits { own } else { vec![Notice::Subscribed(subscription.clone())] };
            assert_eq!(notices(&curious, Some(&romeo), &change), told);
        }
        let waited = subscription(SubscriptionState::None);
        let ended = Change::SetSubscription { subscription: waited.clone() };
        let deletion = [ended, Change::DeleteNode { redirect: Some("xmpp:there".into()) }];
        let told = vec![Notice::Deleted(waited, Some("xmpp:there".into()))];
        assert_eq!(notices(&curious, Some(&hamlet), &deletion), told);
        let silent = quiet.with(&[raw("notify_delete", "0")], &policy).unwrap();
        assert_eq!(notices(&silent, Some(&hamlet), &deletion), []);
        let change = Change::SetAffiliation { jid: romeo.clone(), affiliation: Affiliation::Member };
        let told = vec![Notice::Affiliate(romeo.clone(), Affiliation::Member)];
        assert_eq!(notices(&quiet, Some(&hamlet), std::slice::from_ref(&change)), told);
        assert_eq!(notices(&quiet, Some(&romeo), std::slice::from_ref(&change)), []);
        assert_eq!(notices(&quiet, Some(&hamlet), &[Change::CreateNode, change]), [], "who owns a new node made it");
    }
}
