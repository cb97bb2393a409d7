//! A service with several nodes, in which those that the service keeps come and go with the others. Facts are
//! gathered as the engine does, and with every step it is checked that what is kept tells the truth.

mod properties;
mod public;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::name::{attachments, subscribers, summary};
use super::{About, Kept, Question, Tally, Target, Told, governed, questions};
use crate::jid::BareJid;
use crate::pubsub::golden::render;
use crate::pubsub::world::{WORDS, World, bare, item, jid, raw, request};
use crate::pubsub::{
    Affiliation, Change, Decision, Edge, Event, EventKind, Facts, Given, ItemFact, ItemId, NewItem, Node, NodeId,
    NodeKey, NodeState, Page, Payload, Precondition, Public, RawField, Refusal, Request, Role, Selection, Seq,
    ServicePolicy, SubId, Subscription, SubscriptionState, Verb, View, decide, needs,
};
use crate::time::Timestamp;

#[derive(Clone, Debug, Default)]
struct Place {
    node: Option<Arc<Node>>,
    affiliations: BTreeMap<BareJid, Affiliation>,
    subscriptions: Vec<Subscription>,
    items: BTreeMap<Seq, (ItemFact, Option<Payload>)>,
}

struct Town {
    policy: Arc<ServicePolicy>,
    places: BTreeMap<NodeId, Place>,
    now: i64,
    key: i64,
}

impl Place {
    fn item(&self, id: &ItemId) -> Option<&(ItemFact, Option<Payload>)> {
        self.items.values().find(|(fact, _)| fact.id == *id)
    }

    fn facts(&self) -> Vec<ItemFact> {
        self.items.values().map(|(fact, _)| fact.clone()).collect()
    }

    fn affiliation(&self, jid: &BareJid) -> Affiliation {
        self.affiliations.get(jid).copied().unwrap_or_default()
    }

    fn subscriptions_of(&self, jid: &BareJid) -> Vec<Subscription> {
        self.subscriptions.iter().filter(|subscription| subscription.jid.bare() == jid).cloned().collect()
    }

    fn apply(&mut self, before: Option<&Node>, node: &Node, changes: &[Change], events: &[Event]) {
        let (version, mut seq) = before.map_or((0, Seq(0)), |before| (before.version, before.last_seq));
        assert_eq!(before, self.node.as_deref(), "decided upon what is");
        assert_eq!(node.version, version + 1);
        for event in events {
            seq = seq.next();
            assert_eq!(event.seq, seq, "a log is gapless");
        }
        assert_eq!(node.last_seq, seq);
        self.node = Some(Arc::new(node.clone()));
        for change in changes {
            match change {
                Change::CreateNode => assert!(before.is_none()),
                Change::DeleteNode { .. } => *self = Place::default(),
                Change::Purge => self.items.clear(),
                Change::PutItem { fact, replaces } => {
                    replaces.map(|seq| self.items.remove(&seq).expect("what is replaced stands"));
                    let bears = |event: &&Event| event.seq == fact.seq;
                    let EventKind::Published { payload, .. } = &events.iter().find(bears).unwrap().kind else {
                        panic!()
                    };
                    self.items.insert(fact.seq, (fact.clone(), payload.clone()));
                }
                Change::RemoveItem { fact } => drop(self.items.remove(&fact.seq).expect("what goes was there")),
                Change::SetAffiliation { jid, affiliation } => {
                    self.affiliations.insert(jid.clone(), *affiliation);
                }
                Change::SetSubscription { subscription } => {
                    self.subscriptions.retain(|other| other.subid != subscription.subid);
                    if subscription.state != SubscriptionState::None {
                        self.subscriptions.push(subscription.clone());
                    }
                }
                Change::Associate { .. } | Change::Dissociate { .. } => panic!("no collections here"),
            }
        }
    }
}

impl Town {
    /// With a node `n` of hamlet's, where anyone publishes, and juliet is a member, tybalt an outcast.
    fn new() -> Self {
        let policy = Arc::new(ServicePolicy { auto_create: true, ..World::new().policy });
        let mut town = Town { policy, places: BTreeMap::new(), now: 1_000_000, key: 1 };
        town.ask(&asked("hamlet create n publish_model=open max_items=3")).unwrap();
        town.ask(&asked("hamlet set n juliet=member tybalt=outcast")).unwrap();
        town
    }

