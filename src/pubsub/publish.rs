//! Publishes items (XEP-0060 §7.1): all of a batch, or none (§12.11).

use std::collections::HashSet;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::draft::Draft;
use crate::pubsub::rights::Reach;
use crate::pubsub::{
    Caller, Decision, EventKind, Facts, Field, Given, ItemFact, ItemId, NewItem, Node, NodeAddress, NodeConfig,
    NodeFull, NodeId, NodeKey, NodeState, Precondition, Published, RawField, Refusal, Reply, Seq, ServicePolicy,
    create, rights,
};

/// What a publish asks for.
pub(super) struct Publication {
    pub(super) service: BareJid,
    pub(super) node: NodeId,
    pub(super) items: Vec<NewItem>,
    pub(super) options: Option<Vec<RawField>>,
    pub(super) create: bool,
}

pub(super) fn publish(
    caller: &Caller,
    publication: Publication,
    facts: &Facts,
    given: &mut Given<'_>,
) -> Result<Decision, Refusal> {
    let options = publication.options.as_deref().unwrap_or_default();
    let (mut draft, reach) = match &facts.node {
        NodeState::Present(node) => {
            let reach = rights::publishing(caller, node, facts)?;
            meets(options, &node.config, &facts.policy)?;
            (Draft::over(node, given.now), reach)
        }
        NodeState::Absent | NodeState::Deleted(_) => {
            may_begin(caller, &publication.node, publication.create, facts)?;
            let address = NodeAddress { service: publication.service, node: publication.node };
            (create::draft(caller, address, options, facts, given)?, Reach::Any)
        }
    };
    let created = facts.node.present().is_none();
    if draft.node.config.is_collection() {
        return Err(Refusal::NotOfCollections { feature: "publish" });
    }
    let items = publication.items;
    check_items(&items, &draft.node.config, facts)?;
    let current = current(&items, facts);
    check_current(caller, &items, &current, reach, draft.node.key)?;
    check_room(&current, &draft.node)?;

    let published = write(&mut draft, caller.jid.bare(), &items, &current, given);
    evict(&mut draft, &current, facts);
    Ok(draft.done(Reply::Published { items: published, created }))
}

/// How many of the oldest items the publication of so many may push out, counting those that the
/// batch overwrites. A node that holds more than it may, because the operator has lowered a limit,
/// is brought down in steps.
pub(super) fn surplus(items: usize, node: &Node) -> u64 {
    if !node.config.persist_items {
        return 0;
    }
    let items = items as u64;
    (node.items + items).saturating_sub(node.config.max_items).min(2 * items + EVICTIONS_EXTRA_MAX)
}

/// No more items than one request may name.
pub(super) fn within_batch(items: usize, facts: &Facts) -> Result<(), Refusal> {
    let items_max = facts.policy.batch_items_max;
    if items > items_max {
        return Err(Refusal::TooManyItems { items, items_max: items_max as u64 });
    }
    Ok(())
}

/// No item twice in one request: which of the two would stand?
pub(super) fn distinct<'a>(ids: impl Iterator<Item = &'a ItemId>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(Refusal::DuplicateItem { item: id.clone() });
        }
    }
    Ok(())
}

impl Precondition {
    /// Does it hold for the current item of the name, if there is one?
    pub(super) fn holds(self, node: NodeKey, current: Option<&ItemFact>) -> bool {
        match self {
            Precondition::None => true,
            Precondition::Absent => current.is_none(),
            Precondition::Present => current.is_some(),
            Precondition::At(key, seq) => key == node && current.is_some_and(|fact| fact.seq == seq),
        }
    }
}

/// May this publish begin a node (XEP-0060 §7.1.4)? A node whose owner has sent its readers elsewhere
/// does not rise from a publish that merely did not hear of it.
fn may_begin(caller: &Caller, node: &NodeId, asked: bool, facts: &Facts) -> Result<(), Refusal> {
    let moved = matches!(&facts.node, NodeState::Deleted(tombstone) if tombstone.redirect.is_some());
    if asked {
        return rights::creating(caller, &facts.policy, Some(node));
    }
    let creates = facts.policy.creates_by_publishing(node);
    if creates && !moved && rights::creating(caller, &facts.policy, Some(node)).is_ok() {
        return Ok(());
    }
    rights::present(facts).map(|_| ())
}

/// XEP-0060 §7.1.5: each option is a precondition on the configuration of an existing node. A field
/// that does not exist is refused as such; a value that none may have, no node has.
fn meets(options: &[RawField], config: &NodeConfig, policy: &ServicePolicy) -> Result<(), Refusal> {
    for option in options {
        match config.with(std::slice::from_ref(option), policy) {
            Ok(with) if with.equals(config) => {}
            Err(unknown) if Field::named(option.bare_name()).is_none() => return Err(unknown),
            Ok(_) | Err(_) => return Err(Refusal::OptionsMismatch { field: Arc::from(option.bare_name()) }),
        }
    }
    Ok(())
}

