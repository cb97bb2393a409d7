//! Logs: what they hold, what is erased, where they begin.

use std::sync::Arc;

use super::hand::{Hand, SERVICE, jid, payload_of, policy, subscription};
use crate::pubsub::{
    Affiliation, Edge, EventKind, ItemId, NodeAddress, NodeConfig, NodeId, NodeState, Page, Selection, Seq,
    SubscriptionState,
};
use crate::store::{Ask, Found, Store};
use crate::time::Timestamp;

pub async fn a_log_has_every_event_once_and_in_order(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for round in 0..10 {
        for number in 0..7 {
            hand.publish(&format!("i{}", (round + number) % 5), &format!("<a>{round}.{number}</a>"));
        }
        hand.commit(&*store).await;
    }
    assert_eq!(hand.log(&*store).await, hand.told);
    let mut after = Seq(0);
    let mut read = Vec::new();
    loop {
        let page = store.read_log(hand.node.key, after, 4, usize::MAX).await.unwrap().unwrap();
        assert_eq!((page.floor_seq, page.last_seq), (Seq(1), Seq(70)));
        let Some(last) = page.events.last() else { break };
        after = last.seq;
        read.extend(page.events);
    }
    assert_eq!(read, hand.told);
    for beyond in [Seq(70), Seq(1000), Seq(u64::MAX)] {
        assert!(store.read_log(hand.node.key, beyond, 4, 1).await.unwrap().unwrap().events.is_empty());
    }
}

pub async fn every_kind_of_event_comes_back(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let item = ItemId::parse("i").unwrap();
    let publisher = jid("bob@localhost");
    let kinds = [
        EventKind::Published { item: None, publisher: publisher.clone(), payload: None, replaces: None },
        EventKind::Published { item: Some(item.clone()), publisher, payload: None, replaces: Some(Seq(1)) },
        EventKind::Retracted { item: item.clone(), notify: true },
        EventKind::Retracted { item, notify: false },
        EventKind::Configured { config: Arc::new(NodeConfig::new(&policy())) },
        EventKind::Associated { node: NodeId::parse("a node").unwrap(), at: Seq(7), created: true, hidden: true },
        EventKind::Associated { node: NodeId::parse("other").unwrap(), at: Seq(0), created: false, hidden: false },
        EventKind::Dissociated { node: NodeId::parse("a node").unwrap(), deleted: true, hidden: true },
        EventKind::Dissociated { node: NodeId::parse("other").unwrap(), deleted: false, hidden: false },
        EventKind::Deleted { redirect: None },
        EventKind::Deleted { redirect: Some("xmpp:pubsub.localhost?;node='x'".into()) },
        EventKind::Purged,
    ];
    for kind in kinds {
        hand.now = hand.now.plus_seconds(1);
        hand.tell(kind);
    }
    hand.commit(&*store).await;
    hand.publish("full", "<a xmlns='x'>\u{1f600}</a>");
    hand.commit(&*store).await;
    assert_eq!(hand.log(&*store).await, hand.told);
}

