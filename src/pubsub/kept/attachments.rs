//! Attachments to items and their sums (XEP-0470).
//!
//! For each item to which something is attached there is a node for the attachments, whose items bear the names of
//! those who attach, and an item in the node of sums; they come in one commit, and go in one, with the item or with
//! the node that it stands in. A sum is counted on from the sum that stands: what an entity attached before is taken
//! away, what it attaches now is added.

use super::name::{attachments, summary};
use super::tally::{REACTIONS_MAX, TALLY_REACTIONS_MAX};
use super::{About, Attached, Question, Tally, Target, begin, may_purge, put, vanish};
use crate::pubsub::draft::Draft;
use crate::pubsub::publish::{self, Publication};
use crate::pubsub::{
    Caller, Change, Decision, EventKind, Facts, Given, ItemFact, ItemId, NewItem, Node, NodeId, Payload, Refusal,
    Reply, Verb, Words, rights,
};

/// What must be known to change what is attached to an item.
pub(super) fn questions(verb: &Verb, target: &NodeId, item: &ItemId, facts: &Facts) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut ask = |node: &NodeId, about| questions.push(Question { node: node.clone(), about });
    let named: Vec<&ItemId> = match verb {
        Verb::Publish { items, .. } => {
            ask(target, About::Item(item.clone()));
            items.iter().filter_map(|item| item.id.as_ref()).collect()
        }
        Verb::Retract { items, .. } => items.iter().collect(),
        Verb::Purge { .. } | Verb::Delete { .. } => Vec::new(),
        _ => return questions,
    };
    if let Some(own) = facts.node.id() {
        let standing = named.into_iter().zip(&facts.items).filter(|(_, fact)| fact.is_some());
        standing.for_each(|(id, _)| ask(own, About::Payload(id.clone())));
    }
    if let Some(sums) = summary(target) {
        ask(&sums, About::Node);
        if facts.beside.kept(&sums).is_some() {
            ask(&sums, About::Item(item.clone()));
            if facts.beside.item(&sums, item).is_some() {
                ask(&sums, About::Payload(item.clone()));
            }
        }
    }
    questions
}

/// What must be known to let items of a node go, or the node.
pub(super) fn questions_of_target(verb: &Verb, facts: &Facts) -> Vec<Question> {
    let mut questions = Vec::new();
    let Some(node) = facts.node.present() else { return questions };
    let (going, all): (Vec<&ItemFact>, bool) = match verb {
        Verb::Retract { .. } => (facts.items.iter().flatten().collect(), false),
        Verb::Configure { config, .. } => (facts.oldest.iter().collect(), may_purge(config)),
        Verb::Publish { .. } | Verb::Expire { .. } => (facts.oldest.iter().collect(), false),
        Verb::Purge { .. } | Verb::Delete { .. } => (Vec::new(), true),
        _ => return questions,
    };
    let Some(sums) = summary(&node.address.node).filter(|_| all || !going.is_empty()) else { return questions };
    let mut ask = |node: &NodeId, about| questions.push(Question { node: node.clone(), about });
    ask(&sums, About::Node);
    let Some(summed) = facts.beside.kept(&sums) else { return questions };
    let mut of_item = |fact: &ItemFact| {
        if let Some(attached) = attachments(&node.address.service, &node.address.node, &fact.id) {
            questions.push(Question { node: attached, about: About::Node });
        }
    };
    going.iter().filter(|fact| facts.beside.item(&sums, &fact.id).is_some()).for_each(|fact| of_item(fact));
    if all {
        facts.beside.items(&sums, summed.items).iter().for_each(of_item);
        questions.push(Question { node: sums.clone(), about: About::Items(summed.items) });
    }
    let ask = |fact: &&ItemFact| Question { node: sums.clone(), about: About::Item(fact.id.clone()) };
    questions.extend(going.iter().map(ask));
    questions
}

/// Publishes attachments. The node for them begins with the first (XEP-0470 §4.3); publish options are not looked at.
pub(in crate::pubsub) fn attach(
    caller: &Caller,
    publication: Publication,
    target: &Target,
    item: &ItemId,
    facts: &Facts,
    given: &mut Given<'_>,
) -> Result<Decision, Refusal> {
    let reach = rights::publishing(caller, &target.node, facts)?;
    if facts.beside.item(&target.node.address.node, item).is_none() {
        return Err(Refusal::ItemAbsent);
    }
    check(caller, &publication.items, given.words)?;
    let (mut draft, created) = match facts.node.present() {
        Some(node) => (Draft::over(node, given.now), false),
        None => (begin(given.node_key, publication.node, &target.node, facts, given), true),
    };
    let items = publication.items;
    publish::check_items(&items, &draft.node.config, facts)?;
    let current = publish::current(&items, facts);
    publish::check_current(caller, &items, &current, reach, draft.node.key)?;
    publish::check_room(&current, &draft.node)?;
    let published = publish::write(&mut draft, caller.jid.bare(), &items, &current, given);
    Ok(draft.done(Reply::Published { items: published, created }))
}

