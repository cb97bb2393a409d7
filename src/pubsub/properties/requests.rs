//! Requests of every kind, by anybody, of a few nodes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::jid::Jid;
use crate::pubsub::world::{bare, item, jid, payload, raw, request};
use crate::pubsub::{
    Affiliation, Edge, ItemId, NewItem, NodeId, NodeKey, Order, Page, Payloads, Precondition, Public, RawField,
    Request, Role, Selection, Seq, SubId, SubscriptionState, Under, Verb, View,
};

/// Boxed, as their parts are: what proptest would make of them is larger than a stack.
pub(super) fn requests() -> BoxedStrategy<Request> {
    let verbs = prop_oneof![4 => changes(), 4 => publications(), 4 => relations(), 1 => readings(), 1 => lists()];
    (callers(), verbs, option::weighted(0.7, prop::sample::select(vec!["", "/pc", "/phone"])))
        .prop_map(|(caller, verb, own)| asked((caller, of_caller(caller.0, verb, own))))
        .boxed()
}

/// What may be read or followed of a node.
pub(super) fn reads() -> impl Strategy<Value = Request> {
    (callers(), readings()).prop_map(asked)
}

/// Most people ask about themselves: the subscription becomes the caller's own, of this resource.
fn of_caller(caller: &str, mut verb: Verb, own: Option<&str>) -> Verb {
    if let (
        Verb::Subscribe { jid: subscriber, .. }
        | Verb::SetOptions { jid: subscriber, .. }
        | Verb::Unsubscribe { jid: subscriber, .. }
        | Verb::Lapse { jid: subscriber, .. }
        | Verb::Options { jid: subscriber, .. },
        Some(resource),
    ) = (&mut verb, own)
    {
        *subscriber = jid(&format!("{caller}{resource}"));
    }
    verb
}

