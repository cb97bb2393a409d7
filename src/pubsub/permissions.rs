//! Holds the rules to `permissions.txt`, the authorisation matrix: every verb, for every affiliation, at every kind of
//! node, under every access and publish model. The file is the expectation, written by hand; what is wrong
//! with it or with the rules is listed cell by cell.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::world::{World, bare, item, jid, new_item, node_id, raw, request, stand, stand_beside};
use crate::pubsub::{
    Affiliation, Contact, Decision, Edge, NodeId, NodeState, Page, Precondition, Public, Refusal, Reply, Request, Role,
    Selection, SubId, SubscriptionState, Verb, View, WhoCreates,
};

// rows: 7, 8, 20, 21, 24, 25, 26, 27, 28, 29, 31, 57, 61, 62, 195, 196, 200, 530, 555, 556
#[test]
fn everyone_may_do_what_the_matrix_says_and_nothing_else() {
    let mut wrong = String::new();
    let mut seen = BTreeSet::new();
    for row in rows() {
        let [verb, kinds, access, publish, cells @ ..] = row.as_slice() else { panic!("a short row: {row:?}") };
        assert_eq!(cells.len(), COLUMNS.len(), "{row:?}");
        let kinds = KINDS.iter().filter(|kind| kinds == "*" || kinds.split('/').any(|named| named == **kind));
        let access = || ACCESS.iter().filter(|model| *access == "*" || access == *model);
        let publish = || PUBLISH.iter().filter(|model| *publish == "*" || publish == *model);
        let models = || access().flat_map(|access| publish().map(move |publish| (access, publish)));
        for (kind, (access, publish)) in kinds.flat_map(|kind| models().map(move |models| (kind, models))) {
            let place = format!("{verb} {kind} {access} {publish}");
            for (who, expected) in COLUMNS.iter().zip(cells) {
                let got = cell(verb, &At { kind, access, publish, who });
                if got != *expected {
                    wrong += &format!("\n{place}: {who} is {expected:?} but the rules say {got:?}");
                }
            }
            assert!(seen.insert(place), "{row:?} stands twice");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(seen.len(), VERBS.len() * KINDS.len() * ACCESS.len() * PUBLISH.len(), "every verb everywhere");
}

/// What a cell is about.
struct At<'a> {
    kind: &'a str,
    access: &'a str,
    publish: &'a str,
    who: &'a str,
}

fn rows() -> Vec<Vec<String>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut rows = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>());
    let head = rows.next().unwrap();
    assert_eq!(head[4..], COLUMNS.map(str::to_owned));
    rows.collect()
}

/// What the rules say, in the words of the table.
fn cell(verb: &str, at: &At<'_>) -> &'static str {
    let ask = |subscribed: bool, id: &str| word(asked(verb, at, subscribed, id));
    if !matches!(verb, "publish" | "retract") {
        return ask(matches!(verb, "unsubscribe" | "options" | "set-options"), "own");
    }
    let fresh = if verb == "publish" { "fresh" } else { "own" };
    let three = |subscribed| [ask(subscribed, fresh), ask(subscribed, "own"), ask(subscribed, "other")];
    let outsider = three(false);
    let subscriber = if matches!(at.kind, "leaf" | "pep") { three(true) } else { outsider };
    match (outsider, subscriber) {
        (["yes", "yes", "-"], ["yes", "yes", "-"]) => "own",
        (["-", "-", "-"], ["yes", "yes", "-"]) => "sub",
        ([first, second, third], all) if first == second && second == third && outsider == all => first,
        _ => "neither",
    }
}

fn word(outcome: Result<Decision, Refusal>) -> &'static str {
    match outcome {
        Ok(decision) => match decision.reply {
            Reply::Subscribed { subscription, .. } if subscription.state == SubscriptionState::Pending => "wait",
            _ => "yes",
        },
        Err(Refusal::Forbidden | Refusal::MayNotCreate) => "-",
        Err(Refusal::Outcast) => "out",
        Err(Refusal::NotOnWhitelist) => "list",
        Err(Refusal::PresenceRequired) => "pres",
        Err(Refusal::NotInRosterGroup) => "group",
        Err(Refusal::SubscriptionRequired) => "appr",
        Err(Refusal::NotOfCollections { .. } | Refusal::InvalidGraph { .. } | Refusal::NotAssociated) => "kind",
        Err(Refusal::NodeAbsent) => "gone",
        Err(Refusal::NodeExists) => "taken",
        Err(other) => panic!("not a matter of rights: {other:?}"),
    }
}

fn asked(verb: &str, at: &At<'_>, subscribed: bool, id: &str) -> Result<Decision, Refusal> {
    let mut world = World::new();
    let personal = at.kind == "pep";
    if personal {
        (world.policy.service, world.policy.who_creates) = (bare("hamlet"), WhoCreates::Itself);
    }
    // The owner of an account's nodes is the account.
    let caller = if personal && at.who == "owner" { "hamlet" } else { "caller" };
    if verb != "create" || at.kind == "hidden" {
        furnish(&mut world, verb, at, caller);
    }
    if subscribed {
        world.stand_subscribed(jid(caller), SubId("s1".into()));
    }
    let role = if at.who == "admin" { Role::Admin } else { Role::Account };
    let service = world.policy.service.clone();
    world.ask(Request { service, ..request(&format!("{caller}/pc"), role, asked_verb(verb, at.kind, caller, id)) })
}