/// XEP-0470 §4.5, and how many reactions one entity may have.
fn check(caller: &Caller, items: &[NewItem], words: &Words) -> Result<(), Refusal> {
    for item in items {
        if item.id.as_ref().is_none_or(|id| id.as_str() != caller.jid.bare().as_str()) {
            return Err(Refusal::InvalidAttachments { why: "the name of the item is not the publisher's bare JID" });
        }
        let Some(attached) = item.payload.as_ref().and_then(words.attached) else {
            return Err(Refusal::InvalidAttachments { why: "the payload is not that of attachments" });
        };
        if attached.reactions.len() > REACTIONS_MAX {
            return Err(Refusal::InvalidAttachments { why: "the attachments bear too many reactions" });
        }
    }
    Ok(())
}

/// Brings the sums for an item in step with what a decision does to its attachments.
pub(super) fn sum_up(
    decision: &mut Decision,
    target: &NodeId,
    item: &ItemId,
    of: &Target,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<(), Refusal> {
    let (Some(name), Some(node)) = (summary(target), decision.node.as_ref()) else { return Ok(()) };
    let concerns = |change: &Change| match change {
        Change::PutItem { .. } | Change::RemoveItem { .. } | Change::Purge | Change::DeleteNode { .. } => true,
        Change::CreateNode
        | Change::SetAffiliation { .. }
        | Change::SetSubscription { .. }
        | Change::Associate { .. }
        | Change::Dissociate { .. } => false,
    };
    if !decision.changes.iter().any(concerns) {
        return Ok(());
    }
    let sums = facts.beside.kept(&name);
    let standing = sums.and_then(|_| facts.beside.item(&name, item));
    if decision.changes.iter().any(|change| matches!(change, Change::DeleteNode { .. })) {
        if let (Some(sums), Some(standing)) = (sums, standing) {
            let mut draft = Draft::over(sums, given.now);
            draft.remove_item(standing, sums.config.notify_retract);
            decision.shares.push(draft.into_share(Some(sums)));
        }
        return Ok(());
    }
    let before = standing.and_then(|_| facts.beside.payload(&name, item)).map(given.words.tally).unwrap_or_default();
    let tally = counted(&before, decision, node, facts, given.words);
    if standing.is_some() && tally == before {
        return Ok(());
    }
    let grows = tally.reactions.len() > before.reactions.len();
    let full = standing.is_none() && sums.is_some_and(|sums| sums.items >= facts.policy.attached_items_max);
    if full || grows && tally.reactions.len() > TALLY_REACTIONS_MAX {
        return Err(Refusal::NodeFull);
    }
    let mut draft = match sums {
        Some(sums) => Draft::over(sums, given.now),
        None => begin(given.kept_key, name, &of.node, facts, given),
    };
    put(&mut draft, item, (given.words.summary)(&tally), standing, given);
    decision.shares.push(draft.into_share(sums));
    Ok(())
}

fn counted(before: &Tally, decision: &Decision, node: &Node, facts: &Facts, words: &Words) -> Tally {
    let mut tally = before.clone();
    let attached = |payload: Option<&Payload>| payload.and_then(words.attached).unwrap_or_default();
    let former = |id: &ItemId| attached(facts.beside.payload(&node.address.node, id));
    for change in &decision.changes {
        match change {
            Change::Purge => tally = Tally::default(),
            Change::RemoveItem { fact } => tally.take(&former(&fact.id)),
            Change::PutItem { fact, replaces } => {
                if replaces.is_some() {
                    tally.take(&former(&fact.id));
                }
                let published = decision.events.iter().find(|event| event.seq == fact.seq);
                let payload = published.and_then(|event| match &event.kind {
                    EventKind::Published { payload, .. } => payload.as_ref(),
                    _ => None,
                });
                let now: Attached = attached(payload);
                tally.add(&now);
            }
            _ => {}
        }
    }
    tally
}

/// Lets go, with items or with their node, what is attached to them.
pub(super) fn forsake(decision: &mut Decision, facts: &Facts, given: &Given<'_>) {
    let Some(node) = facts.node.present() else { return };
    let Some((name, sums)) = summary(&node.address.node).and_then(|name| {
        let sums = facts.beside.kept(&name)?;
        Some((name, sums))
    }) else {
        return;
    };
    let mut draft = Draft::over(sums, given.now);
    let mut deleted = false;
    let mut gone: Vec<&ItemFact> = Vec::new();
    for change in &decision.changes {
        match change {
            Change::RemoveItem { fact } => {
                if let Some(standing) = facts.beside.item(&name, &fact.id) {
                    gone.push(standing);
                    draft.remove_item(standing, sums.config.notify_retract);
                }
            }
            Change::Purge => {
                gone.extend(facts.beside.items(&name, sums.items));
                draft.purge();
            }
            Change::DeleteNode { .. } => {
                gone.extend(facts.beside.items(&name, sums.items));
                deleted = true;
            }
            _ => {}
        }
    }
    let attached = gone.iter().filter_map(|fact| attachments(&node.address.service, &node.address.node, &fact.id));
    decision.shares.extend(attached.filter_map(|name| facts.beside.kept(&name)).map(|node| vanish(node, given)));
    if deleted {
        decision.shares.push(vanish(sums, given));
    } else if draft.is_touched() {
        decision.shares.push(draft.into_share(Some(sums)));
    }
}
