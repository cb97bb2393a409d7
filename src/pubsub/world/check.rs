//! What must always hold, whatever was asked: of a refusal, of a decision, and of what the world is after it.

use std::collections::BTreeSet;

use super::{Place, World, bare};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    AccessModel, Affiliation, Change, Decision, Event, EventKind, Expire, Field, Glob, ItemFact, ItemId, ItemReply,
    Node, NodeFull, NodeId, NodeKey, NodeState, Public, Refusal, Reply, Request, Role, Seq, Subscription,
    SubscriptionOptions, SubscriptionState, Verb, doubts, named, rights,
};

/// Who is looked at after each step, and what he is to the service.
pub(in crate::pubsub) const CAST: [(&str, Role); 5] = [
    ("hamlet", Role::Account),
    ("juliet", Role::Account),
    ("romeo", Role::Account),
    ("visitor", Role::Stranger),
    ("root", Role::Admin),
];

impl World {
    /// Whoever may not know of a node is told that there is none; whoever may not read it retrieves nothing.
    pub(super) fn check_outcome(&self, request: &Request, outcome: &Result<Decision, Refusal>) {
        let place = self.at(request.verb.node());
        let (who, role) = (request.caller.jid.bare(), request.caller.role);
        if let Err(Refusal::NodeGone { redirect }) = outcome {
            let NodeState::Deleted(grave) = &place.node else { panic!("gone, and never was") };
            assert!(*redirect == grave.redirect && !grave.hidden, "a grave says where to look, or is hidden");
        }
        let Some(node) = place.node.present() else { return };
        let reads = self.reads(place, &node.config, who, role);
        if !self.knows(place, &node.config, who, role) {
            let absent = matches!(outcome, Err(Refusal::NodeAbsent | Refusal::MayNotCreate));
            assert!(absent, "{who} learns of a hidden node: {outcome:?}");
        } else if let Verb::Watch { .. } = &request.verb {
            assert_eq!(outcome.is_ok(), reads, "{who} follows what he may read");
        } else if let Verb::Items { .. } = &request.verb {
            assert!(reads || outcome.is_err(), "{who} retrieves what he may not read");
        }
    }

    /// Each node of a decision is one version and a gapless run of events further on, or nothing happened; and what
    /// is changed is what was asked for.
    pub(super) fn check_decision(&self, request: &Request, decision: &Decision) {
        let Some(after) = &decision.node else {
            assert!(decision.changes.is_empty() && decision.events.is_empty(), "changes without a node");
            assert!(decision.shares.is_empty(), "shares without a node");
            return;
        };
        let name = &after.address.node;
        assert!(request.verb.node().is_none_or(|asked| asked == name), "another node than was asked for");
        let place = self.at(Some(name));
        self.check_commit(place.node.present().map(|node| &**node), after, &decision.changes, &decision.events);
        check_items(place, decision);
        check_removals(place, self, request, decision);
        check_relations(place, self, request, decision);
        self.check_creation(request, decision);
        let mut others = BTreeSet::from([name]);
        for share in &decision.shares {
            assert!(others.insert(&share.node.address.node), "a node has one share");
            let standing = self.places[&share.node.address.node].node.present();
            assert_eq!(share.before.as_ref(), standing, "a share stands on what is");
            self.check_commit(share.before.as_deref(), &share.node, &share.changes, &share.events);
            let graph = |change: &Change| matches!(change, Change::Associate { .. } | Change::Dissociate { .. });
            assert!(share.changes.iter().all(graph), "a share is of the graph");
        }
    }

    fn check_commit(&self, before: Option<&Node>, after: &Node, changes: &[Change], events: &[Event]) {
        let created = changes.first() == Some(&Change::CreateNode);
        assert_eq!(created, before.is_none(), "a node is created where there is none");
        let (version, last_seq, floor_seq, key) = match before {
            Some(node) => (node.version, node.last_seq, node.floor_seq, node.key),
            None => (0, Seq(0), Seq(1), NodeKey(self.key)),
        };
        assert_eq!((after.version, after.key, after.floor_seq), (version + 1, key, floor_seq));
        let mut seq = last_seq;
        for event in events {
            seq = seq.next();
            assert_eq!((event.seq, event.time), (seq, self.now), "the log is gapless");
        }
        assert_eq!(after.last_seq, seq, "the log ends where it says");
    }

