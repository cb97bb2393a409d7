//! Reads and changes affiliations (XEP-0060 §5.7, §8.9).

use std::collections::HashSet;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::audience::why_unreadable;
use crate::pubsub::draft::Draft;
use crate::pubsub::subscribe::{approved, ended};
use crate::pubsub::{
    Affiliation, Caller, Change, Decision, Facts, Given, Node, NodeConfig, Page, Read, Reader, Refusal, Reply,
    SubscriptionState, Unchanged, rights,
};

/// The caller's own, at the addressed node or everywhere (XEP-0060 §5.7).
pub(super) fn affiliations(
    caller: &Caller,
    service: BareJid,
    at_node: bool,
    page: Page,
    facts: &Facts,
) -> Result<Decision, Refusal> {
    let node = if at_node { Some(rights::present(facts)?.key) } else { None };
    let jid = caller.jid.bare().clone();
    Ok(Decision::answer(Reply::Read(Read::AffiliationsOf { service, jid, node, page })))
}

/// Everyone's, for an owner (XEP-0060 §8.9.1).
pub(super) fn of_node(caller: &Caller, page: Page, facts: &Facts) -> Result<Decision, Refusal> {
    let node = facts.led_by(rights::owned(caller, facts)?);
    Ok(Decision::answer(Reply::Read(Read::NodeAffiliations { node, page })))
}

/// XEP-0060 §8.9.2. All changes or none, so that a refusal returns every entry as it still is. Who
/// loses the right to read loses its subscriptions in the same commit.
pub(super) fn set(
    caller: &Caller,
    changes: &[(BareJid, Affiliation)],
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    check(changes, node, facts)?;
    let mut draft = Draft::over(node, given.now);
    for (position, ((jid, next), now)) in changes.iter().zip(&facts.affiliations).enumerate() {
        if next == now {
            continue;
        }
        draft.change(Change::SetAffiliation { jid: jid.clone(), affiliation: *next });
        let reader = Reader { affiliation: *next, ..facts.other(position) };
        let why_not = why_unreadable(&node.config, &reader);
        for subscription in facts.subscribers.get(position).into_iter().flatten() {
            let pending = subscription.state == SubscriptionState::Pending;
            match &why_not {
                // XEP-0060 §8.7.4: who is let in anyway need not be approved.
                None if pending => draft.set_subscription(Some(subscription), approved(subscription)),
                None => {}
                Some(Refusal::SubscriptionRequired) if pending => {}
                Some(_) => draft.set_subscription(Some(subscription), ended(subscription)),
            }
        }
    }
    draft.node.owners = owners_after(changes, node, facts);
    if let Some(config) = shown_after(changes, node, facts) {
        draft.node.config = Arc::new(config);
    }
    Ok(draft.done(Reply::Done))
}

fn check(changes: &[(BareJid, Affiliation)], node: &Node, facts: &Facts) -> Result<(), Refusal> {
    if changes.len() > rights::CHANGES_MAX {
        let why = "more changes than one request may bear";
        return Err(Refusal::InvalidChange { why, unchanged: Unchanged::Affiliations(Vec::new()) });
    }
    let mut seen = HashSet::new();
    // XEP-0060 §8.9.2.4: the same entity is not given twice.
    if let Some((jid, _)) = changes.iter().find(|(jid, _)| !seen.insert(jid)) {
        return Err(Refusal::DuplicateChange { jid: jid.clone().into() });
    }
    let unchanged = || {
        let jids = changes.iter().map(|(jid, _)| jid.clone());
        Unchanged::Affiliations(jids.zip(facts.affiliations.iter().copied()).collect())
    };
    if owners_after(changes, node, facts) == 0 {
        return Err(Refusal::LastOwner { unchanged: unchanged() });
    }
    let steps = changes.iter().zip(&facts.affiliations);
    if let Some(why) = steps.filter_map(|((_, next), now)| why_no_step(*now, *next)).next() {
        return Err(Refusal::InvalidChange { why, unchanged: unchanged() });
    }
    Ok(())
}

/// The state chart of XEP-0060 §4.1, Table 2, which §8.9.2.4 makes the rule. It does not speak of
/// publish-only: an owner resigns before becoming that too, and all else is free.
fn why_no_step(now: Affiliation, next: Affiliation) -> Option<&'static str> {
    match (now, next) {
        (Affiliation::Owner, Affiliation::Owner | Affiliation::None) => None,
        (Affiliation::Owner, _) => Some("an owner becomes nothing else without resigning first"),
        (Affiliation::Publisher, Affiliation::Member) => Some("a publisher becomes a member only by way of none"),
        _ => None,
    }
}

fn owners_after(changes: &[(BareJid, Affiliation)], node: &Node, facts: &Facts) -> u64 {
    let mut owners = node.owners;
    for ((_, next), now) in changes.iter().zip(&facts.affiliations) {
        match (*now == Affiliation::Owner, *next == Affiliation::Owner) {
            (true, false) => owners = owners.saturating_sub(1),
            (false, true) => owners += 1,
            (true, true) | (false, false) => {}
        }
    }
    owners
}

/// The configuration with another owner to show, where the one that items bear ceases to be one
/// (XEP-0060 §12.17).
fn shown_after(changes: &[(BareJid, Affiliation)], node: &Node, facts: &Facts) -> Option<NodeConfig> {
    let shown = node.config.shown_owner.as_ref()?;
    let after = |owner: &BareJid| changes.iter().find(|(jid, _)| jid == owner).map(|(_, next)| *next);
    if after(shown).is_none_or(|next| next == Affiliation::Owner) {
        return None;
    }
    let stay = facts.owners.iter().filter(|owner| after(owner).is_none_or(|next| next == Affiliation::Owner)).cloned();
    let come = changes.iter().filter(|(_, next)| *next == Affiliation::Owner).map(|(jid, _)| jid.clone());
    let config = NodeConfig { shown_owner: None, ..(*node.config).clone() };
    Some(config.showing(stay.chain(come)))
}