/// The node, who the caller is to it, and what else the verb is about.
fn furnish(world: &mut World, verb: &str, at: &At<'_>, caller: &str) {
    let policy = if verb == "associate-all" { "all" } else { "owners" };
    let (node_type, hidden) = (if at.kind == "collection" { "collection" } else { "leaf" }, at.kind == "hidden");
    let config = [
        raw("access_model", at.access),
        raw("roster_groups_allowed", "Friends"),
        raw("publish_model", at.publish),
        raw("max_items", "5"),
        raw("node_type", node_type),
        raw("hidden", if hidden { "1" } else { "0" }),
        raw("children_association_policy", policy),
    ];
    let items = [("own", caller), ("other", if caller == "hamlet" { "juliet" } else { "hamlet" })];
    stand(world, &config, if at.kind == "collection" { &[] } else { &items });
    let affiliation = Affiliation::parse(at.who).unwrap_or(Affiliation::Outcast);
    if affiliation != Affiliation::None {
        world.here_mut().affiliations.insert(bare(caller), affiliation);
    }
    if affiliation == Affiliation::Owner && caller != "hamlet" {
        let NodeState::Present(node) = &mut world.here_mut().node else { unreachable!() };
        Arc::make_mut(node).owners += 1;
    }
    if verb.contains("ssociate") {
        let owner = if verb.ends_with("other") { "mercutio" } else { caller };
        stand_beside(world, owner, verb.starts_with("dis") && at.kind == "collection");
    }
    if verb == "approve" {
        let (jid, subid, state) = (jid("mercutio"), SubId("s2".into()), SubscriptionState::Pending);
        world.stand_in_state(jid, subid, state);
        // Who waits may come in under every access model.
        let contact = Contact { to: false, from: true, groups: vec!["Friends".into()] };
        world.rosters.insert((bare("hamlet"), bare("mercutio")), contact);
        if at.access == "whitelist" {
            world.here_mut().affiliations.insert(bare("mercutio"), Affiliation::Member);
        }
    }
}

fn asked_verb(verb: &str, kind: &str, caller: &str, id: &str) -> Verb {
    let (node, page) = (node_id(), Page { max: 10, edge: Edge::First });
    let beside = || NodeId::parse("m").unwrap();
    match verb {
        "create" => {
            let kind = raw("node_type", if kind == "collection" { "collection" } else { "leaf" });
            Verb::Create { node: Some(node), config: vec![kind] }
        }
        "nodes" => Verb::Nodes { page },
        "publish" => Verb::Publish { node, items: vec![new_item(Some(id))], options: None, create: false },
        "retract" => Verb::Retract { node, items: vec![item(id)], notify: None, precondition: Precondition::None },
        "subscribe" => Verb::Subscribe { node, jid: jid(caller), options: None, public: Public::AsItIs },
        "unsubscribe" => Verb::Unsubscribe { node, jid: jid(caller), subid: None },
        "options" => Verb::Options { node, jid: jid(caller), subid: None },
        "set-options" => Verb::SetOptions { node, jid: jid(caller), subid: None, options: vec![raw("deliver", "0")] },
        "default-options" => Verb::DefaultOptions { node: Some(node) },
        "items" => Verb::Items { node, selection: Selection::All, page, view: View::default() },
        "watch" => Verb::Watch { node },
        "subscriptions" => Verb::Subscriptions { node: Some(node), page },
        "affiliations" => Verb::Affiliations { node: Some(node), page },
        "metadata" => Verb::Metadata { node },
        "configuration" => Verb::Configuration { node },
        "configure" => Verb::Configure { node, config: vec![raw("title", "x")] },
        "purge" => Verb::Purge { node },
        "delete" => Verb::Delete { node, redirect: None },
        "associate" | "associate-all" | "associate-other" => Verb::Associate { collection: node, node: beside() },
        "dissociate" | "dissociate-other" => Verb::Dissociate { collection: node, node: beside() },
        "node-affiliations" => Verb::NodeAffiliations { node, page },
        "set-affiliations" => Verb::SetAffiliations { node, changes: vec![(bare("romeo"), Affiliation::Member)] },
        "node-subscriptions" => Verb::NodeSubscriptions { node, page },
        "set-subscriptions" => {
            Verb::SetSubscriptions { node, changes: vec![(jid("romeo"), None, SubscriptionState::None)] }
        }
        "approve" => Verb::Approve { node, jid: jid("mercutio"), subid: None, allow: true },
        "pending" => Verb::Pending { node: Some(node) },
        other => panic!("no such verb: {other}"),
    }
}

const TABLE: &str = include_str!("permissions.txt");

/// All but those that the service asks for by itself.
const VERBS: [&str; 29] = [
    "create",
    "nodes",
    "publish",
    "retract",
    "subscribe",
    "items",
    "watch",
    "default-options",
    "unsubscribe",
    "options",
    "set-options",
    "subscriptions",
    "affiliations",
    "metadata",
    "configuration",
    "configure",
    "purge",
    "delete",
    "node-affiliations",
    "set-affiliations",
    "node-subscriptions",
    "set-subscriptions",
    "approve",
    "pending",
    "associate",
    "associate-all",
    "associate-other",
    "dissociate",
    "dissociate-other",
];

const KINDS: [&str; 4] = ["leaf", "pep", "collection", "hidden"];

const COLUMNS: [&str; 7] = ["owner", "publisher", "publish-only", "member", "none", "outcast", "admin"];

const ACCESS: [&str; 5] = ["open", "presence", "roster", "authorize", "whitelist"];

const PUBLISH: [&str; 3] = ["publishers", "subscribers", "open"];