    /// Who makes a node may make it, and owns it; it is what its template says.
    fn check_creation(&self, request: &Request, decision: &Decision) {
        let after = decision.node.as_ref().expect("asked for where there is one");
        if let Some(named) = named(request) {
            let (who, role) = (request.caller.jid.bare(), request.caller.role);
            let held = &self.at(request.verb.node()).children;
            for name in &named {
                let place = self.at(Some(name));
                let node = place.node.present().expect("whatever is named is there");
                let knows = self.knows(place, &node.config, who, role) || held.contains(&node.key);
                assert!(knows, "{who} names {name}, which is hidden");
            }
        }
        if decision.changes.first() != Some(&Change::CreateNode) {
            return;
        }
        let caller = request.caller.jid.bare();
        assert!(self.may_make(request.verb.node(), caller, request.caller.role), "{caller} makes {}", after.address);
        let owner = Change::SetAffiliation { jid: caller.clone(), affiliation: Affiliation::Owner };
        assert_eq!(decision.changes.get(1), Some(&owner), "whoever makes a node owns it");
        let asked = match &request.verb {
            Verb::Create { config, .. } => config.as_slice(),
            Verb::Publish { options, .. } => options.as_deref().unwrap_or_default(),
            other => panic!("{other:?} makes a node"),
        };
        let matches = |glob: &Glob| glob.matches(after.address.node.as_str());
        let template = self.policy.templates.iter().find(|template| matches(&template.matching));
        for given in template.iter().flat_map(|template| &template.config) {
            let field = Field::named(given.bare_name()).unwrap();
            let asked = asked.iter().any(|asked| asked.bare_name() == field.name);
            assert!(asked || field.values(&after.config) == given.values, "{} of the template", field.name);
        }
    }

    /// The counters of each node are true, its limits hold, and its log tells the same story as its items and
    /// children; no collection is within itself.
    pub(super) fn check_state(&self) {
        for (place, node) in self.present() {
            self.check_place(place, node);
            check_log(place, node);
            let owners = self.owners_of(place);
            assert!(!owners.is_empty(), "an owner remains");
            assert_eq!(node.owners, owners.len() as u64);
            match (&node.config.shown_owner, node.config.item_reply) {
                (Some(owner), ItemReply::Owner) => assert!(owners.contains(owner), "an owner is shown"),
                (None, ItemReply::Publisher | ItemReply::None) => {}
                (shown, reply) => panic!("{shown:?} is shown under {reply:?}"),
            }
            assert!(!self.above(node.key).contains(&node.key), "{} is within itself", node.address);
            assert!(self.parents(node.key).len() <= self.policy.parents_max, "too many collections");
            let names = self.present();
            let name =
                |key: &NodeKey| names.iter().find(|(_, node)| node.key == *key).map(|(_, node)| &node.address.node);
            let children: BTreeSet<&NodeId> =
                place.children.iter().map(|key| name(key).expect("what is held is there")).collect();
            assert_eq!(children, children_told(&place.log), "a watcher of the log knows what is held");
        }
    }

    fn owners_of(&self, place: &Place) -> Vec<BareJid> {
        let owner = |(_, affiliation): &(&BareJid, &Affiliation)| **affiliation == Affiliation::Owner;
        place.affiliations.iter().filter(owner).map(|(jid, _)| jid.clone()).collect()
    }

    fn check_place(&self, place: &Place, node: &Node) {
        let counted = place.subscriptions.iter().filter(|subscription| subscription.counts()).count();
        assert_eq!(node.subscribers, counted as u64, "the counter of subscribers is true");
        let holds_items = node.config.persist_items && !node.config.is_collection();
        let items_max = if holds_items { node.config.max_items } else { 0 };
        assert_eq!(node.items, place.items.len() as u64);
        assert!(node.items <= items_max, "{} items where {items_max} may be", node.items);
        let children_max = if node.config.is_collection() { node.config.children_max } else { 0 };
        assert!(place.children.len() as u64 <= children_max, "more nodes than the collection may hold");
        let lease_max = self.now.plus_seconds(self.policy.subscriptions.lease_seconds_max);
        for subscription in &place.subscriptions {
            let several = self.policy.subscriptions.multi_subscribe;
            let same = |other: &&Subscription| {
                other.jid == subscription.jid && (!several || other.subid == subscription.subid)
            };
            assert_eq!(place.subscriptions.iter().filter(same).count(), 1, "one subscription a JID, or a SubID");
            assert!(place.subscriptions_of(subscription.jid.bare()).len() <= rights::SUBSCRIPTIONS_MAX);
            if let Expire::At(end) = subscription.options.expire {
                assert!(end <= lease_max, "a lease is no longer than the longest");
            }
        }
    }