pub async fn a_page_of_the_log_ends_by_count_and_by_bytes(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for number in 0..10 {
        hand.publish(&number.to_string(), &"x".repeat(100));
    }
    hand.commit(&*store).await;
    let store = &*store;
    let read = async |after, events_max, bytes_max| {
        let page = store.read_log(hand.node.key, Seq(after), events_max, bytes_max).await.unwrap().unwrap();
        page.events.iter().map(|event| event.seq.0).collect::<Vec<u64>>()
    };
    assert_eq!(read(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(read(0, 100, 0).await, [1]);
    assert_eq!(read(4, 100, 99).await, [5]);
    assert_eq!(read(4, 100, 100).await, [5, 6]);
    assert_eq!(read(4, 100, 250).await, [5, 6, 7]);
    assert_eq!(read(8, 100, 1000).await, [9, 10]);
    assert_eq!(read(0, 0, 1000).await, [0u64; 0]);
}

pub async fn trimming_keeps_what_items_stand_on(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    hand.publish("kept", "<kept/>");
    hand.publish("over", "<old/>");
    hand.publish("over", "<new/>");
    hand.publish("last", "<last/>");
    hand.commit(&*store).await;
    hand.trim(Seq(4));
    hand.commit(&*store).await;
    let page = store.read_log(hand.node.key, Seq(0), 10, 1000).await.unwrap().unwrap();
    assert_eq!((page.floor_seq, page.last_seq), (Seq(4), Seq(4)));
    assert_eq!(page.events, hand.told[3..], "what items stand on is no history");
    assert_eq!(payloads(&*store, &hand).await, ["<kept/>", "<new/>", "<last/>"]);
    // Everything may go from the log, even what is new.
    hand.publish("brand new", "<brand-new/>");
    hand.trim(Seq(6));
    hand.commit(&*store).await;
    let page = store.read_log(hand.node.key, Seq(0), 10, 1000).await.unwrap().unwrap();
    assert_eq!((page.floor_seq, page.last_seq, page.events.len()), (Seq(6), Seq(5), 0));
    assert_eq!(payloads(&*store, &hand).await, ["<kept/>", "<new/>", "<last/>", "<brand-new/>"]);
    hand.publish("again", "<again/>");
    hand.commit(&*store).await;
    assert_eq!(hand.log(&*store).await, hand.told[5..]);
    let found = store.gather(vec![Ask::Oldest(hand.node.key, 1)]).await.unwrap();
    assert!(matches!(&found[0], Found::Oldest(facts) if *facts == [hand.items["kept"].clone()]));
}

/// No seq is handed out twice, so a row that stayed too long would show itself when the log is read
/// after the floor has been looked away from.
pub async fn what_fell_below_the_floor_goes_with_its_item(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for id in ["a", "b", "c", "d"] {
        hand.publish(id, &format!("<{id}/>"));
    }
    hand.commit(&*store).await;
    hand.trim(Seq(5));
    hand.commit(&*store).await;
    hand.publish("a", "<a2/>");
    hand.retract("b");
    hand.commit(&*store).await;
    assert_eq!(payloads(&*store, &hand).await, ["<c/>", "<d/>", "<a2/>"]);
    // Within one commit: the item leaves the floor's shadow while the floor moves over its new row.
    hand.publish("c", "<c2/>");
    hand.publish("e", "<e/>");
    hand.trim(Seq(9));
    hand.commit(&*store).await;
    assert_eq!(payloads(&*store, &hand).await, ["<d/>", "<a2/>", "<c2/>", "<e/>"]);
    hand.purge();
    hand.commit(&*store).await;
    assert!(payloads(&*store, &hand).await.is_empty());
    // The floor is let down by force: only rows that should have gone could come to light.
    hand.node.floor_seq = Seq(1);
    hand.commit(&*store).await;
    let left: Vec<u64> = hand.log(&*store).await.iter().map(|event| event.seq.0).collect();
    assert_eq!(left, [9], "only the purge is left");
}

pub async fn a_retraction_erases_every_payload_of_its_item(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for round in 0..4 {
        hand.publish("gone", &format!("<gone>{round}</gone>"));
        hand.publish("kept", &format!("<kept>{round}</kept>"));
        hand.commit(&*store).await;
    }
    hand.trim(Seq(3));
    hand.commit(&*store).await;
    hand.retract("gone");
    hand.commit(&*store).await;
    let log = hand.log(&*store).await;
    let texts: Vec<Option<&str>> = log.iter().map(payload_of).collect();
    let expected = [None, Some("<kept>1</kept>"), None, Some("<kept>2</kept>"), None, Some("<kept>3</kept>"), None];
    assert_eq!(texts, expected);
    assert!(log.iter().zip(&hand.told[2..]).all(|(kept, told)| (kept.seq, kept.time) == (told.seq, told.time)));
    assert!(matches!(&log[0].kind, EventKind::Published { item: Some(item), .. } if item.as_str() == "gone"));
    // Published anew it is another item, whose retraction ends where it began.
    hand.publish("gone", "<gone>new</gone>");
    hand.commit(&*store).await;
    assert_eq!(payloads(&*store, &hand).await, ["<kept>3</kept>", "<gone>new</gone>"]);
}

pub async fn a_purge_erases_what_was_before_it_and_no_more(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let mut other = Hand::create(&*store, SERVICE, "other").await;
    other.publish("i", "<other/>");
    other.commit(&*store).await;
    hand.publish("old", "<old/>");
    hand.publish("older", "<older/>");
    hand.commit(&*store).await;
    hand.trim(Seq(2));
    hand.commit(&*store).await;
    hand.publish("before", "<before/>");
    hand.purge();
    hand.publish("old", "<between/>");
    hand.purge();
    hand.publish("old", "<after/>");
    hand.commit(&*store).await;
    let log = hand.log(&*store).await;
    let texts: Vec<Option<&str>> = log.iter().map(payload_of).collect();
    assert_eq!(texts, [None, None, None, None, None, Some("<after/>")]);
    assert_eq!(payloads(&*store, &hand).await, ["<after/>"]);
    assert_eq!(payloads(&*store, &other).await, ["<other/>"]);
}

pub async fn an_item_may_come_and_go_within_one_commit(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    hand.publish("i", "<one/>");
    hand.publish("i", "<two/>");
    hand.retract("i");
    hand.publish("i", "<three/>");
    hand.publish("j", "<four/>");
    hand.commit(&*store).await;
    assert_eq!(payloads(&*store, &hand).await, ["<three/>", "<four/>"]);
    let log = hand.log(&*store).await;
    assert_eq!(log.iter().filter_map(payload_of).collect::<Vec<_>>(), ["<three/>", "<four/>"]);
    assert_eq!(log.len(), 5);
}

pub async fn a_deleted_node_leaves_a_tombstone_and_nothing_else(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let mut other = Hand::create(&*store, SERVICE, "other").await;
    for hand in [&mut hand, &mut other] {
        hand.publish("i", "<i/>");
        hand.affiliate("carol@localhost", Affiliation::Member);
        hand.subscribe("carol@localhost", "s", SubscriptionState::Subscribed);
        hand.commit(&*store).await;
    }
    hand.now = Timestamp(99_000_000);
    hand.publish("j", "<j/>");
    hand.delete(Some("xmpp:elsewhere.example"));
    hand.commit(&*store).await;
    let NodeState::Deleted(tombstone) = hand.found(&*store).await else { panic!("no tombstone") };
    assert_eq!(tombstone.key, hand.node.key);
    assert_eq!(tombstone.last_seq, Seq(3));
    assert_eq!(tombstone.deleted, Timestamp(99_000_000));
    assert_eq!(tombstone.redirect.as_deref(), Some("xmpp:elsewhere.example"));
    let key = hand.node.key;
    assert_eq!(store.read_log(key, Seq(0), 10, 1000).await.unwrap(), None);
    assert!(payloads(&*store, &hand).await.is_empty());
    assert_eq!(store.read_node_subscriptions(key, all()).await.unwrap().count, 0);
    assert_eq!(store.read_node_affiliations(key, all()).await.unwrap().count, 0);
    let carol = jid("carol@localhost");
    let of = store.read_subscriptions_of(jid(SERVICE), carol.clone(), None, all()).await.unwrap();
    assert_eq!(
        of.entries,
        [(other.node.address.node.clone(), subscription("carol@localhost", "s", SubscriptionState::Subscribed))]
    );
    assert_eq!(store.read_affiliations_of(jid(SERVICE), carol, None, all()).await.unwrap().count, 1);
    assert_eq!(store.read_nodes(jid(SERVICE), None, all()).await.unwrap().entries, [other.node.clone()]);
    assert_eq!(payloads(&*store, &other).await, ["<i/>"]);
}

pub async fn a_node_may_be_made_and_deleted_in_one_commit(store: Arc<dyn Store>) {
    let mut hand = Hand::new(&*store, SERVICE, "n").await;
    hand.publish("i", "<i/>");
    hand.delete(None);
    hand.commit(&*store).await;
    assert!(matches!(hand.found(&*store).await, NodeState::Deleted(tombstone) if tombstone.last_seq == Seq(2)));
    assert_eq!(store.read_nodes(jid(SERVICE), None, all()).await.unwrap().count, 0);
    assert_eq!(store.read_log(hand.node.key, Seq(0), 10, 1000).await.unwrap(), None);
}

pub async fn a_node_made_again_is_another_node(store: Arc<dyn Store>) {
    let mut old = Hand::create(&*store, SERVICE, "n").await;
    old.publish("i", "<old/>");
    old.commit(&*store).await;
    old.delete(Some("xmpp:elsewhere.example"));
    old.commit(&*store).await;
    let mut new = Hand::create(&*store, SERVICE, "n").await;
    assert!(new.node.key > old.node.key);
    assert_eq!(**new.found(&*store).await.present().unwrap(), new.node);
    assert!(new.log(&*store).await.is_empty());
    assert!(payloads(&*store, &new).await.is_empty());
    new.delete(None);
    new.commit(&*store).await;
    assert!(matches!(new.found(&*store).await, NodeState::Deleted(tombstone)
        if tombstone.key == new.node.key && tombstone.redirect.is_none()));
}

pub async fn old_tombstones_are_forgotten(store: Arc<dyn Store>) {
    let mut hands = Vec::new();
    for second in 0..3 {
        let mut hand = Hand::create(&*store, SERVICE, &format!("n{second}")).await;
        hand.now = Timestamp::from_seconds(second);
        hand.delete(None);
        hand.commit(&*store).await;
        hands.push(hand);
    }
    store.forget_tombstones(Timestamp::from_seconds(2)).await.unwrap();
    assert!(matches!(hands[0].found(&*store).await, NodeState::Absent));
    assert!(matches!(hands[1].found(&*store).await, NodeState::Absent));
    assert!(matches!(hands[2].found(&*store).await, NodeState::Deleted(_)));
}

pub async fn old_logs_are_listed_oldest_first(store: Arc<dyn Store>) {
    let address = |node: &str| NodeAddress { service: jid(SERVICE), node: NodeId::parse(node).unwrap() };
    let mut hands = Vec::new();
    for (node, second) in [("three", 3), ("one", 1), ("two", 2), ("never", 0)] {
        let mut hand = Hand::create(&*store, SERVICE, node).await;
        for later in [0, 10] {
            hand.now = Timestamp::from_seconds(second + later);
            if second > 0 {
                hand.publish(&format!("i{later}"), "<a/>");
            }
        }
        hand.commit(&*store).await;
        hands.push(hand);
    }
    let stale = async |second| store.stale_logs(true, Timestamp::from_seconds(second), 10).await.unwrap();
    assert!(stale(1).await.is_empty());
    assert_eq!(stale(3).await, [address("one"), address("two")]);
    assert_eq!(stale(100).await, [address("one"), address("two"), address("three")]);
    assert_eq!(store.stale_logs(true, Timestamp::from_seconds(100), 1).await.unwrap(), [address("one")]);
    // What was trimmed is not old any more, though items stand on it.
    hands[1].trim(Seq(2));
    hands[1].commit(&*store).await;
    assert_eq!(stale(100).await, [address("two"), address("three"), address("one")]);
    hands[1].trim(Seq(3));
    hands[1].commit(&*store).await;
    assert_eq!(stale(100).await, [address("two"), address("three")]);
    hands[1].now = Timestamp::from_seconds(0);
    hands[1].publish("new", "<a/>");
    hands[1].commit(&*store).await;
    assert_eq!(stale(1).await, [address("one")]);
}

pub async fn the_floor_follows_time_and_bytes(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for second in [10, 20, 15, 30, 40] {
        hand.now = Timestamp::from_seconds(second);
        hand.publish("i", &"x".repeat(100));
    }
    hand.commit(&*store).await;
    let floor =
        async |second, bytes| store.floor_for(hand.node.key, Timestamp::from_seconds(second), bytes).await.unwrap().0;
    assert_eq!(floor(0, 1000).await, 1);
    assert_eq!(floor(10, 500).await, 1);
    assert_eq!(floor(11, 500).await, 2);
    assert_eq!(floor(16, 500).await, 4, "the clock went back: nothing older stays");
    assert_eq!(floor(41, 500).await, 6);
    assert_eq!(floor(0, 499).await, 2);
    assert_eq!(floor(0, 100).await, 5);
    assert_eq!(floor(0, 99).await, 6);
    hand.trim(Seq(3));
    hand.commit(&*store).await;
    assert_eq!(store.floor_for(hand.node.key, Timestamp(0), 1000).await.unwrap(), Seq(3));
    hand.delete(None);
    hand.commit(&*store).await;
    assert_eq!(store.floor_for(hand.node.key, Timestamp(0), 1000).await.unwrap(), Seq(0));
}

/// The payloads of the current items, oldest first.
async fn payloads(store: &dyn Store, hand: &Hand) -> Vec<String> {
    let list = store.read_items(hand.node.key, Selection::All, all()).await.unwrap();
    let text = |xml: &[u8]| String::from_utf8(xml.to_vec()).unwrap();
    list.entries.iter().map(|item| text(&item.payload.as_ref().expect("a current item has its payload").xml)).collect()
}

fn all() -> Page {
    Page { max: 1000, edge: Edge::First }
}