    fn place(&self, node: &NodeId) -> Option<&Place> {
        self.places.get(node).filter(|place| place.node.is_some())
    }

    fn state(&self, node: &NodeId) -> NodeState {
        match self.place(node).and_then(|place| place.node.clone()) {
            Some(node) => NodeState::Present(node),
            None => NodeState::Absent,
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Decision, Refusal> {
        self.now += 1;
        self.key += 2;
        let facts = self.facts(request);
        let key = self.key;
        let mut fresh_id = || format!("fresh{key}");
        let mut given = Given {
            now: Timestamp(self.now),
            node_key: NodeKey(key),
            kept_key: NodeKey(key + 1),
            words: &WORDS,
            fresh_id: &mut fresh_id,
        };
        let decision = decide(request.clone(), &facts, &mut given)?;
        if let Some(node) = &decision.node {
            let before = facts.node.present().map(|node| self.place(&node.address.node).unwrap().node.clone().unwrap());
            let place = self.places.entry(node.address.node.clone()).or_default();
            place.apply(before.as_deref(), node, &decision.changes, &decision.events);
        }
        for share in &decision.shares {
            let place = self.places.entry(share.node.address.node.clone()).or_default();
            place.apply(share.before.as_deref(), &share.node, &share.changes, &share.events);
        }
        self.check();
        Ok(decision)
    }

    fn facts(&self, request: &Request) -> Facts {
        let name = request.verb.node().expect("a node is asked").clone();
        let state = self.state(&name);
        let kept =
            Kept::of(&self.policy.service, &name).filter(|_| state.present().is_none_or(|node| node.owners == 0));
        let target = kept.as_ref().and_then(Kept::target).and_then(|target| self.place(target));
        let node = match (state, target) {
            (NodeState::Present(node), Some(target)) => {
                NodeState::Present(governed(&node, target.node.as_ref().unwrap()))
            }
            (state, _) => state,
        };
        let wanted = needs(request, node.present().map(|node| &**node));
        let caller = request.caller.jid.bare();
        let nothing = Place::default();
        let own = self.place(&name).unwrap_or(&nothing);
        let ruling = target.unwrap_or(own);
        let mut facts = Facts {
            node,
            kept,
            affiliation: ruling.affiliation(caller),
            subscriptions: own.subscriptions_of(caller),
            affiliations: wanted.affiliations.iter().map(|jid| ruling.affiliation(jid)).collect(),
            contacts_of: vec![Vec::new(); wanted.affiliations.len()],
            subscribers: wanted.subscribers.iter().map(|jid| own.subscriptions_of(jid)).collect(),
            items: wanted.items.iter().map(|id| own.item(id).map(|(fact, _)| fact.clone())).collect(),
            waiting: own
                .subscriptions
                .iter()
                .filter(|of| of.state == SubscriptionState::Pending)
                .take(wanted.waiting)
                .cloned()
                .collect(),
            oldest: own.facts().into_iter().take(usize::try_from(wanted.oldest).unwrap()).collect(),
            target: target.map(|target| Target {
                node: target.node.clone().unwrap(),
                subscriptions: target.subscriptions_of(caller),
            }),
            ..Facts::new(self.policy.clone())
        };
        loop {
            let mut asked = questions(request, &facts);
            asked.retain(|question| !facts.beside.knows(question));
            if asked.is_empty() {
                return facts;
            }
            for question in asked {
                let told = self.told(&question);
                facts.beside.learn(question, told);
            }
        }
    }

    fn told(&self, Question { node, about }: &Question) -> Told {
        let place = self.place(node);
        match about {
            About::Node => Told::Node(self.state(node)),
            About::Item(id) => Told::Item(place.and_then(|place| Some(place.item(id)?.0.clone()))),
            About::Payload(id) => Told::Payload(place.and_then(|place| place.item(id)?.1.clone())),
            About::Items(max) => {
                let all = place.map_or_else(Vec::new, Place::facts);
                Told::Items(all.into_iter().take(usize::try_from(*max).unwrap()).collect())
            }
        }
    }

    /// What is kept tells the truth, and nothing is kept of what is not there.
    fn check(&self) {
        for (name, place) in &self.places {
            let public = place.subscriptions.iter().any(|of| of.counts() && of.options.public);
            assert!(!public || self.place(&subscribers(name).unwrap()).is_some(), "who is public is told");
        }
        let mut summed: BTreeMap<NodeId, BTreeSet<ItemId>> = BTreeMap::new();
        for (name, place) in &self.places {
            let Some(node) = &place.node else { continue };
            assert_eq!(node.items, place.items.len() as u64);
            let Some(kept) = Kept::of(&self.policy.service, name) else { continue };
            assert_eq!((node.owners, place.affiliations.len()), (0, 0), "{name} is nobody's");
            let target =
                kept.target().and_then(|target| self.place(target)).expect("what is kept, is kept of something");
            match kept {
                Kept::Attachments { target: of, item } => {
                    assert!(target.item(&item).is_some(), "{item} has gone, and what was attached to it has not");
                    let mut tally = Tally::default();
                    for (fact, payload) in place.items.values() {
                        assert_eq!(fact.id.as_str(), fact.publisher.as_str());
                        tally.add(&(WORDS.attached)(payload.as_ref().unwrap()).unwrap());
                    }
                    let sums = self.place(&summary(&of).unwrap()).expect("what is attached is summed up");
                    let sum = sums.item(&item).expect("each item has its sum");
                    assert_eq!((WORDS.tally)(sum.1.as_ref().unwrap()), tally, "the sum for {item} is true");
                    summed.entry(of).or_default().insert(item);
                }
                Kept::Summary { target: of } => {
                    let ids: BTreeSet<ItemId> = place.facts().into_iter().map(|fact| fact.id).collect();
                    assert!(ids.len() as u64 <= self.policy.attached_items_max);
                    for id in &ids {
                        let attached = attachments(&self.policy.service, &of, id).unwrap();
                        assert!(self.place(&attached).is_some(), "a sum of what is not there: {id}");
                    }
                }
                Kept::Subscribers { .. } => {
                    let public = target.subscriptions.iter().filter(|of| of.counts() && of.options.public);
                    let public: BTreeSet<String> = public.map(|of| of.jid.bare().to_string()).collect();
                    let told: BTreeSet<String> = place.facts().iter().map(|fact| fact.id.to_string()).collect();
                    assert_eq!((told.is_empty(), &told), (false, &public), "who is public, and he alone");
                }
                Kept::Astray => panic!("{name} is there"),
            }
        }
    }
}

/// `n` is a node, `att:x` where is attached to its item x, `sum` where that is summed up.
fn named(word: &str) -> NodeId {
    let (service, n) = (World::new().policy.service, NodeId::parse("n").unwrap());
    match word.split_once(':') {
        Some(("att", id)) => attachments(&service, &n, &item(id)).unwrap(),
        None if word == "sum" => summary(&n).unwrap(),
        None if word == "pub" => subscribers(&n).unwrap(),
        _ => NodeId::parse(word).unwrap(),
    }
}

fn attached(id: &str, words: &str) -> NewItem {
    let payload = Payload { namespace: Arc::from("attachments"), ..crate::pubsub::world::payload(0, "") };
    let payload = Payload { xml: words.as_bytes().into(), ..payload };
    NewItem { id: Some(item(id)), payload: Some(payload), precondition: Precondition::None }
}

/// `romeo attach x noticed,heart`, `hamlet publish n x`, `hamlet purge att:x` ...
fn asked(line: &str) -> Request {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (caller, verb, first) = (words[0], words[1], words[2]);
    let node = named(first);
    let fields = || -> Vec<RawField> {
        words[3..]
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| raw(name, named(value).as_str()))
            .collect()
    };
    let page = Page { max: 10, edge: Edge::First };
    let verb = match verb {
        "attach" => {
            let id = words.get(4).map_or_else(|| bare(caller).to_string(), |id| (*id).to_owned());
            let items = vec![attached(&id, words.get(3).copied().unwrap_or_default())];
            Verb::Publish { node: named(&format!("att:{first}")), items, options: None, create: false }
        }
        "publish" => {
            let new = |id: &&str| NewItem { id: Some(item(id)), ..attached("_", "") };
            let (options, items) = (fields(), words[3..].iter().filter(|word| !word.contains('=')).map(new).collect());
            Verb::Publish { node, items, options: (!options.is_empty()).then_some(options), create: false }
        }
        "retract" => Verb::Retract {
            node,
            items: words[3..].iter().map(|id| item(id)).collect(),
            notify: None,
            precondition: Precondition::None,
        },
        "create" => Verb::Create { node: Some(node), config: fields() },
        "configure" => Verb::Configure { node, config: fields() },
        "configuration" => Verb::Configuration { node },
        "delete" => Verb::Delete { node, redirect: None },
        "purge" => Verb::Purge { node },
        "expire" => Verb::Expire { node },
        "watch" => Verb::Watch { node },
        "items" => Verb::Items { node, selection: Selection::All, page, view: View::default() },
        "metadata" => Verb::Metadata { node },
        "subscribe" => {
            let public = if words.contains(&"public") { Public::Yes } else { Public::No };
            Verb::Subscribe {
                node,
                jid: jid(words.get(3).filter(|word| **word != "public").unwrap_or(&caller)),
                options: None,
                public,
            }
        }
        "unsubscribe" => Verb::Unsubscribe { node, jid: jid(words.get(3).unwrap_or(&caller)), subid: None },
        "lapse" => Verb::Lapse { node, jid: jid(words[3]), subid: SubId(words[4].into()) },
        "approve" => Verb::Approve { node, jid: jid(words[3]), subid: None, allow: true },
        "set" => {
            let change = |(who, what): (&str, &str)| (bare(who), Affiliation::parse(what).unwrap());
            let changes = words[3..].iter().filter_map(|word| word.split_once('=')).map(change).collect();
            Verb::SetAffiliations { node, changes }
        }
        "let" => {
            let changes = vec![(jid(words[3]), None, SubscriptionState::Subscribed)];
            Verb::SetSubscriptions { node, changes }
        }
        other => panic!("no such verb: {other}"),
    };
    let role = if caller == "root" { Role::Admin } else { Role::Account };
    request(&format!("{caller}/pc"), role, verb)
}

/// What came of a request, at each node: those that are kept by the words that name them.
fn shown(outcome: &Result<Decision, Refusal>) -> String {
    let mut text = render(outcome);
    for share in outcome.iter().flat_map(|decision| &decision.shares) {
        let of = match Kept::of(&share.node.address.service, &share.node.address.node).unwrap() {
            Kept::Attachments { item, .. } => format!("att:{item}"),
            Kept::Summary { .. } => "sum".to_owned(),
            Kept::Subscribers { .. } => "pub".to_owned(),
            Kept::Astray => "astray".to_owned(),
        };
        let what = Decision {
            reply: crate::pubsub::Reply::Done,
            node: None,
            changes: share.changes.clone(),
            events: share.events.clone(),
            shares: Vec::new(),
        };
        text += &format!(" | {of}: {}", render(&Ok(what)).trim_start_matches("done; "));
        for event in &share.events {
            if let EventKind::Published { payload: Some(payload), .. } = &event.kind {
                text += &format!(" ({})", std::str::from_utf8(&payload.xml).unwrap());
            }
        }
    }
    text
}

/// Rule; what went before, apart by semicolons, all of which succeeds; what is asked; what comes of it.
struct Row(&'static str, &'static str, &'static str, &'static str);

fn check(table: &[Row]) {
    let mut wrong = String::new();
    for Row(rule, before, request, expected) in table {
        let mut town = Town::new();
        for line in before.split(';').map(str::trim).filter(|line| !line.is_empty()) {
            town.ask(&asked(line)).unwrap_or_else(|refusal| panic!("{rule}: {line}: {refusal:?}"));
        }
        let got = shown(&town.ask(&asked(request)));
        if got != *expected {
            wrong += &format!(
                "\n{rule}\n  before   {before}\n  asked    {request}\n  expected {expected}\n  got      {got}\n"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn attaching() {
    check(&[
        Row(
            "the first makes both nodes",
            "hamlet publish n x",
            "romeo attach x noticed,heart",
            "published anew romeo@d#1; create; put romeo@d#1; #1 romeo@d by romeo@d | sum: create; put x#1; #1 x by pubsub.d (1 noticed,1 heart)",
        ),
        Row(
            "the next is counted on",
            "hamlet publish n x; romeo attach x noticed,heart",
            "juliet attach x heart",
            "published juliet@d#2; put juliet@d#2; #2 juliet@d by juliet@d | sum: put x#2 over #1; #2 x by pubsub.d over #1 (1 noticed,2 heart)",
        ),
        Row(
            "what one attached before is taken away",
            "hamlet publish n x; romeo attach x noticed,heart; juliet attach x heart",
            "romeo attach x star",
            "published romeo@d#3*; put romeo@d#3 over #1; #3 romeo@d by romeo@d over #1 | sum: put x#3 over #2; #3 x by pubsub.d over #2 (0 noticed,1 heart,1 star)",
        ),
        Row(
            "what changes no sum says nothing",
            "hamlet publish n x; romeo attach x heart",
            "romeo attach x heart",
            "published romeo@d#2*; put romeo@d#2 over #1; #2 romeo@d by romeo@d over #1",
        ),
        Row(
            "each item has its sum",
            "hamlet publish n x; hamlet publish n y; romeo attach x heart",
            "romeo attach y noticed",
            "published anew romeo@d#1; create; put romeo@d#1; #1 romeo@d by romeo@d | sum: put y#2; #2 y by pubsub.d (1 noticed)",
        ),
        Row(
            "so many items, and no more",
            "hamlet publish n x y z; romeo attach x; romeo attach y; romeo attach z; hamlet configure n max_items=4; hamlet publish n w",
            "romeo attach w",
            "NodeFull",
        ),
        Row("there must be an item", "hamlet publish n x", "romeo attach y noticed", "ItemAbsent"),
        Row(
            "what names no item is no place to attach to",
            "hamlet publish n x; romeo attach x",
            "romeo publish urn:xmpp:pubsub-attachments:1/x romeo@d",
            "NodeAbsent",
        ),
        Row(
            "the item bears the name of who attaches",
            "hamlet publish n x",
            "romeo attach x noticed juliet@d",
            "InvalidAttachments { why: \"the name of the item is not the publisher's bare JID\" }",
        ),
        Row(
            "not even an owner attaches for others",
            "hamlet publish n x",
            "hamlet attach x noticed juliet@d",
            "InvalidAttachments { why: \"the name of the item is not the publisher's bare JID\" }",
        ),
        Row("an outcast attaches nothing", "hamlet publish n x", "tybalt attach x noticed", "Outcast"),
        Row(
            "who may not publish may not attach",
            "hamlet publish n x; hamlet configure n publish_model=publishers",
            "romeo attach x noticed",
            "Forbidden",
        ),
        Row(
            "nor later",
            "hamlet publish n x; romeo attach x; hamlet configure n publish_model=publishers",
            "romeo attach x noticed",
            "Forbidden",
        ),
        Row(
            "subscribers of the node attach",
            "hamlet publish n x; hamlet configure n publish_model=subscribers; romeo subscribe n",
            "romeo attach x noticed",
            "published anew romeo@d#1; create; put romeo@d#1; #1 romeo@d by romeo@d | sum: create; put x#1; #1 x by pubsub.d (1 noticed)",
        ),
        Row(
            "options are not looked at",
            "hamlet publish n x",
            "romeo publish att:x romeo@d access_model=whitelist",
            "published anew romeo@d#1; create; put romeo@d#1; #1 romeo@d by romeo@d | sum: create; put x#1; #1 x by pubsub.d (0 noticed)",
        ),
    ]);
}

#[test]
fn detaching() {
    check(&[
        Row(
            "what goes is taken away",
            "hamlet publish n x; romeo attach x noticed,heart; juliet attach x heart",
            "romeo retract att:x romeo@d",
            "retracted; drop romeo@d#1; #3 romeo@d retracted | sum: put x#3 over #2; #3 x by pubsub.d over #2 (0 noticed,1 heart)",
        ),
        Row(
            "the last leaves an empty sum",
            "hamlet publish n x; romeo attach x noticed",
            "romeo retract att:x romeo@d",
            "retracted; drop romeo@d#1; #2 romeo@d retracted | sum: put x#2 over #1; #2 x by pubsub.d over #1 (0 noticed)",
        ),
        Row(
            "another's is not one's own",
            "hamlet publish n x; romeo attach x noticed",
            "juliet retract att:x romeo@d",
            "Forbidden",
        ),
        Row(
            "an owner takes away what is attached",
            "hamlet publish n x; romeo attach x noticed",
            "hamlet retract att:x romeo@d",
            "retracted; drop romeo@d#1; #2 romeo@d retracted | sum: put x#2 over #1; #2 x by pubsub.d over #1 (0 noticed)",
        ),
        Row(
            "all of it",
            "hamlet publish n x; romeo attach x noticed",
            "hamlet purge att:x",
            "done; empty; #2 purged | sum: put x#2 over #1; #2 x by pubsub.d over #1 (0 noticed)",
        ),
        Row(
            "with the node",
            "hamlet publish n x; romeo attach x noticed",
            "hamlet delete att:x",
            "done; erase; #2 deleted | sum: drop x#1; #2 x retracted",
        ),
        Row("nobody else", "hamlet publish n x; romeo attach x noticed", "romeo delete att:x", "Forbidden"),
    ]);
}

#[test]
fn forsaking() {
    check(&[
        Row(
            "an item that goes takes it along",
            "hamlet publish n x y; romeo attach x; romeo attach y",
            "hamlet retract n x",
            "retracted; drop x#1; #3 x retracted | att:x: erase; #2 deleted | sum: drop x#1; #3 x retracted",
        ),
        Row(
            "one that is overwritten does not",
            "hamlet publish n x; romeo attach x",
            "hamlet publish n x",
            "published x#2*; put x#2 over #1; #2 x by hamlet@d over #1",
        ),
        Row(
            "the oldest, that makes room",
            "hamlet publish n x y z; romeo attach x; romeo attach y",
            "hamlet publish n w",
            "published w#4; put w#4; drop x#1; #4 w by hamlet@d; #5 x retracted | att:x: erase; #2 deleted | sum: drop x#1; #3 x retracted",
        ),
        Row(
            "what a lower limit lets go",
            "hamlet publish n x y z; romeo attach x; romeo attach z",
            "hamlet configure n max_items=2 persist_items=1",
            "done; drop x#1; #4 configured; #5 x retracted | att:x: erase; #2 deleted | sum: drop x#1; #3 x retracted",
        ),
        Row(
            "all, where nothing is kept any more",
            "hamlet publish n x y; romeo attach x",
            "hamlet configure n persist_items=0",
            "done; empty; #3 configured; #4 purged | att:x: erase; #2 deleted | sum: empty; #2 purged",
        ),
        Row(
            "a purge",
            "hamlet publish n x y; romeo attach x; romeo attach y",
            "hamlet purge n",
            "done; empty; #3 purged | att:x: erase; #2 deleted | att:y: erase; #2 deleted | sum: empty; #3 purged",
        ),
        Row(
            "the end of the node",
            "hamlet publish n x y; romeo attach x",
            "hamlet delete n",
            "done; erase; #3 deleted | att:x: erase; #2 deleted | sum: erase; #2 deleted",
        ),
        Row(
            "of a node without any, nothing is said",
            "hamlet publish n x y",
            "hamlet purge n",
            "done; empty; #3 purged",
        ),
    ]);
}

#[test]
fn by_hand() {
    let before = "hamlet publish n x; romeo attach x noticed";
    for (asked_of, why) in [
        ("hamlet create att:y", "not made (XEP-0470 §4.4)"),
        ("hamlet create sum", "not made"),
        ("root create urn:xmpp:pubsub-attachments:1/whatever", "no name like these is"),
        ("hamlet create urn:xmpp:pubsub-attachments:summary:1/other", "nor of what is not there"),
        ("hamlet create c node_type=collection children=att:x", "in no collection"),
        ("hamlet publish sum x", "not written to (XEP-0470 §4.6)"),
        ("root publish sum x", "by nobody"),
        ("hamlet retract sum x", "nor taken from"),
        ("hamlet purge sum", "nor emptied"),
        ("hamlet delete sum", "nor deleted"),
        ("hamlet configure sum title=t", "nor set"),
        ("hamlet configure att:x access_model=open", "which goes for both"),
        ("hamlet set att:x romeo=owner", "nobody is anything to it"),
        ("hamlet let att:x romeo", "nor let in"),
    ] {
        let mut town = Town::new();
        before.split(';').for_each(|line| drop(town.ask(&asked(line)).unwrap()));
        assert_eq!(town.ask(&asked(asked_of)), Err(Refusal::KeptByService), "{asked_of}: {why}");
    }
}

#[test]
fn who_reads_is_who_reads_the_node() {
    check(&[
        Row("anyone, of an open node", "hamlet publish n x; romeo attach x", "romeo items sum", "read items All"),
        Row("no outcast", "hamlet publish n x; romeo attach x", "tybalt items sum", "Outcast"),
        Row(
            "an outcast from now on",
            "hamlet publish n x; romeo attach x; hamlet set n romeo=outcast",
            "romeo watch att:x",
            "Outcast",
        ),
        Row(
            "the whitelist is one",
            "hamlet publish n x; romeo attach x; hamlet configure n access_model=whitelist",
            "romeo watch sum",
            "NotOnWhitelist",
        ),
        Row(
            "its members read",
            "hamlet publish n x; romeo attach x; hamlet configure n access_model=whitelist",
            "juliet watch sum",
            "watching urn:xmpp:pubsub-attachments:summary:1/n at #1",
        ),
        Row(
            "who waits for approval waits at the node",
            "hamlet publish n x; romeo attach x; hamlet configure n access_model=authorize",
            "romeo subscribe sum",
            "SubscriptionRequired",
        ),
        Row(
            "who is approved there subscribes",
            "hamlet publish n x; romeo attach x; hamlet configure n access_model=authorize; romeo subscribe n; hamlet approve n romeo",
            "romeo subscribe sum",
            "romeo@d fresh17 subscribed, last item due; romeo@d fresh17 subscribed",
        ),
        Row(
            "what is hidden is hidden with all",
            "hamlet publish n x; romeo attach x; hamlet configure n hidden=1",
            "romeo attach x noticed",
            "NodeAbsent",
        ),
        Row(
            "the owner sees how it is set",
            "hamlet publish n x; romeo attach x",
            "hamlet configuration att:x",
            "configuration",
        ),
        Row("and nobody else does", "hamlet publish n x; romeo attach x", "romeo configuration att:x", "Forbidden"),
    ]);
}

/// What forms and discovery show is what holds.
#[test]
fn the_configuration_follows_that_of_the_node() {
    let mut town = Town::new();
    for line in [
        "hamlet publish n x",
        "romeo attach x",
        "hamlet configure n access_model=roster roster_groups_allowed=Friends publish_model=subscribers",
    ] {
        town.ask(&asked(line)).unwrap();
    }
    for node in ["att:x", "sum"] {
        let facts = town.facts(&asked(&format!("hamlet configuration {node}")));
        let (own, of) =
            (&facts.node.present().unwrap().config, &town.places[&named("n")].node.as_ref().unwrap().config);
        assert_eq!(own.access_model, of.access_model);
        assert_eq!(own.roster_groups_allowed, of.roster_groups_allowed);
        assert_eq!(own.publish_model, of.publish_model);
    }
}

/// A node that somebody made while the service kept none is his.
#[test]
fn a_node_that_was_made_by_hand_is_a_node() {
    let mut town = Town::new();
    town.ask(&asked("hamlet publish n x")).unwrap();
    let mut made = (**town.places[&named("n")].node.as_ref().unwrap()).clone();
    made.address.node = named("att:x");
    (made.key, made.items, made.last_seq) = (NodeKey(-1), 0, Seq(0));
    let place = Place { node: Some(Arc::new(made)), ..town.places[&named("n")].clone() };
    town.places.insert(named("att:x"), Place { items: BTreeMap::new(), ..place });
    let facts = town.facts(&asked("hamlet configure att:x title=t"));
    assert_eq!((facts.kept, facts.target.is_none()), (None, true));
    // It outlives the item, as nodes do.
    let request = asked("hamlet retract n x");
    let facts = town.facts(&request);
    assert!(questions(&request, &facts).iter().all(|question| question.node != named("att:x")));
}