    /// Nobody is subscribed who may not read; nobody keeps a subscription who is told to go.
    pub(super) fn check_readers(&self, request: &Request, decision: &Decision) {
        let Some(after) = &decision.node else { return };
        let place = self.at(Some(&after.address.node));
        let Some(node) = place.node.present() else { return };
        if node.config.access_model == AccessModel::Open {
            let waits = |found: &&Subscription| found.state == SubscriptionState::Pending;
            assert_eq!(place.subscriptions.iter().find(waits), None, "nobody waits at an open node");
        }
        let never = |jid| matches!(place.affiliation(jid), Affiliation::Outcast | Affiliation::PublishOnly);
        for change in &decision.changes {
            match change {
                Change::SetSubscription { subscription } if subscription.state == SubscriptionState::Subscribed => {
                    let entity = subscription.jid.bare();
                    let own = entity == request.caller.jid.bare();
                    let role = if own { request.caller.role } else { Role::Stranger };
                    // Options may be set by whoever cannot read by now, and will not be told anything.
                    let options = matches!(request.verb, Verb::SetOptions { .. });
                    assert!(options || self.reads(place, &node.config, entity, role), "{entity} may not read");
                }
                Change::SetAffiliation { jid, .. } => {
                    let reads = self.reads(place, &node.config, jid, Role::Stranger);
                    let waits = |found: &Subscription| found.state == SubscriptionState::Pending;
                    let left = place.subscriptions_of(jid);
                    assert!(reads || left.iter().all(waits), "{jid} is still subscribed");
                    assert!(!reads || !left.iter().any(waits), "{jid} waits for what it may do");
                    assert!(!never(jid) || left.is_empty(), "{jid} waits for what it never may");
                }
                Change::SetSubscription { subscription } if subscription.state != SubscriptionState::None => {
                    let entity = subscription.jid.bare();
                    let own = entity == request.caller.jid.bare() && request.caller.role == Role::Admin;
                    let options = matches!(request.verb, Verb::SetOptions { .. });
                    assert!(own || options || !never(entity), "{entity} is {:?}", subscription.state);
                }
                _ => {}
            }
        }
    }

    /// Those to whom the nodes may be shown are those who may read them; and those who could a moment ago are asked
    /// about again before they are shown anything more.
    pub(super) fn check_audience(&self, before: &World, decision: &Decision) {
        let committed = |node: &Node| decision.node.iter().any(|after| after.key == node.key);
        let shared = |node: &Node| decision.shares.iter().any(|share| share.node.key == node.key);
        for (place, node) in self.present().into_iter().filter(|(_, node)| committed(node) || shared(node)) {
            let name = &node.address.node;
            let was = before.at(Some(name));
            let was = was.node.present().filter(|was| was.key == node.key);
            for (who, role) in CAST.map(|(who, role)| (bare(who), role)) {
                let allowed = self.may_watch(name, &who, role);
                let may = self.knows(place, &node.config, &who, role) && self.reads(place, &node.config, &who, role);
                assert_eq!(allowed, may, "{who} in the audience of {name}");
                let Some(was) = was else { continue };
                let could = before.may_watch(name, &who, role);
                let committed = decision.node.iter().find(|after| after.key == node.key);
                let doubted = committed.is_some_and(|after| doubts(&was.config, &after.config, &decision.changes));
                assert!(!could || allowed || doubted, "{who} is still shown {name}");
                // Those who were kept out look again; whoever is let in by a subscription begins with it.
                let begins = place.subscriptions_of(&who).iter().any(|one| one.state == SubscriptionState::Subscribed);
                assert!(could || !allowed || doubted || begins, "{who} does not learn that he may read {name}");
            }
        }
    }
}

/// Items are put where they stood, on events that bear them, and the answer says so.
fn check_items(place: &Place, decision: &Decision) {
    for change in &decision.changes {
        match change {
            Change::PutItem { fact, replaces } => {
                let standing = place.items.values().find(|standing| standing.id == fact.id);
                assert_eq!(standing.map(|standing| standing.seq), *replaces);
                assert!(decision.events.iter().any(|event| bears(event, fact)), "{fact:?} stands on no event");
            }
            Change::RemoveItem { fact } => assert_eq!(place.items.get(&fact.seq), Some(fact)),
            _ => {}
        }
    }
    if let Reply::Published { items, .. } = &decision.reply {
        for told in items {
            let event = decision.events.iter().find(|event| event.seq == told.seq).expect("an event of that position");
            let EventKind::Published { item, replaces, .. } = &event.kind else { panic!("{event:?} is answered") };
            assert_eq!((item, replaces.is_some(), event.time), (&told.id, told.replaced, told.time));
        }
    }
}

