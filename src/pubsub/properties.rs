//! Any requests in any order leave a node as it must be. The steps and the state are checked by
//! [`World`] after each request; here are the requests, and what only a whole history shows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::world::{World, bare, item, jid, node_id, payload, raw, request};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Contact, Edge, ItemId, NewItem, NodeKey, Page, Precondition, Public, RawField, Request, Role, Selection, Seq,
    SubId, SubscriptionState, Verb, View,
};

proptest! {
    // What fails is shrunk and printed, and becomes a row of a golden table: no file of seeds is kept.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// An owner remains, no node holds more than it may, versions and seqs have no gap, counts are
    /// true, the log tells of every item, and nobody is subscribed who may not read.
    // rows: 242, 420, 521, 527
    #[test]
    fn no_sequence_of_requests_breaks_a_node(history in vec(requests(), 1..60), several in any::<bool>()) {
        let mut world = World::new();
        world.policy.auto_create = true;
        world.policy.subscriptions.multi_subscribe = several;
        world.rosters = rosters();
        for request in history {
            let _ = world.ask(request);
        }
    }

    /// An outcast, who has no subscription any more to end, changes nothing.
    // rows: 29, 555
    #[test]
    fn an_outcast_changes_nothing(history in vec(requests(), 1..40), last in requests()) {
        let mut world = World::new();
        for request in history {
            let _ = world.ask(request);
        }
        let caller = last.caller.jid.bare().clone();
        if world.affiliation(&caller) != Affiliation::Owner && world.node.present().is_some() {
            world.forget_subscriptions(&caller);
            world.affiliations.insert(caller, Affiliation::Outcast);
            let administers = last.caller.role == Role::Admin;
            if let Ok(decision) = world.ask(last) {
                prop_assert!(administers || decision.node.is_none());
            }
        }
    }

    /// What one may not read, one neither retrieves, follows nor subscribes to, whatever came before.
    // rows: 34, 195, 556
    #[test]
    fn nobody_reads_who_may_not(history in vec(requests(), 1..40), last in reads()) {
        let mut world = World::new();
        world.rosters = rosters();
        for request in history {
            let _ = world.ask(request);
        }
        if let Some(node) = world.node.present().cloned() {
            let reads = world.may_read(&node, last.caller.jid.bare(), last.caller.role);
            prop_assert!(reads || world.ask(last).is_err());
        }
    }
}

/// Hamlet's roster: romeo is a friend and sees him, juliet is one and does not.
fn rosters() -> BTreeMap<(BareJid, BareJid), Contact> {
    let contact = |from| Contact { to: true, from, groups: vec!["Friends".into()] };
    [("romeo", true), ("juliet", false)]
        .into_iter()
        .map(|(who, from)| ((bare("hamlet"), bare(who)), contact(from)))
        .collect()
}

fn requests() -> impl Strategy<Value = Request> {
    (callers(), prop_oneof![3 => changes(), 3 => publications(), 2 => relations(), 1 => readings()]).prop_map(asked)
}

fn reads() -> impl Strategy<Value = Request> {
    (callers(), readings()).prop_map(asked)
}

