//! Batches: all or nothing, in order, on condition.

use std::sync::Arc;

use super::hand::{Hand, SERVICE, jid, policy, subscription};
use crate::pubsub::Edge;
use crate::pubsub::{
    Affiliation, Change, EventKind, ItemId, NodeConfig, NodeKey, NodeState, Page, RawField, Selection, Seq,
    SubscriptionState,
};
use crate::store::{Ask, Failure, Found, Store};

pub async fn node_keys_are_never_handed_out_twice(store: Arc<dyn Store>) {
    let first = store.reserve_node_keys(3).await.unwrap();
    assert_eq!(first.clone().count(), 3);
    assert_eq!(store.reserve_node_keys(0).await.unwrap().count(), 0);
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    assert!(hand.node.key.0 >= first.end);
    hand.delete(None);
    hand.commit(&*store).await;
    let mut stale = Hand::new(&*store, SERVICE, "m").await;
    let mut part = stale.part();
    part.node.version = 0;
    assert!(matches!(store.commit(vec![part]).await, Err(Failure::Refused(_))));
    assert!(store.reserve_node_keys(1).await.unwrap().start > stale.node.key.0);
}

pub async fn a_created_node_is_found_as_it_was_made(store: Arc<dyn Store>) {
    let mut hand = Hand::new(&*store, SERVICE, "n").await;
    assert!(matches!(hand.found(&*store).await, NodeState::Absent));
    hand.affiliate("alice@localhost", Affiliation::Owner);
    hand.publish("i", "<a/>");
    hand.commit(&*store).await;
    assert_eq!(**hand.found(&*store).await.present().unwrap(), hand.node);
    hand.publish("j", "<a/>");
    hand.node.owners = 2;
    hand.commit(&*store).await;
    assert_eq!(**hand.found(&*store).await.present().unwrap(), hand.node);
}