/// Do number, shape and size fit the node (XEP-0060 §4.3, Table 4)?
pub(super) fn check_items(items: &[NewItem], config: &NodeConfig, facts: &Facts) -> Result<(), Refusal> {
    if items.is_empty() {
        // XEP-0060 §7.1.3.7.
        return match (config.persist_items, config.deliver_payloads) {
            (true, _) => Err(Refusal::ItemRequired),
            (false, true) => Err(Refusal::PayloadRequired),
            (false, false) => Ok(()),
        };
    }
    if !config.persist_items && !config.deliver_payloads {
        return Err(Refusal::ItemForbidden);
    }
    within_batch(items.len(), facts)?;
    // XEP-0060 §12.11: a batch must not push out a part of itself.
    if config.persist_items && items.len() as u64 > config.max_items {
        return Err(Refusal::TooManyItems { items: items.len(), items_max: config.max_items });
    }
    distinct(items.iter().filter_map(|item| item.id.as_ref()))?;
    items.iter().try_for_each(|item| check_payload(item, config, &facts.policy))
}

fn check_payload(item: &NewItem, config: &NodeConfig, policy: &ServicePolicy) -> Result<(), Refusal> {
    let Some(payload) = &item.payload else {
        // XEP-0060 §7.1.3.7: a node that delivers payloads wants one.
        return if config.deliver_payloads { Err(Refusal::PayloadRequired) } else { Ok(()) };
    };
    // XEP-0060 §7.1.3.5.
    let (bytes, bytes_max) = (payload.xml.len() as u64, config.max_payload_size.min(policy.payload_bytes_max));
    if bytes > bytes_max {
        return Err(Refusal::PayloadTooBig { bytes, bytes_max });
    }
    // XEP-0060 §7.1.3.6.
    if !config.payload_type.is_empty() && config.payload_type != payload.namespace {
        return Err(Refusal::InvalidPayload { why: "the namespace of the payload is not the node's type" });
    }
    Ok(())
}

/// What stands now under the name of each item; facts come for the named ones alone.
pub(super) fn current<'a>(items: &[NewItem], facts: &'a Facts) -> Vec<Option<&'a ItemFact>> {
    let mut named = facts.items.iter();
    items.iter().map(|item| item.id.as_ref().and_then(|_| named.next()).and_then(Option::as_ref)).collect()
}

pub(super) fn check_current(
    caller: &Caller,
    items: &[NewItem],
    current: &[Option<&ItemFact>],
    reach: Reach,
    node: NodeKey,
) -> Result<(), Refusal> {
    if !current.iter().flatten().all(|fact| reach.covers(caller.jid.bare(), fact)) {
        return Err(Refusal::Forbidden);
    }
    if !items.iter().zip(current).all(|(item, current)| item.precondition.holds(node, *current)) {
        return Err(Refusal::PreconditionFailed);
    }
    Ok(())
}

/// XEP-0060 §7.1.3.4: an owner may want new items refused, rather than old ones lost.
pub(super) fn check_room(current: &[Option<&ItemFact>], node: &Node) -> Result<(), Refusal> {
    let new = current.iter().filter(|current| current.is_none()).count() as u64;
    let config = &node.config;
    if config.persist_items && config.node_full == NodeFull::Reject && node.items + new > config.max_items && new > 0 {
        return Err(Refusal::NodeFull);
    }
    Ok(())
}

pub(super) fn write(
    draft: &mut Draft,
    publisher: &BareJid,
    items: &[NewItem],
    current: &[Option<&ItemFact>],
    given: &mut Given<'_>,
) -> Vec<Published> {
    let time = given.now;
    if items.is_empty() {
        // XEP-0060 §4.3: a transient node without payloads tells that something happened, and no more.
        let publisher = publisher.clone();
        let seq = draft.log(EventKind::Published { item: None, publisher, payload: None, replaces: None });
        return vec![Published { id: None, seq, replaced: false, time }];
    }
    let mut published = Vec::with_capacity(items.len());
    for (item, current) in items.iter().zip(current) {
        let id = item.id.clone().unwrap_or_else(|| fresh(given));
        let replaces: Option<Seq> = current.map(|fact| fact.seq);
        let seq = draft.log(EventKind::Published {
            item: Some(id.clone()),
            publisher: publisher.clone(),
            payload: item.payload.clone(),
            replaces,
        });
        if draft.node.config.persist_items {
            let fact = ItemFact { id: id.clone(), seq, publisher: publisher.clone(), published: time };
            draft.put_item(fact, replaces);
        }
        published.push(Published { id: Some(id), seq, replaced: replaces.is_some(), time });
    }
    published
}

/// XEP-0060 §7.1.2.5: the oldest make room. What the batch overwrote is among the newest now.
fn evict(draft: &mut Draft, current: &[Option<&ItemFact>], facts: &Facts) {
    let surplus = draft.node.items.saturating_sub(draft.node.config.max_items);
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    let overwritten: HashSet<Seq> = current.iter().flatten().map(|fact| fact.seq).collect();
    let config = &draft.node.config;
    let notify = config.notify_retract && config.node_full != NodeFull::DiscardOldest;
    for fact in facts.oldest.iter().filter(|fact| !overwritten.contains(&fact.seq)).take(surplus) {
        draft.remove_item(fact, notify);
    }
}

fn fresh(given: &mut Given<'_>) -> ItemId {
    ItemId::parse(&(given.fresh_id)()).expect("a fresh identifier is an item id")
}

/// How many items beyond its own number one publish may push out of a node that holds too many.
const EVICTIONS_EXTRA_MAX: u64 = 64;