/// Items go because somebody wants it, because their time has come, or because there is no room: the oldest then, and
/// no more than must.
fn check_removals(place: &Place, world: &World, request: &Request, decision: &Decision) {
    let gone: Vec<&ItemFact> = decision
        .changes
        .iter()
        .filter_map(|change| if let Change::RemoveItem { fact } = change { Some(fact) } else { None })
        .collect();
    let after = decision.node.as_ref().expect("asked for where there is one");
    let oldest = |but: &dyn Fn(&ItemFact) -> bool| -> Vec<ItemFact> {
        place.items.values().filter(|fact| !but(fact)).take(gone.len()).cloned().collect()
    };
    match &request.verb {
        Verb::Retract { items, .. } => {
            let gone: Vec<&ItemId> = gone.iter().map(|fact| &fact.id).collect();
            assert_eq!(gone, items.iter().collect::<Vec<_>>(), "what was asked for goes");
        }
        Verb::Expire { .. } => {
            let stays = after.config.item_expire.expect("items go that have a time") as i64 * 1_000_000;
            let due = |fact: &ItemFact| fact.published.0 + stays <= world.now.0;
            let all = place.items.values().filter(|fact| due(fact)).count();
            assert!(gone.iter().all(|fact| due(fact)), "what goes is due");
            assert_eq!(gone.len(), all, "what is due goes");
        }
        Verb::Publish { .. } | Verb::Configure { .. } => {
            let overwritten = |fact: &ItemFact| {
                let replaced =
                    |change: &Change| matches!(change, Change::PutItem { replaces, .. } if *replaces == Some(fact.seq));
                decision.changes.iter().any(replaced)
            };
            assert_eq!(gone.iter().map(|fact| (*fact).clone()).collect::<Vec<_>>(), oldest(&overwritten));
            assert!(gone.is_empty() || after.items == after.config.max_items, "no more go than must");
            let refuses = matches!(request.verb, Verb::Publish { .. }) && after.config.node_full == NodeFull::Reject;
            assert!(gone.is_empty() || !refuses, "an item goes where a new one is refused");
        }
        _ => assert!(gone.is_empty(), "{:?} removes items", request.verb),
    }
    let purges = decision.changes.contains(&Change::Purge);
    assert!(!purges || matches!(request.verb, Verb::Purge { .. } | Verb::Configure { .. }), "nobody asked for a purge");
}

/// Subscriptions and affiliations change because somebody asks for it who may, or because their time has come.
fn check_relations(place: &Place, world: &World, request: &Request, decision: &Decision) {
    let caller = request.caller.jid.bare();
    let governs = request.caller.role == Role::Admin || place.affiliation(caller) == Affiliation::Owner;
    let created = decision.changes.first() == Some(&Change::CreateNode);
    for change in &decision.changes {
        match (change, &request.verb) {
            (Change::SetSubscription { subscription }, Verb::Lapse { jid, subid, .. }) => {
                let lapsed = (&subscription.jid, &subscription.subid, subscription.state);
                assert_eq!(lapsed, (jid, subid, SubscriptionState::None), "what was asked about goes");
                let over = match subscription.options.expire {
                    Expire::At(end) => end.0 <= world.now.0,
                    Expire::Presence => true,
                    Expire::Never => false,
                };
                let temporary = place.node.present().is_some_and(|node| node.config.tempsub);
                assert!(over || temporary, "a subscription goes before its time");
            }
            (Change::SetSubscription { subscription }, verb) => {
                let asked = match verb {
                    Verb::Subscribe { jid, public: Public::No, .. } if *jid != subscription.jid => {
                        jid.bare() == subscription.jid.bare() && takes_back(place, subscription)
                    }
                    Verb::Subscribe { jid, .. } | Verb::Unsubscribe { jid, .. } | Verb::SetOptions { jid, .. } => {
                        *jid == subscription.jid
                    }
                    Verb::Approve { jid, .. } => governs && *jid == subscription.jid,
                    Verb::SetSubscriptions { changes, .. } => {
                        governs && changes.iter().any(|(jid, ..)| *jid == subscription.jid)
                    }
                    Verb::SetAffiliations { changes, .. } => {
                        governs && changes.iter().any(|(jid, _)| jid == subscription.jid.bare())
                    }
                    Verb::Configure { .. } => governs && subscription.state == SubscriptionState::Subscribed,
                    Verb::Delete { .. } => governs,
                    _ => false,
                };
                assert!(asked, "{verb:?} changes {subscription:?}");
                assert!(governs || subscription.jid.bare() == caller, "{caller} changes what is another's");
                check_admission(place, world, request, subscription);
            }
            (Change::SetAffiliation { jid, affiliation }, Verb::SetAffiliations { changes, .. }) => {
                assert!(governs && changes.contains(&(jid.clone(), *affiliation)), "what was asked for is set");
                // XEP-0060 §4.1, Table 2.
                let step = (place.affiliation(jid), *affiliation);
                let resigns = matches!(step, (Affiliation::Owner, Affiliation::None));
                assert!(step.0 != Affiliation::Owner || resigns, "an owner becomes {affiliation:?}");
                assert_ne!(step, (Affiliation::Publisher, Affiliation::Member), "a publisher becomes a member");
            }
            (Change::DeleteNode { redirect }, Verb::Delete { redirect: asked, .. }) => {
                assert_eq!(redirect, asked, "a grave says what it was told");
            }
            (Change::SetAffiliation { jid, .. }, _) => {
                assert!(created && jid == caller, "only a creator is made owner")
            }
            _ => {}
        }
    }
}

