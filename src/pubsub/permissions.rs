//! Holds the rules to `permissions.txt`, the authorisation matrix: every verb, for every affiliation,
//! under every access and publish model. The file is the expectation, written by hand; what is wrong
//! with it or with the rules is listed cell by cell.

use std::collections::BTreeSet;

use super::world::{World, bare, item, jid, new_item, node_id, raw, request, stand};
use crate::pubsub::{
    Affiliation, Contact, Decision, Edge, NodeState, Page, Precondition, Public, Refusal, Reply, Role, Selection,
    SubId, SubscriptionState, Verb, View,
};

// rows: 7, 8, 20, 21, 24, 25, 26, 27, 28, 29, 31, 57, 61, 62, 195, 196, 200, 530, 555, 556
#[test]
fn everyone_may_do_what_the_matrix_says_and_nothing_else() {
    let mut wrong = String::new();
    let mut seen = BTreeSet::new();
    for row in rows() {
        let [verb, access, publish, cells @ ..] = row.as_slice() else { panic!("a short row: {row:?}") };
        assert_eq!(cells.len(), COLUMNS.len(), "{row:?}");
        for access in ACCESS.iter().filter(|model| *access == "*" || access == *model) {
            for publish in PUBLISH.iter().filter(|model| *publish == "*" || publish == *model) {
                assert!(seen.insert((verb.to_string(), *access, *publish)), "{verb} {access} {publish} stands twice");
                for (who, expected) in COLUMNS.iter().zip(cells) {
                    let got = cell(verb, access, publish, who);
                    if got != *expected {
                        wrong +=
                            &format!("\n{verb}, {access}, {publish}: {who} is {expected:?} but the rules say {got:?}");
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(seen.len(), VERBS.len() * ACCESS.len() * PUBLISH.len(), "every verb under every model");
}

fn rows() -> Vec<Vec<String>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut rows = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>());
    let head = rows.next().unwrap();
    assert_eq!(head[3..], COLUMNS.map(str::to_owned));
    rows.collect()
}

/// What the rules say, in the words of the table.
fn cell(verb: &str, access: &str, publish: &str, who: &str) -> &'static str {
    let ask = |subscribed: bool, id: &str| word(asked(verb, access, publish, who, subscribed, id));
    if !matches!(verb, "publish" | "retract") {
        return ask(verb == "unsubscribe", "own");
    }
    let fresh = if verb == "publish" { "fresh" } else { "own" };
    let outsider = [ask(false, fresh), ask(false, "own"), ask(false, "other")];
    let subscriber = [ask(true, fresh), ask(true, "own"), ask(true, "other")];
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
        Err(Refusal::Forbidden) => "-",
        Err(Refusal::Outcast) => "out",
        Err(Refusal::NotOnWhitelist) => "list",
        Err(Refusal::PresenceRequired) => "pres",
        Err(Refusal::NotInRosterGroup) => "group",
        Err(Refusal::SubscriptionRequired) => "appr",
        Err(other) => panic!("not a matter of rights: {other:?}"),
    }
}

fn asked(verb: &str, access: &str, publish: &str, who: &str, subscribed: bool, id: &str) -> Result<Decision, Refusal> {
    let mut world = World::new();
    stand(
        &mut world,
        &[raw("access_model", access), raw("roster_groups_allowed", "Friends"), raw("publish_model", publish)],
        &[("own", "caller"), ("other", "hamlet")],
    );
    let role = if who == "admin" { Role::Admin } else { Role::Stranger };
    let affiliation = Affiliation::parse(who).unwrap_or(Affiliation::Outcast);
    if affiliation != Affiliation::None {
        world.here_mut().affiliations.insert(bare("caller"), affiliation);
    }
    if affiliation == Affiliation::Owner {
        let NodeState::Present(node) = &mut world.here_mut().node else { unreachable!() };
        std::sync::Arc::make_mut(node).owners += 1;
    }
    if subscribed {
        world.stand_subscribed(jid("caller"), SubId("s1".into()));
    }
    if verb == "approve" {
        let (jid, subid, state) = (jid("mercutio"), SubId("s2".into()), SubscriptionState::Pending);
        world.stand_in_state(jid, subid, state);
        // Who waits may come in under every access model.
        let contact = Contact { to: false, from: true, groups: vec!["Friends".into()] };
        world.rosters.insert((bare("hamlet"), bare("mercutio")), contact);
        if access == "whitelist" {
            world.here_mut().affiliations.insert(bare("mercutio"), Affiliation::Member);
        }
    }
    world.ask(request("caller/pc", role, asked_verb(verb, id)))
}

fn asked_verb(verb: &str, id: &str) -> Verb {
    let (node, page) = (node_id(), Page { max: 10, edge: Edge::First });
    match verb {
        "publish" => Verb::Publish { node, items: vec![new_item(Some(id))], options: None, create: false },
        "retract" => Verb::Retract { node, items: vec![item(id)], notify: None, precondition: Precondition::None },
        "subscribe" => Verb::Subscribe { node, jid: jid("caller"), options: None, public: Public::AsItIs },
        "unsubscribe" => Verb::Unsubscribe { node, jid: jid("caller"), subid: None },
        "items" => Verb::Items { node, selection: Selection::All, page, view: View::default() },
        "watch" => Verb::Watch { node },
        "subscriptions" => Verb::Subscriptions { node: Some(node), page },
        "affiliations" => Verb::Affiliations { node: Some(node), page },
        "metadata" => Verb::Metadata { node },
        "configuration" => Verb::Configuration { node },
        "configure" => Verb::Configure { node, config: vec![raw("title", "x")] },
        "purge" => Verb::Purge { node },
        "delete" => Verb::Delete { node, redirect: None },
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

/// All but `create` and `nodes`, which address no node that stands.
const VERBS: [&str; 19] = [
    "publish",
    "retract",
    "subscribe",
    "unsubscribe",
    "items",
    "watch",
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
];

const COLUMNS: [&str; 7] = ["owner", "publisher", "publish-only", "member", "none", "outcast", "admin"];

const ACCESS: [&str; 5] = ["open", "presence", "roster", "authorize", "whitelist"];

const PUBLISH: [&str; 3] = ["publishers", "subscribers", "open"];