fn asked(((name, role), verb): ((&'static str, Role), Verb)) -> Request {
    request(&format!("{name}/pc"), role, verb)
}

fn callers() -> impl Strategy<Value = (&'static str, Role)> {
    prop_oneof![
        4 => Just(("hamlet", Role::Account)),
        2 => Just(("juliet", Role::Account)),
        2 => Just(("romeo", Role::Account)),
        1 => Just(("visitor", Role::Stranger)),
        1 => Just(("root", Role::Admin)),
    ]
}

fn changes() -> impl Strategy<Value = Verb> {
    prop_oneof![
        2 => vec(fields(), 0..3).prop_map(|config| Verb::Create { node: Some(node_id()), config }),
        4 => vec(fields(), 0..3).prop_map(|config| Verb::Configure { node: node_id(), config }),
        1 => Just(Verb::Purge { node: node_id() }),
        1 => Just(Verb::Expire { node: node_id() }),
        1 => Just(Verb::Delete { node: node_id(), redirect: None }),
    ]
}

fn publications() -> impl Strategy<Value = Verb> {
    let publish = (vec(new_items(), 0..4), option::weighted(0.2, vec(fields(), 0..2)), any::<bool>());
    let retract = (vec(ids(), 0..3), any::<Option<bool>>(), preconditions());
    prop_oneof![
        3 => publish.prop_map(|(items, options, create)| Verb::Publish { node: node_id(), items, options, create }),
        1 => retract.prop_map(|(items, notify, precondition)| {
            Verb::Retract { node: node_id(), items, notify, precondition }
        }),
    ]
}

fn relations() -> impl Strategy<Value = Verb> {
    let affiliations = vec((names().prop_map(bare), prop::sample::select(&Affiliation::ALL)), 1..3);
    let subscriptions =
        vec((jids(), option::weighted(0.2, subids()), prop::sample::select(&SubscriptionState::ALL)), 1..3);
    let answers = (jids(), option::weighted(0.2, subids()), any::<bool>());
    prop_oneof![
        (jids(), option::weighted(0.3, vec(options(), 0..2))).prop_map(|(jid, options)| Verb::Subscribe {
            node: node_id(),
            jid,
            options,
            public: Public::AsItIs
        }),
        (jids(), option::weighted(0.3, subids()), vec(options(), 0..2))
            .prop_map(|(jid, subid, options)| { Verb::SetOptions { node: node_id(), jid, subid, options } }),
        (jids(), subids()).prop_map(|(jid, subid)| Verb::Lapse { node: node_id(), jid, subid }),
        answers.prop_map(|(jid, subid, allow)| Verb::Approve { node: node_id(), jid, subid, allow }),
        (jids(), option::weighted(0.2, subids())).prop_map(|(jid, subid)| Verb::Unsubscribe {
            node: node_id(),
            jid,
            subid
        }),
        affiliations.prop_map(|changes| Verb::SetAffiliations { node: node_id(), changes }),
        subscriptions.prop_map(|changes| Verb::SetSubscriptions { node: node_id(), changes }),
    ]
}

fn readings() -> impl Strategy<Value = Verb> {
    let selections =
        prop_oneof![Just(Selection::All), Just(Selection::Newest(1)), vec(ids(), 1..3).prop_map(Selection::These)];
    prop_oneof![
        selections.prop_map(|selection| {
            Verb::Items { node: node_id(), selection, page: Page { max: 10, edge: Edge::First }, view: View::default() }
        }),
        Just(Verb::Watch { node: node_id() }),
    ]
}

fn fields() -> impl Strategy<Value = RawField> {
    let fields: Vec<RawField> = FIELDS.iter().map(|(name, value)| raw(name, value)).collect();
    prop::sample::select(fields)
}

fn options() -> impl Strategy<Value = RawField> {
    let options = [("deliver", "0"), ("digest", "1"), ("expire", "presence"), ("expire", "1970-01-01T00:00:02Z")];
    prop::sample::select(options.map(|(name, value)| raw(name, value)).to_vec())
}

fn new_items() -> impl Strategy<Value = NewItem> {
    let payloads = prop_oneof![6 => Just(Some(10)), 1 => Just(None), 1 => Just(Some(2000))];
    (option::weighted(0.8, ids()), payloads, preconditions()).prop_map(|(id, bytes, precondition)| {
        let payload = bytes.map(|bytes| payload(bytes, "urn-x"));
        NewItem { id, payload, precondition }
    })
}

fn preconditions() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        8 => Just(Precondition::None),
        1 => Just(Precondition::Absent),
        1 => Just(Precondition::Present),
        1 => (1_i64..3, 1_u64..20).prop_map(|(key, seq)| Precondition::At(NodeKey(key), Seq(seq))),
    ]
}

fn ids() -> impl Strategy<Value = ItemId> {
    prop::sample::select(vec!["a", "b", "c", "e", "f"]).prop_map(item)
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["hamlet", "juliet", "romeo"])
}

fn jids() -> impl Strategy<Value = Jid> {
    prop::sample::select(vec!["hamlet", "juliet", "juliet/pc", "romeo", "romeo/phone", "visitor"]).prop_map(jid)
}

/// Such as the world hands out: `n1`, `n2` ...
fn subids() -> impl Strategy<Value = SubId> {
    (1_u32..10).prop_map(|number| SubId(format!("n{number}").into()))
}

const FIELDS: &[(&str, &str)] = &[
    ("max_items", "1"),
    ("max_items", "2"),
    ("max_items", "3"),
    ("max_items", "max"),
    ("max_items", "0"),
    ("persist_items", "0"),
    ("persist_items", "1"),
    ("deliver_payloads", "0"),
    ("deliver_payloads", "1"),
    ("access_model", "open"),
    ("access_model", "presence"),
    ("access_model", "roster"),
    ("roster_groups_allowed", "Friends"),
    ("access_model", "authorize"),
    ("access_model", "authorize"),
    ("access_model", "whitelist"),
    ("item_expire", "1"),
    ("publish_node_full", "reject"),
    ("publish_node_full", "discard-oldest"),
    ("publish_model", "publishers"),
    ("publish_model", "subscribers"),
    ("publish_model", "open"),
    ("notify_retract", "0"),
    ("subscribe", "0"),
    ("itemreply", "owner"),
    ("itemreply", "publisher"),
    ("colour", "red"),
];
