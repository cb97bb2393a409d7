//! Golden tables: what is given, who asks what, and what must come of it, one rule a row.
//!
//! **Given** words: `absent`, `deleted`, `moved` (deleted, with a redirect); `items:a,b/juliet` (who
//! published, hamlet unless named; seqs from 11 on, the log stands at 20); `subs:romeo,romeo/phone`;
//! `subs:romeo?` (waits for approval); `sees:romeo/Friends` (whom hamlet's roster has, and in which group);
//! `FIELD=VALUE` of the node's configuration; `policy:NAME=VALUE`; `two-owners`;
//! `option:FIELD=VALUE` of all subscriptions.
//! **Asked**: caller, verb, arguments. hamlet owns, horatio publishes, ophelia may publish only,
//! juliet is a member, romeo nothing, tybalt an outcast; `root` administers, `visitor` has no account.
//! An item is `id` or `_` (none given), with marks after colons: `bare` (no payload), `BYTESb`,
//! `ns=NAMESPACE`, `absent`, `present`, `at11` (preconditions).
//! **Expected**: the refusal, or reply; changes; events, as [`render`] writes them. What every decision
//! must hold beside (versions, seqs, counts, the log's story) the [`World`] checks with every row.

mod owner;
mod publisher;
mod subscriber;

use std::sync::Arc;

use super::world::{World, bare, item, jid, new_item, node_id, payload, raw, request, stand};
use crate::pubsub::{
    Affiliation, Change, Contact, Decision, Edge, Event, EventKind, Glob, ItemId, NewItem, NodeId, NodeKey, NodeState,
    Page, Precondition, Public, RawField, Read, Refusal, Reply, Request, Role, Selection, Seq, SubId, Subscription,
    SubscriptionOptions, SubscriptionState, Template, Tombstone, Under, Verb, View, WhoCreates,
};
use crate::time::Timestamp;

struct Row(&'static str, &'static str, &'static str, &'static str);