fn asked(((name, role), verb): ((&'static str, Role), Verb)) -> Request {
    request(&format!("{name}/pc"), role, verb)
}

fn callers() -> impl Strategy<Value = (&'static str, Role)> {
    prop_oneof![
        8 => Just(("hamlet", Role::Account)),
        2 => Just(("juliet", Role::Account)),
        4 => Just(("romeo", Role::Account)),
        1 => Just(("visitor", Role::Stranger)),
        2 => Just(("root", Role::Admin)),
    ]
}

fn changes() -> BoxedStrategy<Verb> {
    let redirects = option::weighted(0.5, Just("xmpp:pubsub.d?;node=elsewhere".into()));
    prop_oneof![
        4 => (option::weighted(0.9, nodes()), vec(fields(), 0..3))
            .prop_map(|(node, config)| Verb::Create { node, config }),
        9 => (nodes(), vec(fields(), 0..3)).prop_map(|(node, config)| Verb::Configure { node, config }),
        7 => (nodes(), nodes()).prop_map(|(collection, node)| Verb::Associate { collection, node }),
        2 => (nodes(), nodes()).prop_map(|(collection, node)| Verb::Dissociate { collection, node }),
        1 => nodes().prop_map(|node| Verb::Purge { node }),
        1 => nodes().prop_map(|node| Verb::Expire { node }),
        1 => (nodes(), redirects).prop_map(|(node, redirect)| Verb::Delete { node, redirect }),
    ]
    .boxed()
}

fn publications() -> BoxedStrategy<Verb> {
    let items = prop_oneof![1 => Just(Vec::new()), 12 => vec(new_items(), 1..4)];
    let publish = (leaves(), items, option::weighted(0.1, vec(fields(), 0..2)), any::<bool>());
    let retract = (leaves(), vec(ids(), 0..3), any::<Option<bool>>(), preconditions());
    prop_oneof![
        3 => publish.prop_map(|(node, items, options, create)| Verb::Publish { node, items, options, create }),
        1 => retract.prop_map(|(node, items, notify, precondition)| {
            Verb::Retract { node, items, notify, precondition }
        }),
    ]
    .boxed()
}

fn relations() -> BoxedStrategy<Verb> {
    let affiliations = vec((names().prop_map(bare), affiliations()), 1..3);
    let states = prop::sample::select(&SubscriptionState::ALL);
    let subscriptions = vec((jids(), option::weighted(0.2, subids()), states), 1..3);
    let named = || option::weighted(0.2, subids());
    prop_oneof![
        4 => (nodes(), jids(), option::weighted(0.5, vec(options(), 1..3)))
            .prop_map(|(node, jid, options)| Verb::Subscribe { node, jid, options, public: Public::AsItIs }),
        1 => (nodes(), jids(), named(), vec(options(), 1..3))
            .prop_map(|(node, jid, subid, options)| Verb::SetOptions { node, jid, subid, options }),
        1 => (nodes(), jids(), subids()).prop_map(|(node, jid, subid)| Verb::Lapse { node, jid, subid }),
        6 => (nodes(), jids(), named(), any::<bool>())
            .prop_map(|(node, jid, subid, allow)| Verb::Approve { node, jid, subid, allow }),
        1 => (nodes(), jids(), named()).prop_map(|(node, jid, subid)| Verb::Unsubscribe { node, jid, subid }),
        3 => (nodes(), affiliations).prop_map(|(node, changes)| Verb::SetAffiliations { node, changes }),
        2 => (nodes(), subscriptions).prop_map(|(node, changes)| Verb::SetSubscriptions { node, changes }),
    ]
    .boxed()
}

/// All of them; owners come and go most.
fn affiliations() -> impl Strategy<Value = Affiliation> {
    prop_oneof![
        1 => Just(Affiliation::Owner),
        1 => Just(Affiliation::None),
        2 => prop::sample::select(&Affiliation::ALL),
    ]
}

fn readings() -> BoxedStrategy<Verb> {
    let selections =
        prop_oneof![Just(Selection::All), Just(Selection::Newest(1)), vec(ids(), 1..3).prop_map(Selection::These)];
    let views = (any::<bool>(), option::weighted(0.2, subids())).prop_map(|(payloads, subid)| View {
        payloads: if payloads { Payloads::Read } else { Payloads::Left },
        under: subid.map_or(Under::Any, |subid| Under::Named(Some(subid))),
        order: Order::default(),
    });
    prop_oneof![
        2 => (nodes(), selections, views).prop_map(|(node, selection, view)| {
            Verb::Items { node, selection, page: page(), view }
        }),
        1 => nodes().prop_map(|node| Verb::Watch { node }),
        1 => nodes().prop_map(|node| Verb::DefaultOptions { node: Some(node) }),
        1 => (nodes(), jids()).prop_map(|(node, jid)| Verb::Subscribe { node, jid, options: None, public: Public::AsItIs }),
    ]
    .boxed()
}

fn lists() -> BoxedStrategy<Verb> {
    let node = || option::weighted(0.8, nodes());
    prop_oneof![
        nodes().prop_map(|node| Verb::Configuration { node }),
        nodes().prop_map(|node| Verb::Metadata { node }),
        nodes().prop_map(|node| Verb::NodeSubscriptions { node, page: page() }),
        nodes().prop_map(|node| Verb::NodeAffiliations { node, page: page() }),
        node().prop_map(|node| Verb::Subscriptions { node, page: page() }),
        node().prop_map(|node| Verb::Affiliations { node, page: page() }),
        node().prop_map(|node| Verb::Pending { node }),
        (nodes(), jids(), option::weighted(0.2, subids())).prop_map(|(node, jid, subid)| Verb::Options {
            node,
            jid,
            subid
        }),
        Just(Verb::Nodes { page: page() }),
    ]
    .boxed()
}

fn page() -> Page {
    Page { max: 10, edge: Edge::First }
}

fn nodes() -> impl Strategy<Value = NodeId> {
    prop_oneof![5 => Just("n"), 2 => Just("m"), 2 => Just("c"), 1 => Just("t")]
        .prop_map(|name| NodeId::parse(name).unwrap())
}

/// Nodes that mostly hold items.
fn leaves() -> impl Strategy<Value = NodeId> {
    prop_oneof![6 => Just("n"), 1 => Just("m"), 1 => Just("t")].prop_map(|name| NodeId::parse(name).unwrap())
}

pub(super) fn fields() -> impl Strategy<Value = RawField> {
    let fields: Vec<RawField> = FIELDS.iter().map(|(name, value)| raw(name, value)).collect();
    let names = || vec(prop::sample::select(vec!["n", "m", "m", "m", "c", "t", ""]), 0..2);
    let graph = (any::<bool>(), names()).prop_map(|(above, names)| RawField {
        name: if above { "pubsub#collection" } else { "pubsub#children" }.to_owned(),
        values: names.into_iter().map(str::to_owned).collect(),
    });
    let models = prop::sample::select(vec!["open", "presence", "roster", "authorize", "authorize", "whitelist"]);
    prop_oneof![
        6 => prop::sample::select(fields),
        2 => models.prop_map(|model| raw("access_model", model)),
        3 => graph,
    ]
}

fn options() -> impl Strategy<Value = RawField> {
    let options = [
        ("deliver", "0"),
        ("digest", "1"),
        ("expire", ""),
        ("expire", "presence"),
        ("expire", "+2"),
        ("expire", "+3600"),
        ("expire", "+100000"),
        ("include_body", "1"),
        ("subscription_type", "all"),
        ("subscription_depth", "all"),
    ];
    prop::sample::select(options.map(|(name, value)| raw(name, value)).to_vec())
}

fn new_items() -> impl Strategy<Value = NewItem> {
    let payloads = prop_oneof![16 => Just(Some(10)), 1 => Just(None), 1 => Just(Some(2000))];
    (option::weighted(0.8, ids()), payloads, preconditions()).prop_map(|(id, bytes, precondition)| {
        let payload = bytes.map(|bytes| payload(bytes, "urn-x"));
        NewItem { id, payload, precondition }
    })
}

fn preconditions() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        16 => Just(Precondition::None),
        1 => Just(Precondition::Absent),
        1 => Just(Precondition::Present),
        1 => (1_i64..3, 1_u64..20).prop_map(|(key, seq)| Precondition::At(NodeKey(key), Seq(seq))),
    ]
}

