//! Who may be let in, what is hidden from whom, and what is due.

use std::sync::Arc;

use super::hand::{Hand, SERVICE, jid, policy};
use crate::pubsub::{
    Affiliation, Edge, EventKind, NodeConfig, NodeId, NodeState, Page, RawField, SubId, SubscriptionState,
};
use crate::store::{Ask, Found, Store};
use crate::time::Timestamp;

pub async fn owners_are_found_and_bounded(store: Arc<dyn Store>) {
    let mut hand = Hand::new(&*store, SERVICE, "n").await;
    hand.affiliate("zoe@localhost", Affiliation::Owner);
    hand.affiliate("bob@localhost", Affiliation::Publisher);
    hand.affiliate("alice@localhost", Affiliation::Owner);
    hand.commit(&*store).await;
    for (max, expected) in [(9, &["alice@localhost", "zoe@localhost"][..]), (1, &["alice@localhost"])] {
        let found = store.gather(vec![Ask::Owners(hand.node.key, max)]).await.unwrap().remove(0);
        let Found::Owners(owners) = found else { panic!("{found:?}") };
        assert_eq!(owners, expected.iter().map(|owner| jid(owner)).collect::<Vec<_>>());
    }
    hand.affiliate("zoe@localhost", Affiliation::None);
    hand.commit(&*store).await;
    let found = store.gather(vec![Ask::Owners(hand.node.key, 9)]).await.unwrap().remove(0);
    assert!(matches!(found, Found::Owners(owners) if owners == [jid("alice@localhost")]));
}

pub async fn who_waits_is_found_by_node_by_owner_and_by_service(store: Arc<dyn Store>) {
    let mut hands = Vec::new();
    for (service, node, owner) in [(SERVICE, "a", "alice"), (SERVICE, "b", "bob"), ("other.localhost", "c", "alice")] {
        let mut hand = Hand::new(&*store, service, node).await;
        hand.affiliate(&format!("{owner}@localhost"), Affiliation::Owner);
        hand.affiliate("carol@localhost", Affiliation::Publisher);
        hand.subscribe("romeo@localhost/x", &format!("s{node}"), SubscriptionState::Pending);
        hand.subscribe("juliet@localhost", &format!("t{node}"), SubscriptionState::Subscribed);
        hand.commit(&*store).await;
        hands.push(hand);
    }
    let waiting = async |service: Option<&str>, owner: Option<&str>, node, max| {
        let found = store.read_pending(service.map(jid), owner.map(jid), node, max).await.unwrap();
        let subid = |found: &(crate::pubsub::Node, crate::pubsub::Subscription)| found.1.subid.clone();
        found.iter().map(subid).collect::<Vec<SubId>>()
    };
    let named = |names: &[&str]| names.iter().map(|name| SubId(Arc::from(*name))).collect::<Vec<SubId>>();
    assert_eq!(waiting(None, None, None, 9).await, named(&["sa", "sb", "sc"]));
    assert_eq!(waiting(None, None, None, 2).await, named(&["sa", "sb"]));
    assert_eq!(waiting(Some(SERVICE), None, None, 9).await, named(&["sa", "sb"]));
    assert_eq!(waiting(None, Some("alice@localhost"), None, 9).await, named(&["sa", "sc"]));
    assert_eq!(waiting(Some(SERVICE), Some("alice@localhost"), None, 9).await, named(&["sa"]));
    assert_eq!(waiting(None, Some("carol@localhost"), None, 9).await, named(&[]));
    assert_eq!(waiting(None, None, Some(hands[1].node.key), 9).await, named(&["sb"]));
    hands[0].subscribe("romeo@localhost/x", "sa", SubscriptionState::Subscribed);
    hands[0].commit(&*store).await;
    hands[1].subscribe("romeo@localhost/x", "sb", SubscriptionState::None);
    hands[1].commit(&*store).await;
    assert_eq!(waiting(None, None, None, 9).await, named(&["sc"]));
}