pub async fn a_configuration_survives_whatever_it_holds(store: Arc<dyn Store>) {
    let mut hand = Hand::new(&*store, SERVICE, "n").await;
    let field = |name: &str, values: &[&str]| RawField {
        name: name.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let changes = [
        field("title", &["'; DROP TABLE nodes; --"]),
        field("description", &["one\ntwo\r\n\\n=three\u{1f600}\u{2028}\""]),
        field("contact", &["a@localhost", "b@localhost"]),
        field("access_model", &["whitelist"]),
        field("max_items", &["10000"]),
        field("max_payload_size", &["1048576"]),
    ];
    hand.node.config = Arc::new(NodeConfig::new(&policy()).with(&changes, &policy()).unwrap());
    hand.commit(&*store).await;
    assert_eq!(**hand.found(&*store).await.present().unwrap(), hand.node);
}

pub async fn a_changed_configuration_is_kept(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for title in ["one", "two"] {
        let change = RawField { name: "title".to_owned(), values: vec![title.to_owned()] };
        hand.node.config = Arc::new(hand.node.config.with(&[change], &policy()).unwrap());
        hand.tell(EventKind::Configured { config: hand.node.config.clone() });
        hand.commit(&*store).await;
        assert_eq!(&*hand.found(&*store).await.present().unwrap().config.title, title);
        hand.publish("i", "<a/>");
        hand.commit(&*store).await;
        assert_eq!(&*hand.found(&*store).await.present().unwrap().config.title, title);
    }
    // A configuration whose commit failed is not taken for written.
    let lost = RawField { name: "title".to_owned(), values: vec!["lost".to_owned()] };
    let before = hand.node.clone();
    hand.node.config = Arc::new(before.config.with(&[lost], &policy()).unwrap());
    let mut part = hand.part();
    let config = part.node.config.clone();
    part.expected_version = 99;
    part.node.version = 100;
    assert_eq!(store.commit(vec![part]).await, Err(Failure::Stale));
    hand.node = before;
    hand.node.config = config;
    hand.commit(&*store).await;
    assert_eq!(&*hand.found(&*store).await.present().unwrap().config.title, "lost");
}

pub async fn a_stale_part_undoes_the_whole_batch(store: Arc<dyn Store>) {
    let mut one = Hand::create(&*store, SERVICE, "one").await;
    let mut two = Hand::create(&*store, SERVICE, "two").await;
    one.publish("i", "<first/>");
    one.commit(&*store).await;
    let (one_before, two_before) = (one.node.clone(), two.node.clone());
    one.publish("i", "<second/>");
    one.publish("j", "<third/>");
    one.affiliate("carol@localhost", Affiliation::Member);
    one.subscribe("carol@localhost", "s", SubscriptionState::Subscribed);
    one.trim(Seq(2));
    let mut three = Hand::new(&*store, SERVICE, "three").await;
    two.publish("i", "<lost/>");
    let mut late = two.part();
    late.expected_version += 1;
    late.node.version += 1;
    assert_eq!(store.commit(vec![one.part(), three.part(), late]).await, Err(Failure::Stale));

    assert_eq!(**one.found(&*store).await.present().unwrap(), one_before);
    assert_eq!(**two.found(&*store).await.present().unwrap(), two_before);
    assert!(matches!(three.found(&*store).await, NodeState::Absent));
    assert_eq!(one.log(&*store).await, one.told[..1]);
    assert!(two.log(&*store).await.is_empty());
    let page = Page { max: 10, edge: Edge::First };
    assert_eq!(store.read_items(one.node.key, Selection::All, page.clone()).await.unwrap().entries.len(), 1);
    assert!(store.read_node_affiliations(one.node.key, page.clone()).await.unwrap().entries.is_empty());
    assert!(store.read_node_subscriptions(one.node.key, page.clone()).await.unwrap().entries.is_empty());
    assert_eq!(store.read_nodes(jid(SERVICE), None, page).await.unwrap().count, 2);
}

pub async fn creating_where_a_node_stands_is_stale(store: Arc<dyn Store>) {
    let hand = Hand::create(&*store, SERVICE, "n").await;
    let mut other = Hand::new(&*store, SERVICE, "n").await;
    assert_eq!(store.commit(vec![other.part()]).await, Err(Failure::Stale));
    assert_eq!(hand.found(&*store).await.present().unwrap().key, hand.node.key);
    // And a node that is gone is stale to whoever would change it.
    let mut gone = Hand::create(&*store, SERVICE, "gone").await;
    gone.delete(None);
    gone.commit(&*store).await;
    gone.publish("i", "<a/>");
    assert_eq!(store.commit(vec![gone.part()]).await, Err(Failure::Stale));
}

pub async fn the_parts_of_a_batch_see_each_other(store: Arc<dyn Store>) {
    let mut old = Hand::create(&*store, SERVICE, "n").await;
    old.publish("i", "<old/>");
    old.commit(&*store).await;
    old.delete(None);
    let mut new = Hand::new(&*store, SERVICE, "n").await;
    new.publish("i", "<new/>");
    let (first, second) = (old.part(), new.part());
    new.publish("i", "<newer/>");
    let third = new.part();
    store.commit(vec![first, second, third]).await.unwrap();
    assert_eq!(**new.found(&*store).await.present().unwrap(), new.node);
    assert_eq!(new.log(&*store).await, new.told);
    assert_eq!(store.read_log(old.node.key, Seq(0), 10, 1000).await.unwrap(), None);
    assert_eq!(store.read_nodes(jid(SERVICE), None, Page { max: 10, edge: Edge::First }).await.unwrap().count, 1);
}

pub async fn a_commit_that_is_not_whole_is_refused_and_leaves_nothing(store: Arc<dyn Store>) {
    let good = Hand::create(&*store, SERVICE, "good").await;
    let mut bad = Hand::create(&*store, SERVICE, "bad").await;
    bad.publish("i", "<a/>");
    bad.publish("j", "<a/>");
    let whole = bad.part();
    let spoil: [fn(&mut crate::store::NodeCommit); 6] = [
        |commit| commit.events[1].seq = Seq(3),
        |commit| commit.node.last_seq = Seq(9),
        |commit| commit.node.version = commit.expected_version,
        |commit| commit.changes.push(Change::CreateNode),
        |commit| commit.changes.insert(0, Change::DeleteNode { redirect: None }),
        |commit| (commit.trim_from, commit.node.floor_seq) = (Some(Seq(2)), Seq(1)),
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut part = whole.clone();
        spoil(&mut part);
        let mut first = good.clone();
        first.publish("i", "<a/>");
        let refused = store.commit(vec![first.part(), part]).await;
        assert!(matches!(refused, Err(Failure::Refused(_))), "{number}: {refused:?}");
        assert_eq!(**good.found(&*store).await.present().unwrap(), good.node);
    }
    store.commit(vec![whole]).await.unwrap();
    assert_eq!(**bad.found(&*store).await.present().unwrap(), bad.node);
}

pub async fn questions_are_answered_in_their_places(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for number in 0..5 {
        hand.publish(&format!("i{number}"), "<a/>");
    }
    hand.publish("i1", "<b/>");
    hand.affiliate("carol@localhost", Affiliation::PublishOnly);
    let full = hand.subscribe("carol@localhost/phone", "s2", SubscriptionState::Pending);
    let bare = hand.subscribe("carol@localhost", "s1", SubscriptionState::Subscribed);
    hand.subscribe("dave@localhost", "s3", SubscriptionState::Subscribed);
    hand.commit(&*store).await;
    let item = |id: &str| Ask::Item(hand.node.key, ItemId::parse(id).unwrap());
    let key = hand.node.key;
    let found = store
        .gather(vec![
            item("none"),
            Ask::Oldest(key, 2),
            item("i1"),
            Ask::Affiliation(key, jid("carol@localhost")),
            Ask::Affiliation(key, jid("dave@localhost")),
            Ask::Subscriptions(key, jid("carol@localhost")),
            Ask::Subscriptions(NodeKey(key.0 + 1), jid("carol@localhost")),
            Ask::Node(hand.node.address.clone()),
            Ask::Oldest(key, u64::MAX),
            Ask::Payload(key, ItemId::parse("i1").unwrap()),
            Ask::Payload(key, ItemId::parse("none").unwrap()),
        ])
        .await
        .unwrap();
    let [none, oldest, overwritten, carol, dave, subscribed, elsewhere, node, all, held, nothing] = &found[..] else {
        panic!("{found:?}")
    };
    let fact = |id: &str| hand.items[id].clone();
    assert!(matches!(none, Found::Item(None)));
    assert!(matches!(oldest, Found::Oldest(facts) if *facts == [fact("i0"), fact("i2")]), "{oldest:?}");
    assert!(matches!(overwritten, Found::Item(Some(found)) if *found == fact("i1")));
    assert!(matches!(carol, Found::Affiliation(Affiliation::PublishOnly)));
    assert!(matches!(dave, Found::Affiliation(Affiliation::None)));
    assert!(matches!(subscribed, Found::Subscriptions(found) if *found == [bare, full]), "{subscribed:?}");
    assert!(matches!(elsewhere, Found::Subscriptions(found) if found.is_empty()));
    assert!(matches!(node, Found::Node(NodeState::Present(found)) if **found == hand.node));
    assert!(matches!(all, Found::Oldest(facts) if facts.len() == 5 && facts[4] == fact("i1")));
    assert!(matches!(held, Found::Payload(Some(payload)) if &*payload.xml == b"<b/>"), "{held:?}");
    assert!(matches!(nothing, Found::Payload(None)));
}

pub async fn affiliations_and_subscriptions_come_and_go(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let ask = vec![
        Ask::Affiliation(hand.node.key, jid("carol@localhost")),
        Ask::Subscriptions(hand.node.key, jid("carol@localhost")),
    ];
    for affiliation in [Affiliation::Member, Affiliation::Outcast, Affiliation::Owner, Affiliation::None] {
        hand.affiliate("carol@localhost", affiliation);
        hand.commit(&*store).await;
        let found = store.gather(ask.clone()).await.unwrap();
        assert!(matches!(found[0], Found::Affiliation(found) if found == affiliation), "{affiliation:?}");
    }
    use SubscriptionState::{None, Pending, Subscribed, Unconfigured};
    for state in [Pending, Unconfigured, Subscribed, None, None] {
        let set = hand.subscribe("carol@localhost/a", "s", state);
        hand.commit(&*store).await;
        let found = store.gather(ask.clone()).await.unwrap();
        let expected = if state == None { vec![] } else { vec![set] };
        assert!(matches!(&found[1], Found::Subscriptions(found) if *found == expected), "{state:?}");
    }
}

pub async fn odd_names_are_kept_apart(store: Arc<dyn Store>) {
    let names = ["'", "''", "\"", "a", "A", "ä", "a\u{308}x", "%", "_", "a b", "\u{1f600}", "\\", "--", "?1", "/"];
    let mut hands = Vec::new();
    for name in names {
        let mut hand = Hand::create(&*store, SERVICE, name).await;
        for id in names {
            hand.publish(id, &format!("<a>{id}</a>"));
        }
        hand.subscribe(&format!("carol@localhost/{name}"), name, SubscriptionState::Subscribed);
        hand.commit(&*store).await;
        hands.push((hand, name));
    }
    for (hand, name) in &hands {
        assert_eq!(**hand.found(&*store).await.present().unwrap(), hand.node);
        assert_eq!(hand.log(&*store).await, hand.told);
        let found = store.gather(vec![Ask::Subscriptions(hand.node.key, jid("carol@localhost"))]).await.unwrap();
        let expected = subscription(&format!("carol@localhost/{name}"), name, SubscriptionState::Subscribed);
        assert!(matches!(&found[0], Found::Subscriptions(found) if *found == [expected]), "{found:?}");
        for id in names {
            let ask = Ask::Item(hand.node.key, ItemId::parse(id).unwrap());
            let found = store.gather(vec![ask]).await.unwrap();
            assert!(matches!(&found[0], Found::Item(Some(found)) if *found == hand.items[id]), "{id}");
        }
    }
}

/// Two nodes are always changed together; nobody may see one changed without the other.
pub async fn an_answer_is_of_one_moment(store: Arc<dyn Store>) {
    let mut one = Hand::create(&*store, SERVICE, "one").await;
    let mut two = Hand::create(&*store, SERVICE, "two").await;
    let asks =
        vec![Ask::Node(one.node.address.clone()), Ask::Oldest(two.node.key, 99), Ask::Node(two.node.address.clone())];
    let reading = tokio::spawn({
        let store = store.clone();
        async move {
            let (mut seen, mut readings) = (Seq(0), 0);
            while seen < Seq(ROUNDS) {
                let found = store.gather(asks.clone()).await.unwrap();
                let [Found::Node(one), Found::Oldest(items), Found::Node(two)] = &found[..] else { panic!() };
                let (one, two) = (one.present().unwrap(), two.present().unwrap());
                assert_eq!(one.last_seq, two.last_seq);
                assert_eq!(items.len() as u64, two.items);
                assert!(one.last_seq >= seen);
                seen = one.last_seq;
                readings += 1;
            }
            readings
        }
    });
    for number in 0..ROUNDS {
        one.publish(&number.to_string(), "<a/>");
        two.publish(&number.to_string(), "<a/>");
        store.commit(vec![one.part(), two.part()]).await.unwrap();
        // Whoever reads after the answer sees the commit.
        assert_eq!(two.found(&*store).await.present().unwrap().last_seq, Seq(number + 1));
    }
    assert!(reading.await.unwrap() > 0);
}

pub async fn a_closed_store_refuses(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    store.close().await.unwrap();
    hand.publish("i", "<a/>");
    assert_eq!(store.commit(vec![hand.part()]).await, Err(Failure::Closed));
    assert!(matches!(store.gather(Vec::new()).await, Err(Failure::Closed)));
    assert_eq!(store.reserve_node_keys(1).await, Err(Failure::Closed));
    assert_eq!(store.close().await, Err(Failure::Closed));
}

const ROUNDS: u64 = 50;