/// Runs every row, and fails with all that are not as expected.
fn check(table: &[Row]) {
    let mut wrong = String::new();
    for Row(rule, given, asked, expected) in table {
        let mut world = given_world(given);
        let got = render(&world.ask(asked_request(asked)));
        if got != *expected {
            wrong +=
                &format!("\n{rule}\n  given    {given}\n  asked    {asked}\n  expected {expected}\n  got      {got}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn given_world(given: &str) -> World {
    let mut world = World::new();
    let words: Vec<&str> = given.split_whitespace().collect();
    for setting in words.iter().filter_map(|word| word.strip_prefix("policy:")) {
        set_policy(&mut world, setting);
    }
    if words.contains(&"absent") {
        return world;
    }
    if words.contains(&"deleted") || words.contains(&"moved") {
        let redirect = words.contains(&"moved").then(|| Arc::from("xmpp:elsewhere"));
        let (key, last_seq, deleted) = (crate::pubsub::NodeKey(1), Seq(20), Timestamp(1));
        world.here_mut().node =
            NodeState::Deleted(Tombstone { key, last_seq, deleted, redirect, hidden: words.contains(&"buried") });
        return world;
    }
    let config: Vec<RawField> =
        words.iter().filter(|word| !word.contains(':')).filter_map(|word| field(word)).collect();
    let listed = |what: &str| words.iter().find_map(|word| word.strip_prefix(what)).map(|list| list.split(','));
    let items: Vec<(&str, &str)> = listed("items:")
        .map(|list| list.map(|entry| entry.split_once('/').unwrap_or((entry, "hamlet"))).collect())
        .unwrap_or_default();
    stand(&mut world, &config, &items);
    for (who, affiliation) in CAST {
        world.here_mut().affiliations.insert(bare(who), *affiliation);
    }
    if words.contains(&"two-owners") {
        world.here_mut().affiliations.insert(bare("gertrude"), Affiliation::Owner);
        let NodeState::Present(node) = &mut world.here_mut().node else { unreachable!() };
        Arc::make_mut(node).owners = 2;
    }
    for (number, entity) in listed("subs:").into_iter().flatten().enumerate() {
        let subid = SubId(Arc::from(format!("s{}", number + 1)));
        // `romeo?` waits for approval.
        let state = if entity.ends_with('?') { SubscriptionState::Pending } else { SubscriptionState::Subscribed };
        world.stand_in_state(jid(entity.trim_end_matches('?')), subid, state);
    }
    let options: Vec<RawField> =
        words.iter().filter_map(|word| word.strip_prefix("option:")).filter_map(field_with_colons).collect();
    world.set_options(&options);
    for contact in listed("sees:").into_iter().flatten() {
        // `romeo` sees hamlet's presence, `romeo/Friends` in a group of his roster; `!romeo` does not.
        let (who, group) = contact.split_once('/').map_or((contact, None), |(who, group)| (who, Some(group)));
        let groups = group.into_iter().map(Arc::from).collect();
        let fact = Contact { to: true, from: !who.starts_with('!'), groups };
        world.rosters.insert((bare("hamlet"), bare(who.trim_start_matches('!'))), fact);
    }
    world.now(2_000_000);
    world
}

fn set_policy(world: &mut World, setting: &str) {
    let policy = &mut world.policy;
    match setting.split_once('=').unwrap() {
        ("create", who) => {
            let all =
                [("admins", WhoCreates::Admins), ("accounts", WhoCreates::Accounts), ("anyone", WhoCreates::Anyone)];
            policy.who_creates = all.into_iter().find(|(word, _)| *word == who).unwrap().1;
        }
        // Whoever a name is reserved for, and what nodes of that name begin with.
        ("reserved", who) => {
            let creators = who.split(',').map(|who| Glob(format!("{who}@d").into())).collect();
            let config = vec![raw("access_model", "whitelist"), raw("title", "reserved")];
            policy.templates = [Template { matching: Glob("n".into()), creators, auto_create: true, config }].into();
        }
        ("template", matching) => {
            let config = vec![raw("max_items", "3")];
            let template = Template { matching: Glob(matching.into()), creators: vec![], auto_create: false, config };
            policy.templates = policy.templates.iter().cloned().chain([template]).collect();
        }
        ("auto_create", value) => policy.auto_create = value == "1",
        ("multi_subscribe", value) => policy.subscriptions.multi_subscribe = value == "1",
        ("payload_bytes_max", value) => policy.payload_bytes_max = value.parse().unwrap(),
        (other, _) => panic!("no such policy: {other}"),
    }
}

fn asked_request(asked: &str) -> Request {
    let mut words = asked.split_whitespace();
    let (caller, verb) = (words.next().unwrap(), words.next().unwrap());
    let role = match caller {
        "root" => Role::Admin,
        "visitor" => Role::Stranger,
        _ => Role::Account,
    };
    let caller = if caller.contains('/') { caller.to_owned() } else { format!("{caller}/pc") };
    request(&caller, role, asked_verb(verb, &words.collect::<Vec<_>>()))
}

fn asked_verb(verb: &str, words: &[&str]) -> Verb {
    let node = node_id();
    let fields = || words.iter().filter_map(|word| field(word)).collect::<Vec<RawField>>();
    let (page, here) = (Page { max: 10, edge: Edge::First }, words.contains(&"here").then(node_id));
    match verb {
        "create" => Verb::Create { node: here, config: fields() },
        "configure" => Verb::Configure { node, config: fields() },
        "configuration" => Verb::Configuration { node },
        "delete" => Verb::Delete { node, redirect: words.first().map(|uri| Arc::from(*uri)) },
        "purge" => Verb::Purge { node },
        "publish" => Verb::Publish {
            node,
            items: words
                .iter()
                .filter(|word| field(word).is_none() && **word != "create")
                .map(|w| asked_item(w))
                .collect(),
            options: Some(fields()).filter(|fields| !fields.is_empty()),
            create: words.contains(&"create"),
        },
        "retract" => Verb::Retract {
            node,
            items: words
                .iter()
                .filter(|word| !word.contains('='))
                .map(|word| item(word.split(':').next().unwrap()))
                .collect(),
            notify: words.iter().find_map(|word| word.strip_prefix("notify=")).map(|value| value == "1"),
            precondition: words.first().map(|word| asked_item(word).precondition).unwrap_or_default(),
        },
        "subscribe" => {
            let options: Vec<RawField> = words[1..].iter().filter_map(|word| field_with_colons(word)).collect();
            Verb::Subscribe {
                node,
                jid: jid(words[0]),
                options: (!options.is_empty()).then_some(options),
                public: Public::AsItIs,
            }
        }
        "unsubscribe" => {
            let subid = words.get(1).map(|subid| SubId(Arc::from(*subid)));
            Verb::Unsubscribe { node, jid: jid(words[0]), subid }
        }
        "items" => Verb::Items { node, selection: selection(words), page, view: View::default() },
        "items-under" => {
            let under = Under::Named(words.first().map(|subid| SubId(Arc::from(*subid))));
            Verb::Items { node, selection: Selection::All, page, view: View { under, ..View::default() } }
        }
        "watch" => Verb::Watch { node },
        "metadata" => Verb::Metadata { node },
        "nodes" => Verb::Nodes { page },
        "subscriptions" => Verb::Subscriptions { node: here, page },
        "affiliations" => Verb::Affiliations { node: here, page },
        "node-subscriptions" => Verb::NodeSubscriptions { node, page },
        "node-affiliations" => Verb::NodeAffiliations { node, page },
        "pending" => Verb::Pending { node: here },
        "expire" => Verb::Expire { node },
        "set-affiliations" => {
            let change = |word: &&str| {
                let (who, affiliation) = word.split_once('=').unwrap();
                (bare(who), Affiliation::parse(affiliation).unwrap())
            };
            Verb::SetAffiliations { node, changes: words.iter().map(change).collect() }
        }
        other => asked_of_subscription(other, node, words),
    }
}

fn asked_of_subscription(verb: &str, node: NodeId, words: &[&str]) -> Verb {
    match verb {
        "set-subscriptions" => Verb::SetSubscriptions { node, changes: words.iter().map(|word| wish(word)).collect() },
        "approve" | "deny" => {
            let (jid, subid) = (jid(words[0]), words.get(1).map(|subid| SubId(Arc::from(*subid))));
            Verb::Approve { node, jid, subid, allow: verb == "approve" }
        }
        "options" => {
            let (jid, subid) = subscription_named(words[0]);
            Verb::Options { node, jid, subid }
        }
        "set-options" => {
            let (jid, subid) = subscription_named(words[0]);
            let options = words[1..].iter().filter_map(|word| field_with_colons(word)).collect();
            Verb::SetOptions { node, jid, subid, options }
        }
        "default-options" => Verb::DefaultOptions { node: words.contains(&"here").then_some(node) },
        "lapse" => {
            let (jid, subid) = subscription_named(words[0]);
            Verb::Lapse { node, jid, subid: subid.unwrap() }
        }
        other => panic!("no such verb: {other}"),
    }
}

fn selection(words: &[&str]) -> Selection {
    match words {
        [] => Selection::All,
        [newest] if newest.starts_with("newest:") => Selection::Newest(newest[7..].parse().unwrap()),
        ids => Selection::These(ids.iter().map(|id| item(id)).collect()),
    }
}

/// `romeo=subscribed` or `romeo#s1=none`.
fn wish(word: &str) -> (crate::jid::Jid, Option<SubId>, SubscriptionState) {
    let (entity, state) = word.split_once('=').unwrap();
    let (entity, subid) = entity.split_once('#').map_or((entity, None), |(entity, subid)| (entity, Some(subid)));
    (jid(entity), subid.map(|subid| SubId(Arc::from(subid))), SubscriptionState::parse(state).unwrap())
}

fn field_with_colons(word: &str) -> Option<RawField> {
    word.split_once('=').map(|(name, value)| raw(name, value))
}

fn field(word: &str) -> Option<RawField> {
    let (name, value) = word.split_once('=').filter(|(name, _)| !name.contains(':'))?;
    Some(raw(name, value))
}

fn asked_item(word: &str) -> NewItem {
    let mut marks = word.split(':');
    let id = marks.next().filter(|id| *id != "_");
    let mut new = new_item(id);
    for mark in marks {
        match mark {
            "bare" => new.payload = None,
            "absent" => new.precondition = Precondition::Absent,
            "present" => new.precondition = Precondition::Present,
            other if other.starts_with("at") => {
                // The node that stands has key 1; `at11/9` is of another that had its name.
                let (seq, key) = other[2..].split_once('/').unwrap_or((&other[2..], "1"));
                let (seq, key) = (Seq(seq.parse().unwrap()), NodeKey(key.parse().unwrap()));
                new.precondition = Precondition::At(key, seq);
            }
            other if other.starts_with("ns=") => new.payload = Some(payload(10, &other[3..])),
            other => new.payload = Some(payload(other.trim_end_matches('b').parse().unwrap(), "urn-x")),
        }
    }
    new
}

pub(in crate::pubsub) fn render(outcome: &Result<Decision, Refusal>) -> String {
    match outcome {
        Err(refusal) => format!("{refusal:?}"),
        Ok(decision) => {
            let mut parts = vec![reply(&decision.reply)];
            parts.extend(decision.changes.iter().map(change));
            parts.extend(decision.events.iter().map(event));
            let shown = decision.node.as_ref().and_then(|node| node.config.shown_owner.as_ref());
            parts.extend(shown.map(|owner| format!("shows {owner}")));
            parts.join("; ")
        }
    }
}

fn reply(reply: &Reply) -> String {
    let node = |node: &Option<_>| if node.is_some() { "here" } else { "everywhere" };
    match reply {
        Reply::Created { node } => format!("created {node}"),
        Reply::Done => "done".to_owned(),
        Reply::Published { items, created } => {
            let one = |item: &crate::pubsub::Published| {
                format!("{}#{}{}", name(&item.id), item.seq.0, if item.replaced { "*" } else { "" })
            };
            let items: Vec<String> = items.iter().map(one).collect();
            format!("published {}{}", if *created { "anew " } else { "" }, items.join(" "))
        }
        Reply::Retracted => "retracted".to_owned(),
        Reply::Subscribed { subscription, send_last } => {
            format!("{}{}", shown(subscription), if *send_last { ", last item due" } else { "" })
        }
        Reply::Unsubscribed { .. } => "unsubscribed".to_owned(),
        Reply::Options { subscription } => format!("options of {}", shown(subscription)),
        Reply::DefaultOptions { options } => format!("default options{}", optioned(options)),
        Reply::Expired { items } => format!("{items} expired"),
        Reply::Read(Read::Configuration { .. }) => "configuration".to_owned(),
        Reply::Read(Read::Children { node, .. }) => format!("read children of {}", node.address.node),
        Reply::Watching { node } => format!("watching {} at #{}", node.address.node, node.last_seq.0),
        Reply::Read(Read::Metadata { node, .. }) => format!("metadata of {}", node.address.node),
        Reply::Read(Read::Items { selection, .. }) => format!("read items {selection:?}"),
        Reply::Read(Read::SubscriptionsOf { jid, node: at, .. }) => format!("read subscriptions of {jid} {}", node(at)),
        Reply::Read(Read::AffiliationsOf { jid, node: at, .. }) => format!("read affiliations of {jid} {}", node(at)),
        Reply::Read(Read::NodeSubscriptions { .. }) => "read all subscriptions".to_owned(),
        Reply::Read(Read::NodeAffiliations { .. }) => "read all affiliations".to_owned(),
        Reply::Read(Read::Nodes { service, viewer, .. }) => {
            let viewer = viewer.as_ref().map_or_else(|| "anybody".to_owned(), |viewer| viewer.to_string());
            format!("read nodes of {service} for {viewer}")
        }
        Reply::Read(Read::Pending { owner, node: at, .. }) => {
            let owner = owner.as_ref().map_or_else(|| "anybody".to_owned(), |owner| owner.to_string());
            format!("read who waits {} for {owner}", node(at))
        }
    }
}

fn change(change: &Change) -> String {
    match change {
        Change::CreateNode => "create".to_owned(),
        Change::DeleteNode { redirect } => format!("erase{}", towards(redirect)),
        Change::Purge => "empty".to_owned(),
        Change::PutItem { fact, replaces } => format!("put {}#{}{}", fact.id, fact.seq.0, over(*replaces)),
        Change::RemoveItem { fact } => format!("drop {}#{}", fact.id, fact.seq.0),
        Change::SetAffiliation { jid, affiliation } => format!("{jid} is {}", affiliation.as_str()),
        Change::SetSubscription { subscription } => shown(subscription),
        Change::Associate { child } => format!("hold {}", child.0),
        Change::Dissociate { child } => format!("let go {}", child.0),
    }
}

fn event(event: &Event) -> String {
    let seq = event.seq.0;
    match &event.kind {
        EventKind::Published { item, publisher, payload, replaces } => {
            let bare = if payload.is_none() { " bare" } else { "" };
            format!("#{seq} {} by {publisher}{bare}{}", name(item), over(*replaces))
        }
        EventKind::Retracted { item, notify } => {
            format!("#{seq} {item} retracted{}", if *notify { "" } else { " quietly" })
        }
        EventKind::Purged => format!("#{seq} purged"),
        EventKind::Configured { .. } => format!("#{seq} configured"),
        EventKind::Associated { node, hidden, .. } => format!("#{seq} {node} came{}", secretly(*hidden)),
        EventKind::Dissociated { node, hidden, .. } => format!("#{seq} {node} went{}", secretly(*hidden)),
        EventKind::Deleted { redirect } => format!("#{seq} deleted{}", towards(redirect)),
    }
}

fn secretly(hidden: bool) -> &'static str {
    if hidden { " secretly" } else { "" }
}

fn name(item: &Option<ItemId>) -> &str {
    item.as_ref().map_or("-", ItemId::as_str)
}

fn over(replaces: Option<Seq>) -> String {
    replaces.map(|seq| format!(" over #{}", seq.0)).unwrap_or_default()
}

fn towards(redirect: &Option<Arc<str>>) -> String {
    redirect.as_ref().map(|uri| format!(" to {uri}")).unwrap_or_default()
}

fn shown(subscription: &Subscription) -> String {
    let options = optioned(&subscription.options);
    format!("{} {} {}{options}", subscription.jid, subscription.subid.as_str(), subscription.state.as_str())
}

fn optioned(options: &SubscriptionOptions) -> String {
    options.to_text().lines().map(|line| format!(" {line}")).collect()
}

/// `romeo` or `romeo#s1`.
fn subscription_named(word: &str) -> (crate::jid::Jid, Option<SubId>) {
    match word.split_once('#') {
        Some((entity, subid)) => (jid(entity), Some(SubId(Arc::from(subid)))),
        None => (jid(word), None),
    }
}

#[test]
fn an_instant_node_has_a_name_of_its_own() {
    let mut world = given_world("absent");
    let decision = world.ask(asked_request("romeo create")).unwrap();
    let Reply::Created { node } = decision.reply else { panic!("{:?}", decision.reply) };
    assert_eq!((&node, node == node_id()), (&NodeId::parse("n1").unwrap(), false));
    assert_eq!(decision.node.unwrap().address.node, node);
}

const CAST: &[(&str, Affiliation)] = &[
    ("hamlet", Affiliation::Owner),
    ("horatio", Affiliation::Publisher),
    ("ophelia", Affiliation::PublishOnly),
    ("juliet", Affiliation::Member),
    ("tybalt", Affiliation::Outcast),
];