fn ids() -> impl Strategy<Value = ItemId> {
    prop::sample::select(vec!["a", "b", "c", "e"]).prop_map(item)
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["hamlet", "juliet", "romeo", "visitor"])
}

fn jids() -> impl Strategy<Value = Jid> {
    prop::sample::select(vec!["hamlet", "juliet", "juliet/pc", "romeo", "romeo/phone", "visitor", "root"]).prop_map(jid)
}

/// Mostly `?`, the one that there is, which is put in when it is asked.
fn subids() -> impl Strategy<Value = SubId> {
    prop_oneof![6 => Just("?".to_owned()), 1 => (1_u32..10).prop_map(|number| format!("n{number}"))]
        .prop_map(|subid| SubId(subid.into()))
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
    ("roster_groups_allowed", "Friends"),
    ("roster_groups_allowed", "Foes"),
    ("item_expire", "1"),
    ("item_expire", "1"),
    ("item_expire", "2"),
    ("item_expire", "3600"),
    ("publish_node_full", "reject"),
    ("publish_node_full", "reject"),
    ("publish_node_full", "discard-oldest"),
    ("publish_model", "publishers"),
    ("publish_model", "subscribers"),
    ("publish_model", "open"),
    ("notify_retract", "0"),
    ("notify_sub", "1"),
    ("subscribe", "0"),
    ("subscribe", "1"),
    ("itemreply", "owner"),
    ("itemreply", "owner"),
    ("itemreply", "owner"),
    ("itemreply", "publisher"),
    ("tempsub", "1"),
    ("tempsub", "0"),
    ("purge_offline", "1"),
    ("hidden", "1"),
    ("hidden", "1"),
    ("hidden", "0"),
    ("node_type", "collection"),
    ("node_type", "collection"),
    ("node_type", "collection"),
    ("node_type", "leaf"),
    ("children_association_policy", "all"),
    ("children_association_policy", "all"),
    ("children_association_policy", "whitelist"),
    ("children_association_whitelist", "romeo@d"),
    ("children_max", "1"),
    ("children_max", "1"),
    ("children_max", "1"),
    ("children_max", "3"),
    ("colour", "red"),
];