pub async fn hidden_nodes_are_listed_for_those_who_know_them(store: Arc<dyn Store>) {
    let mut hands = Vec::new();
    for node in ["a", "b", "c", "d"] {
        let mut hand = Hand::new(&*store, SERVICE, node).await;
        configure(&mut hand, "tidings#hidden", if matches!(node, "b" | "c") { "1" } else { "0" });
        hand.commit(&*store).await;
        hands.push(hand);
    }
    hands[1].affiliate("bob@localhost", Affiliation::Member);
    hands[1].affiliate("mad@localhost", Affiliation::Outcast);
    hands[1].subscribe("mad@localhost", "s", SubscriptionState::Subscribed);
    hands[1].commit(&*store).await;
    hands[2].subscribe("romeo@localhost/x", "s", SubscriptionState::Pending);
    hands[2].commit(&*store).await;
    let listed = async |viewer: Option<&str>, max, edge: Edge| {
        let list = store.read_nodes(jid(SERVICE), viewer.map(jid), Page { max, edge }).await.unwrap();
        let names: Vec<String> = list.entries.iter().map(|node| node.address.node.to_string()).collect();
        (names.join(""), list.count, list.complete)
    };
    for (viewer, names) in [
        (None, "abcd"),
        (Some("stranger@localhost"), "ad"),
        (Some("bob@localhost"), "abd"),
        (Some("mad@localhost"), "ad"),
        (Some("romeo@localhost"), "acd"),
    ] {
        let count = names.len() as u64;
        assert_eq!(listed(viewer, 9, Edge::First).await, (names.to_owned(), count, true), "{viewer:?}");
        let last = names.len() - 1;
        assert_eq!(listed(viewer, 1, Edge::Last).await, (names[last..].to_owned(), count, false), "{viewer:?}");
        let after = Edge::After(names[..1].to_owned());
        assert_eq!(listed(viewer, 1, after).await, (names[1..2].to_owned(), count, names.len() == 2), "{viewer:?}");
        assert_eq!(listed(viewer, 9, Edge::Before("d".to_owned())).await, (names[..last].to_owned(), count, true));
    }
    configure(&mut hands[1], "tidings#hidden", "0");
    hands[1].commit(&*store).await;
    hands[0].delete(None);
    hands[0].commit(&*store).await;
    assert_eq!(listed(Some("stranger@localhost"), 9, Edge::First).await, ("bd".to_owned(), 2, true));
    hands[2].delete(None);
    hands[2].commit(&*store).await;
    assert_eq!(listed(Some("romeo@localhost"), 9, Edge::First).await, ("bd".to_owned(), 2, true));
    assert_eq!(listed(None, 9, Edge::First).await, ("bd".to_owned(), 2, true));
    for (hand, hidden) in [(&hands[0], false), (&hands[2], true)] {
        let NodeState::Deleted(tombstone) = hand.found(&*store).await else { panic!("it was deleted") };
        assert_eq!(tombstone.hidden, hidden);
    }
}

pub async fn items_are_due_when_the_oldest_is(store: Arc<dyn Store>) {
    let at = Timestamp::from_seconds;
    let due = async |second, max| {
        let (nodes, next) = store.due_items(at(second), max).await.unwrap();
        (nodes.iter().map(|address| address.node.to_string()).collect::<String>(), next)
    };
    assert_eq!(due(1000, 9).await, (String::new(), None));
    let mut hands = Vec::new();
    for (node, first) in [("a", 100), ("b", 50)] {
        let mut hand = Hand::create(&*store, SERVICE, node).await;
        for later in [0, 10] {
            hand.now = at(first + later);
            hand.publish(&format!("i{later}"), "<a/>");
        }
        hand.commit(&*store).await;
        assert_eq!(due(1000, 9).await.0, hands.iter().map(|_| "a").collect::<String>());
        configure(&mut hand, "item_expire", "60");
        hand.commit(&*store).await;
        hands.push(hand);
    }
    assert_eq!(due(109, 9).await, (String::new(), Some(at(110))));
    assert_eq!(due(110, 9).await, ("b".to_owned(), Some(at(160))));
    assert_eq!(due(1000, 9).await, ("ba".to_owned(), None));
    assert_eq!(due(1000, 1).await.0, "b");
    // What goes, is overwritten or purged is not due any more.
    hands[1].retract("i0");
    hands[1].commit(&*store).await;
    assert_eq!(due(119, 9).await, (String::new(), Some(at(120))));
    hands[1].now = at(200);
    hands[1].publish("i10", "<b/>");
    hands[1].commit(&*store).await;
    assert_eq!(due(160, 9).await, ("a".to_owned(), Some(at(260))));
    hands[0].purge();
    hands[0].commit(&*store).await;
    assert_eq!(due(1000, 9).await, ("b".to_owned(), None));
    configure(&mut hands[1], "item_expire", "max");
    hands[1].commit(&*store).await;
    assert_eq!(due(1000, 9).await, (String::new(), None));
}

pub async fn nodes_that_keep_nothing_grow_old_apart(store: Arc<dyn Store>) {
    for (node, keeps) in [("kept", "1"), ("passing", "0")] {
        let mut hand = Hand::new(&*store, SERVICE, node).await;
        configure(&mut hand, "persist_items", keeps);
        hand.commit(&*store).await;
    }
    let stale = async |keeps| {
        let found = store.stale_logs(keeps, Timestamp::from_seconds(1000), 1).await.unwrap();
        found.into_iter().map(|address| address.node).collect::<Vec<NodeId>>()
    };
    assert_eq!(stale(true).await, [NodeId::parse("kept").unwrap()]);
    assert_eq!(stale(false).await, [NodeId::parse("passing").unwrap()]);
}

fn configure(hand: &mut Hand, name: &str, value: &str) {
    let field = RawField { name: name.to_owned(), values: vec![value.to_owned()] };
    let config: Arc<NodeConfig> = Arc::new(hand.node.config.with(&[field], &policy()).unwrap());
    hand.node.config = config.clone();
    hand.tell(EventKind::Configured { config });
}
