//! Who lets everybody know that he is subscribed to a node (XEP-0465 §4.4).
//!
//! The node for them is there as long as there is one of them: to whoever asks, a node without any is as one that is
//! not there (§7), and so is one whose target he may not read.

use std::collections::BTreeSet;

use super::name::subscribers;
use super::{About, Question, begin, put, vanish};
use crate::jid::BareJid;
use crate::pubsub::draft::Draft;
use crate::pubsub::{Caller, Change, Decision, Facts, Given, ItemId, Public, Refusal, Subscription, Verb, may_read};

/// What must be known to begin, change or end subscriptions of which one is, or becomes, public; or to delete their
/// node.
pub(super) fn questions(verb: &Verb, facts: &Facts) -> Vec<Question> {
    let mut questions = Vec::new();
    let Some(name) = facts.node.id().and_then(subscribers) else { return questions };
    let mut jids: BTreeSet<&BareJid> =
        known(facts).filter(|subscription| subscription.options.public).map(|of| of.jid.bare()).collect();
    match verb {
        Verb::Subscribe { jid, public: Public::Yes, .. } => drop(jids.insert(jid.bare())),
        Verb::Subscribe { .. }
        | Verb::Unsubscribe { .. }
        | Verb::Lapse { .. }
        | Verb::Approve { .. }
        | Verb::SetSubscriptions { .. }
        | Verb::SetAffiliations { .. }
        | Verb::Configure { .. } => {}
        Verb::Delete { .. } => {
            return vec![Question { node: name, about: About::Node }];
        }
        _ => return questions,
    }
    if !jids.is_empty() {
        questions.push(Question { node: name.clone(), about: About::Node });
    }
    let of = |jid: &BareJid| Some(Question { node: name.clone(), about: About::Item(ItemId::parse(jid.as_str())?) });
    questions.extend(jids.into_iter().filter_map(of));
    questions
}

/// Nobody writes to it by hand, and whoever may not read what it is kept of knows of nothing (XEP-0465 §5, §7).
pub(super) fn check(caller: &Caller, verb: &Verb, facts: &Facts) -> Result<(), Refusal> {
    match verb {
        Verb::Create { .. }
        | Verb::Publish { .. }
        | Verb::Retract { .. }
        | Verb::Purge { .. }
        | Verb::Delete { .. }
        | Verb::Configure { .. }
        | Verb::SetAffiliations { .. }
        | Verb::SetSubscriptions { .. }
        | Verb::Approve { .. }
        | Verb::Associate { .. }
        | Verb::Dissociate { .. } => return Err(Refusal::Forbidden),
        // Whoever has lost the right to read may still end what it began.
        Verb::Unsubscribe { jid, .. } if jid.bare() == caller.jid.bare() && !facts.subscriptions.is_empty() => {
            return Ok(());
        }
        Verb::Lapse { .. } => return Ok(()),
        _ => {}
    }
    let somebody = facts.node.present().is_some_and(|node| node.items > 0);
    let reads = |of: &super::Target| may_read(&of.node.config, &facts.reader(caller));
    if somebody && facts.target.as_ref().is_some_and(reads) { Ok(()) } else { Err(Refusal::NodeAbsent) }
}

/// Brings the node in step with what a decision does to subscriptions, or to the node that they are to.
pub(super) fn follow(decision: &mut Decision, facts: &Facts, given: &Given<'_>) {
    let Some(target) = decision.node.clone() else { return };
    let Some(name) = subscribers(&target.address.node) else { return };
    if facts.beside.is_anothers(&name) {
        return;
    }
    let standing = facts.beside.kept(&name);
    if decision.changes.iter().any(|change| matches!(change, Change::DeleteNode { .. })) {
        decision.shares.extend(standing.map(|standing| vanish(standing, given)));
        return;
    }
    let changed = decision.changes.iter().filter_map(|change| match change {
        Change::SetSubscription { subscription } => Some(subscription),
        _ => None,
    });
    let changed: Vec<&Subscription> = changed.collect();
    let mut draft: Option<Draft> = standing.map(|standing| Draft::over(standing, given.now));
    let jids: BTreeSet<&BareJid> = changed.iter().map(|subscription| subscription.jid.bare()).collect();
    for jid in jids {
        let Some(id) = ItemId::parse(jid.as_str()) else { continue };
        let before = facts.beside.item(&name, &id).filter(|_| standing.is_some());
        match (before, is_public(jid, &changed, facts)) {
            (None, true) => {
                let begin = || begin(given.kept_key, name.clone(), &target, facts, given);
                put(draft.get_or_insert_with(begin), &id, (given.words.subscriber)(jid), None, given);
            }
            (Some(before), false) => {
                let draft = draft.as_mut().expect("an item stands in a node");
                let notify = draft.node.config.notify_retract;
                draft.remove_item(before, notify);
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    match (draft.filter(Draft::is_touched), standing) {
        (Some(draft), Some(standing)) if draft.node.items == 0 => decision.shares.push(vanish(standing, given)),
        (Some(draft), standing) => decision.shares.push(draft.into_share(standing)),
        (None, _) => {}
    }
}

/// Whether one is, after these changes. Who waits for approval is not subscribed yet.
fn is_public(jid: &BareJid, changed: &[&Subscription], facts: &Facts) -> bool {
    let same = |one: &Subscription, other: &Subscription| one.jid == other.jid && one.subid == other.subid;
    let left = known(facts).filter(|known| !changed.iter().any(|changed| same(changed, known)));
    left.chain(changed.iter().copied())
        .any(|subscription| subscription.jid.bare() == jid && subscription.counts() && subscription.options.public)
}

/// All subscriptions of those whose subscriptions a request may change.
fn known(facts: &Facts) -> impl Iterator<Item = &Subscription> {
    facts.subscriptions.iter().chain(facts.subscribers.iter().flatten()).chain(&facts.waiting)
}