/// Whether a subscription is as before, but public no more (XEP-0465 §4.3).
fn takes_back(place: &Place, after: &Subscription) -> bool {
    place.subscriptions.iter().any(|before| {
        let options = SubscriptionOptions { public: false, ..(*before.options).clone() };
        before.options.public && Subscription { options: options.into(), ..before.clone() } == *after
    })
}

/// Nobody lets himself in where an owner wants to be asked.
fn check_admission(place: &Place, world: &World, request: &Request, subscription: &Subscription) {
    let Some(node) = place.node.present() else { return };
    let mut standing = place.subscriptions.iter().filter(|one| one.jid == subscription.jid);
    match &request.verb {
        Verb::Subscribe { .. } if subscription.state == SubscriptionState::Subscribed => {
            let entity = subscription.jid.bare();
            let own = entity == request.caller.jid.bare();
            let role = if own { request.caller.role } else { Role::Stranger };
            assert!(world.reads(place, &node.config, entity, role), "{entity} lets himself in");
        }
        Verb::SetOptions { .. } => {
            let same = standing.any(|one| one.subid == subscription.subid && one.state == subscription.state);
            assert!(same, "options make no other subscription");
        }
        _ => {}
    }
}

/// The log has no gap, and whoever has seen it all knows the items.
fn check_log(place: &Place, node: &Node) {
    let seqs: Vec<u64> = place.log.iter().map(|event| event.seq.0).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a gap in the log: {seqs:?}");
    assert!(place.log.last().is_none_or(|last| last.seq == node.last_seq), "the log ends where the node says");
    let told = items_told(place.kept_at_first, &place.log);
    let kept: Vec<ItemId> = place.items.values().map(|fact| fact.id.clone()).collect();
    assert_eq!(told, kept, "a watcher of the log knows the items");
}

/// The items that a watcher knows who has seen the whole log.
fn items_told(mut kept: bool, log: &[Event]) -> Vec<ItemId> {
    let mut known: Vec<ItemId> = Vec::new();
    for event in log {
        match &event.kind {
            EventKind::Published { item: Some(item), .. } if kept => {
                known.retain(|other| other != item);
                known.push(item.clone());
            }
            EventKind::Retracted { item, .. } => {
                assert!(known.contains(item), "retracted what was not there: {item}");
                known.retain(|other| other != item);
            }
            EventKind::Purged => known.clear(),
            EventKind::Configured { config } => kept = config.persist_items,
            EventKind::Published { .. }
            | EventKind::Associated { .. }
            | EventKind::Dissociated { .. }
            | EventKind::Deleted { .. } => {}
        }
    }
    known
}

/// The nodes of which such a watcher knows that the collection holds them.
fn children_told(log: &[Event]) -> BTreeSet<&NodeId> {
    let mut known = BTreeSet::new();
    for event in log {
        match &event.kind {
            EventKind::Associated { node, .. } => assert!(known.insert(node), "{node} comes twice"),
            EventKind::Dissociated { node, .. } => assert!(known.remove(node), "{node} goes, and was not there"),
            _ => {}
        }
    }
    known
}

fn bears(event: &Event, fact: &ItemFact) -> bool {
    let EventKind::Published { item, publisher, .. } = &event.kind else { return false };
    (event.seq, event.time, publisher) == (fact.seq, fact.published, &fact.publisher) && item.as_ref() == Some(&fact.id)
}

/// Whether a subscription is one that lasts as long as its subscriber is there.
pub(in crate::pubsub) fn ends_with_presence(node: &Node, subscription: &Subscription, who: &BareJid) -> bool {
    let temporary = node.config.tempsub || subscription.options.expire == Expire::Presence;
    temporary && Jid::bare(&subscription.jid) == who
}
